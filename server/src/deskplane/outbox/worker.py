"""The worker: claims what is due, hands it to its handler, and runs the periodic jobs.

Any number of workers may run. SIGTERM lets the message in hand end, and then stops.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.orm import Session

from deskplane.kernel.clock import Clock
from deskplane.kernel.db import Database
from deskplane.kernel.ids import new_short_id
from deskplane.kernel.logging import logger
from deskplane.kernel.problem import Problem
from deskplane.outbox import service
from deskplane.outbox.schedules import Job, LongJob, Schedules, Told
from deskplane.outbox.service import Claimed

Finish = Callable[[Session], object]
Handler = Callable[[Claimed], Finish | None]
"""Deals with one message, in transactions of its own. May be called again with the same message.

What it answers runs in the transaction that completes the message: it is done once, or the message is not completed.
"""

LONGEST_SLEEP = 0.2
"""Seconds until a worker that has nothing to do sees that it was asked to stop."""


class Worker:
    """One worker process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        handlers: Mapping[str, Handler],
        jobs: Sequence[Job | LongJob],
        *,
        idle_seconds: float = 0.5,
        told: Told | None = None,
    ) -> None:
        # host and process number come again when a container starts anew; a lease must be nobody else's
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{new_short_id()}"
        self._database = database
        self._clock = clock
        self._handlers = handlers
        self._schedules = Schedules(database, clock, self.name, jobs, told)
        self._idle_seconds = idle_seconds
        self._stopping = False

    def stop(self) -> None:
        """Asks it to end; safe to call from a signal handler."""
        self._stopping = True

    def _pause(self, seconds: float) -> None:
        # Slept in short pieces: a signal handler cannot wake a wait. It runs in the midst of it, so that setting an
        # Event waits for the lock that the wait holds, and SimpleQueue.get(timeout) may miss what it put.
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LONGEST_SLEEP))

    def run(self) -> None:
        """Works until it is asked to stop. A database that is away for a while does not end it."""
        logger.info("worker started", worker=self.name)
        last_beat = None
        while not self._stopping:
            busy = False
            try:
                now = self._clock.now()
                if last_beat is None or abs(now - last_beat) > service.ALIVE / 3:  # a clock may be set back
                    self._database.run(lambda session: service.beat(session, self.name, now), write=True)  # noqa: B023
                    last_beat = now
                    self._schedules.start()
                busy = self.drain_once() > 0
            except Exception as error:
                logger.error("worker could not work; it tries again", exc_info=error)
                self._pause(2.0)
            if not busy:
                self._pause(self._idle_seconds)
        self._schedules.stop()
        self._database.run(lambda session: service.leave(session, self.name), write=True)
        logger.info("worker stopped", worker=self.name)

    def drain_once(self) -> int:
        """Claims one batch and deals with it; answers how many messages it held."""
        now = self._clock.now()
        with self._database.transaction(write=False) as session:
            waiting = service.is_due(session, now)
        if not waiting:
            return 0
        batch = self._database.run(lambda session: service.claim(session, self.name, now), write=True)
        for message in batch:
            self._deal_with(message)
        return len(batch)

    def _deal_with(self, message: Claimed) -> None:
        handler = self._handlers.get(message.topic)
        try:
            if handler is None:
                raise LookupError(f"no handler for the topic {message.topic!r}; is this worker older than the server?")
            finish = handler(message)
            self._database.run(lambda session: self._complete(session, message, finish), write=True)
        except Exception as error:
            logger.warning("message failed; it is tried again", topic=message.topic, message=message.id, exc_info=error)
            text = error.detail if isinstance(error, Problem) else repr(error)
            now = self._clock.now()
            self._database.run(lambda session: service.postpone(session, self.name, message, text, now), write=True)

    def _complete(self, session: Session, message: Claimed, finish: Finish | None) -> None:
        if service.complete(session, self.name, message.id) and finish is not None:
            finish(session)
