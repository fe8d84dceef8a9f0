"""The worker: claims what is due, hands it to its handler, and runs the periodic jobs.

Any number of workers may run. What has no lane is short work in the database; the worker's main thread does it, one
after the other. What has a lane may wait for others, such as a webhook's receiver: each gets a thread of its own, as
many as there are, and lanes that lately took long share one half of them, so that however many receivers hang, the
others are served. No more is claimed than can be begun at once. SIGTERM lets what is in hand end; what does not end in
time is given back.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from deskplane.kernel.clock import Clock
from deskplane.kernel.db import Database
from deskplane.kernel.ids import new_short_id
from deskplane.kernel.logging import logger
from deskplane.kernel.problem import Problem
from deskplane.outbox import service
from deskplane.outbox.schedules import AnyJob, Schedules, Told
from deskplane.outbox.service import Claimed, Room

Finish = Callable[[Session], object]
Handler = Callable[[Claimed], Finish | None]
"""Deals with one message, in transactions of its own. May be called again with the same message.

What it answers runs in the transaction that completes the message: it is done once, or the message is not completed.
"""

LONGEST_SLEEP = 0.2
"""Seconds until a worker that has nothing to do sees that it was asked to stop."""
SLOW = 2.0
"""A lane whose last message took so many seconds counts as slow."""
PATIENCE = 25.0
"""Seconds that a worker that was asked to stop waits for what is in hand."""
BATCH = 20
"""How many messages without a lane are claimed together."""


@dataclass(frozen=True)
class _InHand:
    """A message of a lane, the thread that is at it, and since when, by the monotonic clock."""

    message: Claimed
    thread: threading.Thread
    since: float

    @property
    def is_slow(self) -> bool:
        return time.monotonic() - self.since > SLOW


class Worker:
    """One worker process, with `threads` messages of lanes in hand at most. It leaves the lanes `not_here` to workers
    that have what they need."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        handlers: Mapping[str, Handler],
        jobs: Sequence[AnyJob],
        *,
        idle_seconds: float = 0.5,
        told: Told | None = None,
        threads: int = 16,
        not_here: Collection[str] = (),
    ) -> None:
        # host and process number come again when a container starts anew; a lease must be nobody else's
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{new_short_id()}"
        self._database = database
        self._clock = clock
        self._handlers = handlers
        self._schedules = Schedules(database, clock, self.name, jobs, told)
        self._idle_seconds = idle_seconds
        self._threads = threads
        self._not_here = frozenset(not_here)
        self._in_hand: dict[int, _InHand] = {}
        self._slow: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._stopping = False

    def stop(self) -> None:
        """Asks it to end; safe to call from a signal handler."""
        self._stopping = True

    def _pause(self, seconds: float) -> None:
        """Waits, until a lane is free again at the most."""
        # Slept in short pieces: a signal handler cannot wake a wait. It runs in the midst of it, so that setting an
        # Event waits for the lock that the wait holds, and SimpleQueue.get(timeout) may miss what it put.
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            if self._ended.wait(min(left, LONGEST_SLEEP)):
                return

    def run(self) -> None:
        """Works until it is asked to stop. A database that is away for a while does not end it."""
        logger.info("worker started", worker=self.name)
        last_beat = None
        while not self._stopping:
            busy = False
            try:
                now = self._clock.now()
                if last_beat is None or abs(now - last_beat) > service.ALIVE / 3:  # a clock may be set back
                    self._beat()
                    last_beat = now
                    self._schedules.start()
                busy = self.begin_once() > 0
            except Exception as error:
                logger.error("worker could not work; it tries again", exc_info=error)
                self._pause(2.0)
            if not busy:
                self._pause(self._idle_seconds)
        self._schedules.stop()
        self._end()
        logger.info("worker stopped", worker=self.name)

    def drain_once(self) -> int:
        """Claims one batch and deals with it, to its end; answers how many messages it held."""
        count = self.begin_once()
        for held in self._held():
            held.thread.join()
        return count

    def begin_once(self) -> int:
        """Begins what is due, and answers how much that was. What has a lane may still be in hand then."""
        self._ended.clear()
        now = self._clock.now()
        room = self._room()
        with self._database.transaction(write=False) as session:
            waiting = service.is_due(session, now, room)
        if not waiting:
            return 0
        batch = self._database.run(lambda session: service.claim(session, self.name, now, BATCH, room), write=True)
        for message in batch:
            # one that is in hand came again because its lease ended under it: that renewed it
            if message.lane is not None and message.id not in self._in_hand:
                thread = threading.Thread(target=self._deal_aside, args=(message,), daemon=True)
                self._in_hand[message.id] = _InHand(message, thread, time.monotonic())
                thread.start()
        for message in batch:
            if message.lane is None and not self._stopping:
                self._deal_with(message)
        return len(batch)

    def _held(self) -> list[_InHand]:
        with self._lock:
            return list(self._in_hand.values())

    def _room(self) -> Room:
        held, slow = self._held(), frozenset(self._slow)
        taken = sum(one.is_slow or one.message.lane in slow for one in held)
        return Room(self._threads - len(held), slow, max(0, self._threads // 2 - taken), self._not_here)

    def _deal_aside(self, message: Claimed) -> None:
        try:
            self._deal_with(message)
        except Exception as error:
            logger.error("message neither done nor put back; its lease will end", message=message.id, exc_info=error)
        finally:
            with self._lock:
                was_slow = self._in_hand.pop(message.id).is_slow
                (self._slow.add if was_slow else self._slow.discard)(message.lane or "")
            self._ended.set()

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

    def _beat(self) -> None:
        """Says that it is alive, and keeps what it has in hand."""
        now = self._clock.now()
        held = [one.message.id for one in self._held()]

        def tell(session: Session) -> None:
            service.beat(session, self.name, now)
            if held:
                service.renew(session, self.name, held, now)

        self._database.run(tell, write=True)

    def _end(self) -> None:
        """Lets what is in hand end, gives the rest back, and leaves."""
        patience = time.monotonic() + PATIENCE
        for held in self._held():
            held.thread.join(max(0.0, patience - time.monotonic()))
        now = self._clock.now()

        def leave(session: Session) -> None:
            service.release(session, self.name, now)
            service.leave(session, self.name)

        self._database.run(leave, write=True)
