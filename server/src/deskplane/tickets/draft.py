"""A ticket in hand: its columns, its references by name, and what statuses and promises do to it. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from deskplane.kernel.words import ENDED, PRIORITIES
from deskplane.service_levels.clock import Deadline
from deskplane.service_levels.service import Promise, effective_priority
from deskplane.tickets import queries

NAMED = ("type", "customer", "department", "assignee", "owner")
"""Fields that refer to something by name, in columns `<field>_id`."""
PLAIN = ("title", "description", "remind_at", "correlation_key")
COMPARED = (*PLAIN, "priority", *NAMED, "tags", "labels", "occurrences", "sla_policy")
"""What history tells of besides the status, whose every step it tells."""

_MICROSECOND = timedelta(microseconds=1)


@dataclass
class Draft:
    """A ticket. `columns` are those of its row; `names` what its references are called."""

    columns: dict[str, Any]
    names: dict[str, str | None]
    tags: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)

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
        if name in ("tags", "labels"):
            return list(getattr(self, name))
        if name == "priority":
            return self.priority
        return self.columns[name]

    def snapshot(self) -> dict[str, Any]:
        """The fields that history compares, and the status."""
        return {name: self.value(name) for name in (*COMPARED, "status")}

    def clock(self, name: str) -> Deadline:
        """One of the clocks, `response` or `resolution`."""
        columns = self.columns
        return Deadline(
            columns[f"{name}_phase"],
            columns[f"{name}_warn_at"],
            columns[f"{name}_critical_at"],
            columns[f"{name}_due_at"],
            columns[f"{name}_met_at"],
            timedelta(microseconds=columns[f"{name}_stood_still"]),
        )

    def set_clock(self, name: str, clock: Deadline) -> None:
        """Stores a clock."""
        self.columns |= {
            f"{name}_phase": clock.phase,
            f"{name}_warn_at": clock.warn_at,
            f"{name}_critical_at": clock.critical_at,
            f"{name}_due_at": clock.due_at,
            f"{name}_met_at": clock.met_at,
            f"{name}_stood_still": clock.stood_still // _MICROSECOND,
        }

    def promise(self, promise: Promise | None) -> None:
        """Puts the ticket under a policy, or none. Start, pauses and outcomes of its clocks stay."""
        self.columns["sla_policy_id"] = promise.id if promise else None
        self.names["policy"] = promise.name if promise else None
        self.columns["effective_priority"] = PRIORITIES.index(effective_priority(self.priority, promise))
        for name in ("response", "resolution"):
            minutes = getattr(promise, f"{name}_minutes") if promise else None
            self.set_clock(
                name,
                self.clock(name).promised(
                    self.columns["created_at"],
                    minutes,
                    promise.warn_minutes if promise else 0,
                    promise.critical_minutes if promise else 0,
                ),
            )

    def step(self, status: str, now: datetime) -> None:
        """One step of the workflow, with what follows from it."""
        before = self.status
        self.steps.append((before, status))
        self.columns["status"] = status
        if before == "waiting":
            self.columns["remind_at"] = None
        if status in ENDED:
            if before not in ENDED:
                self.set_clock("response", self.clock("response").met(now))
                self.set_clock("resolution", self.clock("resolution").met(now))
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
            self.set_clock("resolution", self.clock("resolution").resumed(now))

    def answer(self, now: datetime, address: str) -> dict[str, Any]:
        """As it is answered: by the same code that answers what was read."""
        row = [self._column(label) for label in _LABELS]
        return queries.with_html(queries.answer(row, now, address, sorted(self.tags), sorted(self.labels)))

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
        "sla_policy_id": None,
        "reporter_id": None,
        "created_by_id": None,
        **{f"{name}_id": None for name in NAMED},
    }
    draft = Draft(columns, dict.fromkeys((*NAMED, "reporter", "created_by", "policy")))
    for name in ("response", "resolution"):
        draft.set_clock(name, Deadline())
    return draft


def row_values(draft: Draft) -> Mapping[str, Any]:
    """The columns for an insert."""
    return {name: value for name, value in draft.columns.items() if name != "id"}
