"""The clock alone: deadlines, thresholds, states at any moment, keeping and breaking a promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskplane.service_levels.clock import Deadline, worst

START = datetime(2026, 3, 2, 9, 0, 0, 1, tzinfo=UTC)
MINUTES = st.integers(1, 100_000)
SPANS = st.integers(0, 10**12).map(lambda microseconds: timedelta(microseconds=microseconds))


def clock(minutes: int = 120, warn: int = 60, critical: int = 15) -> Deadline:
    return Deadline().promised(START, minutes, warn, critical)


@given(minutes=MINUTES, warn=st.integers(0, 200_000), critical=st.integers(0, 200_000))
def test_a_deadline_is_its_start_plus_its_target_to_the_microsecond(minutes: int, warn: int, critical: int) -> None:
    found = clock(minutes, warn, critical)
    assert found.due_at == START + timedelta(minutes=minutes)
    assert found.warn_at == max(START, found.due_at - timedelta(minutes=warn))
    assert found.critical_at == max(START, found.due_at - timedelta(minutes=critical))


def test_states_change_exactly_at_their_moments() -> None:
    found, tick = clock(), timedelta(microseconds=1)
    moments = [
        (START, "ok"),
        (START + timedelta(minutes=60) - tick, "ok"),
        (START + timedelta(minutes=60), "warning"),
        (START + timedelta(minutes=105) - tick, "warning"),
        (START + timedelta(minutes=105), "critical"),
        (START + timedelta(minutes=120) - tick, "critical"),
        (START + timedelta(minutes=120), "breached"),
        (START + timedelta(days=400), "breached"),
    ]
    assert [found.state(moment) for moment, _ in moments] == [state for _, state in moments]


@pytest.mark.parametrize(
    ("warn", "critical", "state"), [(240, 15, "warning"), (240, 240, "critical"), (0, 0, "ok"), (15, 240, "critical")]
)
def test_a_threshold_larger_than_the_target_counts_from_the_start(warn: int, critical: int, state: str) -> None:
    assert clock(120, warn, critical).state(START) == state


def test_where_nothing_is_promised_there_is_no_state() -> None:
    found = Deadline().promised(START, None, 60, 15)
    assert found.state(START + timedelta(days=9)) == "none"
    assert found.met(START).state(START) == "none"


def test_met_in_time_is_met_and_met_late_stays_breached() -> None:
    due = START + timedelta(minutes=120)
    assert clock().met(due).state(due + timedelta(days=9)) == "met"
    late = clock().met(due + timedelta(microseconds=1))
    assert late.state(due + timedelta(days=9)) == "breached"
    assert late.met(START).met_at == late.met_at, "the first time counts"


@given(steps=st.lists(st.tuples(SPANS, SPANS), max_size=6), minutes=MINUTES)
def test_what_stood_still_moves_the_deadline_by_exactly_that(
    steps: list[tuple[timedelta, timedelta]], minutes: int
) -> None:
    found, now, still = clock(minutes), START, timedelta(0)
    for running, standing in steps:
        now += running
        found = found.met(now)
        now += standing
        found = found.resumed(now)
        still += standing
        assert found.met_at is None
        assert found.due_at == START + timedelta(minutes=minutes) + still
        assert found.stood_still == still
    # another promise starts where the first did, and knows the same pauses
    assert found.promised(START, minutes + 1, 60, 15).due_at == START + timedelta(minutes=minutes + 1) + still


def test_a_broken_promise_is_not_mended_by_resuming() -> None:
    late = clock().met(START + timedelta(minutes=130)).resumed(START + timedelta(minutes=500))
    assert late.state(START + timedelta(minutes=500)) == "breached"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([("none", False), ("none", False)], "none"),
        ([("met", True), ("ok", False)], "ok"),
        ([("breached", True), ("ok", False)], "ok"),
        ([("breached", True), ("met", True)], "breached"),
        ([("met", True), ("met", True)], "met"),
        ([("met", True), ("none", False)], "met"),
        ([("warning", False), ("critical", False)], "critical"),
        ([("breached", False), ("warning", False)], "breached"),
        ([("none", True), ("none", True)], "none"),
    ],
)
def test_a_ticket_shows_the_worst_unmet_state_else_the_worst_of_all(
    states: list[tuple[str, bool]], expected: str
) -> None:
    assert worst(states) == worst(states[::-1]) == expected
