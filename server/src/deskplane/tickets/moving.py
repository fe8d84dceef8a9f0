"""Taking the conversation of one ticket to another: merging two tickets, splitting one (domain: ticket)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update

from deskplane.kernel.etag import require_match
from deskplane.kernel.problem import FieldError, invalid, invalid_field, not_found, pointer
from deskplane.kernel.work import Work
from deskplane.tickets import links, messages, outside, queries, search, service
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import Attachment, Ticket, TicketLink, TicketMessage, TicketReference
from deskplane.tickets.schemas import MOST_EACH

DUPLICATES = "duplicates"
SETS = ("tags", "labels", "assets")


def merge(work: Work, number: str, into: str, *, if_match: str | None = None) -> tuple[Draft, Draft]:
    """Takes everything that was said on a ticket to another one, and closes it as its duplicate; answers both.

    Both are locked in the order of their ids, so that of merges at once each finds what the one before left. Raises
    404, 412, and 422 for a ticket and itself, one that is final, another customer's, and one that cannot be closed.
    """
    for permission in ("tickets:edit", "tickets:close"):
        work.actor.need(permission)
    links.queue(work, [links.PARENT])
    source, target = _both(work, number, into)
    require_match(if_match, source.columns["version"])
    if source.columns["id"] == target.columns["id"]:
        raise invalid_field("into", "not_allowed", "a ticket is not merged into itself")
    links.require_not_final(work, source, target)
    if source.columns["customer_id"] not in (None, target.columns["customer_id"]):
        raise invalid_field("into", "other_customer", f"{target.number} is another customer's ticket")
    before = source.snapshot(), target.snapshot()
    moved = _move(work, source, target)
    _move_references(work, source, target)
    _move_links(work, source, target)
    _unite(source, target)
    _close(work, source)
    service.record(work, source, [("merged_into", None, {"ticket": target.number, "messages": moved})])
    service.record(work, target, [("merged", None, {"ticket": source.number, "messages": moved})])
    service.save(work, source, before[0], {"merged_into", *_changed(source, before[0])})
    service.save(work, target, before[1], {"merged", *_changed(target, before[1])})
    return source, target


def _both(work: Work, number: str, into: str) -> tuple[Draft, Draft]:
    """The two tickets, locked; who names one to merge into that he may not see is told what he would be of none."""
    numbers = {name: queries.parse_number(text) for name, text in (("number", number), ("into", into))}
    conditions = [and_(Ticket.prefix == parts[0], Ticket.sequence == parts[1]) for parts in numbers.values() if parts]
    condition = queries.visible(work.actor)
    seen = [condition] if condition is not None else []
    found = {
        (draft.columns["prefix"], draft.columns["sequence"]): draft
        for draft in (service.load(work, or_(*conditions), *seen) if conditions else [])
    }
    source, target = (found.get(parts) if parts else None for parts in numbers.values())
    if source is None:
        raise not_found()
    if target is None:
        raise invalid_field("into", "unknown_reference", f"there is no ticket {into!r}")
    return source, target


def _changed(draft: Draft, before: Mapping[str, Any]) -> set[str]:
    return {name for name, value in draft.snapshot().items() if value != before[name]}


def _move(work: Work, source: Draft, target: Draft, ids: Sequence[int] | None = None) -> list[int]:
    """Takes messages with their files to another ticket, all or those of these ids; each keeps where it was first.
    Answers their ids."""
    session, source_id, target_id = work.session, source.columns["id"], target.columns["id"]
    mine = TicketMessage.ticket_id == source_id
    if ids is None:
        ids = session.execute(select(TicketMessage.id).where(mine).order_by(TicketMessage.id)).scalars().all()
        files = Attachment.ticket_id == source_id
    else:
        files = Attachment.message_id.in_(ids)
        parted = or_(
            and_(TicketMessage.id.in_(ids), TicketMessage.in_reply_to.not_in(ids)),
            and_(TicketMessage.id.not_in(ids), TicketMessage.in_reply_to.in_(ids)),
        )
        session.execute(update(TicketMessage).where(mine, parted).values(in_reply_to=None))
    origin = func.coalesce(TicketMessage.origin_ticket, source.number)
    moving = update(TicketMessage).where(mine, TicketMessage.id.in_(ids))
    session.execute(moving.values(ticket_id=target_id, origin_ticket=origin))
    session.execute(update(Attachment).where(files).values(ticket_id=target_id))
    for draft in (source, target):
        _read_anew(work, draft)
    return list(ids)


def _read_anew(work: Work, draft: Draft) -> None:
    """What follows from a ticket's conversation: what it is found by, and its last contact."""
    ticket_id = draft.columns["id"]
    columns = (TicketMessage.body, TicketMessage.direction, TicketMessage.created_at)
    rows = work.session.execute(
        select(*columns)
        .where(TicketMessage.ticket_id == ticket_id)
        .order_by(TicketMessage.created_at, TicketMessage.id)
    ).all()
    search.hear_anew(work, ticket_id, [(row.body, row.direction == "internal") for row in rows])
    public = [row for row in rows if row.direction != "internal"]
    draft.columns["last_contact_at"] = public[-1].created_at if public else None
    draft.columns["last_contact_direction"] = public[-1].direction if public else None


def _move_references(work: Work, source: Draft, target: Draft) -> None:
    there = {(one.type, one.url) for one in outside.of_ticket(work, target.columns["id"])}
    for one in outside.of_ticket(work, source.columns["id"]):
        told = {name: getattr(one, name) for name in outside.PARTS}
        this = TicketReference.id == one.id
        if (one.type, one.url) in there:
            work.session.execute(delete(TicketReference).where(this))
        else:
            work.session.execute(update(TicketReference).where(this).values(ticket_id=target.columns["id"]))
            service.record(work, target, [("reference", None, told)])
        service.record(work, source, [("reference", told, None)])


def _move_links(work: Work, source: Draft, target: Draft) -> None:
    """The target takes the links of the source over, except for what it has, and for what would make it a second
    parent or put it above itself; and the source becomes its duplicate."""
    rows = work.session.execute(links.statement_of(source.columns["id"])).all()
    others = {draft.columns["id"]: draft for draft in service.load(work, Ticket.id.in_([row.other_id for row in rows]))}
    others[target.columns["id"]] = target
    for row in rows:
        other = others[row.other_id]
        work.session.execute(delete(TicketLink).where(TicketLink.id == row.id))
        links.tell(work, source, row.type, other, new=False)
        if other is not target and links.fits(work, target, row.type, other):
            links.put(work, target, row.type, other)
    links.touch(work, *[other for other in others.values() if other is not target])
    links.put(work, source, DUPLICATES, target)


def _unite(source: Draft, target: Draft) -> None:
    for name in SETS:
        united = sorted({*getattr(target, name), *getattr(source, name)})
        if len(united) > MOST_EACH:
            detail = f"{target.number} would have {len(united)} {name}; a ticket has {MOST_EACH} at most"
            raise invalid_field("into", "too_long", detail)
        setattr(target, name, united)
    target.moved_at = target.moved_at or dict(source.moved_at)


def _close(work: Work, draft: Draft) -> None:
    if draft.status not in ("closed", "cancelled"):
        service.take_steps(work, draft, "closed")


def split(work: Work, number: str, given: Mapping[str, Any], *, if_match: str | None = None) -> tuple[Draft, Draft]:
    """Makes a new ticket of some messages of one: of the same customer, contact, department, type and priority, and
    related to it; answers the old and the new one. Raises 404, 412, and 422 for messages that it has not."""
    for permission in ("tickets:create", "tickets:edit"):
        work.actor.need(permission)
    source = service.load_by_number(work, number)
    require_match(if_match, source.columns["version"])
    links.require_not_final(work, source)
    ids = given["messages"]
    if not ids:
        raise invalid_field("messages", "required", "must name at least one message")
    readable = select(TicketMessage.id).where(
        TicketMessage.ticket_id == source.columns["id"], TicketMessage.id.in_(ids), *messages.readable(work.actor)
    )
    there = set(work.session.execute(readable).scalars())
    errors = [
        FieldError(pointer("messages", index), "unknown_reference", f"the ticket has no message {one}")
        for index, one in enumerate(ids)
        if one not in there
    ]
    if errors:
        raise invalid(errors)
    same = {name: source.value(name) for name in ("customer", "contact", "department", "type", "priority")}
    new = service.open_ticket(work, {**same, "title": given["title"], "source": source.columns["source"]})
    before = source.snapshot(), new.snapshot()
    moved = _move(work, source, new, ids)
    links.put(work, source, "relates_to", new)
    service.record(work, source, [("split_off", None, {"ticket": new.number, "messages": moved})])
    service.record(work, new, [("split_from", None, {"ticket": source.number, "messages": moved})])
    service.save(work, source, before[0], {"split_off"})
    service.store_row(work, new)
    return source, new
