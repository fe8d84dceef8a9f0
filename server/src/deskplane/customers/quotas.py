"""How many agents a customer may have (domain: tenancy): active members who may edit tickets.

One more than `quotas.max_agents` is refused, whatever makes him one: the user, his group, or a role. A limit may be set
below the number that there are; then it only may not grow, and a daily check raises an alert until it is right again.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import select, union

from deskplane.alerts import service as alerts
from deskplane.customers.models import Customer
from deskplane.kernel.kind import Check, Misfit, Unsettled
from deskplane.kernel.permissions import ADMIN_EXEMPT
from deskplane.kernel.words import counted
from deskplane.kernel.work import Work
from deskplane.people.models import Role, User, group_members, group_memberships, memberships
from deskplane.people.rules import held_roles

_BEFORE = "agents before"
ALERT = "agent_quota"
EDIT = ("tickets:access", "tickets:edit")


def _limits(work: Work) -> dict[str, tuple[str, int]]:
    """Id → name and limit of the customers that have one."""

    def load() -> dict[str, tuple[str, int]]:
        rows = work.session.execute(select(Customer.id, Customer.name, Customer.quotas))
        return {
            row.id: (row.name, row.quotas["max_agents"]) for row in rows if row.quotas.get("max_agents") is not None
        }

    return work.keep("agent quotas", load)


def agents(work: Work, customer_ids: set[str]) -> dict[str, set[str]]:
    """The users who are agents of these customers now, by customer."""
    direct = select(memberships.c.customer_id, memberships.c.user_id).where(memberships.c.role != "viewer")
    by_group = (
        select(group_memberships.c.customer_id, group_members.c.user_id)
        .join(group_members, group_members.c.group_id == group_memberships.c.group_id)
        .where(group_memberships.c.role != "viewer")
    )
    members = union(
        direct.where(memberships.c.customer_id.in_(customer_ids)),
        by_group.where(group_memberships.c.customer_id.in_(customer_ids)),
    ).subquery()
    statement = (
        select(members.c.customer_id, User.id, User.features)
        .join(User, User.id == members.c.user_id)
        .where(User.enabled, User.deleted_at.is_(None))
    )
    rows = work.session.execute(statement).all()
    rights = _permissions(work, {row.id for row in rows})
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        held = rights[row.id]
        works = row.features.get("helpdesk_enabled", True) or ADMIN_EXEMPT in held
        if works and held.issuperset(EDIT):
            found[row.customer_id].add(row.id)
    return found


def _permissions(work: Work, user_ids: set[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    held = held_roles(sorted(user_ids)).subquery()
    rows = work.session.execute(select(held.c.user_id, Role.permissions).join(Role, Role.id == held.c.role_id))
    for user_id, permissions in rows:
        found[user_id].update(permissions)
    return found


def note_agents(check: Check) -> None:
    """Remembers, before anything is written, who the agents were."""
    info = check.work.session.info
    if _BEFORE not in info:
        limits = _limits(check.work)
        info[_BEFORE] = agents(check.work, set(limits)) if limits else {}


def keep_within_quotas(work: Work) -> None:
    """Refuses what makes one agent too many. Raises Unsettled."""
    limits = _limits(work)
    if not limits:
        return
    before = work.session.info.get(_BEFORE, {})
    misfits = []
    for customer_id, there in agents(work, set(limits)).items():
        name, limit = limits[customer_id]
        new = there - before.get(customer_id, set())
        if len(there) > limit and len(there) > len(before.get(customer_id, set())):
            detail = f"{name} may have {limit} agents (quotas.max_agents), and this makes {len(there)}"
            fields = [("user", user_id, "memberships") for user_id in sorted(new)]
            misfits.append(Misfit("quota_exceeded", detail, fields))
    if misfits:
        raise Unsettled(misfits)


def check_quotas(work: Work) -> None:
    """Raises an alert for each customer with more agents than it may have, and clears those that are over."""
    limits = _limits(work)
    over = {}
    for customer_id, there in agents(work, set(limits)).items():
        name, limit = limits[customer_id]
        if len(there) > limit:
            over[customer_id] = (
                f"{name} may have {counted(limit, 'agent')} (quotas.max_agents) and has {len(there)}; end memberships, "
                "or raise the quota"
            )
    for customer_id in sorted(alerts.open_keys(work.session, ALERT) - set(over)):
        alerts.clear_alert(work, ALERT, customer_id)
    for customer_id, detail in sorted(over.items()):
        alerts.raise_alert(work, ALERT, customer_id, detail)
