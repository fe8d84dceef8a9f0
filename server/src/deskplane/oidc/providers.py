"""A provider as it is configured, for who logs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from deskplane.kernel.work import Work
from deskplane.oidc.models import OidcProvider, oidc_group_roles
from deskplane.people.models import Role


@dataclass(frozen=True)
class Provider:
    """A provider. `client_secret` is sealed; `group_roles` are pairs of a group and a role."""

    id: str
    name: str
    title: str
    issuer: str
    client_id: str
    client_secret: str | None
    scopes: Sequence[str]
    claims: Mapping[str, Any]
    group_roles: Sequence[tuple[str, str]]
    create_users: bool
    link_by_email: bool
    required_amr: Sequence[str]

    @property
    def method(self) -> str:
        """What a session says of how it began."""
        return f"{METHOD}{self.name}"


METHOD = "oidc "
"""The methods of sessions begin with this where a provider let them in; its name follows."""


def enabled(work: Work) -> dict[str, Provider]:
    """The providers with which people may log in, by name."""
    return work.keep("identity providers", lambda: _load(work))


def _load(work: Work) -> dict[str, Provider]:
    rows = work.session.execute(
        select(oidc_group_roles.c.provider_id, oidc_group_roles.c.group, Role.name).join(
            Role, Role.id == oidc_group_roles.c.role_id
        )
    )
    given: dict[str, list[tuple[str, str]]] = {}
    for provider_id, group, role in rows:
        given.setdefault(provider_id, []).append((group, role))
    found = work.session.execute(select(OidcProvider).where(OidcProvider.enabled).order_by(OidcProvider.name))
    return {
        row.name: Provider(
            id=row.id,
            name=row.name,
            title=row.title or row.name,
            issuer=row.issuer,
            client_id=row.client_id,
            client_secret=row.client_secret,
            scopes=row.scopes,
            claims=row.claims,
            group_roles=sorted(given.get(row.id, ())),
            create_users=row.create_users,
            link_by_email=row.link_by_email,
            required_amr=row.required_amr,
        )
        for row in found.scalars()
    }
