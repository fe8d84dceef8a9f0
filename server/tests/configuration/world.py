"""A small desk for kinds to refer to, and the few lines that every law needs."""

from __future__ import annotations

from typing import Any

from conftest import Api
from deskplane.kernel.kind import Kind
from values import Names, fresh_key

__all__ = ["NAMES", "fresh_key", "furnish", "least", "without"]

NAMES: Names = {
    "customer": ["ACME", "Zweite GmbH/Süd"],
    "role": ["agent", "viewer"],
    "workflow": ["free", "house rules"],
    "calendar": ["office", "nights é"],
    "sla_policy": ["gold", "silver é"],
    "user": ["ann", "bob"],
    "department": ["Desk", "Night shift"],
    "contact": ["kim@acme.example", "lou@acme.example"],
}


def furnish(api: Api) -> None:
    """Makes one of everything that something else may name."""
    for name in NAMES["customer"]:
        api.apply("customers", name=name)
    api.apply("workflows", name="house rules", transitions=[{"from": "open", "to": "closed"}])
    for name in NAMES["calendar"]:
        api.apply("calendars", name=name)
    for name in NAMES["sla_policy"]:
        api.apply("sla-policies", name=name, response_minutes=30)
    for name in NAMES["department"]:
        api.apply("departments", name=name)
    for name in NAMES["user"]:
        api.apply("users", username=name)
    for name in NAMES["contact"]:
        api.apply("contacts", email=name, customer=NAMES["customer"][0])


LEAST: dict[str, dict[str, Any]] = {
    "webhook": {"url": "https://hooks.example/x", "department": "Desk"},
    "setting": {"key": "smtp.password"},
    "oidc_provider": {"issuer": "https://id.example.org", "client_id": "desk"},
    "contract": {"hourly_rate": "95.5", "currency": "EUR"},
    "email_template": {"subject": "News", "body_text": "There are some."},
}
"""What an object of a kind needs besides its name."""


def least(kind: Kind) -> dict[str, Any]:
    """The shortest document of a kind, with a name that nothing has yet."""
    return fresh_key(kind, LEAST.get(kind.name, {}))


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    """An apply's answer without what only the server assigns."""
    found = {name: value for name, value in answer.items() if name not in names}
    for side in ("before", "after"):
        if found[side] is not None:
            found[side] = {
                name: value for name, value in found[side].items() if name not in {"id", "password_changed_at"}
            }
    return found
