"""Workers for tests, and what they leave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import select

from deskplane.app import Desk
from deskplane.outbox.models import Message
from deskplane.outbox.worker import Worker


def rows(desk: Desk) -> list[Message]:
    """What is in the outbox."""
    with desk.database.transaction(write=False) as session:
        found = list(session.execute(select(Message).order_by(Message.id)).scalars())
        session.expunge_all()
        return found


def drain(found: Worker) -> None:
    """Lets it do all that is due."""
    while found.drain_once():
        pass


@contextmanager
def running(*workers: Worker) -> Iterator[None]:
    """Workers that run meanwhile."""
    threads = [threading.Thread(target=found.run) for found in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for found in workers:
            found.stop()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
