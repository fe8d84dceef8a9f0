"""The kind `calendar`: when people work (domain: service levels)."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import Schema, ValidationError

from deskplane.kernel.compound import Group, Items, SetOf
from deskplane.kernel.exact import Date, TimeOfDay, minutes_of_day
from deskplane.kernel.fields import Coded, Name, Text, TimeZone, refuse
from deskplane.kernel.kind import Check, Kind
from deskplane.service_levels.models import Calendar

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
"""In the order of `date.weekday()`."""

Window = Schema.from_dict(
    {
        "from": TimeOfDay("When work begins, such as V(09:00).", required=True),
        "to": TimeOfDay("When it ends, such as V(17:30); V(24:00) is midnight.", midnight_ends=True, required=True),
    },
    name="Window",
)


class Windows(Items):
    """The working time of a day: windows in their order, none of which runs into the next."""

    def __init__(self, description: str) -> None:
        super().__init__(description, Window, named_by=("from",), most=24)

    def collect(self, items: list[Any]) -> list[Any]:
        found = super().collect(items)
        errors: dict[int, Any] = {}
        before: Any = None
        for window in found:
            place = items.index(window)
            if minutes_of_day(window["to"]) <= minutes_of_day(window["from"]):
                detail = f"must come after {window['from']}; a night is two windows: to 24:00, and from 00:00 on"
                errors[place] = {"to": [Coded(detail, "out_of_range")]}
            elif before is not None and minutes_of_day(window["from"]) < minutes_of_day(before["to"]):
                detail = f"the window {window['from']}-{window['to']} overlaps {before['from']}-{before['to']}"
                errors[place] = {"from": [Coded(detail, "overlap")]}
            before = window
        if errors:
            raise ValidationError(errors)
        return found


Hours = Schema.from_dict(
    {day: Windows(f"Working time on {day.title()}s; empty for none.") for day in WEEKDAYS}, name="Hours"
)


@cache
def _countries() -> dict[str, list[str]]:
    """The countries whose holidays are known, with the codes of their subdivisions. Takes a moment, once a process."""
    from holidays.utils import list_supported_countries

    return list_supported_countries(include_aliases=False)


class Country(Text):
    """A country (ISO 3166-1 alpha-2) whose public holidays are known."""

    def __init__(self, description: str) -> None:
        super().__init__(description, longest=2)

    def canonical(self, text: str) -> str:
        code = text.upper()
        if code not in _countries():
            raise refuse("not_allowed", f"must be the two-letter code of a country, such as DE, got {text!r}")
        return code


class Subdivision(Text):
    """A part of a country, which is known together with the country only."""


class Holidays(Schema):
    """Days on which nobody works."""

    dates = SetOf("Single days, such as V(2026-12-24).", Date("A day."))
    country = Country("Country whose public holidays are free, as its ISO 3166-1 code such as V(DE); null for none.")
    subdivision = Subdivision(
        "Part of that country with holidays of its own, as its ISO 3166-2 code such as V(BY); null for the whole.",
        longest=60,
    )


class CalendarSchema(Schema):
    """When people work."""

    name = Name("Name of the calendar; it identifies the calendar.")
    description = Text("Whose hours these are.", longest=4000, block=True, default="")
    time_zone = TimeZone("Time zone of the hours and holidays, of the IANA database.", longest=64, default="UTC")
    hours = Group("Working time of each weekday. A weekday that is given is replaced whole; the others stay.", Hours)
    holidays = Group("Days on which nobody works, whatever weekday they are.", Holidays)


def check_calendar(found: Check) -> None:
    """A subdivision is one of its country's. A calendar without working time is most likely a mistake."""
    country, subdivision = found.after["holidays"]["country"], found.after["holidays"]["subdivision"]
    if subdivision is not None and country is None:
        found.refuse("holidays.subdivision", "not_allowed", "a subdivision needs its country")
    elif subdivision is not None:
        # the whole code of ISO 3166-2 has the country in front
        code = subdivision.removeprefix(f"{country}-")
        known = _countries()[country]
        if code in known:
            found.after["holidays"]["subdivision"] = code
        else:
            words = ", ".join(known[:20]) or "none"
            detail = f"{country} has no subdivision {subdivision!r} with holidays of its own, but {words}"
            found.refuse("holidays.subdivision", "not_allowed", detail, known)
    if not any(found.after["hours"].values()):
        found.warnings.append(
            f"the calendar {found.after['name']} has no working time: nothing that it times ever becomes due"
        )


_DAY = [{"from": "08:00", "to": "12:00"}, {"from": "13:00", "to": "17:30"}]

CALENDAR = Kind(
    name="calendar",
    plural="calendars",
    title="calendar",
    model=Calendar,
    schema=CalendarSchema,
    key=("name",),
    permission="sla:manage",
    check=check_calendar,
    short_description="Manage calendars",
    description=[
        "A calendar says when people work: hours for each weekday in one time zone, and holidays. The deadlines of a "
        "service level policy that names it count working time only.",
    ],
    notes=[
        "Write times in quotes: YAML reads V(17:30) as a number.",
        "A policy without a calendar counts around the clock.",
    ],
    examples=[
        {
            "name": "Office hours in Munich, with the lunch break and the public holidays of Bavaria",
            "options": {
                "name": "office",
                "time_zone": "Europe/Berlin",
                "hours": {
                    **dict.fromkeys(WEEKDAYS[:4], _DAY),
                    "friday": [{"from": "08:00", "to": "14:00"}],
                },
                "holidays": {"country": "DE", "subdivision": "BY", "dates": ["2026-12-24", "2026-12-31"]},
                "state": "present",
            },
        },
        {
            "name": "Around the clock on working days",
            "options": {
                "name": "working-days",
                "hours": {day: [{"from": "00:00", "to": "24:00"}] for day in WEEKDAYS[:5]},
                "state": "present",
            },
        },
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a20",
        "name": "office",
        "description": "",
        "time_zone": "Europe/Berlin",
        "hours": {day: _DAY if day in WEEKDAYS[:5] else [] for day in WEEKDAYS},
        "holidays": {"dates": ["2026-12-24", "2026-12-31"], "country": "DE", "subdivision": "BY"},
    },
)
