"""Sessions: who is logged in. The browser holds a random token, the server its hash and all else.

A session ends when it is not used for so long as the setting `session.idle_minutes` says, after `LONGEST` in any case,
and when the user logs out, gets a new password, or is disabled or deleted. When it was last used is written once a
minute at most, outside of any request; so the idle time is exact to a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from deskplane.desks.settings import setting, settings_at
from deskplane.kernel.actor import Actor
from deskplane.kernel.clock import Clock
from deskplane.kernel.cookies import csrf_token
from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.db import execute, prepared
from deskplane.kernel.http import unauthenticated
from deskplane.kernel.ids import new_id, new_secret
from deskplane.kernel.revision import CONFIGURATION, Kept, Revision
from deskplane.kernel.work import Work
from deskplane.login.models import KnownDevice, LoginSession, LoginToken, PendingLogin
from deskplane.people.keys import LastUse
from deskplane.people.models import User
from deskplane.people.service import ClosedToMembers, DepartmentsOf, actor_of

LONGEST = timedelta(days=7)
"""How long a session lasts at most."""
PRECISION = timedelta(minutes=1)
"""How late its last use may be known (`LastUse`)."""
PASSWORD = "password"  # noqa: S105 - the way of logging in
"""The methods of a session begin with this where a password was shown."""
PASSKEY = "passkey"
"""The method of a session that a passkey began, which shows two things at once."""
BAD_SESSION = "this session is over; log in again"
CAUSE = "session"
"""What a ticket's history says of where a change came from."""

SESSIONS = cast(Table, LoginSession.__table__)
S = SESSIONS.c
_USERS = cast(Table, User.__table__).c
_REVISIONS = cast(Table, Revision.__table__).c
_FIND = prepared(
    select(
        S.id,
        S.user_id,
        S.method,
        S.last_seen_at,
        S.expires_at,
        _USERS.password_changed_at,
        select(_REVISIONS.number).where(_REVISIONS.name == CONFIGURATION).scalar_subquery().label("revision"),
    )
    .join(_USERS.id.table, _USERS.id == S.user_id)
    .where(S.token_hash == bindparam("of_hash"))
)


@dataclass(frozen=True)
class Started:
    """A new session: its id, and the token that is shown to nobody but the browser."""

    id: str
    token: str
    expires_at: datetime

    def csrf(self, work: Work) -> str:
        """What its pages send along with changes."""
        return csrf_token(work.vault, self.token)


class Sessions:
    """Finds out who is logged in: one statement, as for a key; his rights are kept as long as the configuration stands
    still."""

    def __init__(
        self, kept: Kept, departments: DepartmentsOf, closed: ClosedToMembers, last_use: LastUse | None = None
    ) -> None:
        self._kept = kept
        self._departments = departments
        self._closed = closed
        self._last_use = last_use

    def __call__(self, session: Session, token: str, clock: Clock) -> tuple[Actor, int]:
        """The caller and the revision. Raises 401 with one and the same text for every sort of bad session."""
        row = execute(session, _FIND, {"of_hash": sha256_hex(token)}).first()
        now = clock.now()
        if row is None or row.expires_at <= now:
            raise unauthenticated(BAD_SESSION)
        settings = settings_at(session, self._kept, row.revision)
        if is_idle(row.last_seen_at, settings["session.idle_minutes"], now):
            raise unauthenticated(BAD_SESSION)
        actor = self._kept.get(
            row.revision,
            ("rights", row.user_id),
            lambda: actor_of(session, row.user_id, self._departments, self._closed),
        )
        if actor is None:
            raise unauthenticated(BAD_SESSION)
        if self._last_use is not None:
            self._last_use.note(row.id, now)
        expired = _has_expired(row.password_changed_at, row.method, settings["password.max_age_days"], now)
        missing = _lacks_factor(actor, row.method, settings.get)
        found = replace(actor, session_id=row.id, cause=CAUSE, password_expired=expired, factor_missing=missing)
        return found, row.revision


def is_idle(last_seen_at: datetime, idle_minutes: int, now: datetime) -> bool:
    """Whether a session was left alone for too long."""
    return idle_minutes > 0 and now - last_seen_at > timedelta(minutes=idle_minutes) + PRECISION


def has_expired(work: Work, changed_at: datetime | None, method: str) -> bool:
    """Whether who logged in so must choose a new password first. One of which nobody knows when it was set is as old
    as can be; who logged in without one may have none."""
    return _has_expired(changed_at, method, setting(work, "password.max_age_days"), work.clock.now())


def _has_expired(changed_at: datetime | None, method: str, max_age_days: int, now: datetime) -> bool:
    if not method.startswith(PASSWORD) or max_age_days == 0:
        return False
    return changed_at is None or now - changed_at >= timedelta(days=max_age_days)


def shows_two(method: str) -> bool:
    """Whether who logged in so has shown a second factor."""
    return "+" in method or method == PASSKEY


def with_factor(method: str, name: str) -> str:
    """The method of who shows a second factor within his session."""
    return method if shows_two(method) else f"{method}+{name}"


def without_factor(method: str) -> str:
    """The method of who has none any more, and has just shown his password."""
    return PASSWORD if method == PASSKEY else method.partition("+")[0]


def lacks_factor(work: Work, actor: Actor, method: str) -> bool:
    """Whether who logged in so must set up a second factor before anything else."""
    return _lacks_factor(actor, method, lambda key: setting(work, key))


def _lacks_factor(actor: Actor, method: str, settings: Callable[[str], Any]) -> bool:
    if method != PASSWORD:  # who comes from another site's login has shown there what that site asks for
        return False
    return bool(settings("mfa.required_for_everyone") or (actor.administrator and settings("mfa.required_for_admins")))


def start(work: Work, user_id: str, method: str) -> Started:
    """Makes a session. `method` says how he logged in: `password`, or `password+totp`."""
    token, now = new_secret(), work.clock.now()
    started = Started(new_id(), token, now + LONGEST)
    row = {
        "id": started.id,
        "user_id": user_id,
        "token_hash": sha256_hex(token),
        "method": method,
        "created_at": now,
        "last_seen_at": now,
        "expires_at": started.expires_at,
        "address": work.address,
        "client": work.client,
    }
    execute(work.session, insert(SESSIONS), row)
    return started


def renew(work: Work, session_id: str) -> Started:
    """Gives a session another token; the one that it had works no more. It lasts no longer by that."""
    token = new_secret()
    values = {"token_hash": sha256_hex(token), "last_seen_at": work.clock.now()}
    statement = update(SESSIONS).where(S.id == session_id).values(**values).returning(S.expires_at)
    expires_at = work.session.execute(statement).scalar_one_or_none()
    if expires_at is None:
        raise unauthenticated(BAD_SESSION)
    return Started(session_id, token, expires_at)


def end(work: Work, user_id: str, session_id: str) -> bool:
    """Ends one session of a user; answers whether there was one."""
    return execute(work.session, delete(SESSIONS).where(S.id == session_id, S.user_id == user_id), {}).rowcount > 0


def end_by_token(work: Work, token: str) -> None:
    """Ends the session that a browser held before it got another."""
    work.session.execute(delete(SESSIONS).where(S.token_hash == sha256_hex(token)))


def end_all(work: Work, user_ids: Sequence[str]) -> int:
    """Ends all that users have to log in by, but their passwords: sessions, half-done logins, links that were sent.
    Answers how many sessions."""
    for model in (PendingLogin, LoginToken):
        work.session.execute(delete(model).where(model.user_id.in_(user_ids)))
    return execute(work.session, delete(SESSIONS).where(S.user_id.in_(user_ids)), {}).rowcount


def forget_devices(work: Work, user_ids: Sequence[str]) -> None:
    """Of who is deleted no browser is known any more."""
    work.session.execute(delete(KnownDevice).where(KnownDevice.user_id.in_(user_ids)))


def of_user(work: Work, user_id: str) -> list[dict[str, Any]]:
    """The sessions of a user that are not over, the newest first."""
    now, idle = work.clock.now(), setting(work, "session.idle_minutes")
    columns = (S.id, S.method, S.created_at, S.last_seen_at, S.expires_at, S.address, S.client)
    statement = select(*columns).where(S.user_id == user_id, S.expires_at > now)
    rows = work.session.execute(statement.order_by(S.created_at.desc(), S.id.desc())).mappings()
    return [
        {**row, "current": row["id"] == work.actor.session_id}
        for row in rows
        if not is_idle(row["last_seen_at"], idle, now)
    ]


def forget_old(work: Work) -> None:
    """Removes what is over."""
    now, idle = work.clock.now(), setting(work, "session.idle_minutes")
    for model in (LoginSession, PendingLogin, LoginToken):
        work.session.execute(delete(model).where(model.expires_at <= now))
    if idle:
        alone = now - timedelta(minutes=idle) - PRECISION
        work.session.execute(delete(SESSIONS).where(S.last_seen_at < alone))
