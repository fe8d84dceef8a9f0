"""Periodic jobs: each runs once a period, however many workers there are.

A row says when a job is due and who is at it. What is short runs in the very transaction that notes its run. What is
long goes step by step, each in a transaction of its own that holds no lock for long; between them a lease keeps the
others away, and every step looks first whether the lease is still its own. Killed anywhere, a job is begun anew by the
next worker, so that a step looks for what is left to do and does it once.

What was missed while no worker ran is done once, not once for each period. A clock that was set back keeps a job
waiting for one period at the most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.orm import Session

from deskplane.kernel.clock import Clock
from deskplane.kernel.db import Database, execute
from deskplane.kernel.logging import logger
from deskplane.outbox.models import Schedule

LEASE = timedelta(seconds=60)
"""How long a job that is between two steps stays with a worker that is not heard of."""
RETRY = timedelta(minutes=1)
"""After how long a job that failed is tried again, unless its period is shorter."""
BREATH = 0.005
"""Seconds between two steps of a job. Other processes look every half of a millisecond whether SQLite's lock is free;
who takes it again at once keeps it from them for as long as the job lasts."""
FORGOTTEN = timedelta(days=7)
"""A job that this version does not know and that nobody ran for so long is gone."""


@dataclass(frozen=True)
class Job:
    """A periodic job that is short; it runs in the transaction that notes its run."""

    name: str
    every: timedelta
    run: Callable[[Session], object]


@dataclass(frozen=True)
class LongJob:
    """A periodic job in steps. A step is given what the one before answered, null at first, and answers null at the
    end."""

    name: str
    every: timedelta
    step: Callable[[Session, Any], Any]


@dataclass(frozen=True)
class ReadingJob:
    """A periodic job that looks at much and writes little. It reads in a transaction of its own, which keeps nobody
    waiting, and is given what it found in the one that notes its run."""

    name: str
    every: timedelta
    read: Callable[[Session], Any]
    write: Callable[[Session, Any], object]


AnyJob = Job | LongJob | ReadingJob

Told = Callable[[Session, str, str | None], object]
"""Is told the name of a job and the error with which it failed, or null once it works again."""


class Schedules:
    """The jobs as one worker sees to them."""

    def __init__(
        self, database: Database, clock: Clock, owner: str, jobs: Sequence[AnyJob], told: Told | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner
        self._jobs = jobs
        self._told = told
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        """Runs what is due in a thread aside, so that a long job keeps no message waiting; nothing where one runs."""
        if self._jobs and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run_aside, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Asks it to end behind the step in hand, and waits for that. What is not finished is due at once."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join()

    def _run_aside(self) -> None:
        try:
            self.run_due()
        except Exception as error:  # the database is away; the next beat tries again
            logger.error("periodic jobs could not be looked at", exc_info=error)

    def run_due(self) -> list[str]:
        """Runs the jobs that are due, one after the other, and answers which of them came to their end. One that fails
        stops no other, and is tried again."""
        now = self._clock.now()
        with self._database.transaction(write=False) as session:
            rows = {row.name: row for row in session.execute(select(Schedule)).scalars()}
        if {job.name for job in self._jobs} - set(rows):
            self._database.run(self._enter, write=True)
        ended = []
        for job in self._jobs:
            row = rows.get(job.name)
            if self._stopping or row is None or (row.next_run_at > now and not _set_back(row, job, now)):
                continue
            try:
                if self._run(job):
                    ended.append(job.name)
            except Exception as error:
                self._fail(job, error)
        return ended

    def _enter(self, session: Session) -> None:
        """Notes the jobs that are new; forgets those of other versions."""
        now, names = self._clock.now(), [job.name for job in self._jobs]
        known = set(session.execute(select(Schedule.name)).scalars())
        for job in self._jobs:
            if job.name not in known:
                session.execute(insert(Schedule).values(name=job.name, next_run_at=now + job.every))
        session.execute(delete(Schedule).where(Schedule.name.not_in(names), Schedule.next_run_at < now - FORGOTTEN))

    def _run(self, job: AnyJob) -> bool:
        """Runs a job, step by step; answers whether it came to its end."""
        taken, at = False, None
        if isinstance(job, ReadingJob):
            at = self._database.run(job.read, write=False)
        while not self._stopping:
            is_mine, at = self._database.run(partial(self._step, job=job, taken=taken, at=at), write=True)
            if at is None:
                return is_mine
            taken = True
            time.sleep(BREATH)
        self._database.run(self._release, write=True)
        return False

    def _step(self, session: Session, job: AnyJob, taken: bool, at: Any) -> tuple[bool, Any]:
        """Takes one step, if the job is ours to run; answers whether it is, and where to go on."""
        now = self._clock.now()
        # one that is begun is waited for; one that another is just taking is not ours
        statement = select(Schedule).where(Schedule.name == job.name).with_for_update(skip_locked=not taken)
        row = session.execute(statement).scalar_one_or_none()
        if row is None or not (row.lease_owner == self._owner if taken else self._take(session, row, job, now)):
            return False, None
        following = None
        if isinstance(job, Job):
            job.run(session)
        elif isinstance(job, ReadingJob):
            job.write(session, at)
        else:
            following = job.step(session, at)
        now = self._clock.now()
        values: dict[str, Any] = {"lease_owner": self._owner, "leased_until": now + LEASE}
        if following is None:
            if row.last_error is not None and self._told is not None:
                self._told(session, job.name, None)
            values = {"lease_owner": None, "leased_until": None, "last_error": None}
            values |= {"next_run_at": now + job.every, "last_run_at": now}
        session.execute(update(Schedule).where(Schedule.name == job.name).values(**values))
        return True, following

    def _take(self, session: Session, row: Schedule, job: AnyJob, now: datetime) -> bool:
        """Whether a job is due and nobody is at it."""
        if _set_back(row, job, now):
            session.execute(update(Schedule).where(Schedule.name == job.name).values(next_run_at=now + job.every))
            return False
        if row.next_run_at > now:
            return False
        # a lease that lasts for longer than leases do was given before the clock was set back
        return row.leased_until is None or not now < row.leased_until < now + 2 * LEASE

    def _release(self, session: Session) -> None:
        session.execute(
            update(Schedule).where(Schedule.lease_owner == self._owner).values(lease_owner=None, leased_until=None)
        )

    def _fail(self, job: AnyJob, error: Exception) -> None:
        logger.error("a periodic job failed; it is tried again", job=job.name, exc_info=error)
        text = repr(error)[:2000]

        def note(session: Session) -> None:
            now = self._clock.now()
            values = {"last_error": text, "next_run_at": now + min(job.every, RETRY)}
            mine = or_(
                Schedule.leased_until.is_(None), Schedule.leased_until <= now, Schedule.lease_owner == self._owner
            )
            statement = update(Schedule).where(Schedule.name == job.name, mine)
            statement = statement.values(lease_owner=None, leased_until=None, **values)
            if execute(session, statement, {}).rowcount and self._told is not None:
                self._told(session, job.name, text)

        self._database.run(note, write=True)


def _set_back(row: Schedule, job: AnyJob, now: datetime) -> bool:
    """Whether a job would wait for longer than its period: the clock was set back, or the period is another."""
    return row.next_run_at > now + job.every


@dataclass(frozen=True)
class JobReading:
    """How a job stands: for how long it has been due, in seconds (0: it is not), and whether its last run failed."""

    name: str
    late_seconds: float
    is_failing: bool


def readings(session: Session, now: datetime) -> list[JobReading]:
    """How all jobs stand, by name."""
    rows = session.execute(select(Schedule.name, Schedule.next_run_at, Schedule.last_error).order_by(Schedule.name))
    return [
        JobReading(row.name, max(0.0, (now - row.next_run_at).total_seconds()), row.last_error is not None)
        for row in rows
    ]
