"""The permissions that there are (domain: people and rights)."""

from __future__ import annotations

from collections.abc import Iterable

PERMISSIONS: dict[str, str] = {
    "tickets:access": "Work with tickets at all; without it no other ticket permission counts.",
    "tickets:create": "Open tickets.",
    "tickets:edit": "Change every field of a ticket but its assignee.",
    "tickets:assign": "Change the assignee.",
    "tickets:comment": "Write messages on a ticket.",
    "tickets:read_internal": "Read internal messages and history of internal fields.",
    "tickets:close": "Move tickets into or out of resolved, closed and cancelled.",
    "tickets:delete": "Delete tickets for good.",
    "tickets:view_all": "See the tickets of every customer, without membership.",
    "tickets:view_all_departments": "See the tickets of every department.",
    "time:view": "See booked time.",
    "statistics:view": "See statistics.",
    "departments:manage": "Manage departments.",
    "customers:manage": "Manage customers, their contacts, assets, contracts and projects.",
    "customers:entitle": "Set the features and quotas of customers.",
    "templates:manage": "Manage templates of answers, tickets and mails.",
    "labels:manage": "Manage labels and ticket types.",
    "sla:manage": "Manage service level policies and calendars.",
    "webhooks:manage": "Manage webhooks.",
    "workflows:manage": "Manage workflows.",
    "users:manage": "Manage users, their groups, roles, passwords and API keys.",
    "settings:manage": "Manage settings.",
    "metrics:read": "Read the metrics.",
    "backup:create": "Make backups.",
    "audit:read": "Read the audit log.",
    "configuration:plan": "Dry runs and plans of all configuration, without writing.",
}

BUNDLES: dict[str, frozenset[str]] = {
    "tickets:read": frozenset({"tickets:access", "tickets:view_all_departments"}),
    "tickets:write": frozenset(
        {
            "tickets:access",
            "tickets:view_all_departments",
            "tickets:create",
            "tickets:edit",
            "tickets:comment",
            "tickets:close",
        }
    ),
}
"""Scopes of keys for the public API; each stands for these permissions, as far as the key's user has them."""


def expanded(scopes: Iterable[str]) -> set[str]:
    """The permissions that scopes stand for."""
    return {permission for scope in scopes for permission in BUNDLES.get(scope, (scope,))}


ADMIN_EXEMPT = "users:manage"
"""Who manages users is an administrator in the sense of the feature flags, which never bind him."""
