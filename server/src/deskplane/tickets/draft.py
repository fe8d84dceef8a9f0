"""A ticket in hand: its columns, its references by name, and what statuses and promises do to it. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from deskplane.kernel.clock import rfc3339
from deskplane.kernel.words import ENDED, PRIORITIES
from deskplane.service_levels.clock import RUNNING, Pause, deadline
from deskplane.service_levels.service import Promise, effective_priority
from deskplane.tickets import queries

NAMED = ("type", "customer", "department", "assignee", "owner", "group", "contact")
"""Fields that refer to something by name, in columns `<field>_id`."""
PLAIN = ("title", "description", "remind_at", "correlation_key")
COMPARED = (*PLAIN, "priority", *NAMED, "tags", "labels", "assets", "movement", "occurrences", "sla_policy")
"""What history tells of besides the status, whose every step it tells."""
CLOCKS = ("response", "resolution")
CLOCK_PARTS = ("phase", "warn_at", "critical_at", "due_at", "met_at", "left")


@dataclass
class Draft:
    """A ticket. `columns` are those of its row; `names` what its references are called; `promise` the policy that it
    is under, and `pauses` when its clocks stood still; `moved_at` says when the asset was moved, by its name, that the
    ticket's movement is of. `warnings` are for who asked for the change."""

    columns: dict[str, Any]
    names: dict[str, str | None]
    tags: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)
    moved_at: dict[str, datetime] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    promise: Promise | None = None
    pauses: list[Pause] = field(default_factory=list)
    stored_pauses: tuple[Pause, ...] = ()

    @property
    def number(self) -> str:
        """The ticket's number."""
        return queries.number_text(self.columns["prefix"], self.columns["sequence"])

    @property
    def status(self) -> str:
        """Where it stands."""
        found: str = self.columns["status"]
        return found

    @property
    def priority(self) -> str:
        """The declared priority."""
        return PRIORITIES[self.columns["priority"]]

    def value(self, name: str) -> Any:
        """A field as callers know it."""
        if name in NAMED:
            return self.names[name]
        if name == "sla_policy":
            return self.names["policy"]
        if name in ("tags", "labels", "assets"):
            return list(getattr(self, name))
        if name == "movement":
            return next(({"asset": asset, "at": rfc3339(at)} for asset, at in self.moved_at.items()), None)
        if name == "priority":
            return self.priority
        return self.columns[name]

    def snapshot(self) -> dict[str, Any]:
        """The fields that history compares, and the status."""
        return {name: self.value(name) for name in (*COMPARED, "status")}

    def put_under(self, promise: Promise | None, revision: int, now: datetime) -> None:
        """Puts the ticket under a policy, or none. Start, pauses so far and outcomes of its clocks stay."""
        self.promise = promise
        self.columns["sla_revision"] = revision
        self.columns["sla_policy_id"] = promise.id if promise else None
        self.names["policy"] = promise.name if promise else None
        self.columns["effective_priority"] = PRIORITIES.index(effective_priority(self.priority, promise))
        self._mind_pauses(now)
        self._set_clocks()

    def step(self, status: str, now: datetime) -> None:
        """One step of the workflow, with what follows from it."""
        before = self.status
        self.steps.append((before, status))
        self.columns["status"] = status
        if before == "waiting":
            self.columns["remind_at"] = None
        if status in ENDED:
            if before not in ENDED:
                for clock in CLOCKS:
                    self.columns[f"{clock}_met_at"] = self.columns[f"{clock}_met_at"] or now
            if status == "resolved":
                self.columns |= {"resolved_at": now, "closed_at": None}
            else:
                self.columns["closed_at"] = now
        elif before in ENDED:
            self.columns |= {
                "resolved_at": None,
                "closed_at": None,
                "reopened_count": self.columns["reopened_count"] + 1,
            }
            self._reopen(before, now)
        self._mind_pauses(now)
        self._set_clocks()

    def spoken(self, direction: str, now: datetime) -> None:
        """Someone wrote in public; an agent's first such message meets the promise of a response."""
        self.columns |= {"last_contact_at": now, "last_contact_direction": direction}
        if direction == "outbound" and self.columns["response_met_at"] is None:
            self.columns["response_met_at"] = now
            self._set_clocks()

    def _reopen(self, before: str, now: datetime) -> None:
        """What the resolution clock does when it turns out that the ticket was not done."""
        rule = self.promise.on_reopen if self.promise else "continue"
        met_at = self.columns["resolution_met_at"]
        if rule == "first_only" or met_at is None:
            return
        self.columns["resolution_met_at"] = None
        if rule == "restart":
            self.columns["resolution_started_at"] = now
        elif met_at < now:
            self.pauses.append(Pause(met_at, now, before))

    def _mind_pauses(self, now: datetime) -> None:
        """Lets a pause begin or end."""
        lasts = bool(self.pauses) and self.pauses[-1].until is None
        wanted = self.promise is not None and self.status in self.promise.pause_statuses
        if wanted and not lasts:
            earlier = self.pauses[-1].until if self.pauses else None
            # the machine's clock may have been set back; pauses stay apart from each other all the same
            self.pauses.append(Pause(max(now, earlier or now), None, self.status))
        elif lasts and not wanted:
            last = self.pauses.pop()
            if last.since < now:
                self.pauses.append(replace(last, until=now))

    def started_at(self, clock: str) -> datetime:
        """When a clock began: at the creation, or, the one of the resolution, at a reopening."""
        restarted = self.columns["resolution_started_at"] if clock == "resolution" else None
        found: datetime = restarted or self.columns["created_at"]
        return found

    def _set_clocks(self) -> None:
        names = [f"{clock}_{part}" for clock in CLOCKS for part in CLOCK_PARTS]
        before = [self.columns[name] for name in names]
        for clock in CLOCKS:
            found = deadline(
                self.promise.terms(clock) if self.promise else None,
                self.started_at(clock),
                self.pauses,
                self.columns[f"{clock}_met_at"],
            )
            self.columns |= {f"{clock}_{part}": getattr(found, part) for part in CLOCK_PARTS}
        if before != [self.columns[name] for name in names]:
            self.columns["sla_tell_at"] = self._first_edge()

    def _first_edge(self) -> datetime | None:
        """When the clocks that run have something to be told of first; the sweep goes on from there."""
        running = [clock for clock in CLOCKS if self.columns[f"{clock}_phase"] == RUNNING]
        edges = [self.columns[f"{clock}_{edge}"] for clock in running for edge in ("warn_at", "due_at")]
        return min((edge for edge in edges if edge is not None), default=None)

    def answer(self, view: queries.View) -> dict[str, Any]:
        """As it is answered: by the same code that answers what was read."""
        row = [self._column(label) for label in _LABELS]
        assets = [(name, self.moved_at.get(name)) for name in sorted(self.assets)]
        return queries.with_html(queries.answer(row, view, sorted(self.tags), sorted(self.labels), assets))

    def _column(self, label: str) -> Any:
        return self.names[label] if label in self.names else self.columns[label]


_LABELS: Sequence[str] = [str(column.key).removeprefix("t_") for column in queries.SELECT.selected_columns]


def empty(now: datetime) -> Draft:
    """A ticket of which nothing is known yet."""
    columns: dict[str, Any] = {
        "id": None,
        "version": 1,
        "prefix": "",
        "sequence": 0,
        "title": "",
        "description": "",
        "status": "open",
        "priority": PRIORITIES.index("medium"),
        "effective_priority": PRIORITIES.index("medium"),
        "remind_at": None,
        "source": "api",
        "correlation_key": None,
        "occurrences": 1,
        "last_occurred_at": now,
        "reopened_count": 0,
        "created_at": now,
        "updated_at": now,
        "resolved_at": None,
        "closed_at": None,
        "last_contact_at": None,
        "last_contact_direction": None,
        "sla_policy_id": None,
        "sla_revision": 0,
        "sla_tell_at": None,
        "resolution_started_at": None,
        **{f"{clock}_{part}": None for clock in CLOCKS for part in CLOCK_PARTS},
        "reporter_id": None,
        "created_by_id": None,
        **{f"{name}_id": None for name in NAMED},
    }
    return Draft(columns, dict.fromkeys((*NAMED, "reporter", "created_by", "policy")))


def row_values(draft: Draft) -> Mapping[str, Any]:
    """The columns for an insert."""
    return {name: value for name, value in draft.columns.items() if name != "id"}
