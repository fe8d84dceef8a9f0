"""What workers do for the room from time to time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from deskplane.desks.settings import setting
from deskplane.kernel.work import Work
from deskplane.login import devices, sessions
from deskplane.outbox.schedules import Job, LongJob
from deskplane.people import login_events


def jobs(work_in: Callable[[Session], Work]) -> list[Job | LongJob]:
    """The periodic jobs."""

    def over(session: Session) -> None:
        work = work_in(session)
        sessions.forget_old(work)
        devices.forget_old(work)

    def old_events(session: Session, _at: Any) -> bool | None:
        work = work_in(session)
        return login_events.forget_old(work, setting(work, "retention.login_history_days")) or None

    return [
        Job("sessions", timedelta(hours=1), over),
        LongJob("login history", timedelta(hours=6), old_events),
    ]
