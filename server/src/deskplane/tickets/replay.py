"""What other policies would have made of tickets: their lives over again, with the statuses and moments of history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from deskplane.customers.models import Customer
from deskplane.kernel.work import Work
from deskplane.service_levels.clock import Deadline
from deskplane.service_levels.service import Promise, match, promises
from deskplane.tickets import queries, service
from deskplane.tickets.draft import CLOCK_PARTS, CLOCKS, Draft, empty
from deskplane.tickets.models import History, Ticket

OUTCOMES = ("none", "met", "breached", "unmet")
"""Of a clock: nothing was promised, it was met in time, it was not, or it goes on."""
MOST_TOLD = 100


@dataclass
class Comparison:
    """Outcomes of tickets as they are, and as they would have been."""

    tickets: int
    covered: int
    before: dict[str, Counter[str]]
    after: dict[str, Counter[str]]
    different: list[dict[str, Any]]


def last_tickets(work: Work, count: int, customer_id: str | None) -> list[Draft]:
    """The newest tickets that the caller may see."""
    conditions = [condition for condition in [queries.visible(work.actor)] if condition is not None]
    if customer_id is not None:
        conditions.append(Ticket.customer_id == customer_id)
    newest = select(Ticket.id).where(*conditions).order_by(Ticket.created_at.desc(), Ticket.id.desc()).limit(count)
    return service.loaded(work, Ticket.id.in_(work.session.execute(newest).scalars().all()))


def compare(work: Work, tickets: Sequence[Draft], names: frozenset[str]) -> Comparison:
    """Puts tickets under the policies of this transaction from their creation on. `names` are the policies in
    question: `covered` counts the tickets that would have got one of them."""
    lives = _lives(work, [draft.columns["id"] for draft in tickets])
    policies, now = promises(work), work.clock.now()
    named = dict(work.session.execute(select(Customer.id, Customer.sla_policy_id)).all())
    found = Comparison(len(tickets), 0, _counters(), _counters(), [])
    for draft in tickets:
        customer_id, priority = draft.columns["customer_id"], draft.priority
        promise = match(policies, priority=priority, customer_id=customer_id, named=named.get(customer_id))
        again = _again(draft, promise, lives[draft.columns["id"]])
        found.covered += again.names["policy"] in names
        for clock in CLOCKS:
            was, would = _outcome(draft, clock, now), _outcome(again, clock, now)
            found.before[clock][was] += 1
            found.after[clock][would] += 1
            if was != would and len(found.different) < MOST_TOLD:
                due_at = again.columns[f"{clock}_due_at"]
                told = {"number": draft.number, "clock": clock, "before": was, "after": would, "due_at": due_at}
                found.different.append({**told, "policy": again.names["policy"]})
    return found


def _counters() -> dict[str, Counter[str]]:
    return {clock: Counter(dict.fromkeys(OUTCOMES, 0)) for clock in CLOCKS}


def _lives(work: Work, ids: Sequence[int]) -> Mapping[int, list[tuple[datetime, str]]]:
    """Ticket → the statuses in which it stood, each with its beginning."""
    statement = (
        select(History.ticket_id, History.at, History.field, History.new)
        .where(History.ticket_id.in_(ids), History.field.in_(("created", "status")))
        .order_by(History.id)
    )
    found: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    for ticket_id, at, field, new in work.session.execute(statement):
        found[ticket_id].append((at, new["status"] if field == "created" else new))
    return found


def _again(draft: Draft, promise: Promise | None, life: Sequence[tuple[datetime, str]]) -> Draft:
    """The ticket, put under a policy from its creation on and taken through its life."""
    created_at = draft.columns["created_at"]
    again = empty(created_at)
    again.columns["priority"] = draft.columns["priority"]
    again.columns["response_met_at"] = draft.columns["response_met_at"]  # what answered it is no matter of a policy
    again.put_under(promise, 0, created_at)
    for at, status in life:
        if status != again.status:
            again.step(status, at)
    return again


def _outcome(draft: Draft, clock: str, now: datetime) -> str:
    state = Deadline(*(draft.columns[f"{clock}_{part}"] for part in CLOCK_PARTS)).state(now)
    return state if state in OUTCOMES else "unmet"
