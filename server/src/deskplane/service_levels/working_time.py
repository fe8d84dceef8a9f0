"""When time counts: the working time of a calendar, exact to the microsecond, through both clock changes of the year.

An instant is working time if a clock on the wall of the calendar's time zone then shows a time inside one of the
day's windows, and the day is no holiday. So an hour that a clock change repeats counts twice, and one that it skips
does not count at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from deskplane.kernel.exact import minutes_of_day

Span = tuple[datetime, datetime]
"""From an instant up to another, in UTC."""

NOTHING = timedelta(0)
DAY = timedelta(days=1)
_GIVE_UP = timedelta(days=366 * 30)
"""A deadline that is farther away than this never comes: the calendar has hardly any working time."""
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class WorkingTime(ABC):
    """Which time counts."""

    @abstractmethod
    def spans(self, start: datetime, end: datetime) -> Iterator[Span]:
        """The working time between two instants, in order; spans that touch may be two."""

    @abstractmethod
    def after(self, start: datetime, amount: timedelta) -> datetime | None:
        """The earliest instant at which this much was worked since `start`; null where that never comes."""

    def between(self, start: datetime, end: datetime) -> timedelta:
        """How much is worked between two instants."""
        return sum((until - since for since, until in self.spans(start, end)), NOTHING)


class AroundTheClock(WorkingTime):
    """All time counts."""

    def spans(self, start: datetime, end: datetime) -> Iterator[Span]:
        if start < end:
            yield start, end

    def after(self, start: datetime, amount: timedelta) -> datetime:
        return start + amount


AROUND_THE_CLOCK = AroundTheClock()


@dataclass(frozen=True)
class CalendarTime(WorkingTime):
    """The working time of a calendar.

    Args:
        zone: IANA name of the time zone.
        hours: for each weekday from Monday on, windows as minutes since midnight, in order.
        dates: single days off.
        country, subdivision: whose public holidays are days off.
    """

    zone: str
    hours: tuple[tuple[tuple[int, int], ...], ...]
    dates: frozenset[date] = frozenset()
    country: str | None = None
    subdivision: str | None = None

    @classmethod
    def of(cls, time_zone: str, hours: Mapping[str, Any], holidays: Mapping[str, Any] | None = None) -> CalendarTime:
        """From a calendar's fields."""
        holidays = holidays or {}
        windows = [
            tuple((minutes_of_day(window["from"]), minutes_of_day(window["to"])) for window in hours.get(day) or ())
            for day in _WEEKDAYS
        ]
        return cls(
            time_zone,
            tuple(windows),
            frozenset(map(date.fromisoformat, holidays.get("dates") or ())),
            holidays.get("country"),
            holidays.get("subdivision"),
        )

    def spans(self, start: datetime, end: datetime) -> Iterator[Span]:
        last = end.astimezone(ZoneInfo(self.zone)).date()
        for day in self._days(start):
            if day > last:
                return
            for since, until in day_spans(self, day):
                since, until = max(since, start), min(until, end)
                if since < until:
                    yield since, until

    def after(self, start: datetime, amount: timedelta) -> datetime | None:
        left = amount
        for day in self._days(start):
            for since, until in day_spans(self, day):
                if until <= start:
                    continue
                since = max(since, start)
                if until - since >= left:
                    return since + left
                left -= until - since
            if day.year >= date.max.year - 1 or day - start.date() > _GIVE_UP:
                return None
        return None

    def _days(self, start: datetime) -> Iterator[date]:
        if not any(self.hours):
            return
        day = start.astimezone(ZoneInfo(self.zone)).date()
        while True:
            if self.hours[day.weekday()] and not self.is_free(day):
                yield day
            day += DAY

    def is_free(self, day: date) -> bool:
        """Whether it is a holiday."""
        if day in self.dates:
            return True
        return self.country is not None and day in public_holidays(self.country, self.subdivision, day.year)


@lru_cache(maxsize=20_000)
def day_spans(calendar: CalendarTime, day: date) -> Sequence[Span]:
    """The working time of a day on the wall, in order of time."""
    found: list[Span] = []
    for since, until, offset in _stretches(calendar.zone, day):
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - offset
        for begins, ends in calendar.hours[day.weekday()]:
            span = (
                max(since, midnight + timedelta(minutes=begins)),
                min(until, midnight + timedelta(minutes=ends)),
            )
            if span[0] < span[1]:
                found.append(span)
    return found


def _stretches(name: str, day: date) -> list[tuple[datetime, datetime, timedelta]]:
    """The parts of a day on the wall, in UTC, between changes of the clock: since, until, offset from UTC."""
    zone = ZoneInfo(name)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    # the day on the wall lies within these, whatever the zone
    first, last = midnight - DAY, midnight + 2 * DAY
    found = []
    since = first
    while since < last:
        offset = _offset(zone, since)
        until = _next_change(zone, since, last)
        begins, ends = max(since, midnight - offset), min(until, midnight + DAY - offset)
        if begins < ends:
            found.append((begins, ends, offset))
        since = until
    return found


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _next_change(zone: ZoneInfo, since: datetime, last: datetime) -> datetime:
    """When the zone's offset changes next, or `last`. Looked for by the hour, then by halves: no zone changes its
    clock there and back within an hour."""
    before = _offset(zone, since)
    if _offset(zone, last) == before and _offset(zone, since + (last - since) / 2) == before:
        return last
    hour = timedelta(hours=1)
    low = since
    while low < last and _offset(zone, min(low + hour, last)) == before:
        low = min(low + hour, last)
    if low >= last:
        return last
    high = min(low + hour, last)
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle <= low:
            break
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


@cache
def public_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    """The public holidays of a country, or of a part of it, in a year."""
    import holidays

    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))
