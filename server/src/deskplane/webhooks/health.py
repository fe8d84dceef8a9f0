"""How a webhook does: since when it fails, when it is disabled for that, and the secret that it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from deskplane.alerts import service as alerts
from deskplane.kernel.db import execute
from deskplane.kernel.kind import Check, Registry, Written
from deskplane.kernel.problem import Problem
from deskplane.kernel.work import Work
from deskplane.webhooks.models import Webhook, WebhookState

Change = Callable[[Work, str, Mapping[str, Any]], None]
"""Changes fields of the webhook with this id, as someone does by hand: with history, and as drift of what a manager
declared. What is above this room gives it."""

TOO_LONG = timedelta(days=5)
"""A webhook that failed for so long, without one success, is disabled."""
OVERLAP = timedelta(hours=24)
"""How long the secret before signs along when another is declared."""
DISABLED = "webhook_disabled"

STATES = cast(Table, WebhookState.__table__)
S = STATES.c


def _set(work: Work, webhook_id: str, values: Mapping[str, Any], *, only: Any = None) -> None:
    insert = sqlite.insert if work.is_sqlite else postgresql.insert
    statement = insert(STATES).values(webhook_id=webhook_id, **values)
    statement = statement.on_conflict_do_update(index_elements=["webhook_id"], set_=dict(values), where=only)
    execute(work.session, statement, {})


def note_success(work: Work, webhook_id: str) -> None:
    """It took a delivery."""
    failing = (S.webhook_id == webhook_id, S.failing_since.is_not(None))
    execute(work.session, update(STATES).where(*failing).values(failing_since=None), {})


def note_failure(work: Work, webhook_id: str, why: str, *, gone: bool, change: Change) -> None:
    """It did not take a delivery. Disables it where it says that it is gone, or has failed for too long."""
    now = work.clock.now()
    _set(work, webhook_id, {"failing_since": now}, only=S.failing_since.is_(None))
    since = execute(work.session, select(S.failing_since).where(S.webhook_id == webhook_id), {}).scalar_one()
    if gone:
        disable(work, webhook_id, "its receiver answered 410, that it is gone", change)
    elif now - since >= TOO_LONG:
        disable(work, webhook_id, f"every delivery has failed for {TOO_LONG.days} days; the last: {why}", change)


def disable(work: Work, webhook_id: str, why: str, change: Change) -> None:
    """Disables a webhook, with an alert that lasts until someone enables or deletes it."""
    webhook = work.session.get(Webhook, webhook_id, populate_existing=True)
    if webhook is None or not webhook.enabled:
        return
    name = webhook.name
    try:
        change(work, webhook_id, {"enabled": False})
        done = "was disabled"
    except Problem as problem:  # what came of the delivery is to be written down all the same
        done = f"should be disabled, which was refused ({problem.detail})"
    detail = f"the webhook {name!r} {done}: {why}. Mend it, enable it, and deliver anew what failed."
    alerts.raise_alert(work, DISABLED, webhook_id, detail)


def register(registry: Registry, cancel: Callable[[Session, Sequence[str]], None]) -> None:
    """What follows from changes of webhooks, and what the address must be like."""

    def written(objects: Sequence[Written]) -> None:
        work = objects[0].work
        off, on, before_it = [], [], {}
        for one in objects:
            before, after = one.before or {}, one.after or {}
            if before.get("enabled") and after.get("enabled") is False:
                off.append(one.id)
            if before.get("enabled") is False and after.get("enabled"):
                on.append(one.id)
            if before.get("secret") and after.get("secret") not in (None, before["secret"]):
                before_it[one.id] = before["secret"]
        if before_it:
            keep_previous(work, before_it, work.clock.now() + OVERLAP)
        if off:
            cancel(work.session, off)
        if on:
            alerts.clear_alert(work, DISABLED, *on)
            execute(work.session, update(STATES).where(S.webhook_id.in_(on)).values(failing_since=None), {})

    def going(work: Work, ids: Sequence[str]) -> None:
        alerts.clear_alert(work, DISABLED, *ids)

    def check(found: Check) -> None:
        before, after = found.before or {}, found.after
        # one that was saved before the operator's networks changed can still be disabled
        if before.get("url") == after["url"] and (before.get("enabled") or not after["enabled"]):
            return
        mistake = found.work.outside.mistake(after["url"])
        if mistake is not None:
            found.refuse("url", "not_allowed", mistake)

    registry.on_written["webhook"].append(written)
    registry.deleting["webhook"].append(going)
    registry.checks["webhook"].append(check)


def keep_previous(work: Work, sealed: Mapping[str, str], until: datetime) -> None:
    """Lets the secrets before, by the webhooks' ids, sign along until then."""
    insert = sqlite.insert if work.is_sqlite else postgresql.insert
    statement = insert(STATES)
    taken = {name: statement.excluded[name] for name in ("previous_secret", "previous_until")}
    rows = [{"webhook_id": key, "previous_secret": secret, "previous_until": until} for key, secret in sealed.items()]
    execute(work.session, statement.on_conflict_do_update(index_elements=["webhook_id"], set_=taken), rows)


def sign_along_until(work: Work, webhook_id: str, until: datetime) -> bool:
    """Lets the secret before sign along until then; answers whether there is one."""
    mine = update(STATES).where(S.webhook_id == webhook_id, S.previous_secret.is_not(None))
    return bool(execute(work.session, mine.values(previous_until=until), {}).rowcount)
