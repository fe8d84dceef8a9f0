"""The clock alone: deadlines, thresholds, pauses, states at any moment, keeping and breaking a promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskplane.service_levels.clock import Deadline, Pause, Terms, deadline, used, worst
from deskplane.service_levels.working_time import AROUND_THE_CLOCK, CalendarTime, WorkingTime

START = datetime(2026, 3, 2, 9, 0, 0, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = st.integers(1, 100_000)
SPANS = st.integers(0, 10**12).map(lambda microseconds: timedelta(microseconds=microseconds))
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
OFFICE = CalendarTime.of("Europe/Berlin", {day: [{"from": "09:00", "to": "17:00"}] for day in WEEKDAYS})


def terms(minutes: int = 120, warn: int = 60, critical: int = 15, working: WorkingTime = AROUND_THE_CLOCK) -> Terms:
    return Terms(minutes * MINUTE, warn * MINUTE, critical * MINUTE, working)


def clock(minutes: int = 120, warn: int = 60, critical: int = 15, met_at: datetime | None = None) -> Deadline:
    return deadline(terms(minutes, warn, critical), START, [], met_at)


@given(minutes=MINUTES, warn=st.integers(0, 200_000), critical=st.integers(0, 200_000))
def test_a_deadline_is_its_start_plus_its_target_to_the_microsecond(minutes: int, warn: int, critical: int) -> None:
    found = clock(minutes, warn, critical)
    assert found.due_at == START + minutes * MINUTE
    assert found.warn_at == max(START, found.due_at - warn * MINUTE)
    assert found.critical_at == max(START, found.due_at - critical * MINUTE)


def test_states_change_exactly_at_their_moments() -> None:
    found, tick = clock(), timedelta(microseconds=1)
    moments = [
        (START, "ok"),
        (START + 60 * MINUTE - tick, "ok"),
        (START + 60 * MINUTE, "warning"),
        (START + 105 * MINUTE - tick, "warning"),
        (START + 105 * MINUTE, "critical"),
        (START + 120 * MINUTE - tick, "critical"),
        (START + 120 * MINUTE, "breached"),
        (START + timedelta(days=400), "breached"),
    ]
    assert [found.state(moment) for moment, _ in moments] == [state for _, state in moments]


@pytest.mark.parametrize(
    ("warn", "critical", "state"), [(240, 15, "warning"), (240, 240, "critical"), (0, 0, "ok"), (15, 240, "critical")]
)
def test_a_threshold_larger_than_the_target_counts_from_the_start(warn: int, critical: int, state: str) -> None:
    assert clock(120, warn, critical).state(START) == state


def test_where_nothing_is_promised_there_is_no_state() -> None:
    assert deadline(None, START, [], None).state(START + timedelta(days=9)) == "none"
    assert deadline(None, START, [], START).state(START) == "none"


def test_met_in_time_is_met_and_met_late_stays_breached() -> None:
    due = START + 120 * MINUTE
    assert clock(met_at=due).state(due + timedelta(days=9)) == "met"
    assert clock(met_at=due + timedelta(microseconds=1)).state(due + timedelta(days=9)) == "breached"


@given(steps=st.lists(st.tuples(SPANS, SPANS), max_size=6), minutes=MINUTES)
def test_a_pause_moves_the_deadline_by_its_length_unless_it_came_too_late(
    steps: list[tuple[timedelta, timedelta]], minutes: int
) -> None:
    pauses, now = [], START
    for running, standing in steps:
        pauses.append(Pause(now + running, now + running + standing, "waiting"))
        now += running + standing
    ran, still, target = timedelta(0), timedelta(0), minutes * MINUTE
    for running, standing in steps:
        ran += running
        if ran >= target:
            break
        still += standing
    assert deadline(terms(minutes), START, pauses, None).due_at == START + target + still
    assert used(AROUND_THE_CLOCK, START, pauses, now) == sum((running for running, _ in steps), timedelta(0))


@given(data=st.data(), working=st.sampled_from([AROUND_THE_CLOCK, OFFICE]))
def test_what_is_used_at_the_deadline_is_the_target(data: st.DataObject, working: WorkingTime) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, 20_000), max_size=8)))
    moments = [START + edge * MINUTE for edge in edges[: len(edges) // 2 * 2]]
    pauses = [Pause(one, two, "waiting") for one, two in zip(moments[::2], moments[1::2], strict=True)]
    minutes = data.draw(st.integers(1, 6000))
    found = deadline(terms(minutes, working=working), START, pauses, None)
    assert found.due_at is not None
    assert used(working, START, pauses, found.due_at) == minutes * MINUTE
    assert used(working, START, pauses, found.due_at - timedelta(microseconds=1)) < minutes * MINUTE


def test_a_pause_outside_working_hours_moves_nothing() -> None:
    evening = datetime(2026, 3, 2, 16, 30, tzinfo=UTC)  # half past five in Berlin
    morning = datetime(2026, 3, 3, 7, 30, tzinfo=UTC)
    night = [Pause(evening, morning, "waiting")]
    assert deadline(terms(600, working=OFFICE), START, night, None) == deadline(
        terms(600, working=OFFICE), START, [], None
    )


def test_while_it_is_paused_it_has_no_deadline_but_what_is_left() -> None:
    found = deadline(terms(), START, [Pause(START + 70 * MINUTE, None, "waiting")], None)
    assert (found.phase, found.due_at, found.critical_at, found.left) == ("paused", None, None, 50 * MINUTE)
    assert found.warn_at == START + 60 * MINUTE, "what it had reached, it had reached"
    assert found.state(START + timedelta(days=9)) == "paused"


def test_a_broken_promise_is_not_mended_by_a_pause() -> None:
    late = deadline(terms(), START, [Pause(START + 130 * MINUTE, None, "waiting")], None)
    assert late.due_at == START + 120 * MINUTE
    assert late.state(START + timedelta(days=9)) == "breached"
    resolved = [Pause(START + 130 * MINUTE, START + 500 * MINUTE, "resolved")]
    assert deadline(terms(), START, resolved, None).state(START + 500 * MINUTE) == "breached"


def test_what_comes_after_it_was_met_is_no_matter_of_the_clock() -> None:
    met_at = START + 30 * MINUTE
    later = [Pause(START + 60 * MINUTE, START + 90 * MINUTE, "waiting"), Pause(START + 95 * MINUTE, None, "waiting")]
    assert deadline(terms(), START, later, met_at) == clock(met_at=met_at)
    within = [Pause(START + 20 * MINUTE, None, "waiting")]
    assert deadline(terms(), START, within, met_at).due_at == START + 130 * MINUTE


def test_a_clock_without_working_time_never_becomes_due() -> None:
    found = deadline(terms(working=CalendarTime.of("UTC", {})), START, [], None)
    assert (found.phase, found.due_at, found.state(START + timedelta(days=900))) == ("running", None, "ok")
    met = deadline(terms(working=CalendarTime.of("UTC", {})), START, [], START + timedelta(days=900))
    assert met.state(START + timedelta(days=901)) == "met"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([("none", False), ("none", False)], "none"),
        ([("met", True), ("ok", False)], "ok"),
        ([("breached", True), ("ok", False)], "ok"),
        ([("breached", True), ("met", True)], "breached"),
        ([("met", True), ("met", True)], "met"),
        ([("met", True), ("none", False)], "met"),
        ([("met", True), ("paused", False)], "paused"),
        ([("ok", False), ("paused", False)], "ok"),
        ([("breached", False), ("paused", False)], "breached"),
        ([("warning", False), ("critical", False)], "critical"),
        ([("breached", False), ("warning", False)], "breached"),
        ([("none", True), ("none", True)], "none"),
    ],
)
def test_a_ticket_shows_the_worst_unmet_state_else_the_worst_of_all(
    states: list[tuple[str, bool]], expected: str
) -> None:
    assert worst(states) == worst(states[::-1]) == expected
