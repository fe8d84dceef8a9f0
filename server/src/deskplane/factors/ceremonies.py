"""Challenges that passkeys sign: random, kept on the server, good for one answer, whatever that is, in five minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, insert, select

from deskplane.factors.models import PasskeyCeremony
from deskplane.kernel.ids import new_id, new_secret
from deskplane.kernel.work import Work

LASTS = timedelta(minutes=5)


@dataclass(frozen=True)
class Ceremony:
    """A challenge, in base64url: whose answer is asked for, null for anybody's, and in which session, null for none."""

    id: str
    challenge: str
    user_id: str | None
    session_id: str | None


def begin(work: Work, user_id: str | None, session_id: str | None = None) -> Ceremony:
    """Makes a challenge."""
    made = Ceremony(new_id(), new_secret(), user_id, session_id)
    row = {**vars(made), "expires_at": work.clock.now() + LASTS}
    work.session.execute(insert(PasskeyCeremony).values(**row))
    return made


def is_open(work: Work, ceremony_id: str) -> bool:
    """Whether there is such a challenge, at the cost of a reading."""
    return work.session.execute(select(PasskeyCeremony.id).where(*_good(work, ceremony_id))).first() is not None


def _good(work: Work, ceremony_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return PasskeyCeremony.id == ceremony_id, PasskeyCeremony.expires_at > work.clock.now()


def take(work: Work, ceremony_id: str) -> Ceremony | None:
    """The challenge, once; null where it is gone or too old. In a transaction of its own, so that it stays gone."""
    columns = (PasskeyCeremony.id, PasskeyCeremony.challenge, PasskeyCeremony.user_id, PasskeyCeremony.session_id)
    row = work.session.execute(delete(PasskeyCeremony).where(*_good(work, ceremony_id)).returning(*columns)).first()
    return Ceremony(*row) if row is not None else None


def forget_old(work: Work) -> None:
    """Removes what nobody answered in time."""
    work.session.execute(delete(PasskeyCeremony).where(PasskeyCeremony.expires_at <= work.clock.now()))
