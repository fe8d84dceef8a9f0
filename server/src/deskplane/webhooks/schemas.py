"""The kind `webhook`."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from marshmallow import Schema

from deskplane.kernel.compound import AnyJson, SetOf, TextMap
from deskplane.kernel.fields import Choice, Flag, Name, Ref, Text, Url, refuse
from deskplane.kernel.kind import Check, Kind
from deskplane.kernel.placeholders import check_placeholders
from deskplane.kernel.secrets import SECRET_SHOWN, SECRET_WANTED_SHOWN
from deskplane.kernel.words import EVENTS
from deskplane.webhooks.headers import SecretHeaders, check_headers
from deskplane.webhooks.models import Webhook

PLACEHOLDERS: dict[str, str] = {
    "ticket_number": "Number of the ticket, such as C(TKT-000123).",
    "subject": "Its title.",
    "status": "Its status.",
    "priority": "Its declared priority.",
    "assigned_to": "Username of its assignee.",
    "customer": "Name of its customer.",
    "department": "Name of its department.",
    "event": "Which event it is.",
    "timestamp": "When it happened, in UTC as RFC 3339 writes it.",
    "url": "Address of the ticket.",
}
"""The values of an event, which a body may name."""
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
LARGEST_BODY = 32_768


def check_body(value: Any) -> None:
    """A JSON object or list whose text uses known placeholders only."""
    if not isinstance(value, (dict, list)):
        raise refuse("wrong_type", "must be a JSON object or list")
    if len(json.dumps(value)) > LARGEST_BODY:
        raise refuse("too_long", f"must have at most {LARGEST_BODY} characters as JSON")
    for text in _texts(value):
        check_placeholders(text, PLACEHOLDERS)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []


class WebhookSecret(Text):
    """A signing secret of the Standard Webhooks specification: `whsec_` and 24 to 64 bytes in base64."""

    def canonical(self, text: str) -> str:
        if text in {SECRET_SHOWN, SECRET_WANTED_SHOWN}:
            return text  # as it is shown: the stored one stays
        encoded = text.removeprefix("whsec_")
        try:
            size = len(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if encoded == text or not 24 <= size <= 64:
            raise refuse("bad_format", "must be whsec_ followed by 24 to 64 random bytes in base64")
        return text


class WebhookSchema(Schema):
    """An address that is told of events."""

    name = Name("Name of the webhook; it identifies the webhook within its department.")
    department = Ref("Department whose tickets it is told of; null for all tickets.", "department", on_delete="cascade")
    description = Text("What the webhook is for.", longest=4000, block=True, default="")
    enabled = Flag("Whether it is told.", default=True)
    url = Url("Address that is called.", required=True)
    method = Choice("HTTP method.", METHODS, default="POST")
    headers = TextMap(
        "Headers that are sent; who may read webhooks sees them.", default={"Content-Type": "application/json"}
    )
    secret_headers = SecretHeaders("Further headers that are sent and never shown, such as C(Authorization).")
    body = AnyJson(
        "JSON body, in whose texts V(${ticket_number}), V(${subject}), V(${status}), V(${priority}), "
        "V(${assigned_to}), V(${customer}), V(${department}), V(${event}), V(${timestamp}) and V(${url}) are filled "
        "in; null for an object with all of them.",
        check=check_body,
    )
    events = SetOf("Events that it is told of; empty for all.", Choice("An event.", EVENTS))
    secret = WebhookSecret(
        "Secret that deliveries are signed with, as C(whsec_) and base64 (Standard Webhooks).", secret=True
    )


def check(found: Check) -> None:
    """The rules of headers; and a GET request has no body."""
    check_headers(found)
    if found.after["method"] == "GET" and found.after["body"] is not None:
        found.refuse("body", "not_allowed", "a GET request has no body")


WEBHOOK = Kind(
    name="webhook",
    plural="webhooks",
    title="webhook",
    model=Webhook,
    schema=WebhookSchema,
    key=("department", "name"),
    permission="webhooks:manage",
    readers=(),
    check=check,
    short_description="Manage webhooks",
    description=["A webhook is called when something happens to a ticket, of one department or of all."],
    notes=[
        "Write placeholders as V(${subject}); the form with double braces means the same to the server, but would "
        "be read by Jinja first.",
        "Deliveries are made by C(deskplane worker), up to ten times within three days; what came of them is in "
        "M(deskplane.helpdesk.webhook_delivery_info). A webhook whose receiver answers 410, or fails for five days, is "
        "disabled by the server, which drift shows.",
        "Another secret replaces the one before at once; that one signs along for 24 hours, so that the receiver can "
        "be changed in between.",
    ],
    examples=[
        {
            "name": "Tell the chat of new and closed tickets",
            "options": {
                "name": "chat",
                "department": "Service Desk",
                "url": "https://chat.example.org/hooks/desk",
                "body": {"text": "${event}: ${ticket_number} ${subject}"},
                "events": ["ticket_created", "ticket_closed"],
                "state": "present",
            },
        }
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a19",
        "name": "chat",
        "department": "Service Desk",
        "description": "",
        "enabled": True,
        "url": "https://chat.example.org/hooks/desk",
        "method": "POST",
        "headers": {"Content-Type": "application/json"},
        "secret_headers": "(secret)",
        "body": {"text": "${event}: ${ticket_number} ${subject}"},
        "events": ["ticket_closed", "ticket_created"],
        "secret": "(secret)",
    },
)
