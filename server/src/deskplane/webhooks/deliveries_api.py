"""The endpoints of what a webhook sent: its deliveries, sending them anew, a test, and another secret."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from marshmallow import Schema
from sqlalchemy import select

from deskplane.kernel import pagination
from deskplane.kernel.clock import rfc3339
from deskplane.kernel.compound import AnyJson, described, object_schema
from deskplane.kernel.fields import Choice, Moment, Text, Whole
from deskplane.kernel.ids import new_id, new_secret_bytes
from deskplane.kernel.operation import Afterwards, Call, Operation, Reply
from deskplane.kernel.problem import conflict, not_found
from deskplane.kernel.words import EVENTS
from deskplane.webhooks import deliveries, health
from deskplane.webhooks.deliveries import DELIVERIES, FAILED, STATES, D
from deskplane.webhooks.health import Change
from deskplane.webhooks.rendering import SAMPLE, values_of
from deskplane.webhooks.schemas import WebhookSecret
from deskplane.webhooks.sending import Target, attempt, target

ONE = "/api/v1/webhooks/{id}"
RIGHT = ("webhooks:manage",)
_ORDER = pagination.Order(((D.created_at, True), (D.id, True)), lambda row: (row["created_at"], row["id"]))


class DeliveryList(Schema):
    """Which deliveries."""

    state = Choice("Only those in this state.", tuple(STATES))
    event = Choice("Only those of this event.", EVENTS)
    since = Moment("Only those that were made at this time or later.")
    limit = Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=pagination.DEFAULT_LIMIT)
    cursor = Text("The next_cursor of the page before.", longest=2000)


class DeliveryEntry(Schema):
    """A delivery, as a list has it."""

    id = Text("Its id, which is the C(webhook-id) of every attempt.", read_only=True)
    event = Choice("Which event it tells of.", EVENTS, read_only=True)
    ticket = Text("Number of the ticket.", read_only=True)
    state = Choice("What became of it.", tuple(STATES), read_only=True)
    attempts = Whole("Attempts since it was made, or asked for anew.", read_only=True)
    created_at = Moment("When it was made.", read_only=True)
    next_at = Moment("When it is attempted next; null if it is not.", read_only=True)
    last_at = Moment("When it was attempted last.", read_only=True)
    status = Whole("Status of the last answer; null where none came.", read_only=True)
    milliseconds = Whole("How long the last attempt took.", read_only=True)
    error = Text("Why the last attempt failed.", read_only=True)


class DeliveryAnswer(DeliveryEntry):
    """A delivery with all that is known of it."""

    request = AnyJson("Method, URL, headers and body of the last attempt; without the secret headers.", read_only=True)
    response = Text("The first bytes of the last answer's body.", read_only=True)
    log = AnyJson("Each attempt ever: when, status, milliseconds and error.", read_only=True)


class Redelivery(Schema):
    """Which deliveries to attempt anew."""

    since = Moment("Those that were made at this time or later.", required=True)


class WebhookTest(Schema):
    """What to try."""

    event = Choice("The event that is made up.", EVENTS, default="ticket_created")


class Rotation(Schema):
    """The next secret."""

    secret = WebhookSecret("The next secret; made and answered, once, if it is not given.", secret=True)
    overlap_hours = Whole("Hours for which the one before signs along.", most=24 * 30, default=24)


def _target(call: Call) -> Target:
    found = target(call, call.path["id"])
    if found is None:
        raise not_found()
    return found


_ENTRY = tuple(name for name in described(DeliveryEntry()) if name != "ticket")
_WHOLE = tuple(name for name in described(DeliveryAnswer()) if name != "ticket")


def _shown(row: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names} | {"ticket": row["ticket_number"]}


def listing(call: Call) -> Reply:
    """GET /webhooks/{id}/deliveries, the newest first"""
    of, query, vault = _target(call).id, call.query, call.vault
    statement = select(*(D[name] for name in _ENTRY), D.ticket_number).where(D.webhook_id == of)
    if query["state"] is not None:
        statement = statement.where(D.state == query["state"])
    if query["event"] is not None:
        statement = statement.where(D.event == query["event"])
    if query["since"] is not None:
        statement = statement.where(D.created_at >= query["since"])
    limit, scope = query["limit"], f"deliveries {of}"
    statement = pagination.page(statement, _ORDER, scope=scope, cursor=query["cursor"], limit=limit, vault=vault)
    rows = call.session.execute(statement).mappings().all()
    rows, following = pagination.cut(rows, _ORDER, scope=scope, limit=limit, vault=vault)
    return Reply({"items": [_shown(row, _ENTRY) for row in rows], "next_cursor": following})


def _one(call: Call) -> Reply:
    statement = select(DELIVERIES).where(D.webhook_id == call.path["id"], D.id == call.path["delivery"])
    row = call.session.execute(statement).mappings().first()
    if row is None:
        raise not_found()
    return Reply(_shown(row, _WHOLE))


def _enabled(call: Call) -> Target:
    found = _target(call)
    if not found.enabled:
        raise conflict("webhook_disabled", "the webhook is disabled, so that nothing is delivered; enable it first")
    return found


def redeliver_one(call: Call) -> Reply:
    """POST /webhooks/{id}/deliveries/{delivery}/redeliver"""
    if not deliveries.redeliver(call, _enabled(call).id, D.id == call.path["delivery"]):
        raise not_found()
    return _one(call)


def redeliver_since(call: Call) -> Reply:
    """POST /webhooks/{id}/redeliver"""
    found = _enabled(call)
    return Reply({"count": deliveries.redeliver(call, found.id, FAILED, D.created_at >= call.body["since"])})


def test(call: Call) -> Reply:
    """POST /webhooks/{id}/test"""
    found, now, client = _target(call), call.clock.now(), call.outside
    event = call.body.get("event") or "ticket_created"
    values = values_of({**SAMPLE, "event": event, "timestamp": rfc3339(now)})
    request = found.request(f"test-{new_id()}", values, now)

    def run() -> dict[str, Any]:
        made = attempt(client, request, now)
        return {
            "succeeded": made.error is None,
            "status": made.status,
            "milliseconds": made.milliseconds,
            "error": made.error,
            "response": made.response,
            "request": made.shown_request,
        }

    return Reply(Afterwards(run))


def operations(change: Change) -> Iterable[Operation]:
    """The operations on deliveries. `change` changes a webhook as someone does by hand."""

    def rotate(call: Call) -> Reply:
        """POST /webhooks/{id}/rotate-secret"""
        webhook_id = _target(call).id
        given = call.body.get("secret")
        secret = given or "whsec_" + base64.b64encode(new_secret_bytes(32)).decode()
        overlap = call.body.get("overlap_hours")
        until = call.clock.now() + (health.OVERLAP if overlap is None else timedelta(hours=overlap))
        change(call, webhook_id, {"secret": secret})
        kept = health.sign_along_until(call, webhook_id, until)
        return Reply({"secret": None if given else secret, "previous_until": until if kept else None})

    entry = object_schema(described(DeliveryEntry()), answer=True)
    thing = object_schema(described(DeliveryAnswer()), answer=True)
    disabled = {409: "The webhook is disabled."}
    yield Operation(
        "list_webhook_deliveries",
        "GET",
        f"{ONE}/deliveries",
        listing,
        "What a webhook sent, the newest first",
        "webhooks",
        permission=RIGHT,
        query=DeliveryList,
        answers={200: ("A page.", pagination.page_schema(entry))},
        description="Kept for as many days as the setting `retention.deliveries_days` says.",
    )
    yield Operation(
        "get_webhook_delivery",
        "GET",
        f"{ONE}/deliveries/{{delivery}}",
        _one,
        "One delivery, with its last request and answer",
        "webhooks",
        permission=RIGHT,
        answers={200: ("The delivery.", thing)},
    )
    yield Operation(
        "redeliver_webhook_delivery",
        "POST",
        f"{ONE}/deliveries/{{delivery}}/redeliver",
        redeliver_one,
        "Deliver once more, whatever became of it",
        "webhooks",
        permission=RIGHT,
        write=True,
        answers={200: ("The delivery, which waits for a worker.", thing)},
        refusals=disabled,
        description="Under the same id, to the webhook as it is now, with all its attempts anew.",
    )
    yield Operation(
        "redeliver_webhook",
        "POST",
        f"{ONE}/redeliver",
        redeliver_since,
        "Deliver once more what failed since",
        "webhooks",
        permission=RIGHT,
        body=Redelivery,
        write=True,
        answers={
            200: (
                "How many wait for a worker now.",
                {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer"}}},
            )
        },
        refusals=disabled,
        description="All that failed for good, or were cancelled when the webhook was disabled; in their order.",
    )
    answer = {name: part for name, part in thing["properties"].items() if name in _TESTED}
    yield Operation(
        "test_webhook",
        "POST",
        f"{ONE}/test",
        test,
        "Send one request with made-up values, now",
        "webhooks",
        permission=RIGHT,
        body=WebhookTest,
        answers={
            200: (
                "What came of it.",
                {
                    "type": "object",
                    "required": ["succeeded"],
                    "properties": {"succeeded": {"type": "boolean"}, **answer},
                },
            )
        },
        description="Also where the webhook is disabled. Not tried again, and not among the deliveries.",
    )
    yield Operation(
        "rotate_webhook_secret",
        "POST",
        f"{ONE}/rotate-secret",
        rotate,
        "Sign with another secret",
        "webhooks",
        permission=RIGHT,
        body=Rotation,
        write=True,
        answers={
            200: (
                "The secret, if it was made here, and until when the one before signs along.",
                {
                    "type": "object",
                    "required": ["secret", "previous_until"],
                    "properties": {
                        "secret": {"type": ["string", "null"]},
                        "previous_until": {"type": ["string", "null"], "format": "date-time"},
                    },
                },
            )
        },
        description="Deliveries are signed with both for a while, so that the receiver can be changed in between. A "
        "secret that is declared anew by an apply does the same, for 24 hours.",
    )


_TESTED = ("status", "milliseconds", "error", "response", "request")
