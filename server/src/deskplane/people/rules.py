"""What must hold for roles and users besides their schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CompoundSelect, select, union

from deskplane.kernel.kind import Check, State
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.problem import Problem
from deskplane.kernel.work import Work
from deskplane.people.models import Group, Role, User, group_members, group_roles, user_roles

SHIPPED_ROLES: dict[str, tuple[str, list[str]]] = {
    "admin": ("Everything.", sorted(PERMISSIONS)),
    "agent": (
        "Works on tickets: opens, changes, answers and closes them.",
        [
            "tickets:access",
            "tickets:assign",
            "tickets:close",
            "tickets:comment",
            "tickets:create",
            "tickets:edit",
            "tickets:read_internal",
            "time:view",
        ],
    ),
    "user": (
        "Opens tickets and writes on them, without changing what others filled in.",
        ["tickets:access", "tickets:comment", "tickets:create"],
    ),
    "viewer": ("Reads tickets.", ["tickets:access"]),
    "requester": ("Opens tickets and follows those that he reported.", ["tickets:access", "tickets:create"]),
    "metrics": ("For a service account that scrapes the metrics.", ["metrics:read"]),
    "backup": ("For a service account that makes backups.", ["backup:create"]),
}
"""The roles that come with Deskplane (domain: people and rights)."""

ADMIN = "admin"


def is_as_shipped(role: State) -> bool:
    """Whether a role is just as it came with Deskplane."""
    return SHIPPED_ROLES.get(role["name"]) == (role["description"], role["permissions"])


def check_role(found: Check) -> None:
    """The role `admin` keeps every permission; no one hands out what he does not have."""
    if found.before is not None and found.before["name"] == ADMIN:
        if found.after["name"] != ADMIN:
            found.refuse("name", "shipped", "the role admin cannot be renamed")
        if found.after["permissions"] != sorted(PERMISSIONS):
            found.refuse("permissions", "shipped", "the role admin has every permission, always")
    before = set(found.before["permissions"]) if found.before else set()
    beyond = set(found.after["permissions"]) - before - found.work.actor.permissions
    if beyond:
        found.refuse(
            "permissions", "beyond_yours", f"you cannot give what you do not have: {', '.join(sorted(beyond))}"
        )
    # whose document renames a role could speak of it, further down, by a name that no rule knows yet
    renamed = found.before is not None and found.before["name"] != found.after["name"]
    if renamed and not found.work.actor.permissions.issuperset(before):
        found.refuse("name", "beyond_yours", "a role that goes beyond your own rights cannot be renamed by you")


def check_user(found: Check) -> None:
    """No one gives a role that goes beyond his own rights, nor changes someone whose rights do: with a new password
    or key he would have them. And the last administrator stays one."""
    before_roles = set(found.before["roles"]) if found.before else set()
    for name in roles_beyond(found.work, set(found.after["roles"]) - before_roles):
        found.refuse("roles", "beyond_yours", f"the role {name} goes beyond your own rights")
    # of who is brought back, too: his groups kept him
    by_groups = set().union(*[roles_of_groups(found.work).get(name, ()) for name in found.after["groups"] or ()])
    for name in roles_beyond(found.work, before_roles | by_groups):
        found.refuse("username", "beyond_yours", f"this user has the role {name}, which goes beyond your own rights")
    if found.before is None:
        return
    was_admin = ADMIN in before_roles and found.before["enabled"]
    is_admin = ADMIN in found.after["roles"] and found.after["enabled"]
    if was_admin and not is_admin and administrators(found.work) <= {found.before["username"]}:
        found.refuse("roles", "last_administrator", "this is the last administrator; make another one first")


def check_group(found: Check) -> None:
    """What holds for a user holds for all in a group: no one gives them more than he has, nor touches those who have
    more."""
    before_roles = set(found.before["roles"]) if found.before else set()
    for name in roles_beyond(found.work, set(found.after["roles"]) - before_roles):
        found.refuse("roles", "beyond_yours", f"the role {name} goes beyond your own rights")
    for name in roles_beyond(found.work, before_roles):
        found.refuse("name", "beyond_yours", f"this group has the role {name}, which goes beyond your own rights")


def roles_of_groups(work: Work) -> dict[str, set[str]]:
    """Names of the roles of each group, by its name."""

    def load() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        rows = work.session.execute(
            select(Group.name, Role.name)
            .join(group_roles, group_roles.c.group_id == Group.id)
            .join(Role, Role.id == group_roles.c.role_id)
        )
        for group, role in rows:
            found.setdefault(group, set()).add(role)
        return found

    return work.keep("roles of groups", load)


def roles_beyond(work: Work, names: set[str]) -> list[str]:
    """Those of the roles that hold a permission which the caller has not."""
    if not names:
        return []
    granted = work.keep(
        "permissions of roles", lambda: dict(work.session.execute(select(Role.name, Role.permissions)).all())
    )
    return sorted(name for name in names if not work.actor.permissions.issuperset(granted.get(name, ())))


def administrators(work: Work) -> frozenset[str]:
    """Usernames of the enabled users with the role `admin`."""
    statement = (
        select(User.username)
        .join(user_roles, user_roles.c.user_id == User.id)
        .join(Role, Role.id == user_roles.c.role_id)
        .where(Role.name == ADMIN, User.enabled, User.deleted_at.is_(None))
    )
    return work.keep("administrators", lambda: frozenset(work.session.execute(statement).scalars()))


def keep_those_beyond(work: Work, user_ids: Sequence[str]) -> None:
    """Refuses the deletion of someone who may do what the caller may not."""
    held = held_roles(user_ids).subquery()
    statement = (
        select(Role.name, User.username)
        .join(held, held.c.role_id == Role.id)
        .join(User, User.id == held.c.user_id)
        .order_by(User.username)
    )
    holders = {role: username for role, username in work.session.execute(statement)}  # noqa: C416 - rows are no pairs
    for name in roles_beyond(work, set(holders)):
        raise Problem(
            403, "beyond_yours", f"the user {holders[name]} has the role {name}, which goes beyond your own rights"
        )


def keep_groups_beyond(work: Work, group_ids: Sequence[str]) -> None:
    """Refuses the deletion of a group whose members may do what the caller may not."""
    statement = (
        select(Role.name, Group.name)
        .join(group_roles, group_roles.c.role_id == Role.id)
        .join(Group, Group.id == group_roles.c.group_id)
        .where(Group.id.in_(group_ids))
        .order_by(Group.name)
    )
    holders = {role: group for role, group in work.session.execute(statement)}  # noqa: C416 - rows are no pairs
    for name in roles_beyond(work, set(holders)):
        raise Problem(
            403, "beyond_yours", f"the group {holders[name]} has the role {name}, which goes beyond your own rights"
        )


def held_roles(user_ids: Sequence[str]) -> CompoundSelect[Any]:
    """A select of user and role: each role that the users have, by themselves or by their groups."""
    by_group = select(group_members.c.user_id, group_roles.c.role_id).join(
        group_roles, group_roles.c.group_id == group_members.c.group_id
    )
    return union(
        select(user_roles.c.user_id, user_roles.c.role_id).where(user_roles.c.user_id.in_(user_ids)),
        by_group.where(group_members.c.user_id.in_(user_ids)),
    )


def keep_an_administrator(work: Work, beside: str | None = None) -> None:
    """Refuses what would leave the desk without an administrator beside the one of this name, null for none."""
    if administrators(work) <= {beside}:
        raise Problem(409, "last_administrator", "this would leave no administrator; make another one first")


def keep_shipped_roles(work: Work, role_ids: Sequence[str]) -> None:
    """Refuses the deletion of a role that came with Deskplane."""
    statement = select(Role.name).where(Role.id.in_(role_ids), Role.shipped).order_by(Role.name).limit(1)
    name = work.session.execute(statement).scalar_one_or_none()
    if name is not None:
        raise Problem(409, "shipped", f"the role {name} came with Deskplane and stays; leave it unused instead")
