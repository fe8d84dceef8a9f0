"""What workers do for the room from time to time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.orm import Session

from deskplane.factors import ceremonies, totp
from deskplane.kernel.work import Work
from deskplane.outbox.schedules import Job


def jobs(work_in: Callable[[Session], Work]) -> list[Job]:
    """The periodic jobs."""

    def over(session: Session) -> None:
        work = work_in(session)
        totp.forget_old(work)
        ceremonies.forget_old(work)

    return [Job("second factors", timedelta(hours=1), over)]
