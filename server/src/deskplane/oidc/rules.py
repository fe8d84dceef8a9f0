"""What must hold for identity providers besides their schema: whoever configures one lets in whom he likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Table, select

from deskplane.kernel.kind import Check, Registry, State
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.work import Work
from deskplane.login.models import LoginToken
from deskplane.oidc.models import OidcProvider, oidc_group_roles
from deskplane.people.rules import roles_beyond


def check_provider(found: Check) -> None:
    """No one gives a role that goes beyond his own rights, nor changes a provider that does: with another issuer he
    would have it himself. A provider that may say whose account somebody has needs every permission."""
    if found.before == found.after:
        return
    before, after = _roles(found.before), _roles(found.after)
    for name in roles_beyond(found.work, after - before):
        found.refuse("group_roles", "beyond_yours", f"the role {name} goes beyond your own rights")
    for name in roles_beyond(found.work, before):
        found.refuse("name", "beyond_yours", f"this provider gives the role {name}, which goes beyond your own rights")
    is_any = any(state is not None and state["link_by_email"] for state in (found.before, found.after))
    if is_any and not found.work.actor.permissions.issuperset(PERMISSIONS):
        found.refuse("link_by_email", "beyond_yours", "needs every permission, as the role admin has them")


def _roles(state: State | None) -> set[str]:
    return {item["role"] for item in (state or {}).get("group_roles") or ()}


def providers_of_roles(work: Work, role_ids: Sequence[str]) -> dict[str, list[str]]:
    """What stands in the way of a role's deletion: the providers that give it."""
    columns = (oidc_group_roles.c.role_id, OidcProvider.name)
    statement = select(*columns).join(OidcProvider, OidcProvider.id == oidc_group_roles.c.provider_id).distinct()
    found: dict[str, list[str]] = {}
    for role_id, name in work.session.execute(
        statement.where(oidc_group_roles.c.role_id.in_(role_ids)).order_by(OidcProvider.name)
    ):
        found.setdefault(role_id, []).append(f"oidc_provider {name}")
    return found


def register(registry: Registry) -> None:
    """Hooks the rules into the kinds that they are about."""
    registry.dependants["role"].append(providers_of_roles)
    registry.sealed.append(cast(Table, LoginToken.__table__).columns["data"])
