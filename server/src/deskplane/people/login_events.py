"""The login history: what happens to people's accounts, from where, and who did it in their stead.

It is written in the transaction of what it tells of, so that neither is without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import Table, delete, insert, select

from deskplane.kernel.db import execute
from deskplane.kernel.kind import Written
from deskplane.kernel.work import Work
from deskplane.people.models import LoginEvent, User

EVENTS = {
    "login": "Somebody logged in; the detail says how.",
    "login_failed": "Somebody tried to, with a wrong password, or as one who cannot; the detail names a wrong second "
    "factor, or what was wrong with what an identity provider said.",
    "logout": "He logged out.",
    "session_renewed": "A session got a new token.",
    "session_ended": "A session was ended before its time.",
    "password_changed": "A new password was set.",
    "email_changed": "The mail address was changed.",
    "totp_enabled": "Codes of an app are asked for from now on.",
    "totp_disabled": "They are not any more.",
    "recovery_codes_made": "New recovery codes were made; those of before work no more.",
    "passkey_added": "A passkey was added.",
    "passkey_removed": "A passkey was removed.",
    "mfa_reset": "The second factors were taken away, so that he can set up new ones.",
    "api_key_created": "An API key was made; the detail is its name.",
    "api_key_revoked": "An API key was taken away; the detail is its name.",
    "identity_linked": "From now on an identity provider lets him in; the detail is its name.",
    "identities_unlinked": "No identity provider lets him in any more; the detail names those that did.",
    "account_created": "The account was made.",
    "account_changed": "Fields of it were changed; the detail names them.",
    "account_deleted": "It was deleted, and can be brought back.",
    "account_restored": "It was brought back.",
    "account_purged": "It was ended for good.",
    "invited": "A link to set a password was sent to him.",
    "password_reset_requested": "A link to set a new password was asked for, and sent.",
}
"""The events that there are."""

LONGEST = 200
_EVENTS = cast(Table, LoginEvent.__table__)
E = _EVENTS.c
_INSERT = insert(_EVENTS)
_AT_ONCE = 1000
_OWN_EVENTS = {"password": "password_changed", "email": "email_changed"}
"""Fields of a user whose change is an event of its own."""


def note(work: Work, event: str, user_id: str | None, username: str | None, detail: str | None = None) -> None:
    """Writes one line. `event` is one of `EVENTS`."""
    note_all(work, [(event, user_id, username, detail)])


def note_all(work: Work, lines: Sequence[tuple[str, str | None, str | None, str | None]]) -> None:
    """Writes lines, in one statement: event, id and name of the user, and a detail."""
    now, actor = work.clock.now(), work.actor
    rows: list[dict[str, Any]] = []
    for event, user_id, username, detail in lines:
        if event not in EVENTS:
            raise KeyError(f"no event of the login history: {event}; add it to people.login_events.EVENTS")
        himself = actor.user_id == user_id or not actor.username
        rows.append(
            {
                "at": now,
                "event": event,
                "user_id": user_id,
                "username": username,
                "actor": None if himself else actor.username,
                "address": work.address,
                "client": work.client,
                "detail": detail[:LONGEST] if detail is not None else None,
            }
        )
    if rows:
        execute(work.session, _INSERT, rows if len(rows) > 1 else rows[0])


def note_users(users: Sequence[Written]) -> None:
    """What was done to accounts as objects of the configuration."""
    work = users[0].work
    made = [written.id for written in users if written.action == "create"]
    known = select(User.id).where(User.id.in_(made), User.version > 1)
    restored = set(work.session.execute(known).scalars()) if made else set()
    lines: list[tuple[str, str | None, str | None, str | None]] = []
    for written in users:
        state = written.after or written.before or {}
        lines += [(event, written.id, state["username"], detail) for event, detail in _events(written, restored)]
    note_all(work, lines)


def _events(written: Written, restored: set[str]) -> list[tuple[str, str | None]]:
    before, after = written.before, written.after
    if written.action == "delete":
        return [("account_deleted", None)]
    if before is None or after is None:
        return [("account_restored" if written.id in restored else "account_created", None)]
    changed = [
        name
        for name in written.kind.written
        if before.get(name) != after.get(name)  # what is shown only is nobody's doing
    ]
    found: list[tuple[str, str | None]] = [(_OWN_EVENTS[name], None) for name in changed if name in _OWN_EVENTS]
    others = [name for name in changed if name not in _OWN_EVENTS]
    return found + ([("account_changed", ", ".join(others))] if others else [])


def note_purged(work: Work, user_ids: Sequence[str]) -> None:
    """Told just before accounts are gone for good."""
    names = select(User.id, User.username).where(User.id.in_(user_ids))
    note_all(work, [("account_purged", row.id, row.username, None) for row in work.session.execute(names)])


def forget_old(work: Work, days: int) -> bool:
    """Removes some lines that are older than so many days, and answers whether there may be more."""
    before = work.clock.now() - timedelta(days=days)
    old = select(E.id).where(E.at < before).order_by(E.at).limit(_AT_ONCE)
    ids = work.session.execute(old).scalars().all()
    if ids:
        work.session.execute(delete(_EVENTS).where(E.id.in_(ids)))
    return len(ids) == _AT_ONCE
