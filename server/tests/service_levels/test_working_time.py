"""Working time: cases with known answers, and a slow reference that looks at the clock on the wall every minute."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from deskplane.service_levels.working_time import AROUND_THE_CLOCK, CalendarTime, day_spans

MINUTE = timedelta(minutes=1)
DAY = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # no changes of the clock any more; until 2019 at midnight
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca",  # winter time in Ramadan
    "Asia/Kathmandu",  # +05:45
    "Pacific/Kiritimati",  # +14
    "America/St_Johns",
    "Asia/Beirut",  # at midnight
]
CHANGES = [  # days about which clocks change somewhere
    datetime(2026, 3, 29, tzinfo=UTC),
    datetime(2026, 10, 25, tzinfo=UTC),
    datetime(2026, 3, 8, tzinfo=UTC),
    datetime(2026, 11, 1, tzinfo=UTC),
    datetime(2026, 4, 5, tzinfo=UTC),
    datetime(2026, 10, 4, tzinfo=UTC),
    datetime(2018, 11, 4, tzinfo=UTC),
    datetime(2026, 2, 15, tzinfo=UTC),
]


@st.composite
def windows(draw: st.DrawFn) -> list[dict[str, str]]:
    edges = sorted(draw(st.sets(st.integers(0, 96), max_size=6)))
    edges = edges[: len(edges) // 2 * 2]
    texts = [f"{quarter // 4:02}:{quarter % 4 * 15:02}" for quarter in edges]
    return [{"from": begins, "to": ends} for begins, ends in zip(texts[::2], texts[1::2], strict=True)]


@st.composite
def calendars(draw: st.DrawFn, about: datetime) -> CalendarTime:
    hours = {day: draw(windows()) for day in DAY}
    near = [(about + timedelta(days=n)).date() for n in range(-2, 6)]
    free = draw(st.sets(st.sampled_from(near), max_size=2))
    return CalendarTime.of(draw(st.sampled_from(ZONES)), hours, {"dates": sorted(map(str, free))})


def works(calendar: CalendarTime, instant: datetime) -> bool:
    """The definition, word for word."""
    wall = instant.astimezone(ZoneInfo(calendar.zone))
    minute = wall.hour * 60 + wall.minute
    if calendar.is_free(wall.date()):
        return False
    return any(begins <= minute < ends for begins, ends in calendar.hours[wall.weekday()])


@given(st.data())
def test_every_minute_counts_as_the_clock_on_the_wall_says(data: st.DataObject) -> None:
    about = data.draw(st.sampled_from(CHANGES))
    calendar = data.draw(calendars(about))
    start = about + MINUTE * data.draw(st.integers(-1440, 1440))
    minutes = [start + MINUTE * n for n in range(data.draw(st.integers(0, 3000)))]
    end = start + MINUTE * len(minutes)
    counted = [minute for minute in minutes if works(calendar, minute)]
    assert calendar.between(start, end) == MINUTE * len(counted)
    found = list(calendar.spans(start, end))
    assert all(start <= since < until <= end for since, until in found)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(found))
    if counted:
        wanted = data.draw(st.integers(1, len(counted)))
        assert calendar.after(start, MINUTE * wanted) == counted[wanted - 1] + MINUTE


@given(st.data())
def test_after_and_between_are_each_other_s_inverse_to_the_microsecond(data: st.DataObject) -> None:
    about = data.draw(st.sampled_from(CHANGES))
    calendar = data.draw(calendars(about).filter(lambda found: any(found.hours)))
    start = about + timedelta(microseconds=data.draw(st.integers(0, 10**11)))
    amount = timedelta(microseconds=data.draw(st.integers(1, 10**12)))
    due = calendar.after(start, amount)
    assert due is not None
    assert calendar.between(start, due) == amount
    assert calendar.between(start, due - timedelta(microseconds=1)) == amount - timedelta(microseconds=1)


def test_without_working_time_a_deadline_never_comes() -> None:
    calendar = CalendarTime.of("UTC", {})
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert calendar.after(start, MINUTE) is None
    assert calendar.between(start, start + timedelta(days=400)) == timedelta(0)


def test_an_hour_that_is_repeated_counts_twice_and_one_that_is_skipped_does_not() -> None:
    night = CalendarTime.of("Europe/Berlin", {"sunday": [{"from": "02:00", "to": "03:00"}]})
    twice = day_spans(night, date(2026, 10, 25))
    assert sum((until - since for since, until in twice), timedelta(0)) == timedelta(hours=2)
    assert not day_spans(night, date(2026, 3, 29))


def test_public_holidays_of_a_part_of_a_country_are_free() -> None:
    hours = {day: [{"from": "08:00", "to": "17:00"}] for day in DAY}
    corpus_christi = datetime.combine(date(2026, 6, 4), time(0), UTC)
    bavaria = CalendarTime.of("Europe/Berlin", hours, {"country": "DE", "subdivision": "BY"})
    germany = CalendarTime.of("Europe/Berlin", hours, {"country": "DE"})
    day = timedelta(days=1)
    assert bavaria.between(corpus_christi, corpus_christi + day) == timedelta(0)
    assert germany.between(corpus_christi, corpus_christi + day) == timedelta(hours=9)


def test_around_the_clock_all_time_counts() -> None:
    start = datetime(2026, 3, 29, tzinfo=UTC)
    assert AROUND_THE_CLOCK.after(start, timedelta(days=2)) == start + timedelta(days=2)
    assert AROUND_THE_CLOCK.between(start, start + timedelta(days=2)) == timedelta(days=2)
    assert AROUND_THE_CLOCK.between(start + timedelta(days=2), start) == timedelta(0)
