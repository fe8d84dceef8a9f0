"""Cases with known answers, from the tests of other helpdesks, through the API: tickets that wait and go on."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Api, TurnedClock

CASES = json.loads((Path(__file__).parent / "data" / "sla.json").read_text())
FAR = timedelta(days=365)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def at(clock: TurnedClock, moment: str) -> None:
    clock.turn(seconds=(instant(moment) - clock.now()).total_seconds())


def declare(api: Api, case: dict[str, Any], minutes: int) -> None:
    calendar = CASES["calendars"][case["calendar"]]
    hours = {
        day: [{"from": begins, "to": ends} for begins, ends in windows] for day, windows in calendar["hours"].items()
    }
    holidays = {"dates": calendar.get("holidays", [])}
    api.apply("calendars", name="c", time_zone=calendar["time_zone"], hours=hours, holidays=holidays)
    api.apply("sla-policies", name="p", resolution_minutes=minutes, calendar="c")


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: f"{case['calendar']}-{case['start']}")
def test_a_ticket_is_due_or_was_worked_on_as_long_as_it_should(
    api: Api, clock: TurnedClock, case: dict[str, Any]
) -> None:
    at(clock, case["start"])
    # of the time that is used nothing is stored: it is the least target that is not missed at the end
    minutes = case["minutes"] if "due" in case else case["elapsed_minutes"]
    declare(api, case, minutes)
    number = api.call("POST", "/tickets", {"title": "x"}, 201)["number"]
    for since, until in case["pauses"]:
        at(clock, since)
        api.call("PATCH", f"/tickets/{number}", {"status": "waiting"})
        at(clock, until)
        api.call("PATCH", f"/tickets/{number}", {"status": "in_progress"})
    found = api.call("GET", f"/tickets/{number}")["sla"]["resolution"]
    if "due" in case:
        assert instant(found["due_at"]) == instant(case["due"])
    else:
        assert instant(found["due_at"]) <= instant(case["end"])
        api.apply("sla-policies", name="p", resolution_minutes=minutes + 1)
        another = api.call("PATCH", f"/tickets/{number}", {"priority": "high"})["sla"]["resolution"]
        assert instant(another["due_at"]) > instant(case["end"])
