"""What the room does to accounts. They are configuration: every change goes through the reconciler, with its history,
and shows as drift where a manager declared it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import func, select, update

from deskplane.desks.rules import password_troubles
from deskplane.kernel.actor import Actor
from deskplane.kernel.kind import Registry, Written
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.problem import FieldError, invalid, not_found, pointer
from deskplane.kernel.work import Work
from deskplane.login import sessions
from deskplane.mail.composing import M
from deskplane.people import login_events
from deskplane.people.models import User

ALIVE = (User.enabled, User.deleted_at.is_(None))
"""The conditions on users who may log in."""


class Accounts(Protocol):
    """The reconciler, as it is handed down to this room."""

    def lock(self, work: Work) -> None:
        """Lets one change of the configuration go after the other, from here on."""
        ...

    def change(self, work: Work, user_id: str, fields: Mapping[str, Any], prepared: Mapping[str, Any]) -> None:
        """Changes fields of a user."""
        ...

    def create(self, work: Work, fields: Mapping[str, Any], prepared: Mapping[str, Any]) -> str:
        """Makes a user, and answers his id. Raises 422 where the name is taken."""
        ...


@dataclass(frozen=True)
class Hashed:
    """A new password, with its hash."""

    password: str
    hash: str

    @property
    def fields(self) -> dict[str, Any]:
        """As a field that is given."""
        return {"password": self.password}

    @property
    def prepared(self) -> dict[str, Any]:
        """What becomes of it."""
        return {"password": lambda _current: self.hash}


def as_himself(work: Work, user: User) -> Work:
    """Work that a user does on his own account, who needs no permission for it."""
    actor = Actor(user.id, user.username, frozenset(PERMISSIONS), session_id=work.actor.session_id)
    return replace(work, actor=actor)


def require_good(work: Work, password: str) -> None:
    """Raises 422 where a password is not what the desk asks for."""
    troubles = [FieldError(pointer("password"), *trouble) for trouble in password_troubles(work, password)]
    if troubles:
        raise invalid(troubles)


def by_id(work: Work, user_id: str | None) -> User | None:
    """A user who may log in."""
    return work.session.execute(select(User).where(User.id == user_id, *ALIVE)).scalar_one_or_none()


def by_address(work: Work, address: str) -> Sequence[User]:
    """Users who may log in, whose mail address it is, in whatever spelling; addresses may be shared."""
    here = func.lower(User.email) == address.lower()
    return work.session.execute(select(User).where(here, *ALIVE).order_by(User.username)).scalars().all()


def require(work: Work, user_id: str) -> User:
    """A user, also one who may not log in. Raises 404."""
    statement = select(User).where(User.id == user_id, User.deleted_at.is_(None))
    found = work.session.execute(statement).scalar_one_or_none()
    if found is None:
        raise not_found()
    return found


def set_password(work: Work, accounts: Accounts, user: User, new: Hashed) -> None:
    """Gives a user the password that he chose. That ends his sessions (`register`)."""
    accounts.change(as_himself(work, user), user.id, new.fields, new.prepared)


def note_login(work: Work, user_id: str) -> None:
    """Keeps when somebody logged in. That is no configuration: nobody keeps anything that follows from it."""
    work.session.execute(update(User).where(User.id == user_id).values(last_login_at=work.clock.now()))


def rehash(work: Work, user_id: str, hashes: tuple[str, str] | None) -> None:
    """Puts another hash of the same password, by the parameters of today, in the place of the old one, if that is
    still there. That is no configuration either."""
    if hashes is not None:
        old, new = hashes
        work.session.execute(update(User).where(User.id == user_id, User.password == old).values(password=new))


def _follow(users: Sequence[Written]) -> None:
    """Ends the sessions of those who have another password now, or may not log in any more."""
    ended = [
        written.id
        for written in users
        if written.before is not None
        and written.after is not None
        and (
            written.before.get("password") != written.after.get("password")
            or (written.before["enabled"] and not written.after["enabled"])
        )
    ]
    if ended:
        sessions.end_all(users[0].work, ended)


def _delete(work: Work, user_ids: Sequence[str]) -> None:
    sessions.end_all(work, user_ids)
    sessions.forget_devices(work, user_ids)


def register(registry: Registry) -> None:
    """Hooks the room into the kind `user`."""
    registry.on_written["user"] += [_follow, login_events.note_users]
    registry.deleting["user"].append(_delete)
    registry.purging["user"].append(login_events.note_purged)
    registry.sealed.append(M.hidden)
