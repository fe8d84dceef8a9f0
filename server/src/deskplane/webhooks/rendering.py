"""What a webhook sends of an event: its body with the placeholders filled in, and the headers that say whose it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from standardwebhooks import Webhook as Signer

from deskplane.kernel.placeholders import fill
from deskplane.webhooks.schemas import PLACEHOLDERS

DEFAULT_BODY = {
    name: f"${{{name}}}"
    for name in (
        "event", "ticket_number", "subject", "status", "priority", "assigned_to", "customer", "department", "timestamp",
        "url",
    )
}  # fmt: skip
"""What is sent where a webhook has no body of its own."""
SAMPLE = {
    "ticket_number": "TKT-000123",
    "subject": "The printer on the second floor is on fire",
    "status": "open",
    "priority": "high",
    "assigned_to": "mia",
    "customer": "Example Inc.",
    "department": "Service Desk",
    "url": "https://desk.example.org/tickets/TKT-000123",
}
"""The values of a test."""


@dataclass(frozen=True)
class Request:
    """A request as it is sent. `shown` is what people may see of its headers."""

    method: str
    url: str
    headers: Mapping[str, str]
    shown: Mapping[str, str]
    body: bytes | None


def values_of(event: Mapping[str, Any]) -> dict[str, str]:
    """The placeholders' values, of an event's payload; what is null is an empty text."""
    return {name: "" if event.get(name) is None else str(event[name]) for name in PLACEHOLDERS}


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """A JSON value with the placeholders in its texts filled in; a value is written as it is, whatever is in it."""
    if isinstance(template, str):
        return fill(template, values)
    if isinstance(template, dict):
        return {name: filled(item, values) for name, item in template.items()}
    return [filled(item, values) for item in template] if isinstance(template, list) else template


def render(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    secret_headers: Mapping[str, str],
    body: Any,
    secrets: Sequence[str],
    message_id: str,
    values: Mapping[str, str],
    now: datetime,
) -> Request:
    """The request for one event, signed after the Standard Webhooks specification with each of the secrets."""
    data = "" if method == "GET" else orjson.dumps(filled(DEFAULT_BODY if body is None else body, values)).decode()
    stamped = {"webhook-id": message_id, "webhook-timestamp": str(int(now.astimezone(UTC).timestamp()))}
    if secrets:
        signatures = [Signer(secret).sign(message_id, now.astimezone(UTC), data) for secret in secrets]
        stamped["webhook-signature"] = " ".join(signatures)
    shown = {**headers, **stamped}
    sent = {**headers, **secret_headers, **stamped}
    return Request(method, url, sent, shown, None if method == "GET" else data.encode())
