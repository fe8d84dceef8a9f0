"""API keys: `dpk_<id>_<secret>`, made once, shown once, stored hashed."""

from __future__ import annotations

import hmac
import ipaddress
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, Session

from deskplane.audit.service import Change, Note, append
from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.db import Database
from deskplane.kernel.ids import new_secret, new_short_id
from deskplane.kernel.kind import Beside
from deskplane.kernel.logging import logger
from deskplane.kernel.permissions import expanded
from deskplane.kernel.problem import FieldError, Problem, invalid, pointer
from deskplane.kernel.secrets import SECRET_SHOWN
from deskplane.kernel.work import Work
from deskplane.people import login_events
from deskplane.people.models import ApiKey, User

PREFIX = "dpk"
_GIVEN = ("scopes", "expires_at", "allowed_ips")


def split(key: str) -> tuple[str, str] | None:
    """Id and secret of a key; None for what is none."""
    parts = key.split("_", 2)
    if len(parts) != 3 or parts[0] != PREFIX or len(parts[1]) != 12 or len(key) > 300:
        return None
    return parts[1], parts[2]


def matches(secret: str, stored_hash: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(sha256_hex(secret), stored_hash)


def opens(secret: str, row: Any, now: datetime) -> bool:
    """Whether it is a key's secret, or the one before while that works along. The row has `secret_hash`,
    `previous_hash` and `previous_until`."""
    if matches(secret, row.secret_hash):
        return True
    return row.previous_until is not None and row.previous_until > now and matches(secret, row.previous_hash)


def address_allowed(allowed: Sequence[str], address: str | None) -> bool:
    """Whether a caller's address is in one of the networks; an empty list allows all."""
    if not allowed:
        return True
    try:
        caller = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped is not None:
        caller = caller.ipv4_mapped
    return any(caller in ipaddress.ip_network(network, strict=False) for network in allowed)


@dataclass(frozen=True)
class KeyChange:
    """What applying one key's declaration changed. `key` is the whole new key, to be shown once."""

    name: str
    field: str
    before: Any = None
    after: Any = None
    key: str | None = None


def make(work: Work, user_id: str, wanted: Mapping[str, Any]) -> str:
    """Makes a key, notes it in the audit log, and returns it whole. `wanted`: name, and optionally scopes, expires_at,
    allowed_ips, secret."""
    key_id = new_short_id()
    secret = wanted.get("secret") or new_secret()
    work.session.execute(
        insert(ApiKey).values(
            id=key_id,
            user_id=user_id,
            name=wanted["name"],
            secret_hash=sha256_hex(secret),
            scopes=wanted.get("scopes"),
            expires_at=wanted.get("expires_at"),
            allowed_ips=wanted.get("allowed_ips") or [],
            created_at=work.clock.now(),
        )
    )
    given = [_change(field, None, wanted[field]) for field in _GIVEN if wanted.get(field)]
    _tell(work, user_id, key_id, wanted["name"], "create", given)
    return f"{PREFIX}_{key_id}_{secret}"


def _change(field: str, before: Any, after: Any) -> Change:
    return {"field": field, "before": before, "after": after}


def _tell(work: Work, user_id: str, key_id: str, name: str, action: str, changes: Sequence[Change] = ()) -> None:
    """Writes down what became of a key: whole in the audit log, and for its owner in the login history."""
    username = work.session.execute(select(User.username).where(User.id == user_id)).scalar_one()
    append(work, [Note("api_key", key_id, (username, name), action, changes)])
    if action == "delete":
        login_events.note(work, "api_key_revoked", user_id, username, name)
    elif action == "create" or any(change["field"] == "secret" for change in changes):
        login_events.note(work, "api_key_created", user_id, username, name)


def apply(work: Work, user_id: str | None, declared: Sequence[Mapping[str, Any]]) -> list[KeyChange]:
    """Brings a user's keys to what is declared; keys that are not named stay. A null user has none yet.

    A key that is there is never made again, but its scopes, expiry and addresses follow the declaration. A secret
    that the caller supplies replaces the stored one where it differs; `regenerate`, and a secret older than
    `rotate_after_days`, makes a new one. The one before works along for `overlap_minutes`, and no other does.
    """
    rows = work.session.execute(select(ApiKey).where(ApiKey.user_id == (user_id or ""))).scalars()
    there = {row.name: row for row in rows}
    changes: list[KeyChange] = []
    for wanted in declared:
        name, row = wanted["name"], there.get(wanted["name"])
        if wanted.get("state") == "absent":
            if row is not None:
                work.session.execute(delete(ApiKey).where(ApiKey.id == row.id))
                _tell(work, row.user_id, row.id, name, "delete", _was(row))
                changes.append(KeyChange(name, f"api_keys.{name}", "present", None))
            continue
        if row is None:
            key = make(work, user_id, wanted) if user_id and not work.dry_run else None
            changes.append(KeyChange(name, f"api_keys.{name}", None, "present", key))
            continue
        values, key = _differences(work, row, wanted)
        if not values:
            continue
        # before the update, which brings the row up to date, too
        told = [
            _change("secret", SECRET_SHOWN, SECRET_SHOWN)
            if field == "secret_hash"
            else _change(field, getattr(row, field), value)
            for field, value in values.items()
            if field in (*_GIVEN, "secret_hash") or (field == "previous_until" and value is not None)
        ]
        work.session.execute(update(ApiKey).where(ApiKey.id == row.id).values(**values))
        _tell(work, row.user_id, row.id, name, "update", told)
        for change in told:
            if change["field"] == "secret":
                shown = None if work.dry_run else key
                changes.append(KeyChange(name, f"api_keys.{name}", SECRET_SHOWN, SECRET_SHOWN, shown))
            else:
                changes.append(KeyChange(name, f"api_keys.{name}.{change['field']}", change["before"], change["after"]))
    return changes


def _was(row: ApiKey) -> list[Change]:
    return [_change(field, getattr(row, field), None) for field in _GIVEN if getattr(row, field)]


def _differences(work: Work, row: ApiKey, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    now = work.clock.now()
    values: dict[str, Any] = {}
    key = None
    for field in _GIVEN:
        if field in wanted:
            value = wanted[field] if wanted[field] is not None or field != "allowed_ips" else []
            if value != getattr(row, field):
                values[field] = value
    secret = wanted.get("secret")
    days = wanted.get("rotate_after_days")
    too_old = days is not None and (row.secret_set_at or row.created_at) + timedelta(days=days) <= now
    if (wanted.get("regenerate") or too_old) and not secret:
        secret = new_secret()
    if secret and not matches(secret, row.secret_hash):
        overlap = timedelta(minutes=wanted.get("overlap_minutes") or 0)
        values |= {
            "secret_hash": sha256_hex(secret),
            "secret_set_at": now,
            "previous_hash": row.secret_hash if overlap else None,
            "previous_until": now + overlap if overlap else None,
        }
        key = f"{PREFIX}_{row.id}_{secret}"
    return values, key


def beside(work: Work, user_id: str, options: Mapping[str, Any]) -> Beside:
    """The keys that are declared beside a user's fields. No one gives a key what he may not do himself."""
    declared = options.get("api_keys") or []
    for index, wanted in enumerate(declared):
        beyond = expanded(wanted.get("scopes") or ()) - work.actor.permissions
        if beyond:
            detail = f"you cannot give what you do not have: {', '.join(sorted(beyond))}"
            raise invalid([FieldError(pointer("api_keys", index, "scopes"), "beyond_yours", detail)])
    found = apply(work, user_id, declared)
    if not declared:
        return Beside([], {})
    # who supplied a secret and lost the answer puts his key together from the id, which is no secret
    names = [wanted["name"] for wanted in declared]
    of_names = select(ApiKey.name, ApiKey.id).where(ApiKey.user_id == user_id, ApiKey.name.in_(names))
    return Beside(
        changes=[{"field": change.field, "before": change.before, "after": change.after} for change in found],
        answer={
            "api_keys": [{"name": change.name, "key": change.key} for change in found if change.key],
            "api_key_ids": dict(work.session.execute(of_names).all()),
        },
    )


class LastUse:
    """When keys, or what else has such a column, were last used: collected in memory and written once a minute at most,
    outside any request."""

    def __init__(
        self, database: Database, seconds: float = 60.0, column: InstrumentedAttribute[Any] = ApiKey.last_used_at
    ) -> None:
        self._database = database
        self._column = column
        self._seconds = seconds
        self._seen: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def note(self, used_id: str, now: datetime) -> None:
        """Remembers a use. The first one after a writing starts the clock for the next."""
        with self._lock:
            if not self._seen:
                thread = threading.Thread(
                    target=_write_later, args=(weakref.ref(self), self._seconds), name="last use", daemon=True
                )
                thread.start()
            self._seen[used_id] = now

    def flush(self) -> None:
        """Writes what was noted. What a crash loses here is a minute of a date that nobody relies on."""
        with self._lock:
            seen, self._seen = self._seen, {}
        if not seen:
            return

        def write(session: Session) -> None:
            model = self._column.class_
            for used_id, moment in seen.items():
                session.execute(update(model).where(model.id == used_id).values({self._column.key: moment}))

        self._database.run(write, write=True)


def _write_later(noted: weakref.ref[LastUse], seconds: float) -> None:
    """Waits, and writes what was noted meanwhile; nothing, where the server that noted it is gone."""
    time.sleep(seconds)
    last_use = noted()
    if last_use is None:
        return
    try:
        last_use.flush()
    except (Problem, SQLAlchemyError) as error:
        logger.warning("last use not written", error=str(error).splitlines()[0])


def end_all(work: Work, user_ids: Sequence[str]) -> None:
    """Ends every key of users who are deleted: who is brought back gets new ones, and nobody's old one works again."""
    of_them = select(ApiKey, User.username).join(User, User.id == ApiKey.user_id).where(ApiKey.user_id.in_(user_ids))
    ended = [
        Note("api_key", row.id, (username, row.name), "delete", _was(row))
        for row, username in work.session.execute(of_them.order_by(User.username, ApiKey.name))
    ]
    append(work, ended)
    work.session.execute(delete(ApiKey).where(ApiKey.user_id.in_(user_ids)))


def exists(session: Session, user_id: str, name: str) -> bool:
    """Whether the user has a key of that name."""
    statement = select(ApiKey.id).where(ApiKey.user_id == user_id, ApiKey.name == name)
    return session.execute(statement).first() is not None
