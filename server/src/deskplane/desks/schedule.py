"""Times that come again and again, as cron (POSIX, crontab) writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from itertools import product
from typing import Any

from deskplane.kernel.fields import Text, refuse

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 7, DAYS),
)
_ITEM = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d{1,2}))?", re.ASCII)


class Schedule(Text):
    """Five fields of cron: minute, hour, day of the month, month, day of the week; in UTC."""

    def __init__(self, description: str, **common: Any) -> None:
        super().__init__(
            f"{description} Five fields as in cron, in UTC: V(30 2 * * *) is every night at half past two.",
            longest=100,
            **common,
        )

    def canonical(self, text: str) -> str:
        fields = text.lower().split()
        if len(fields) != len(_FIELDS):
            raise refuse("bad_format", "must have five fields as in cron, such as 30 2 * * * for 02:30 every night")
        for value, (what, least, most, names) in zip(fields, _FIELDS, strict=True):
            if not all(_fits(item, least, most, names) for item in value.split(",")):
                raise refuse(
                    "bad_format", f"has {value!r} for the {what}; that is {least} to {most}, or *, a range or steps"
                )
        return " ".join(fields)


def next_after(schedule: str, instant: datetime) -> datetime | None:
    """The first time of a schedule behind an instant, in UTC; null where ten years have none, as for 30 February.

    Where both the day of the month and that of the week are limited, either makes a day count (POSIX, crontab).
    """
    minutes, hours, days, months, weekdays = (
        _numbers(value, least, most, names)
        for value, (_what, least, most, names) in zip(schedule.split(), _FIELDS, strict=True)
    )
    weekdays = {day % 7 for day in weekdays}
    _minute, _hour, by_day, _month, by_weekday = schedule.split()
    begin = instant.astimezone(UTC)
    for offset in range(3660):
        day = (begin + timedelta(days=offset)).date()
        in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        counts = in_month or in_week if "*" not in (by_day[0], by_weekday[0]) else in_month and in_week
        if day.month not in months or not counts:
            continue
        for hour, minute in product(sorted(hours), sorted(minutes)):
            found = datetime.combine(day, time(hour, minute), UTC)
            if found > begin:
                return found
    return None


def _numbers(field: str, least: int, most: int, names: tuple[str, ...]) -> set[int]:
    """The numbers that a field of a schedule stands for."""
    found: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        assert match, "it was checked as it was set"
        start, end = (_number(part, least, names) for part in match.group(1, 2))
        if start is None:
            start, end = least, most
        found |= set(range(start, (start if end is None else end) + 1, int(match[3] or 1)))
    return found


def _fits(item: str, least: int, most: int, names: tuple[str, ...]) -> bool:
    found = _ITEM.fullmatch(item)
    if not found:
        return False
    start, end = (_number(part, least, names) for part in found.group(1, 2))
    if found[3] is not None and (not int(found[3]) or (found[1] is not None and found[2] is None)):
        return False  # steps go through a range
    if found[1] is not None and (start is None or not least <= start <= most):
        return False
    return found[2] is None or (end is not None and start is not None and start <= end <= most)


def _number(part: str | None, least: int, names: tuple[str, ...]) -> int | None:
    if part is None:
        return None
    if part in names:
        return names.index(part) + least
    return int(part) if part.isdigit() and len(part) <= 2 else None
