"""Deleting a ticket for good, with what other tickets say of it."""

from __future__ import annotations

from sqlalchemy import delete

from deskplane.kernel.etag import require_match
from deskplane.kernel.problem import forbidden
from deskplane.kernel.work import Work
from deskplane.tickets import links, service
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import Ticket


def delete_ticket(work: Work, draft: Draft, *, if_match: str | None = None, cause: str | None = None) -> None:
    """Deletes a ticket for good; its number is not given again. Needs `tickets:delete`."""
    if not work.actor.may("tickets:delete"):
        raise forbidden("tickets:delete")
    require_match(if_match, draft.columns["version"])
    _forget_links(work, draft, cause)
    work.session.execute(delete(Ticket).where(Ticket.id == draft.columns["id"]))


def _forget_links(work: Work, draft: Draft, cause: str | None) -> None:
    """The tickets at the other ends tell of the links that go along."""
    rows = work.session.execute(links.statement_of(draft.columns["id"])).all()
    if not rows:
        return
    others = {other.columns["id"]: other for other in service.load(work, Ticket.id.in_([row.other_id for row in rows]))}
    for row in rows:
        shown = links.Link(links.inverse_of(row.type), draft.number).shown()
        service.record(work, others[row.other_id], [("link", shown, None)], cause)
    links.touch(work, *others.values())
