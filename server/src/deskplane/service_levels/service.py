"""Which policy a ticket gets."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from deskplane.kernel import revision
from deskplane.kernel.words import PRIORITIES
from deskplane.kernel.work import Work
from deskplane.service_levels.clock import Terms
from deskplane.service_levels.models import Calendar, SlaPolicy, sla_policy_customers
from deskplane.service_levels.working_time import AROUND_THE_CLOCK, CalendarTime, WorkingTime


@dataclass(frozen=True)
class Promise:
    """A policy, as far as matching and the clock need it."""

    id: str
    name: str
    enabled: bool
    position: int
    response_minutes: int | None
    resolution_minutes: int | None
    warn_minutes: int
    critical_minutes: int
    priorities: frozenset[str]
    customers: frozenset[str]
    priority_floor: str | None
    calendar: str | None
    working: WorkingTime
    pause_statuses: frozenset[str]
    on_reopen: str

    def terms(self, clock: str) -> Terms | None:
        """What is promised for a clock, `response` or `resolution`."""
        minutes = self.response_minutes if clock == "response" else self.resolution_minutes
        if minutes is None:
            return None
        return Terms(
            timedelta(minutes=minutes),
            timedelta(minutes=self.warn_minutes),
            timedelta(minutes=self.critical_minutes),
            self.working,
        )

    def covers(self, priority: str) -> bool:
        """Whether it is in use for tickets of this declared priority."""
        return self.enabled and (not self.priorities or priority in self.priorities)


def promises(work: Work) -> list[Promise]:
    """All policies."""
    return work.keep("promises", lambda: _load(work))


def current_revision(work: Work) -> int:
    """The state of policies and calendars: open tickets of an earlier one are still to be recalculated."""
    return work.keep("service levels", lambda: revision.current(work.session, revision.SERVICE_LEVELS))


def _load(work: Work) -> list[Promise]:
    customers: dict[str, set[str]] = defaultdict(set)
    for policy, customer in work.session.execute(
        select(sla_policy_customers.c.sla_policy_id, sla_policy_customers.c.customer_id)
    ):
        customers[policy].add(customer)
    calendars = {row.id: row for row in work.session.execute(select(Calendar)).scalars()}
    return [
        Promise(
            id=row.id,
            name=row.name,
            enabled=row.enabled,
            position=row.position,
            response_minutes=row.response_minutes,
            resolution_minutes=row.resolution_minutes,
            warn_minutes=row.warn_minutes,
            critical_minutes=row.critical_minutes,
            priorities=frozenset(row.priorities),
            customers=frozenset(customers[row.id]),
            priority_floor=row.priority_floor,
            calendar=calendars[row.calendar_id].name if row.calendar_id else None,
            working=_working(calendars[row.calendar_id]) if row.calendar_id else AROUND_THE_CLOCK,
            pause_statuses=frozenset(row.pause_statuses),
            on_reopen=row.on_reopen,
        )
        for row in work.session.execute(select(SlaPolicy)).scalars()
    ]


def _working(calendar: Calendar) -> CalendarTime:
    return CalendarTime.of(calendar.time_zone, calendar.hours, calendar.holidays)


def match(found: list[Promise], *, priority: str, customer_id: str | None, named: str | None) -> Promise | None:
    """The policy for a ticket of this declared priority and customer; `named` is the one that the customer names.

    In this order: the named one, if it covers the priority; one that lists customer and priority; customer;
    priority; a general one. Ties: the lower position, then the name (domain: service levels, which policy).
    """
    fitting = [
        promise
        for promise in found
        if promise.covers(priority) and (not promise.customers or customer_id in promise.customers)
    ]
    for promise in found:
        if promise.id == named and promise.covers(priority):
            return promise

    def rank(promise: Promise) -> tuple[bool, bool, int, str]:
        return (not promise.customers, not promise.priorities, promise.position, promise.name)

    return min(fitting, key=rank, default=None)


def effective_priority(priority: str, promise: Promise | None) -> str:
    """The higher one of what was declared and the policy's floor."""
    if promise is None or promise.priority_floor is None:
        return priority
    return max(priority, promise.priority_floor, key=PRIORITIES.index)
