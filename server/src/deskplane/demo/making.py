"""Making a demo desk, and making it anew.

Its configuration belongs to a manager of its own, and each of its tickets carries in its history what made it: that is
how both are recognised, and nothing else is ever touched. Its tickets are opened and worked on by the code that does it
for real ones, by a clock that goes through their past. Nobody is told of what is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from deskplane.app import Desk
from deskplane.configuration.documents import MOST_OBJECTS
from deskplane.configuration.models import Manager
from deskplane.configuration.ownership import DISABLE, Declaration
from deskplane.configuration.service import Reconciliation
from deskplane.configuration.troubles import Place, Troubles
from deskplane.customers.models import Customer
from deskplane.demo.document import DemoDesk, Life, Step
from deskplane.desks.models import Department
from deskplane.kernel.actor import Actor
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.problem import FieldError, Problem, invalid_field
from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.people.rules import administrators
from deskplane.tickets import generator, removal, service, sweep
from deskplane.tickets.models import History, Ticket

MANAGER = "deskplane-seed"
"""Who declared the configuration of a demo desk."""
CAUSE = "deskplane seed: "
"""What history says of the tickets, with their names behind it."""


@dataclass(frozen=True)
class At:
    """A clock that stands still."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment


@dataclass
class Made:
    """What a run did: how many objects it wrote or deleted, tickets it opened and deleted."""

    configuration: int = 0
    opened: int = 0
    deleted: int = 0


def make(desk: Desk, wanted: DemoDesk, *, reset: bool, beside_others: bool) -> Made:
    """Makes what is missing of a demo desk, in one transaction; with `reset` what it made before goes first.

    Raises ValueError for a desk that others have data on, unless `beside_others`, and for one without an administrator;
    Problem for a document that cannot be.
    """
    return desk.database.run(lambda session: _make(desk, session, wanted, reset, beside_others), write=True)


def _make(desk: Desk, session: Session, wanted: DemoDesk, reset: bool, beside_others: bool) -> Made:
    work = replace(desk.command_line(session), silent=True)
    if not administrators(work):
        raise ValueError("the desk has no administrator yet; run: deskplane user create-admin NAME")
    known = session.execute(select(Manager.name).where(Manager.name == MANAGER)).first() is not None
    if not known and not beside_others:
        _require_empty(work)
    made, there = Made(), _there(work)
    if reset:
        for draft in service.load(work, Ticket.id.in_(there.values())):
            removal.delete_ticket(work, draft)
        made.deleted, there = len(there), {}
    made.configuration = _configure(work, wanted, reset)
    now, ids = desk.clock.now(), []
    for life in sorted(wanted.lives, key=lambda life: life.opened, reverse=True):
        if life.name not in there:
            ids.append(_live(work, life, now))
    if ids:
        sweep.tell(work, ids)  # which tells nobody of deadlines that passed before there was a desk
    made.opened = len(ids)
    return made


def _require_empty(work: Work) -> None:
    """Raises ValueError where others have data. What the same command made to see how many tickets do is none."""
    counts = {
        "tickets": select(func.count()).select_from(Ticket).where(Ticket.prefix != generator.PREFIX),
        "customers": select(func.count()).select_from(Customer).where(Customer.name.not_like("seed-%")),
        "departments": select(func.count()).select_from(Department).where(Department.name.not_like("seed-%")),
    }
    found = {name: work.session.execute(statement).scalar_one() for name, statement in counts.items()}
    if any(found.values()):
        shown = ", ".join(f"{count:,} {name}" for name, count in found.items() if count)
        raise ValueError(f"this desk has data of its own ({shown}); to put the demo desk beside it, add --yes")


def _there(work: Work) -> dict[str, int]:
    """The tickets that were made before and are still there: name to id."""
    statement = select(History.cause, History.ticket_id).where(
        History.field == "created", History.cause.startswith(CAUSE, autoescape=True)
    )
    return {cause.removeprefix(CAUSE): ticket_id for cause, ticket_id in work.session.execute(statement)}


def _configure(work: Work, wanted: DemoDesk, reset: bool) -> int:
    """Brings about the configuration; with `reset` also what is not in the document any more goes."""
    declaration = Declaration(
        manager=MANAGER,
        prune=reset,
        max_deletions=MOST_OBJECTS,
        on_blocked=DISABLE,
        kinds=tuple(work.registry),
    )
    reconciliation = Reconciliation(work, declaration)
    with _placed(("configuration",)):
        entries = reconciliation.apply(wanted.configuration)
    strangers = [
        entry.label
        for entry in entries
        if entry.outcome.after is not None and not reconciliation.claims.owned((entry.kind.name, entry.id))
    ]
    if strangers:
        raise ValueError(
            f"not made by this command, and not to be changed by it: {', '.join(strangers[:10])}"
            f"{' …' if len(strangers) > 10 else ''}; give the demo desk other names with --config"
        )
    return sum(entry.outcome.action != "none" for entry in entries)


def _live(work: Work, life: Life, now: datetime) -> int:
    """Takes a ticket through its life, and answers its id."""
    opened = now - life.opened
    with _placed(life.place):
        draft = service.open_ticket(_as(work, life.by, life, opened), life.fields)
    ticket_id: int = draft.columns["id"]
    for step in sorted(life.then, key=lambda step: step.after):
        with _placed(step.place):
            _take(_as(work, step.by, life, opened + step.after), ticket_id, step)
    return ticket_id


def _take(work: Work, ticket_id: int, step: Step) -> None:
    (draft,) = service.load(work, Ticket.id == ticket_id)
    said = "internal" if step.note is not None else "outbound" if work.actor.user_id is not None else "inbound"
    service.change(work, draft, step.fields, comment=step.say or step.note, said=said)


@contextmanager
def _placed(place: Place) -> Iterator[None]:
    """Says of what is refused where in the document it stands."""
    try:
        yield
    except Problem as problem:
        troubles = Troubles()
        troubles.bad_fields(place, problem.errors or [FieldError("#/", problem.code, problem.detail)])
        troubles.raise_any()


def _as(work: Work, name: str, life: Life, at: datetime) -> Work:
    """Work of somebody at some time. Who has an address instead of a username writes from outside."""
    user_id = None
    if "@" not in name:
        statement = select(User.id).where(User.username == name, User.deleted_at.is_(None))
        user_id = work.session.execute(statement).scalar_one_or_none()
        if user_id is None:
            raise invalid_field("by", "unknown_reference", f"there is no user named {name}")
    actor = Actor(user_id, name, frozenset(PERMISSIONS), cause=f"{CAUSE}{life.name}")
    return replace(work, actor=actor, clock=At(at))
