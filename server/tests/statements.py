"""What goes to the database while a test does something."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from deskplane.app import Desk


@contextmanager
def recorded(desk: Desk) -> Iterator[list[str]]:
    """Every statement that the caller sends to the database meanwhile; one with many rows of values is one.

    Those of other threads are left out: the last use of keys is written by one, once a minute.
    """
    statements: list[str] = []
    caller = threading.get_ident()

    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        if threading.get_ident() == caller:
            statements.append(statement)

    engines = (desk.database.reading, desk.database.writing)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
