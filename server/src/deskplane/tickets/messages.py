"""Messages: what is written on a ticket, by whom and to whom, and what follows from it (domain: ticket)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import select, update

from deskplane.customers.models import Contact
from deskplane.desks.models import Template
from deskplane.kernel.actor import Actor
from deskplane.kernel.etag import require_match
from deskplane.kernel.markup import clean_html, html_of, text_of
from deskplane.kernel.placeholders import fill
from deskplane.kernel.problem import FieldError, forbidden, invalid, pointer
from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.tickets import chronicle, links, queries, references, service
from deskplane.tickets.announcements import announce
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import Attachment, TicketMessage

BODIES = ("body", "body_html", "template")
"""A message is written in one of these ways."""


def of_the_house(actor: Actor) -> bool:
    """Whether someone answers for the desk. Others only ever write to it."""
    return actor.may("tickets:comment") and actor.may("tickets:read_internal")


def require_writer(work: Work, draft: Draft) -> None:
    """Raises 403 where the caller may not write on the ticket. Who reported it may always answer."""
    is_reporter = work.actor.user_id is not None and draft.columns["reporter_id"] == work.actor.user_id
    if not is_reporter:
        work.actor.need("tickets:comment")


def write(
    work: Work,
    draft: Draft,
    given: Mapping[str, Any],
    *,
    if_match: str | None = None,
    changed: Collection[str] = (),
    told: bool = True,
) -> int:
    """Writes a message on a ticket that is in hand, and answers its id. `given` are the fields of `MessageCreate` that
    were sent. The first message of an agent that leaves the house meets the promise of a response. The event says which
    other fields `changed` along with it; not `told`: there is another event that tells of it.

    Raises 403, 412, and 422 with every bad field.
    """
    require_match(if_match, draft.columns["version"])
    require_writer(work, draft)
    given = {name: value for name, value in given.items() if value is not None}
    direction = given.get("direction") or ("outbound" if of_the_house(work.actor) else "inbound")
    if direction != "inbound" and not of_the_house(work.actor):
        missing = [name for name in ("tickets:comment", "tickets:read_internal") if not work.actor.may(name)]
        raise forbidden(missing[0])
    links.require_not_final(work, draft)
    errors: list[FieldError] = []
    _check_answered(work, draft, given.get("in_reply_to"), direction, errors)
    files = given.get("attachments") or []
    _check_attachments(work, draft, files, errors)
    written = _written(work, draft, given, errors)
    if errors:
        raise invalid(errors)
    if direction != "internal":
        draft.spoken(direction, work.clock.now())
    service.store_row(work, draft)
    written["in_reply_to"] = given.get("in_reply_to")
    message_id = chronicle.add_message(
        work, draft, written.pop("body"), direction=direction, attachments=files, **written
    )
    if files:
        internal = direction == "internal"
        claimed = update(Attachment).where(Attachment.id.in_(files)).values(message_id=message_id, internal=internal)
        work.session.execute(claimed)
    if direction != "internal" and told:
        announce(work, "comment_added", draft, changed=changed, message=message_id)
    return message_id


def _check_answered(work: Work, draft: Draft, message_id: int | None, direction: str, errors: list[FieldError]) -> None:
    """What is answered must be a message of the ticket that the caller may read. What is public answers nothing
    internal, or else it would tell those outside that there was something."""
    if message_id is None:
        return
    statement = select(TicketMessage.direction).where(
        TicketMessage.id == message_id, TicketMessage.ticket_id == draft.columns["id"], *readable(work.actor)
    )
    answered = work.session.execute(statement).scalar_one_or_none()
    where = pointer("in_reply_to")
    if answered is None:
        errors.append(FieldError(where, "unknown_reference", f"this ticket has no message {message_id}"))
    elif answered == "internal" and direction != "internal":
        errors.append(FieldError(where, "not_allowed", "a public message cannot answer an internal one"))


def _check_attachments(work: Work, draft: Draft, ids: Sequence[str], errors: list[FieldError]) -> None:
    """Files of a message were put on the ticket before, where the caller may see them, and are of no other message."""
    if not ids:
        return
    statement = select(Attachment.id).where(
        Attachment.id.in_(ids), Attachment.ticket_id == draft.columns["id"], Attachment.message_id.is_(None)
    )
    if not work.actor.may("tickets:read_internal"):
        statement = statement.where(Attachment.internal.is_(False))
    there = set(work.session.execute(statement).scalars())
    for name in ids:
        if name not in there:
            detail = f"this ticket has no attachment {name} that is not part of a message yet"
            errors.append(FieldError(pointer("attachments"), "unknown_reference", detail))


def readable(actor: Actor) -> list[Any]:
    """The conditions on messages that the caller may read."""
    return [] if actor.may("tickets:read_internal") else [TicketMessage.direction != "internal"]


def _written(work: Work, draft: Draft, given: Mapping[str, Any], errors: list[FieldError]) -> dict[str, Any]:
    """The columns `body` and `body_html`."""
    ways = [name for name in BODIES if name in given]
    if len(ways) != 1:
        detail = (
            f"cannot be given together with {ways[0]}" if ways else f"is required, or one of {', '.join(BODIES[1:])}"
        )
        errors.append(FieldError(pointer(ways[-1] if ways else "body"), "not_allowed" if ways else "required", detail))
        return {}
    if "body" in given:
        return {"body": given["body"], "body_html": None}
    if "template" in given:
        html, text = _filled_in(work, draft, given["template"], errors)
    else:
        html, text = clean_html(given["body_html"]), ""
    text = text or text_of(html)
    if not text.strip() and not errors:
        detail = (
            "is empty" if "template" in given else "is empty once everything is taken out of it that is not allowed"
        )
        errors.append(FieldError(pointer(ways[0]), "too_short", detail))
    return {"body": text, "body_html": html}


def _filled_in(work: Work, draft: Draft, name: str, errors: list[FieldError]) -> tuple[str, str]:
    """A template's body as HTML and as text, with placeholders filled in. Nothing in it is evaluated, and what is
    filled in is text also in HTML."""
    found = work.session.execute(select(Template.body_html, Template.body_text).where(Template.name == name)).first()
    if found is None:
        errors.append(references.unknown(work, "template", name))
        return "", ""
    values = _values(work, draft)
    try:
        text = fill(found.body_text, values)
        html = clean_html(fill(found.body_html, values, escape)) if found.body_html else html_of(text)
    except ValidationError as error:
        (said,) = error.messages
        detail = f"in the template {name}: {said}; there are {', '.join(values)}"
        errors.append(FieldError(pointer("template"), "unknown_placeholder", detail, list(values)))
        return "", ""
    return html, text


def _values(work: Work, draft: Draft) -> dict[str, str]:
    """What `desks.templates.ANSWER_PLACEHOLDERS` stand for."""
    ids = {"assignee_name": draft.columns["assignee_id"], "reporter_name": draft.columns["reporter_id"]}
    ids["author_name"] = work.actor.user_id
    if draft.columns["contact_id"] is not None:  # he is who reported it, whoever opened the ticket for him
        ids["reporter_name"] = draft.columns["contact_id"]
    names: dict[str, str] = {}
    for model, key in ((User, User.username), (Contact, Contact.email)):
        people = select(model.id, model.first_name, model.last_name, key).where(
            model.id.in_(set(ids.values()) - {None})
        )
        names |= {row[0]: f"{row[1]} {row[2]}".strip() or row[3] for row in work.session.execute(people)}
    return {
        "ticket_number": draft.number,
        "ticket_title": draft.columns["title"],
        "ticket_status": draft.status.replace("_", " "),
        "ticket_url": f"{queries.address(work)}/tickets/{draft.number}",
        **{placeholder: names.get(user_id, "") for placeholder, user_id in ids.items()},
    }
