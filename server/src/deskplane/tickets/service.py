"""What one can do with tickets: open, change, delete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from deskplane.desks.queries import rights_of
from deskplane.desks.settings import setting
from deskplane.kernel.db import execute
from deskplane.kernel.etag import require_match
from deskplane.kernel.problem import (
    FieldError,
    Problem,
    conflict,
    invalid,
    invalid_field,
    not_found,
    pointer,
)
from deskplane.kernel.words import ENDED, PRIORITIES
from deskplane.kernel.work import Work
from deskplane.service_levels.clock import Pause
from deskplane.service_levels.service import current_revision, match, promises
from deskplane.tickets import assets, contacts, linked, queries, references, search
from deskplane.tickets.announcements import announce, event_of
from deskplane.tickets.chronicle import add_message, plain
from deskplane.tickets.chronicle import record as record
from deskplane.tickets.draft import COMPARED, NAMED, PLAIN, Draft, empty, row_values
from deskplane.tickets.models import Counter, Ticket, TicketPause, ticket_labels, ticket_tags
from deskplane.tickets.words import words


def _set_references(work: Work, draft: Draft, given: Mapping[str, Any], errors: list[FieldError]) -> None:
    for field in NAMED:
        if field not in given or field == "contact":
            continue
        name = given[field]
        found = references.find(work, field, name=name) if name is not None else None
        if name is not None and (found is None or (field == "customer" and not references.works_for(work, found.id))):
            errors.append(references.unknown(work, field, name))
            continue
        if field == "department" and found is not None and not found.enabled and draft.columns["id"] is None:
            errors.append(FieldError(pointer(field), "disabled", f"the department {name} takes no new tickets"))
        draft.columns[f"{field}_id"] = found.id if found else None
        draft.names[field] = found.name if found else None
    contacts.set_contact(work, draft, given, errors)
    assets.set_assets(work, draft, given, errors)


def _check_people(work: Work, draft: Draft, given: Mapping[str, Any], errors: list[FieldError]) -> None:
    """Assignee and owner must be people who may see the ticket."""
    columns = draft.columns
    for field in ("assignee", "owner"):
        user_id = columns[f"{field}_id"]
        if user_id is None or not ({field, "customer", "department"} & set(given)):
            continue
        person = rights_of(work, user_id)
        if person is None or not queries.may_see(person, columns["customer_id"], columns["department_id"]):
            detail = f"{draft.names[field]} may not see this ticket"
            errors.append(FieldError(pointer(field), "not_allowed", detail))


def _set_fields(work: Work, draft: Draft, given: Mapping[str, Any], errors: list[FieldError]) -> None:
    """Takes the given fields over, all but the status. An explicit null is the default."""
    for field in PLAIN:
        if field in given:
            value = given[field]
            draft.columns[field] = "" if value is None and field == "description" else value
    if not draft.columns["title"]:
        errors.append(FieldError(pointer("title"), "required", "is required"))
    if "priority" in given:
        draft.columns["priority"] = PRIORITIES.index(given["priority"] or "medium")
    if "tags" in given:
        draft.tags = list(given["tags"] or [])
    if "labels" in given:
        known = references.label_ids(work)
        errors += [references.unknown(work, "labels", name) for name in given["labels"] or [] if name not in known]
        draft.labels = list(given["labels"] or [])
    _set_references(work, draft, given, errors)


def _check_reminder(draft: Draft, given: Mapping[str, Any], errors: list[FieldError]) -> None:
    if given.get("remind_at") is not None and draft.status != "waiting":
        errors.append(FieldError(pointer("remind_at"), "not_allowed", "only a waiting ticket has a reminder"))


def take_steps(work: Work, draft: Draft, goal: str, *, one_step: bool = False) -> None:
    """Takes the shortest allowed way to a status; a person takes one step at a time. Raises 422 that lists what is
    allowed, and 403 for a step that needs a permission."""
    if goal == draft.status:
        return
    workflow = references.workflow_of(work, draft)
    path = workflow.path(draft.status, goal, work.actor.may)
    if path is None or (one_step and len(path) > 1):
        if (draft.status, goal) in workflow.permissions:
            work.actor.need(workflow.permissions[draft.status, goal])
        allowed = workflow.following(draft.status, work.actor.may)
        detail = f"the workflow {workflow.name} does not lead from {draft.status} to {goal}"
        raise invalid_field("status", "not_allowed", detail, allowed)
    for status in path:
        draft.step(status, work.clock.now())


def _check_key_is_free(work: Work, draft: Draft) -> None:
    """There is one open ticket with a correlation key for a customer. Raises 409 that names it, if the caller may see
    it. Two at once meet at a unique index; the second is run anew and ends here."""
    key, customer_id = draft.columns["correlation_key"], draft.columns["customer_id"]
    if key is None or draft.status in ENDED:
        return
    other = select(Ticket.prefix, Ticket.sequence).where(
        Ticket.correlation_key == key,
        Ticket.status.not_in(ENDED),
        Ticket.customer_id.is_(None) if customer_id is None else Ticket.customer_id == customer_id,
        Ticket.id != (draft.columns["id"] or 0),
    )
    if work.session.execute(other).first() is None:
        return
    condition = queries.visible(work.actor)
    seen = work.session.execute(other if condition is None else other.where(condition)).first()
    name = queries.number_text(*seen) if seen is not None else "another ticket"
    raise conflict("correlation_key_taken", f"{name} is open and has the correlation key {key!r} already")


def put_under_promise(work: Work, draft: Draft) -> None:
    """Matches the service level policy by declared priority and customer."""
    customer_id = draft.columns["customer_id"]
    customer = references.find(work, "customer", object_id=customer_id) if customer_id else None
    named = customer.sla_policy_id if customer else None
    found = match(promises(work), priority=draft.priority, customer_id=customer_id, named=named)
    draft.put_under(found, current_revision(work), work.clock.now())


def _counting(dialect: Any) -> Any:
    statement = dialect.insert(cast(Table, Counter.__table__)).values(prefix=bindparam("of_prefix"), last=1)
    last = Counter.__table__.c.last
    return statement.on_conflict_do_update(index_elements=["prefix"], set_={"last": last + 1}).returning(last)


_COUNT = {True: _counting(sqlite), False: _counting(postgresql)}


def next_number(work: Work, prefix: str) -> int:
    """The next number of a prefix, in one statement; others wait until this transaction ends, so that a number is
    only given to a ticket that is stored."""
    return int(execute(work.session, _COUNT[work.is_sqlite], {"of_prefix": prefix}).scalar_one())


def open_ticket(work: Work, given: Mapping[str, Any]) -> Draft:
    """Opens a ticket. `given` are the fields of `TicketCreate` that were sent. Needs `tickets:create`; an assignee
    needs `tickets:assign`, an ended status `tickets:close`."""
    work.actor.need("tickets:create")
    if given.get("assignee") is not None:
        work.actor.need("tickets:assign")
    now = work.clock.now()
    draft = empty(now)
    errors: list[FieldError] = []
    _set_fields(work, draft, given, errors)
    if draft.columns["department_id"] is None and "department" not in given:
        _set_default_department(work, draft)
    _check_people(work, draft, given, errors)
    if errors:
        raise invalid(errors)
    actor = work.actor
    draft.columns |= {
        "source": given.get("source") or "api",
        "created_by_id": actor.user_id,
    }
    draft.names["created_by"] = actor.username
    linked.set_reporter(work, draft)
    put_under_promise(work, draft)
    goal = given.get("status") or "open"
    if goal in ENDED:
        actor.need("tickets:close")
    take_steps(work, draft, goal)
    _check_reminder(draft, given, errors)
    if errors:
        raise invalid(errors)
    _check_key_is_free(work, draft)
    _store_new(work, draft)
    return draft


def _set_default_department(work: Work, draft: Draft) -> None:
    name = setting(work, "department.default")
    default = work.actor.default_department
    found = references.find(work, "department", object_id=default) if default else contacts.department_of(work, draft)
    if found is None and name is not None:
        found = references.find(work, "department", name=name)
    if found is not None and found.enabled:
        draft.columns["department_id"] = found.id
        draft.names["department"] = found.name


# made once: making a statement of so many columns costs more than running it
_INSERT = insert(queries.TICKETS)


def _store_new(work: Work, draft: Draft) -> None:
    contacts.make_missing(work, draft)
    customer_id = draft.columns["customer_id"]
    customer = references.find(work, "customer", object_id=customer_id) if customer_id else None
    prefix = (customer.number_prefix if customer else None) or setting(work, "numbering.prefix")
    draft.columns["prefix"] = prefix
    draft.columns["sequence"] = next_number(work, prefix)
    inserted = execute(work.session, _INSERT, row_values(draft)).inserted_primary_key
    assert inserted is not None, "an insert of one row has its key"
    draft.columns["id"] = inserted[0]
    _store_words(work, draft, set(), set())
    assets.store(work, draft, {"assets": [], "movement": None})
    store_pauses(work, draft)
    search.enter(work, draft)
    snapshot = plain(draft.snapshot()) | {"number": draft.number, "source": draft.columns["source"]}
    record(work, draft, [("created", None, snapshot)])
    announce(work, "ticket_created", draft)


def _store_words(work: Work, draft: Draft, tags: set[str], labels: set[str]) -> None:
    ticket_id, session = draft.columns["id"], work.session
    gone, new = tags - set(draft.tags), set(draft.tags) - tags
    if gone:
        session.execute(delete(ticket_tags).where(ticket_tags.c.ticket_id == ticket_id, ticket_tags.c.tag.in_(gone)))
    if new:
        session.execute(insert(ticket_tags), [{"ticket_id": ticket_id, "tag": tag} for tag in sorted(new)])
    known = references.label_ids(work) if labels != set(draft.labels) else {}
    gone, new = labels - set(draft.labels), set(draft.labels) - labels
    if gone:
        ids = [known[name] for name in gone if name in known]
        session.execute(
            delete(ticket_labels).where(ticket_labels.c.ticket_id == ticket_id, ticket_labels.c.label_id.in_(ids))
        )
    if new:
        rows = [{"ticket_id": ticket_id, "label_id": known[name]} for name in sorted(new)]
        session.execute(insert(ticket_labels), rows)


_ID_COLUMNS = [
    getattr(Ticket, name)
    for name in (
        *[f"{field}_id" for field in NAMED],
        "sla_policy_id",
        "sla_tell_at",
        "reporter_id",
        "created_by_id",
        "resolution_started_at",
    )
]


_AT_ONCE = 1000


def load(work: Work, *conditions: Any) -> list[Draft]:
    """Tickets for a change, locked until the transaction ends, in the order of their ids."""
    if work.is_sqlite:
        return loaded(work, *conditions)
    # Locked first, and read by a statement that begins afterwards: one that waited for a lock reads the ticket anew,
    # but what it joined as it was before, and finds no assignee where there is another one now.
    ids = work.session.execute(select(Ticket.id).where(*conditions).order_by(Ticket.id).with_for_update()).scalars()
    found: list[Draft] = []
    whole = ids.all()
    for start in range(0, len(whole), _AT_ONCE):
        found += loaded(work, Ticket.id.in_(whole[start : start + _AT_ONCE]))
    return found


def loaded(work: Work, *conditions: Any) -> list[Draft]:
    """Tickets as they stand, not locked, in the order of their ids."""
    statement = queries.SELECT.add_columns(*_ID_COLUMNS).where(*conditions).order_by(Ticket.id)
    rows = work.session.execute(statement).all()
    ids = [row.t_id for row in rows]
    marked = words(work, ids)
    pauses = _pauses(work, ids)
    known = {promise.id: promise for promise in promises(work)}
    found = []
    for row in rows:
        values = {name.removeprefix("t_"): value for name, value in row._mapping.items()}
        names = {name: values.pop(name) for name in (*NAMED, "reporter", "created_by", "policy")}
        tags, labels, about = marked.of(row.t_id)
        draft = Draft(values, names, list(tags), list(labels), [name for name, _at in about])
        draft.moved_at = {name: at for name, at in about if at is not None}
        draft.promise = known.get(values["sla_policy_id"])
        draft.pauses = list(pauses[row.t_id])
        draft.stored_pauses = tuple(pauses[row.t_id])
        found.append(draft)
    return found


def _pauses(work: Work, ids: Sequence[int]) -> dict[int, list[Pause]]:
    found: dict[int, list[Pause]] = defaultdict(list)
    statement = select(TicketPause.ticket_id, TicketPause.since, TicketPause.until, TicketPause.status)
    order = (TicketPause.ticket_id, TicketPause.since)
    for pause in work.session.execute(statement.where(TicketPause.ticket_id.in_(ids)).order_by(*order)):
        found[pause.ticket_id].append(Pause(pause.since, pause.until, pause.status))
    return found


def store_pauses(work: Work, draft: Draft) -> None:
    """Writes what is new of a ticket's pauses."""
    if tuple(draft.pauses) == draft.stored_pauses:
        return
    ticket_id = draft.columns["id"]
    work.session.execute(delete(TicketPause).where(TicketPause.ticket_id == ticket_id))
    rows = [
        {"ticket_id": ticket_id, "since": pause.since, "until": pause.until, "status": pause.status}
        for pause in draft.pauses
    ]
    if rows:
        work.session.execute(insert(TicketPause), rows)


def load_by_number(work: Work, number: str) -> Draft:
    """The ticket, locked, if the caller may see it. Raises 404."""
    parts = queries.parse_number(number)
    if parts is None:
        raise not_found()
    conditions = [Ticket.prefix == parts[0], Ticket.sequence == parts[1]]
    condition = queries.visible(work.actor)
    found = load(work, *conditions, *([condition] if condition is not None else []))
    if not found:
        raise not_found()
    return found[0]


def shown(work: Work, draft: Draft) -> dict[str, Any]:
    """A ticket in hand as it is answered, whole."""
    return draft.answer(queries.view(work)) | {"contact_assets": assets.of_contact(work, draft.columns["contact_id"])}


def may_change(work: Work, draft: Draft, before: Mapping[str, Any], changed: set[str]) -> None:
    """Raises 403 where a permission for these changes is missing (domain: people and rights)."""
    actor = work.actor
    for field in sorted(changed):
        if field == "assignee":
            actor.need("tickets:assign")
        elif field != "status":
            actor.need("tickets:edit")
    for old, new in draft.steps:
        confirming = draft.columns["reporter_id"] == actor.user_id and before["status"] == "resolved"
        if confirming and new in ("closed", "open", "in_progress"):
            continue  # the reporter confirms, or says that it is not so
        actor.need("tickets:edit")
        if old in ENDED or new in ENDED:
            actor.need("tickets:close")


def change(
    work: Work,
    draft: Draft,
    given: Mapping[str, Any],
    *,
    comment: str | None = None,
    said: str = "internal",
    if_match: str | None = None,
    earlier: Mapping[str, Any] | None = None,
    one_step: bool = False,
) -> set[str]:
    """Changes a ticket that is in hand, and answers which fields changed; none: nothing is written.

    `said` is the direction of the comment; `earlier` are values that the caller changed on the draft already, as they
    were; `one_step` says that a person asks, whose change of status is one that the workflow has. Raises 403, 409, 412,
    and 422 with every bad field.
    """
    require_match(if_match, draft.columns["version"])
    before = draft.snapshot() | dict(earlier or {})
    final = draft.status in references.workflow_of(work, draft).final
    errors: list[FieldError] = []
    _set_fields(work, draft, given, errors)
    _check_people(work, draft, given, errors)
    if errors:
        raise invalid(errors)
    if "status" in given:
        take_steps(work, draft, given["status"] or "open", one_step=one_step)
    _check_reminder(draft, given, errors)
    if errors:
        raise invalid(errors)
    changed = {name for name, value in draft.snapshot().items() if value != before[name]}
    if (changed or comment is not None) and final:
        raise Problem(422, "final", f"the ticket is {before['status']}, which is final in its workflow")
    may_change(work, draft, before, changed)
    if "contact" in changed:
        linked.set_reporter(work, draft)
    if comment is not None:
        may_say(work, said)
    if {"correlation_key", "customer", "status"} & changed:
        _check_key_is_free(work, draft)
    save(work, draft, before, changed, comment=comment, said=said)
    return changed


def may_say(work: Work, direction: str) -> None:
    """Raises 403 where the caller may not write a comment in this direction: only the house writes to the outside."""
    work.actor.need("tickets:comment")
    if direction == "outbound":
        work.actor.need("tickets:read_internal")


def save(
    work: Work,
    draft: Draft,
    before: Mapping[str, Any],
    changed: set[str],
    *,
    comment: str | None = None,
    said: str = "internal",
    cause: str | None = None,
    told: bool = True,
) -> None:
    """Writes what changed: row, words, history, message, and, unless the caller tells of it, event. Nothing where
    nothing did."""
    if not changed and comment is None:
        return
    if {"priority", "customer"} & changed:
        put_under_promise(work, draft)
    contacts.make_missing(work, draft)
    public = comment is not None and said != "internal"
    if public:
        draft.spoken(said, work.clock.now())
    store_row(work, draft)
    _store_words(work, draft, set(before["tags"]), set(before["labels"]))
    assets.store(work, draft, before)
    store_pauses(work, draft)
    search.follow(work, draft, changed)
    entries: list[tuple[str, Any, Any]] = [("status", old, new) for old, new in draft.steps]
    entries += [(name, before[name], draft.value(name)) for name in COMPARED if before[name] != draft.value(name)]
    record(work, draft, entries, cause)
    message_id = add_message(work, draft, comment, direction=said, cause=cause) if comment is not None else None
    event = event_of(changed, draft.status, public=public)
    if event is not None and told:
        announce(work, event, draft, changed=changed, message=message_id if public else None)


def store_row(work: Work, draft: Draft) -> None:
    """Writes the ticket's row as a new version of it."""
    draft.columns |= {"version": draft.columns["version"] + 1, "updated_at": work.clock.now()}
    values = {name: value for name, value in row_values(draft).items() if name not in ("prefix", "sequence")}
    work.session.execute(update(Ticket).where(Ticket.id == draft.columns["id"]).values(**values))
