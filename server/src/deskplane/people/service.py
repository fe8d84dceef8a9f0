"""Who a caller is, and the accounts that a fresh desk begins with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Table, bindparam, delete, insert, select, union, update
from sqlalchemy.orm import Session

from deskplane.audit.service import Note, append
from deskplane.kernel import limits
from deskplane.kernel.actor import Actor
from deskplane.kernel.clock import Clock
from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.db import Database, execute, prepared
from deskplane.kernel.http import unauthenticated
from deskplane.kernel.ids import new_id
from deskplane.kernel.kind import Prepared, Written
from deskplane.kernel.limits import Rate
from deskplane.kernel.permissions import ADMIN_EXEMPT, expanded
from deskplane.kernel.problem import Problem
from deskplane.kernel.revision import CONFIGURATION, Kept, Revision
from deskplane.kernel.secrets import SECRET_SHOWN, SECRET_WANTED, SECRET_WANTED_SHOWN, SecretReference
from deskplane.kernel.work import Work
from deskplane.people import keys, login_events
from deskplane.people.models import ApiKey, Role, User, group_members, group_memberships, memberships, user_roles
from deskplane.people.rules import ADMIN, SHIPPED_ROLES, held_roles

DepartmentsOf = Callable[[Session, str], frozenset[str]]
"""Ids of the departments whose member a user is; the room of departments is a higher one, and registers it."""

ClosedToMembers = Callable[[Session, frozenset[str]], frozenset[str]]
"""Which of these customers' members work on no tickets of theirs; the room of customers is a higher one, too."""

_hasher = PasswordHasher()

GUESSES = Rate(10, 900)
"""How often passwords that turn out to be others may be compared with one that is stored, in so many seconds."""
BAD_KEY = "this API key is not known, or works no more"


def hash_password(password: str) -> str:
    """Argon2id (RFC 9106) with the library's parameters. Takes about a tenth of a second: never under a lock."""
    return _hasher.hash(password)


def password_matches(password: str, stored: str | None) -> bool:
    """Whether it is the password behind the hash."""
    if stored is None:
        return False
    try:
        return _hasher.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(stored)


def parameters() -> str:
    """Those of today, in words."""
    return f"{_hasher.time_cost} {_hasher.memory_cost} {_hasher.parallelism}"


_keys = cast(Table, ApiKey.__table__).c
_revisions = cast(Table, Revision.__table__).c
_KEY = prepared(
    select(
        _keys.user_id,
        _keys.secret_hash,
        _keys.scopes,
        _keys.expires_at,
        _keys.allowed_ips,
        _keys.previous_hash,
        _keys.previous_until,
        select(_revisions.number).where(_revisions.name == CONFIGURATION).scalar_subquery().label("revision"),
    ).where(_keys.id == bindparam("of_id"))
)


class Authenticator:
    """Finds out who calls: one statement for the key and the configuration's revision; the rights are kept as long
    as that stands still, so that a change of rights acts at the next request."""

    def __init__(
        self, kept: Kept, departments: DepartmentsOf, closed: ClosedToMembers, last_use: keys.LastUse | None = None
    ) -> None:
        self._kept = kept
        self._departments = departments
        self._closed = closed
        self._last_use = last_use

    def __call__(self, session: Session, key: str, address: str | None, clock: Clock) -> tuple[Actor, int]:
        """The caller and the revision. Raises 401 with one and the same text for every sort of bad key."""
        parts = keys.split(key)
        if parts is None:
            raise unauthenticated("this is no API key; keys look like dpk_<id>_<secret>")
        key_id, secret = parts
        row = execute(session, _KEY, {"of_id": key_id}).first()
        now = clock.now()
        if row is None or not keys.opens(secret, row, now):
            raise unauthenticated(BAD_KEY)
        if row.expires_at is not None and row.expires_at <= now:
            raise unauthenticated(BAD_KEY)
        if not keys.address_allowed(row.allowed_ips, address):
            raise unauthenticated(BAD_KEY)
        scopes = tuple(row.scopes) if row.scopes is not None else None
        actor = self._kept.get(
            row.revision,
            ("actor", key_id, scopes),
            lambda: actor_of(session, row.user_id, self._departments, self._closed, key_id, scopes),
        )
        if actor is None:
            raise unauthenticated(BAD_KEY)
        if self._last_use is not None:
            self._last_use.note(key_id, now)
        return actor, row.revision


def actor_of(
    session: Session,
    user_id: str,
    departments: DepartmentsOf,
    closed: ClosedToMembers,
    key_id: str | None = None,
    scopes: tuple[str, ...] | None = None,
) -> Actor | None:
    """The user with his rights now, his groups' among them; None where he is disabled, deleted or unknown."""
    user = session.execute(
        select(User).where(User.id == user_id, User.enabled, User.deleted_at.is_(None))
    ).scalar_one_or_none()
    if user is None:
        return None
    permissions: set[str] = set()
    held = held_roles([user_id]).subquery()
    roles = session.execute(select(Role.name, Role.permissions).join(held, held.c.role_id == Role.id)).all()
    for _name, granted in roles:
        permissions.update(granted)
    if not user.features.get("helpdesk_enabled", True) and ADMIN_EXEMPT not in permissions:
        permissions = {name for name in permissions if not name.startswith("tickets:")}
    if scopes is not None:
        permissions &= expanded(scopes)
    if "tickets:access" not in permissions:
        permissions = {name for name in permissions if not name.startswith("tickets:")}
    by_group = select(group_memberships.c.customer_id, group_memberships.c.role).join(
        group_members, group_members.c.group_id == group_memberships.c.group_id
    )
    rows = session.execute(
        union(
            select(memberships.c.customer_id, memberships.c.role).where(memberships.c.user_id == user_id),
            by_group.where(group_members.c.user_id == user_id),
        )
    ).all()
    member_of = frozenset(row.customer_id for row in rows if row.role != "viewer")
    shut_out_of = frozenset() if "tickets:view_all" in permissions else closed(session, member_of)
    return Actor(
        user_id=user.id,
        username=user.username,
        permissions=frozenset(permissions),
        member_of=member_of - shut_out_of,
        shut_out_of=shut_out_of,
        owner_of=frozenset(row.customer_id for row in rows if row.role == "owner"),
        sees_customers=frozenset(row.customer_id for row in rows),
        departments=departments(session, user_id),
        default_department=user.default_department_id,
        key_id=key_id,
        administrator=any(name == ADMIN for name, _granted in roles),
    )


def prepare_passwords(work: Work, users: Sequence[Prepared]) -> list[dict[str, Any]]:
    """What becomes of the passwords that an apply of users gives: still to be worked out (`work_out_passwords`).

    The stored password stays where what is given is what is shown in its place, or a reference to it, or the same
    one, or where there is one and `update_password` does not say `always`. An account that is renamed is one that is
    there. A dry run hashes nothing: what it writes does not stay.
    """
    names = {
        name
        for given, options in users
        if "password" in given
        for name in (given.get("username"), options.get("renamed_from"))
        if name
    }
    stored: dict[str, str | None] = {}
    if names:
        statement = select(User.username, User.password).where(
            User.username.in_(sorted(names)), User.deleted_at.is_(None)
        )
        stored = dict(work.session.execute(statement).all())
    given_away = {options.get("renamed_from") for _given, options in users} - {None}
    found: list[dict[str, Any]] = []
    for given, options in users:
        if "password" not in given or given["password"] == SECRET_SHOWN:
            found.append({})
            continue
        password = NewPassword(given["password"], options.get("update_password") == "always", work.dry_run)
        name, earlier = given.get("username"), options.get("renamed_from")
        # each account that the lock may show to be meant; one of a name that goes to another is made
        for current in {stored.get(meant) for meant in (name, earlier) if meant in stored} or {None}:
            password.expect(current)
        if name in given_away:
            password.expect(None)
        found.append({"password": password})
    return found


def work_out_passwords(work: Work, database: Database, users: Sequence[Mapping[str, Any]]) -> None:
    """Compares and hashes, outside of any transaction. A password that is compared is a guess, even in a dry run: each
    is counted before, over all servers, and taken back where it was right. Raises 429 where there were too many."""
    passwords: list[NewPassword] = [each["password"] for each in users if "password" in each]
    now = work.clock.now()
    counted = sorted({_guessed(stored) for password in passwords for stored in password.compared})
    if counted:
        found = database.run(lambda session: limits.hit_all(session, counted, GUESSES, now), write=True)
        if found.left < 0:
            raise Problem(
                429,
                "too_many_tries",
                "the password of a user was compared with others too often; try again in "
                f"{found.seconds} seconds, or leave out update_password",
                headers={"Retry-After": str(found.seconds)},
            )
    for password in passwords:
        password.work_out()
    right = sorted({_guessed(stored) for password in passwords for stored in password.matched})
    if right:
        database.run(lambda session: limits.take_back(session, right, GUESSES, now), write=True)


def _guessed(stored: str) -> str:
    return f"compared password {sha256_hex(stored)[:40]}"


class NewPassword:
    """A given password, as a function from the stored hash to the one to store. What it worked out it knows again."""

    def __init__(self, password: str | SecretReference | None, always: bool, dry_run: bool) -> None:
        self._password = password
        self._always = always
        self._dry_run = dry_run
        self._matches: dict[str, bool] = {}
        self._hash: str | None = None
        self._expected: list[str | None] = []

    def expect(self, current: str | None) -> None:
        """Says which stored hash it may have to be compared with."""
        self._expected.append(current)

    @property
    def compared(self) -> list[str]:
        """The stored hashes with which it will be compared."""
        given = isinstance(self._password, str) and self._password != SECRET_WANTED_SHOWN
        return [current for current in self._expected if current and given and self._always]

    @property
    def matched(self) -> list[str]:
        """Those of which it is the password."""
        return [current for current, is_it in self._matches.items() if is_it]

    def work_out(self) -> None:
        """Finds out all that is expected, so that nothing of it is left for the time under a lock."""
        for current in self._expected:
            self(current)

    def __call__(self, current: str | None) -> str | None:
        password = self._password
        if isinstance(password, SecretReference) or password == SECRET_WANTED_SHOWN:
            return SECRET_WANTED if current is None else current
        if current and not self._always:
            return current
        if password is None:
            return None
        if current:
            if current not in self._matches:
                self._matches[current] = password_matches(password, current)
            if self._matches[current]:
                return current
        if self._hash is None:
            self._hash = "not hashed in a dry run" if self._dry_run else hash_password(password)
        return self._hash


def note_password(users: Sequence[Written]) -> None:
    """Keeps when passwords were set."""
    changed = [
        written
        for written in users
        if written.after is not None and written.after.get("password") != (written.before or {}).get("password")
    ]
    if not changed:
        return
    work = changed[0].work
    now = work.clock.now()
    work.session.execute(
        update(User).where(User.id.in_([written.id for written in changed])).values(password_changed_at=now)
    )
    for written in changed:
        assert written.after is not None
        # times are the server's to give, so that a dry run has none
        written.after["password_changed_at"] = None if work.dry_run else now


def ship_roles(work: Work) -> bool:
    """Makes the roles that come with Deskplane where they are missing; `admin` always gets every permission. Answers
    whether that changed any. What it changes of a desk that has roles is in the audit log."""
    session = work.session
    there = {row.name: row for row in session.execute(select(Role)).scalars()}
    now = work.clock.now()
    notes = []
    for name, (description, permissions) in SHIPPED_ROLES.items():
        if name not in there:
            role = Role(
                id=new_id(),
                version=1,
                name=name,
                description=description,
                permissions=sorted(permissions),
                shipped=True,
                created_at=now,
                updated_at=now,
            )
            session.add(role)
            notes.append(_shipped(role, "create", None))
        elif name == ADMIN and there[name].permissions != sorted(permissions):
            before, there[name].permissions = there[name].permissions, sorted(permissions)
            notes.append(_shipped(there[name], "update", before))
    session.flush()
    if there:
        append(work, notes)
    return bool(notes)


def _shipped(role: Role, action: str, before: list[str] | None) -> Note:
    changes = [{"field": "permissions", "before": before, "after": role.permissions}]
    return Note("role", role.id, [role.name], action, changes)


def new_user_values(username: str, clock: Clock) -> dict[str, Any]:
    """The row of an account with nothing but a name."""
    now = clock.now()
    return {
        "id": new_id(),
        "version": 1,
        "username": username,
        "first_name": "",
        "last_name": "",
        "enabled": True,
        "features": {"helpdesk_enabled": True, "time_tracking_enabled": False},
        "start_page": "overview",
        "created_at": now,
        "updated_at": now,
    }


def find_user(session: Session, username: str) -> User:
    """The account of that name. Raises 404."""
    user = session.execute(
        select(User).where(User.username == username, User.deleted_at.is_(None))
    ).scalar_one_or_none()
    if user is None:
        raise Problem(404, "not_found", f"there is no user named {username}")
    return user


def create_admin(work: Work, username: str, password_hash: str | None) -> bool:
    """Makes an administrator, for the command line. Answers whether there was anything to do. Raises 409 where the
    name is taken by someone who is none."""
    session = work.session
    user = session.execute(select(User).where(User.username == username)).scalar_one_or_none()
    role = session.execute(select(Role.id).where(Role.name == ADMIN)).scalar_one()
    if user is not None:
        has = session.execute(
            select(user_roles.c.role_id).where(user_roles.c.user_id == user.id, user_roles.c.role_id == role)
        ).first()
        if has is None or user.deleted_at is not None:
            raise Problem(
                409, "name_taken", f"{username} exists and is no administrator; use: deskplane user promote {username}"
            )
        return False
    values = new_user_values(username, work.clock)
    if password_hash is not None:
        values |= {"password": password_hash, "password_changed_at": work.clock.now()}
    session.execute(insert(User).values(**values))
    session.execute(insert(user_roles).values(user_id=values["id"], role_id=role))
    changes = [{"field": "roles", "before": None, "after": [ADMIN]}]
    if password_hash is not None:
        changes.append({"field": "password", "before": None, "after": SECRET_SHOWN})
    append(work, [Note("user", values["id"], [username], "create", changes)])
    login_events.note(work, "account_created", values["id"], username)
    return True


def promote(work: Work, username: str) -> None:
    """Gives the role `admin` to an account, enables it and brings it back where it was deleted: the recovery on the
    server's own machine."""
    session = work.session
    user = session.execute(select(User).where(User.username == username)).scalar_one_or_none()
    if user is None:
        raise Problem(404, "not_found", f"there is no user named {username}")
    role = session.execute(select(Role.id).where(Role.name == ADMIN)).scalar_one()
    held = user_roles.c.role_id == Role.id
    roles = session.execute(select(Role.name).join(user_roles, held).where(user_roles.c.user_id == user.id)).scalars()
    held_before = sorted(roles)
    before: dict[str, Any] = {"roles": held_before, "enabled": user.enabled, "deleted": user.deleted_at is not None}
    after: dict[str, Any] = {"roles": sorted({*held_before, ADMIN}), "enabled": True, "deleted": False}
    session.execute(delete(user_roles).where(user_roles.c.user_id == user.id, user_roles.c.role_id == role))
    session.execute(insert(user_roles).values(user_id=user.id, role_id=role))
    session.execute(
        update(User)
        .where(User.id == user.id)
        .values(enabled=True, deleted_at=None, version=User.version + 1, updated_at=work.clock.now())
    )
    changes = [
        {"field": name, "before": value, "after": after[name]} for name, value in before.items() if value != after[name]
    ]
    append(work, [Note("user", user.id, [username], "update", changes)])
    login_events.note(work, "account_changed", user.id, username, "promoted")
