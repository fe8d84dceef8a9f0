"""Between the first factor and the session: somebody whose password was right, and who has another to show.

A factor is what `Factor` says; the room's `operations` are given those that there are. Where one of them is set up for
a user, logging in answers a token instead of a session. The factor's own endpoint takes that with what it asks for,
calls `require` before it looks, and `finish` once it is satisfied, and only then there is a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import ColumnElement, delete, insert, select, update

from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.http import unauthenticated
from deskplane.kernel.ids import new_id, new_secret
from deskplane.kernel.work import Work
from deskplane.login.models import PendingLogin

LASTS = timedelta(minutes=5)
MOST_TRIES = 5
"""Then the password is asked for anew, which is counted, too."""
_COLUMNS = (PendingLogin.id, PendingLogin.user_id, PendingLogin.method, PendingLogin.tries)
OVER = "this login was not finished in time, or tried too often; begin anew with the password"


class Factor(Protocol):
    """A second factor."""

    name: str
    """What a session's method says of it, and what a caller is told to show."""

    def is_asked(self, work: Work, user_id: str) -> bool:
        """Whether the user has set it up."""
        ...


@dataclass(frozen=True)
class Pending:
    """A login that is half done: its id, whose, by what it began, and how often its second factor was tried."""

    id: str
    user_id: str
    method: str
    tries: int


def asked(work: Work, factors: Sequence[Factor], user_id: str) -> list[str]:
    """The factors of which a user must show one."""
    return [factor.name for factor in factors if factor.is_asked(work, user_id)]


def begin(work: Work, user_id: str, method: str) -> str:
    """Notes that the first factor was right, and answers the token for the second. `method` is the first one's."""
    token = new_secret()
    row = {
        "id": new_id(),
        "user_id": user_id,
        "token_hash": sha256_hex(token),
        "method": method,
        "tries": 0,
        "expires_at": work.clock.now() + LASTS,
    }
    work.session.execute(insert(PendingLogin).values(**row))
    return token


def find(work: Work, token: str) -> Pending:
    """Whose login it is, at the cost of a reading. Raises 401 with one and the same text for every token that does not
    work."""
    return _found(work.session.execute(select(*_COLUMNS).where(*_good(work, token))).first())


def require(work: Work, token: str) -> Pending:
    """Counts a try and answers whose login it is; in a transaction of its own, so that the try stays counted. Raises
    401 as `find` does."""
    trying = update(PendingLogin).where(*_good(work, token)).values(tries=PendingLogin.tries + 1)
    return _found(work.session.execute(trying.returning(*_COLUMNS)).first())


def _good(work: Work, token: str) -> tuple[ColumnElement[bool], ...]:
    return (
        PendingLogin.token_hash == sha256_hex(token),
        PendingLogin.expires_at > work.clock.now(),
        PendingLogin.tries < MOST_TRIES,
    )


def _found(row: Any) -> Pending:
    if row is None:
        raise unauthenticated(OVER)
    return Pending(row.id, row.user_id, row.method, row.tries)


def finish(work: Work, pending: Pending) -> None:
    """Ends it, right before the session begins. Raises 401 where somebody else was first."""
    ended = delete(PendingLogin).where(PendingLogin.id == pending.id).returning(PendingLogin.id)
    if work.session.execute(ended).first() is None:
        raise unauthenticated(OVER)
