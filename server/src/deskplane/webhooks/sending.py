"""One attempt: a webhook as it stands, the request it makes, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from sqlalchemy import select

from deskplane.kernel.clock import rfc3339
from deskplane.kernel.crypto import Vault
from deskplane.kernel.safe_http import Client, Failed
from deskplane.kernel.work import Work
from deskplane.webhooks.headers import opened
from deskplane.webhooks.models import Webhook, WebhookState
from deskplane.webhooks.rendering import Request, render

KEPT_BYTES = 1000
"""How much of an answer's body is kept."""
LONGEST_RETRY_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class Target:
    """What is needed of a webhook to call it; its secrets are open."""

    id: str
    enabled: bool
    method: str
    url: str
    headers: Mapping[str, str]
    secret_headers: Mapping[str, str]
    body: Any
    secrets: Sequence[str]

    def request(self, message_id: str, values: Mapping[str, str], now: datetime) -> Request:
        """The request for one event."""
        return render(
            method=self.method,
            url=self.url,
            headers=self.headers,
            secret_headers=self.secret_headers,
            body=self.body,
            secrets=self.secrets,
            message_id=message_id,
            values=values,
            now=now,
        )


def _secret(vault: Vault, sealed: str | None) -> str | None:
    try:
        return vault.open(sealed) if sealed else None
    except ValueError:
        return None  # sealed with a key that is gone


def target(work: Work, webhook_id: str) -> Target | None:
    """The webhook as it stands now; null where there is none."""
    statement = (
        select(Webhook, WebhookState.previous_secret, WebhookState.previous_until)
        .outerjoin(WebhookState, WebhookState.webhook_id == Webhook.id)
        .where(Webhook.id == webhook_id)
    )
    found = work.session.execute(statement).first()
    if found is None:
        return None
    webhook, previous, until = found
    valid = [webhook.secret] + ([previous] if until is not None and until > work.clock.now() else [])
    return Target(
        id=webhook.id,
        enabled=webhook.enabled,
        method=webhook.method,
        url=webhook.url,
        headers=webhook.headers,
        secret_headers=opened(work.vault, webhook.secret_headers),
        body=webhook.body,
        secrets=[secret for sealed in valid if (secret := _secret(work.vault, sealed))],
    )


@dataclass(frozen=True)
class Attempt:
    """What came of a request. `status` is null where no answer came; `error` is null where it was taken."""

    at: datetime
    request: Request
    status: int | None
    response: str | None
    milliseconds: int
    error: str | None
    retry_after: timedelta | None = None

    @property
    def entry(self) -> dict[str, Any]:
        """Its line in the log."""
        return {
            "at": rfc3339(self.at),
            "status": self.status,
            "milliseconds": self.milliseconds,
            "error": self.error,
        }

    @property
    def shown_request(self) -> dict[str, Any]:
        """What people may see of the request."""
        body = None if self.request.body is None else self.request.body.decode()
        return {
            "method": self.request.method,
            "url": self.request.url,
            "headers": dict(self.request.shown),
            "body": body,
        }


def attempt(client: Client, request: Request, now: datetime) -> Attempt:
    """Sends it, once. Touches no database; may take as long as the client's deadline."""
    begun = time.monotonic()
    try:
        answer = client.send(request.method, request.url, request.headers, request.body)
    except Failed as failure:
        return Attempt(now, request, None, None, _since(begun), f"{failure.code}: {failure.detail}")
    taken = 200 <= answer.status < 300
    return Attempt(
        now,
        request,
        answer.status,
        # no database takes NUL in a text
        answer.body[:KEPT_BYTES].decode(errors="replace").replace("\0", "\ufffd"),
        _since(begun),
        None if taken else f"answered: the receiver said {answer.status}",
        _retry_after(answer.headers.get("retry-after"), now),
    )


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)


def _retry_after(value: str | None, now: datetime) -> timedelta | None:
    """How long the receiver asked for (RFC 9110, 10.2.3), within bounds; null for what cannot be read."""
    if value is None:
        return None
    try:
        if value.strip().isascii() and value.strip().isdigit():
            found = timedelta(seconds=min(int(value.strip()[:12]), 10**9))
        else:
            moment = parsedate_to_datetime(value)
            found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(found, timedelta(0)), LONGEST_RETRY_AFTER)
