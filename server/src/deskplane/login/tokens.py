"""Links that work once: random, known to the server by their hash only, and dead after an hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, select

from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.ids import new_id, new_secret
from deskplane.kernel.problem import Problem, invalid_field
from deskplane.kernel.work import Work
from deskplane.login.models import LoginToken

RESET, INVITATION, EMAIL, REGISTRATION, SETUP = "reset", "invitation", "email", "registration", "setup"
LASTS = timedelta(hours=1)
SETUP_LASTS = timedelta(hours=24)
_COLUMNS = (LoginToken.purpose, LoginToken.user_id, LoginToken.data)


@dataclass(frozen=True)
class Found:
    """What a token is for, whose it is, and what it is about."""

    purpose: str
    user_id: str | None
    data: Mapping[str, Any]


def issue(
    work: Work,
    purpose: str,
    user_id: str | None = None,
    data: Mapping[str, Any] | None = None,
    lasts: timedelta = LASTS,
) -> str:
    """Makes a token and answers it. Of a user the one for the same purpose before works no more."""
    if user_id is not None:
        earlier = delete(LoginToken).where(LoginToken.user_id == user_id, LoginToken.purpose == purpose)
        work.session.execute(earlier)
    token, now = new_secret(), work.clock.now()
    row = {
        "id": new_id(),
        "purpose": purpose,
        "user_id": user_id,
        "token_hash": sha256_hex(token),
        "data": dict(data or {}),
        "created_at": now,
        "expires_at": now + lasts,
    }
    work.session.execute(insert(LoginToken).values(**row))
    return token


def find(work: Work, purposes: Sequence[str], token: str) -> Found:
    """What a token is for; it goes on working. Raises 422 with one and the same text for all that do not work."""
    return _found(work.session.execute(select(*_COLUMNS).where(*_good(work, purposes, token))).first())


def use(work: Work, purposes: Sequence[str], token: str) -> Found:
    """The same, once: of two at once, one finds it gone."""
    used = delete(LoginToken).where(*_good(work, purposes, token)).returning(*_COLUMNS)
    return _found(work.session.execute(used).first())


def _good(work: Work, purposes: Sequence[str], token: str) -> tuple[Any, ...]:
    return (
        LoginToken.token_hash == sha256_hex(token),
        LoginToken.purpose.in_(purposes),
        LoginToken.expires_at > work.clock.now(),
    )


def _found(row: Any) -> Found:
    if row is None:
        raise bad_token()
    return Found(row.purpose, row.user_id, row.data)


def bad_token() -> Problem:
    """422."""
    return invalid_field("token", "bad_token", "this link was used already, is too old, or never was; ask for another")
