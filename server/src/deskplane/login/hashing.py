"""Comparing passwords with their hashes: always outside of transactions, never too many at once, and as long for an
account that there is not as for one that there is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from deskplane.kernel.problem import busy
from deskplane.people import service
from deskplane.people.service import hash_password, password_matches


class Gate:
    """Lets so many through at once, and lets some more wait. Argon2 takes a processor and 64 MB for a tenth of a
    second; requests that would wait longer are answered at once, since each of them keeps a thread from all others."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._room = threading.BoundedSemaphore(at_once + waiting)
        self._turn = threading.BoundedSemaphore(at_once)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for its turn. Raises 503 where too many wait."""
        if not self._room.acquire(blocking=False):
            raise busy("too many people log in at once; try again", 1)
        try:
            with self._turn:
                yield
        finally:
            self._room.release()


STRANGERS, KNOWN = Gate(1, 1), Gate(1, 1)
"""Of each process. Who comes from a browser that is known does not wait behind those who guess."""


@cache
def _nobodys(_parameters: str) -> str:
    return hash_password("the password of nobody")


def matches(password: str, stored: str | None, *, known: bool) -> bool:
    """Whether it is the password. Takes as long where there is none."""
    with (KNOWN if known else STRANGERS).turn():
        right = password_matches(password, stored or _nobodys(service.parameters()))
    return right and bool(stored)


def rehashed(password: str, stored: str) -> str | None:
    """The hash of a password that is right, by the parameters of today; null where it is one already."""
    return hash_password(password) if service.is_outdated(stored) else None


def hashed(password: str) -> str:
    """The hash of a new password."""
    with KNOWN.turn():
        return hash_password(password)
