"""Whose account somebody has whom a provider let in, and which roles he has by his groups there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from marshmallow import ValidationError
from sqlalchemy import Select, delete, func, insert, or_, select

from deskplane.kernel.actor import Actor
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.problem import Problem
from deskplane.kernel.revision import current
from deskplane.kernel.work import Work
from deskplane.login import accounts
from deskplane.login.accounts import Accounts
from deskplane.login.registration_api import ROLE
from deskplane.oidc.exchange import Person
from deskplane.oidc.models import OidcGrant, OidcIdentity
from deskplane.oidc.providers import Provider
from deskplane.oidc.refusals import no_account
from deskplane.people import login_events, rules
from deskplane.people.models import Role, User, user_roles
from deskplane.people.rules import ADMIN

T = TypeVar("T")


def settle(work: Work, change: Accounts, provider: Provider, person: Person) -> str:
    """The id of the user who somebody is: known before, linked now, or made now; with the roles that his groups give.
    Raises Refused where he is none who may log in."""
    work.revision = current(work.session)
    work = replace(work, actor=Actor(None, provider.method, frozenset(PERMISSIONS)))
    user_id = _known(work, provider, person)
    if user_id is None:
        # one after the other: of two first logins at once the second finds what the first made
        change.lock(work)
        user_id = _known(work, provider, person) or _linked(work, provider, person)
        if user_id is None:
            user_id = _made(work, change, provider, person)
    if accounts.by_id(work, user_id) is None:
        username = work.session.execute(select(User.username).where(User.id == user_id)).scalar_one()
        detail = f"the account {username} is disabled or deleted"
        raise no_account("disabled", detail, user_id, username)
    _give_roles(work, change, provider, person, user_id)
    return user_id


def _known(work: Work, provider: Provider, person: Person) -> str | None:
    here = (OidcIdentity.issuer == provider.issuer, OidcIdentity.subject == person.subject)
    return work.session.execute(select(OidcIdentity.user_id).where(*here)).scalar_one_or_none()


def _link(work: Work, provider: Provider, person: Person, user_id: str, username: str) -> None:
    row = {
        "issuer": provider.issuer,
        "subject": person.subject,
        "user_id": user_id,
        "linked_at": work.clock.now(),
    }
    work.session.execute(insert(OidcIdentity).values(**row))
    login_events.note(work, "identity_linked", user_id, username, provider.name)


def _linked(work: Work, provider: Provider, person: Person) -> str | None:
    """The user who has the same mail address, where that counts."""
    if not provider.link_by_email or person.email is None:
        return None
    found = accounts.by_address(work, person.email)
    if not found:
        return None
    if len(found) > 1:
        raise no_account("ambiguous", f"several accounts have the mail address {person.email}")
    user = found[0]
    other = select(OidcIdentity.subject).where(OidcIdentity.issuer == provider.issuer, OidcIdentity.user_id == user.id)
    if work.session.execute(other).first() is not None:
        raise no_account("ambiguous", f"somebody else of this provider is the account {user.username} already")
    _link(work, provider, person, user.id, user.username)
    return user.id


def _made(work: Work, change: Accounts, provider: Provider, person: Person) -> str:
    """A new user. One that is named as somebody else, or has his mail address, is refused, also where that one is
    disabled or deleted: who was shut out must not come back by another name."""
    if not provider.create_users:
        raise no_account("unknown", f"nobody here is {person.subject[:100]!r} there, and create_users is off")
    fields = _fields(work, person)
    taken = User.username == fields["username"]
    if fields["email"] is not None:
        taken = or_(taken, func.lower(User.email) == fields["email"].lower())
    there = work.session.execute(select(User.username).where(taken).order_by(User.username).limit(1)).scalar()
    if there is not None:
        raise no_account("taken", f"the account {there} has the same name or mail address, and is not linked")
    roles = [] if _wanted(provider, person) else [ROLE]
    user_id = _changed(lambda: change.create(work, {**fields, "roles": roles}, {}))
    _link(work, provider, person, user_id, fields["username"])
    return user_id


def _fields(work: Work, person: Person) -> dict[str, Any]:
    """What a user is made of, as far as it can be taken. Raises Refused where there is no name."""
    schema = work.registry["user"].fields

    def good(name: str, text: str | None) -> Any:
        try:
            return schema[name].deserialize(text) if text else None
        except ValidationError:
            return None

    username = good("username", person.username) or good("username", person.email)
    if username is None:
        raise no_account("no_name", "neither the claim of the username nor a verified mail address can be a username")
    return {
        "username": username,
        "email": good("email", person.email),
        "first_name": good("first_name", person.first_name) or "",
        "last_name": good("last_name", person.last_name) or "",
    }


def _wanted(provider: Provider, person: Person) -> set[str]:
    return {role for group, role in provider.group_roles if group in person.groups}


@dataclass(frozen=True)
class _Roles:
    """Names of roles: those that a user is to have, where they are others than he has; those that the provider is to
    be known to have given from now on, and no more."""

    roles: Sequence[str] | None
    new: frozenset[str]
    over: frozenset[str]


def _difference(work: Work, provider: Provider, person: Person, user_id: str) -> _Roles:
    has = _names(work, user_roles.c.role_id, user_roles.c.user_id == user_id)
    ours, of_user = OidcGrant.provider_id == provider.id, OidcGrant.user_id == user_id
    granted = _names(work, OidcGrant.role_id, of_user, ours)
    others = _names(work, OidcGrant.role_id, of_user, ~ours)
    wanted = _wanted(provider, person)
    # what he had by hand already is not the provider's to take away
    new = {name for name in wanted - granted if name not in has or name in others}
    over = granted - wanted
    roles = (has | wanted) - (over - others)
    return _Roles(sorted(roles) if roles != has else None, frozenset(new), frozenset(over))


def _give_roles(work: Work, change: Accounts, provider: Provider, person: Person, user_id: str) -> None:
    """Gives the roles of his groups, and takes away those that the provider gave and gives no more."""
    found = _difference(work, provider, person, user_id)
    if found.roles is None and not found.new and not found.over:
        return
    change.lock(work)
    found = _difference(work, provider, person, user_id)
    if found.roles is not None:
        _changed(lambda: change.change(work, user_id, {"roles": found.roles}, {}))
    if found.over:
        ours = (OidcGrant.user_id == user_id, OidcGrant.provider_id == provider.id)
        work.session.execute(delete(OidcGrant).where(*ours, OidcGrant.role_id.in_(_ids(found.over))))
    if found.new:
        ids = work.session.execute(_ids(found.new)).scalars()
        rows = [{"user_id": user_id, "provider_id": provider.id, "role_id": role_id} for role_id in ids]
        work.session.execute(insert(OidcGrant), rows)


def take_granted_roles(work: Work, change: Accounts, user: User) -> None:
    """Takes the roles away that a user has of his groups at any provider. Raises 409 for the last administrator."""
    granted = _names(work, OidcGrant.role_id, OidcGrant.user_id == user.id)
    if not granted:
        return
    if ADMIN in granted:
        rules.keep_an_administrator(work, beside=user.username)
    has = _names(work, user_roles.c.role_id, user_roles.c.user_id == user.id)
    change.change(work, user.id, {"roles": sorted(has - granted)}, {})
    work.session.execute(delete(OidcGrant).where(OidcGrant.user_id == user.id))


def _ids(names: frozenset[str]) -> Select[str]:
    return select(Role.id).where(Role.name.in_(names)).order_by(Role.id)


def _names(work: Work, column: Any, *conditions: Any) -> set[str]:
    return set(work.session.execute(select(Role.name).where(Role.id == column, *conditions)).scalars())


def _changed(change: Callable[[], T]) -> T:
    """Does it. What the desk's own rules refuse, a quota or the last administrator, is a login that is refused."""
    try:
        return change()
    except Problem as problem:
        if problem.status >= 500:
            raise
        raise no_account("not_allowed", problem.detail) from None
