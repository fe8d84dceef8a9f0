"""Tickets opened by machines (domain 6): what the ticket should be, and how to recognise it.

Everything happens in one transaction, and two callers with one key go one after the other, so that they make one
ticket.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select

from deskplane.customers.models import Customer
from deskplane.kernel.problem import invalid_field
from deskplane.kernel.words import ENDED, STATUSES
from deskplane.kernel.work import Work
from deskplane.tickets import (
    assets,
    chronicle,
    contacts,
    declared_files,
    queries,
    references,
    related,
    removal,
    service,
)
from deskplane.tickets.announcements import announce
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import Ticket

IDENTITY = ("title", "description")
"""Set at creation and then left alone, unless `update_fields` names them: fifty hosts report one trouble in fifty
wordings."""
OPTIONS = (
    "state",
    "on_repeat",
    "reopen_within",
    "update_fields",
    "comment",
    "internal",
    "source",
    "attachments",
    *related.NAMES,
)


@dataclass
class Applied:
    """What became of the declaration."""

    action: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    version: int | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    unresolved: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    attachments: list[Any] | None = None
    """Where files are declared: for each what it is on the ticket, None where it is still to be sent."""


def apply(work: Work, body: Mapping[str, Any], *, allow_unresolved: bool = False) -> Applied:
    """Brings the ticket to what is declared. Raises as `open_ticket` and `change` do.

    `allow_unresolved` has an effect in a dry run only: what is referred to and is not there yet is reported instead of
    refused, and shown as if it were.
    """
    brought = contacts.customer_of(work, body)
    body = body if brought is None else {**body, "customer": brought}
    missing: list[dict[str, str]] = []
    if allow_unresolved and work.dry_run:
        missing = references.unresolved(work, body) + assets.unresolved(work, body)
    if not missing:
        return _apply(work, body)
    shown = dict.fromkeys(entry["field"] for entry in missing)
    known = references.without(body, missing)
    if "customer" not in shown:
        applied = _apply(work, known)
    elif body.get("state") in (None, "present"):
        # a customer that is not there has no ticket yet, and nobody else's with the same key is meant
        key = known.pop("correlation_key", None)
        shown |= {"correlation_key": None} if key is not None else {}
        applied = _open(work, {name: value for name, value in known.items() if name not in OPTIONS}, known)
    else:
        applied = Applied("none")
    applied.unresolved = missing
    for field_name in shown:
        if applied.after is not None:
            before = (applied.before or {}).get(field_name)
            applied.changes = [change for change in applied.changes if change["field"] != field_name]
            applied.changes.append({"field": field_name, "before": before, "after": body[field_name]})
            applied.after[field_name] = body[field_name]
            applied.action = "update" if applied.action == "none" else applied.action
    return applied


def _apply(work: Work, body: Mapping[str, Any]) -> Applied:
    if not body.get("title") and not body.get("correlation_key"):
        raise invalid_field("title", "required", "is required, unless correlation_key says which ticket is meant")
    declared_files.require_present(body)
    state = body.get("state") or "present"
    given = {name: value for name, value in body.items() if name not in OPTIONS}
    if state == "present":
        _check_status(body.get("status"))
    elif body.get("customer") is not None:
        # or else a misspelt customer would make of every recovery one that finds nothing to do
        references.require_customer(work, body["customer"])
    related.queue(work, body)
    _one_at_a_time(work, body)
    open_one = _find(work, body, Ticket.status.not_in(ENDED), newest_first=False)
    if state == "present":
        if open_one is not None:
            return _repeat(work, open_one, given, body)
        return _reopen(work, given, body) or _open(work, given, body)
    if open_one is None:
        open_one = _ended_otherwise(work, body, state)
    if open_one is None:
        return Applied("none")
    if state == "absent":
        return _delete(work, open_one)
    return _end(work, open_one, state, body)


def _check_status(status: str | None) -> None:
    """A ticket that is to be there is open: an ended one would not be found again, and each run would open another."""
    if status in ENDED:
        detail = f"a present ticket is open; to end it, say so with the state, not with the status {status}"
        raise invalid_field("status", "not_allowed", detail, [name for name in STATUSES if name not in ENDED])


def _one_at_a_time(work: Work, body: Mapping[str, Any]) -> None:
    """SQLite has one writer anyway; on PostgreSQL callers with one identity queue on an advisory lock."""
    if work.is_sqlite:
        return
    identity = "\x00".join(
        [
            body.get("customer") or "",
            body.get("correlation_key") or "",
            "" if body.get("correlation_key") else body["title"],
        ]
    )
    number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big", signed=True)
    work.session.execute(select(func.pg_advisory_xact_lock(number)))


def _find(work: Work, body: Mapping[str, Any], *conditions: Any, newest_first: bool) -> Draft | None:
    """By correlation key, else by title, among the customer's tickets that the caller may see."""
    if body.get("customer") is None:
        whose: ColumnElement[bool] = Ticket.customer_id.is_(None)
    else:
        customer = select(Customer.id).where(Customer.name == body["customer"]).scalar_subquery()
        whose = Ticket.customer_id == customer
    if body.get("correlation_key"):
        named: ColumnElement[bool] = Ticket.correlation_key == body["correlation_key"]
    else:
        named = (Ticket.title == body["title"]) & Ticket.correlation_key.is_(None)
    condition = queries.visible(work.actor)
    seen = [condition] if condition is not None else []
    order = Ticket.id.desc() if newest_first else Ticket.id.asc()
    statement = select(Ticket.id).where(whose, named, *conditions, *seen).order_by(order).limit(1)
    while (ticket_id := work.session.execute(statement).scalar_one_or_none()) is not None:
        found = service.load(work, Ticket.id == ticket_id, whose, named, *conditions, *seen)
        if found:
            return found[0]
        # somebody else ended, changed or deleted it while its lock was awaited: perhaps there is another one
    return None


def _ended_otherwise(work: Work, body: Mapping[str, Any], state: str) -> Draft | None:
    """A ticket that was resolved is still to be closed; every other recovery without an open ticket is no change."""
    if state != "closed":
        return None
    return _find(work, body, Ticket.status == "resolved", newest_first=True)


def _shown(work: Work, draft: Draft, body: Mapping[str, Any]) -> dict[str, Any]:
    return service.shown(work, draft) | related.shown(work, draft, body)


def _applied(work: Work, draft: Draft, body: Mapping[str, Any], action: str, before: dict[str, Any] | None) -> Applied:
    after = _shown(work, draft, body)
    if work.dry_run and before is None:
        after = _unassigned(after)
    files = declared_files.there(work, draft, body)
    version, changes = draft.columns["version"], _differences(before, after)
    return Applied(action, before, after, version, changes, warnings=draft.warnings, attachments=files)


def _unassigned(after: dict[str, Any]) -> dict[str, Any]:
    """A ticket that was not opened has no number yet, and no times."""
    sla = dict(after["sla"])
    for clock in ("response", "resolution"):
        sla[clock] = {name: value if name == "state" else None for name, value in sla[clock].items()}
    times = ("created_at", "updated_at", "last_occurred_at", "resolved_at", "closed_at")
    return after | {"number": None, "url": None, "sla": sla} | dict.fromkeys(times)


_SERVER_SIDE = {
    "updated_at",
    "created_at",
    "created_by",
    "description_html",
    "contact_assets",
    "url",
    "number",
    "sla",
    "reporter",
    "last_occurred_at",
    "effective_priority",
    "resolved_at",
    "closed_at",
    "last_contact_at",
    "last_contact_direction",
}


def _differences(before: dict[str, Any] | None, after: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, value in after.items():
        old = before.get(name) if before is not None else None
        if name in _SERVER_SIDE or old == value or (before is None and value in (None, "", [], 0)):
            continue
        found.append({"field": name, "before": old, "after": value})
    return found


def _open(work: Work, given: Mapping[str, Any], body: Mapping[str, Any]) -> Applied:
    draft = service.open_ticket(work, {**given, "source": body.get("source") or "api"})
    if body.get("comment") is not None:
        service.may_say(work, _said(body))
        if _said(body) == "outbound":  # which is no response yet: it is how the ticket was opened
            draft.columns |= {"last_contact_at": work.clock.now(), "last_contact_direction": "outbound"}
            service.store_row(work, draft)
        message_id = chronicle.add_message(work, draft, body["comment"], direction=_said(body))
        if _said(body) == "outbound":
            announce(work, "comment_added", draft, message=message_id)
    related.declare(work, draft, body)
    return _applied(work, draft, body, "create", None)


def _said(body: Mapping[str, Any]) -> str:
    """The direction of the comment."""
    return "outbound" if body.get("internal") is False else "internal"


def _follow(given: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The declared fields that a ticket which is there follows."""
    followed = body.get("update_fields") or []
    return {name: value for name, value in given.items() if name not in IDENTITY or name in followed}


def _repeat(work: Work, draft: Draft, given: Mapping[str, Any], body: Mapping[str, Any]) -> Applied:
    before = _shown(work, draft, body)
    on_repeat = body.get("on_repeat") or "ignore"
    if on_repeat == "count":
        draft.columns |= {"occurrences": draft.columns["occurrences"] + 1, "last_occurred_at": work.clock.now()}
        return _changed(work, draft, given, body, before, counted=True)
    comment = body.get("comment") if on_repeat == "comment" else None
    return _changed(work, draft, given, body, before, comment=comment)


def _changed(
    work: Work,
    draft: Draft,
    given: Mapping[str, Any],
    body: Mapping[str, Any],
    before: dict[str, Any],
    *,
    counted: bool = False,
    comment: str | None = None,
) -> Applied:
    earlier = {"occurrences": before["occurrences"]}
    changed = related.changing(
        work,
        draft,
        body,
        lambda: service.change(work, draft, _follow(given, body), comment=comment, said=_said(body), earlier=earlier),
    )
    action = "update" if changed or counted or comment is not None else "none"
    return _applied(work, draft, body, action, before)


def _reopen(work: Work, given: Mapping[str, Any], body: Mapping[str, Any]) -> Applied | None:
    """The last ticket of that identity, if it ended lately enough to be the same trouble."""
    minutes = body.get("reopen_within")
    if not minutes:
        return None
    since = work.clock.now() - timedelta(minutes=minutes)
    ended_at = func.coalesce(Ticket.resolved_at, Ticket.closed_at)  # to close what was resolved ends nothing anew
    draft = _find(work, body, Ticket.status.in_(ENDED), ended_at >= since, newest_first=True)
    if draft is None or draft.status in references.workflow_of(work, draft).final:
        return None
    status = body.get("status") or _first_open(work, draft)
    if status is None:
        return None
    before = _shown(work, draft, body)
    draft.columns |= {"occurrences": draft.columns["occurrences"] + 1, "last_occurred_at": work.clock.now()}
    wanted = _follow(given, body) | {"status": status}
    earlier = {"occurrences": before["occurrences"]}
    service.change(work, draft, wanted, comment=body.get("comment"), said=_said(body), earlier=earlier)
    related.declare(work, draft, body)
    return _applied(work, draft, body, "update", before)


def _first_open(work: Work, draft: Draft) -> str | None:
    """Where a reopened ticket goes: the first open status that the workflow leads to; None where it leads to none."""
    workflow = references.workflow_of(work, draft)
    is_open = [status for status in STATUSES if status not in ENDED]
    return next((status for status in is_open if workflow.path(draft.status, status, work.actor.may)), None)


def _end(work: Work, draft: Draft, state: str, body: Mapping[str, Any]) -> Applied:
    before = service.shown(work, draft)
    changed = service.change(work, draft, {"status": state}, comment=body.get("comment"), said=_said(body))
    return _applied(work, draft, {}, "update" if changed else "none", before)


def _delete(work: Work, draft: Draft) -> Applied:
    before = service.shown(work, draft)
    removal.delete_ticket(work, draft)
    return Applied("delete", before)
