"""What workers do for the room: the outbox's topics, and the periodic jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from deskplane.alerts import service as alerts
from deskplane.kernel.db import Database
from deskplane.kernel.work import Work
from deskplane.mail import alerting, answers, composing, sending
from deskplane.mail.parsing import Parsed
from deskplane.outbox.schedules import LongJob
from deskplane.outbox.service import Claimed
from deskplane.outbox.worker import Finish, Handler
from deskplane.tickets.draft import Draft

WorkIn = Callable[[Session], Work]
"""Makes of a session the work of the server by itself."""


def handlers(database: Database, work_in: WorkIn) -> Mapping[str, Handler]:
    """By topic, what deals with its messages."""

    def tell(message: Claimed) -> Finish:
        return lambda session: alerting.tell(work_in(session), message)

    return {alerts.TOPIC: tell, composing.TOPIC: sending.handler(database, work_in)}


def answer(work: Work, ticket: Draft, mail: Parsed) -> None:
    """Answers a mail that opened a ticket, where that is wanted."""
    if mail.sender is not None:
        answers.auto_reply(work, ticket, mail.sender.address, answers=mail.message_id or None, thread=mail.answered)


def jobs(work_in: WorkIn) -> list[LongJob]:
    """The periodic jobs. Each step does so many, and says whether there may be more."""

    def job(name: str, every: timedelta, step: Callable[[Work], bool]) -> LongJob:
        def run(session: Session, _at: Any) -> bool | None:
            return step(work_in(session)) or None

        return LongJob(name, every, run)

    return [
        job("held mails", timedelta(minutes=5), composing.release),
        job("reminders to the silent", timedelta(hours=1), answers.remind),
        job("mails", timedelta(days=1), sending.forget_old),
    ]
