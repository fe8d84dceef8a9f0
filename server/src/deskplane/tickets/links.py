"""Links between tickets: what blocks, causes, duplicates, belongs to what (domain: ticket).

One row is one link, and both tickets show it, each from its side. Who may not see a ticket sees no link to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, case, delete, func, insert, or_, select, update

from deskplane.kernel.problem import FieldError, Problem, conflict, invalid, invalid_field, not_found, pointer
from deskplane.kernel.work import Work
from deskplane.tickets import queries, references, service
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import History, Ticket, TicketLink
from deskplane.tickets.queries import T
from deskplane.tickets.schemas import LINK_INVERSES as INVERSES

FORWARD = {inverse: name for name, inverse in INVERSES.items()}
PARENT = "parent_of"
NAMING = ("link", "merged", "merged_into", "split_off", "split_from")
"""Fields of history that name another ticket."""

_LOCK = 0x6465736B74726565


def inverse_of(type_: str) -> str:
    """What the ticket at the other end calls a link."""
    return INVERSES.get(type_) or FORWARD[type_]


class Link(NamedTuple):
    """A link as one of its tickets shows it."""

    type: str
    ticket: str

    def shown(self) -> dict[str, str]:
        """As it is answered and as history keeps it."""
        return {"type": self.type, "ticket": self.ticket}


def _row(one: int, type_: str, other: int) -> dict[str, Any]:
    """The one row of a link that a ticket has to another."""
    if type_ not in INVERSES:
        return {"source_id": other, "type": FORWARD[type_], "target_id": one}
    if type_ == "relates_to":
        one, other = sorted((one, other))
    return {"source_id": one, "type": type_, "target_id": other}


def _is(row: Mapping[str, Any]) -> Any:
    return and_(*[getattr(TicketLink, name) == value for name, value in row.items()])


def statement_of(ticket_id: int) -> Select[Any]:
    """Every link of a ticket: id, its type as the ticket shows it, and the ticket at the other end."""
    forward = TicketLink.source_id == ticket_id
    inverse = case(INVERSES, value=TicketLink.type, else_=TicketLink.type)
    shown = case((forward, TicketLink.type), else_=inverse).label("type")
    other = case((forward, TicketLink.target_id), else_=TicketLink.source_id)
    columns = (TicketLink.id, shown, T.id.label("other_id"), T.prefix, T.sequence, T.title, T.status)
    return (
        select(*columns)
        .select_from(TicketLink)
        .join(queries.TICKETS, T.id == other)
        .where(or_(forward, TicketLink.target_id == ticket_id))
    )


def seen_statement_of(work: Work, ticket_id: int) -> Select[Any]:
    """Those links of a ticket whose other end the caller may see."""
    condition = queries.visible(work.actor)
    statement = statement_of(ticket_id)
    return statement if condition is None else statement.where(condition)


def seen(work: Work, ticket_id: int) -> list[Link]:
    """The links that the caller sees on a ticket, sorted."""
    rows = work.session.execute(seen_statement_of(work, ticket_id))
    return sorted(Link(row.type, queries.number_text(row.prefix, row.sequence)) for row in rows)


def load_both(work: Work, one: str, other: str) -> tuple[Draft, Draft]:
    """Two tickets, locked in the order of their ids, so that two callers never wait for each other. Raises 404 where
    the caller may not see one of them."""
    numbers = [queries.parse_number(number) for number in (one, other)]
    conditions = [and_(Ticket.prefix == parts[0], Ticket.sequence == parts[1]) for parts in numbers if parts]
    if len(conditions) < len(numbers):
        raise not_found()
    condition = queries.visible(work.actor)
    seen = [condition] if condition is not None else []
    found = {
        (draft.columns["prefix"], draft.columns["sequence"]): draft
        for draft in service.load(work, or_(*conditions), *seen)
    }
    first, second = (found.get(parts) for parts in numbers if parts)
    if first is None or second is None:
        raise not_found()
    return first, second


def require_not_final(work: Work, *drafts: Draft) -> None:
    """Raises 422 where nothing about one of the tickets may change any more."""
    for draft in drafts:
        if draft.status in references.workflow_of(work, draft).final:
            detail = f"{draft.number} is {draft.status}, which is final in its workflow"
            raise Problem(422, "final", detail)


def queue(work: Work, types: Sequence[str]) -> None:
    """Callers who change parents go one after the other, so that no two of them make a cycle together. To be called
    before tickets are locked."""
    if {PARENT, INVERSES[PARENT]} & set(types) and not work.is_sqlite:
        work.session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def add(work: Work, draft: Draft, type_: str, other: Draft) -> bool:
    """Links two tickets that are locked; answers whether that was anything new. Raises 422 for a ticket and itself, for
    a circle of parents, and for a second parent."""
    work.actor.need("tickets:edit")
    one_id, other_id = draft.columns["id"], other.columns["id"]
    if one_id == other_id:
        raise invalid_field("ticket", "not_allowed", "a ticket has no link to itself")
    row = _row(one_id, type_, other_id)
    if work.session.execute(select(TicketLink.id).where(_is(row))).first() is not None:
        return False
    require_not_final(work, draft, other)
    if row["type"] == PARENT:
        _check_parent(work, row["source_id"], row["target_id"])
    put(work, draft, type_, other)
    return True


def put(work: Work, draft: Draft, type_: str, other: Draft) -> None:
    """Links two tickets of which it is known that they may be linked so."""
    work.session.execute(insert(TicketLink).values(**_row(draft.columns["id"], type_, other.columns["id"])))
    tell(work, draft, type_, other, new=True)


def fits(work: Work, draft: Draft, type_: str, other: Draft) -> bool:
    """Whether two tickets are not linked so yet, and may be."""
    row = _row(draft.columns["id"], type_, other.columns["id"])
    if work.session.execute(select(TicketLink.id).where(_is(row))).first() is not None:
        return False
    try:
        if row["type"] == PARENT:
            _check_parent(work, row["source_id"], row["target_id"])
    except Problem:
        return False
    return True


def remove(work: Work, draft: Draft, type_: str, other: Draft) -> bool:
    """Takes a link away; answers whether there was one."""
    work.actor.need("tickets:edit")
    row = _row(draft.columns["id"], type_, other.columns["id"])
    if work.session.execute(select(TicketLink.id).where(_is(row))).first() is None:
        return False
    require_not_final(work, draft, other)
    work.session.execute(delete(TicketLink).where(_is(row)))
    tell(work, draft, type_, other, new=False)
    return True


def touch(work: Work, *drafts: Draft) -> None:
    """Raises the versions of tickets of which something changed that is no field of theirs."""
    now = work.clock.now()
    for draft in drafts:
        draft.columns |= {"version": draft.columns["version"] + 1, "updated_at": now}
        values = {name: draft.columns[name] for name in ("version", "updated_at")}
        work.session.execute(update(Ticket).where(Ticket.id == draft.columns["id"]).values(**values))


def tell(work: Work, draft: Draft, type_: str, other: Draft, *, new: bool) -> None:
    """Writes a row into both histories."""
    for one, link in ((draft, Link(type_, other.number)), (other, Link(inverse_of(type_), draft.number))):
        shown = link.shown()
        service.record(work, one, [("link", None, shown) if new else ("link", shown, None)])


def _check_parent(work: Work, parent: int, child: int) -> None:
    """A ticket has one parent, and is above none of those above it."""
    is_child = and_(TicketLink.type == PARENT, TicketLink.target_id == child)
    if work.session.execute(select(TicketLink.id).where(is_child)).first() is not None:
        raise conflict("has_parent", "the ticket has a parent already; take that link away first")
    above = select(TicketLink.source_id.label("id")).where(TicketLink.type == PARENT, TicketLink.target_id == parent)
    tree = above.cte("above", recursive=True)
    tree = tree.union(
        select(TicketLink.source_id).join(tree, and_(TicketLink.type == PARENT, TicketLink.target_id == tree.c.id))
    )
    if work.session.execute(select(tree.c.id).where(tree.c.id == child)).first() is not None:
        raise invalid_field("ticket", "cycle", "the ticket would be above itself")


def replace(work: Work, draft: Draft, wanted: Sequence[Mapping[str, str]]) -> bool:
    """Makes the links that the caller sees those that are given. Raises 422 that names each ticket that there is not,
    as for one that he may not see."""
    links = {Link(item["type"], _one_spelling(item["ticket"])): index for index, item in enumerate(wanted)}
    is_there = set(seen(work, draft.columns["id"]))
    changes = [(link, True) for link in links if link not in is_there]
    changes += [(link, False) for link in is_there if link not in links]
    if not changes:
        return False
    others = _by_number(work, [link.ticket for link, _new in changes])
    errors = [
        FieldError(pointer("links", index, "ticket"), "unknown_reference", f"there is no ticket {link.ticket!r}")
        for link, index in links.items()
        if link not in is_there and link.ticket not in others
    ]
    if errors:
        raise invalid(errors)
    for link, new in sorted(changes, key=lambda change: change[1]):  # a parent goes before another one comes
        other = others[link.ticket]
        (add if new else remove)(work, draft, link.type, other)
    touch(work, *others.values())
    return True


def _one_spelling(number: str) -> str:
    parts = queries.parse_number(number)
    return number if parts is None else queries.number_text(*parts)


def _by_number(work: Work, numbers: Sequence[str]) -> dict[str, Draft]:
    parsed = [parts for parts in map(queries.parse_number, numbers) if parts]
    named = or_(*[and_(Ticket.prefix == prefix, Ticket.sequence == sequence) for prefix, sequence in parsed])
    condition = queries.visible(work.actor)
    seen = [condition] if condition is not None else []
    found = service.load(work, named, *seen) if parsed else []
    return {draft.number: draft for draft in found}


def seen_history(work: Work, rows: Sequence[History]) -> list[History]:
    """Those rows of a history that name no ticket which the caller may not see."""
    named = {row.id: (row.new or row.old)["ticket"] for row in rows if row.field in NAMING}
    condition = queries.visible(work.actor)
    if not named or condition is None:
        return list(rows)
    parsed = [parts for parts in map(queries.parse_number, set(named.values())) if parts]
    which = or_(*[and_(T.prefix == prefix, T.sequence == sequence) for prefix, sequence in parsed])
    found = work.session.execute(select(T.prefix, T.sequence).where(which, condition))
    visible = {queries.number_text(prefix, sequence) for prefix, sequence in found}
    return [row for row in rows if row.id not in named or named[row.id] in visible]
