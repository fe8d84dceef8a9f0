"""Deliveries: who is told of an event, when it is tried again, and when it is given up.

An event becomes a row for each webhook that wants it, in the transaction that completes the event's message, and with
it a message in that webhook's lane: one at a time for each webhook, and none waits for another webhook. An attempt
reads what it needs, calls without any transaction, and writes what came of it in the transaction that completes its
message: killed in between, it is made again, with the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, delete, func, insert, select, update
from sqlalchemy.orm import Session

from deskplane.desks.settings import setting
from deskplane.kernel.clock import rfc3339
from deskplane.kernel.db import Database, execute
from deskplane.kernel.ids import new_id, spread
from deskplane.kernel.safe_http import Client
from deskplane.kernel.work import Work
from deskplane.outbox import service as outbox
from deskplane.outbox.service import Claimed, Put
from deskplane.outbox.worker import Finish
from deskplane.tickets.announcements import ASIDE
from deskplane.webhooks import health
from deskplane.webhooks.health import Change
from deskplane.webhooks.models import Delivery, Webhook
from deskplane.webhooks.rendering import values_of
from deskplane.webhooks.sending import Attempt, attempt, target

DELIVER = "webhook.deliver"
"""Topic of the message that asks for an attempt at the delivery that it names."""
WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""How long after an attempt the next one follows, as the Standard Webhooks specification proposes."""
JITTER = 0.1
"""Each wait is longer by up to this share of it."""
STATES = {
    "pending": "It waits for its first or its next attempt.",
    "succeeded": "The receiver answered with 2xx.",
    "failed": "The last attempt failed, and no other follows.",
    "cancelled": "The webhook was disabled before it could be delivered.",
}
GONE = 410

DELIVERIES = cast(Table, Delivery.__table__)
D = DELIVERIES.c


def _message(delivery_id: str, webhook_id: str, at: datetime) -> Put:
    return Put(DELIVER, {"delivery": delivery_id, "at": rfc3339(at)}, f"webhook:{webhook_id}", at)


def _listeners(work: Work) -> list[tuple[str, str | None, frozenset[str]]]:
    """The webhooks that are told of anything: id, department, and the events, none for all."""

    def load() -> list[tuple[str, str | None, frozenset[str]]]:
        statement = (
            select(Webhook.id, Webhook.department_id, Webhook.events).where(Webhook.enabled).order_by(Webhook.id)
        )
        return [(row.id, row.department_id, frozenset(row.events)) for row in work.session.execute(statement)]

    return work.keep("webhooks that are enabled", load)


def fan_out(work: Work, message: Claimed) -> None:
    """Makes a delivery of an event for each webhook that wants it; in the transaction that completes its message."""
    payload = message.payload
    department = payload.get(ASIDE, {}).get("department_id")
    wanted = [
        webhook_id
        for webhook_id, of, events in _listeners(work)
        if of in (None, department) and (not events or payload["event"] in events)
    ]
    if not wanted:
        return
    now = work.clock.now()
    common = {
        "event": payload["event"],
        "ticket_number": payload["ticket_number"],
        "values": values_of(payload),
        "state": "pending",
        "attempts": 0,
        "created_at": now,
        "next_at": now,
        "log": [],
    }
    rows = [{"id": new_id(), "webhook_id": webhook_id, **common} for webhook_id in wanted]
    execute(work.session, insert(DELIVERIES), rows)
    outbox.put_all(work, [_message(row["id"], row["webhook_id"], now) for row in rows])


class Courier:
    """The handler of `DELIVER`.

    Args:
        automation: the server's own work in a transaction.
        change: changes a webhook as someone does by hand.
    """

    def __init__(
        self, database: Database, automation: Callable[[Session], Work], client: Client, change: Change
    ) -> None:
        self._database = database
        self._automation = automation
        self._client = client
        self._change = change

    def __call__(self, message: Claimed) -> Finish | None:
        """Makes one attempt; answers what to write down of it."""
        delivery_id = message.payload["delivery"]

        def read(session: Session) -> Any:
            work = self._automation(session)
            row = session.execute(select(Delivery).where(D.id == delivery_id)).scalar_one_or_none()
            now = work.clock.now()
            # a message of an earlier round may still come; only one asks for the next attempt
            if row is None or row.next_at is None or rfc3339(row.next_at) != message.payload["at"]:
                return None
            found = target(work, row.webhook_id)
            return found and (found, row.values, now)

        ready = self._database.run(read, write=False)
        if ready is None:
            return None
        found, values, now = ready
        if not found.enabled:
            return lambda session: cancel(session, D.id == delivery_id)
        made = attempt(self._client, found.request(delivery_id, values, now), now)
        return lambda session: self._note(self._automation(session), delivery_id, made)

    def _note(self, work: Work, delivery_id: str, made: Attempt) -> None:
        statement = select(D.webhook_id, D.attempts, D.log, D.state).where(D.id == delivery_id).with_for_update()
        row = execute(work.session, statement, {}).first()
        if row is None:
            return
        attempts = row.attempts + 1
        waits = made.error is not None and made.status != GONE and row.state == "pending" and attempts <= len(WAITS)
        next_at = _next(work.clock.now(), attempts, made) if waits else None
        state = "succeeded" if made.error is None else "pending" if waits else "failed"
        if row.state != "pending" and made.error is not None:
            state = row.state
        values = {
            "state": state,
            "attempts": attempts,
            "next_at": next_at,
            "last_at": made.at,
            "request": made.shown_request,
            "status": made.status,
            "response": made.response,
            "milliseconds": made.milliseconds,
            "error": made.error,
            "log": [*row.log, made.entry],
        }
        execute(work.session, update(DELIVERIES).where(D.id == delivery_id).values(**values), {})
        if next_at is not None:
            outbox.put_all(work, [_message(delivery_id, row.webhook_id, next_at)])
        if made.error is None:
            health.note_success(work, row.webhook_id)
        else:
            health.note_failure(work, row.webhook_id, made.error, gone=made.status == GONE, change=self._change)


def _next(now: datetime, attempts: int, made: Attempt) -> datetime:
    wait = WAITS[attempts - 1] * spread(JITTER)
    return now + max(wait, made.retry_after or wait)


def cancel(session: Session, *conditions: ColumnElement[bool]) -> None:
    """What waits is not delivered any more."""
    statement = update(DELIVERIES).where(D.state == "pending", *conditions)
    execute(session, statement.values(state="cancelled", next_at=None, error="the webhook is disabled"), {})


def cancel_of(session: Session, webhook_ids: Collection[str]) -> None:
    """Nothing that waits for these webhooks is delivered any more."""
    cancel(session, D.webhook_id.in_(webhook_ids))


def redeliver(work: Work, webhook_id: str, *conditions: ColumnElement[bool]) -> int:
    """Asks for deliveries of a webhook anew, under the same ids and with all their attempts; answers how many."""
    now = work.clock.now()
    statement = (
        update(DELIVERIES)
        .where(D.webhook_id == webhook_id, *conditions)
        .values(state="pending", attempts=0, next_at=now)
        .returning(D.id, D.created_at)
    )
    rows = sorted(execute(work.session, statement, {}).all(), key=lambda row: (row.created_at, row.id))
    outbox.put_all(work, [_message(row.id, webhook_id, now) for row in rows])
    return len(rows)


FAILED: ColumnElement[bool] = D.state.in_(("failed", "cancelled"))


def forget_old(work: Work) -> None:
    """Removes the deliveries that are older than the setting `retention.deliveries_days`, but none that waits."""
    days: int = setting(work, "retention.deliveries_days")
    before = work.clock.now() - timedelta(days=days)
    execute(work.session, delete(DELIVERIES).where(D.created_at < before, D.state != "pending"), {})


def counts(session: Session, since: datetime) -> dict[str, int]:
    """How many deliveries that were made since then there are in each state."""
    rows = session.execute(select(D.state, func.count()).where(D.created_at >= since).group_by(D.state))
    return dict.fromkeys(STATES, 0) | {state: int(count) for state, count in rows}
