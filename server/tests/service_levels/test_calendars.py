"""Calendars: hours and holidays, their one form, and what is refused with a word on how to mend it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from conftest import Api
from deskplane.kernel.exact import minutes_of_day
from deskplane.service_levels.calendars import WEEKDAYS, Windows
from dumps import dump

WINDOWS = Windows("Working time.")


def window(start: str, end: str) -> dict[str, str]:
    return {"from": start, "to": end}


def refused(api: Api, **fields: Any) -> list[tuple[str, str, str]]:
    """The errors of an apply that changes nothing: pointer, code, words."""
    before = dump(api.desk)
    answer = api.apply("calendars", status=422, name="office", **fields)
    assert dump(api.desk) == before
    return [(error["pointer"], error["code"], error["detail"]) for error in answer["errors"]]


def test_a_new_calendar_is_in_utc_without_hours_and_says_so(api: Api) -> None:
    made = api.apply("calendars", name="office")
    assert made["after"]["time_zone"] == "UTC"
    assert made["after"]["hours"] == {day: [] for day in WEEKDAYS}
    assert made["after"]["holidays"] == {"dates": [], "country": None, "subdivision": None}
    assert "has no working time" in made["warnings"][0]
    assert api.apply("calendars", name="office", hours={"monday": [window("9:00", "17:00")]})["warnings"] == []


def test_a_weekday_is_replaced_whole_and_the_others_stay(api: Api) -> None:
    day = [window("08:00", "12:00"), window("13:00", "17:00")]
    api.apply("calendars", name="office", hours={"monday": day, "friday": day})
    changed = api.apply("calendars", name="office", hours={"friday": [window("08:00", "24:00")]})
    assert changed["changes"] == [{"field": "hours.friday", "before": day, "after": [window("08:00", "24:00")]}]
    assert changed["after"]["hours"]["monday"] == day
    assert api.apply("calendars", name="office", hours={"friday": None})["after"]["hours"]["friday"] == []


def test_the_order_and_spelling_of_windows_and_days_are_no_change(api: Api) -> None:
    api.apply(
        "calendars",
        name="office",
        hours={"monday": [window("08:00", "12:00"), window("13:00", "17:00")]},
        holidays={"dates": ["2026-12-24", "2026-01-06"], "country": "DE", "subdivision": "BY"},
    )
    again = api.apply(
        "calendars",
        name="office",
        hours={"monday": [window("13:00", "17:00"), window("8:00", "12:00")]},
        holidays={"dates": ["2026-01-06", "2026-12-24", "2026-12-24"], "country": "de", "subdivision": "DE-BY"},
    )
    assert again["action"] == "none"


@pytest.mark.parametrize(
    ("windows", "place", "words"),
    [
        ([window("09:00", "12:00"), window("11:59", "13:00")], "1/from", "overlaps 09:00-12:00"),
        ([window("13:00", "15:00"), window("09:00", "13:01")], "0/from", "overlaps 09:00-13:01"),
        ([window("09:00", "09:00")], "0/to", "must come after 09:00"),
        ([window("22:00", "06:00")], "0/to", "two windows: to 24:00, and from 00:00 on"),
        ([window("24:00", "24:00")], "0/from", "from 00:00 to 23:59"),
        ([window("09:00", "24:01")], "0/to", "from 00:00 to 24:00"),
        ([window("9", "17:00")], "0/from", "such as 17:30"),
        ([window("09:00", 1050)], "0/to", "in quotes: '17:30'"),  # type: ignore[arg-type]
        ([window("09:00", "10:00"), window("9:00", "11:00")], "1/from", "stands there twice"),
        ([{"from": "09:00"}], "0/to", "is required"),
        ([{"from": "09:00", "to": "10:00", "until": "11:00"}], "0/until", "no such field"),
    ],
)
def test_bad_windows_are_named_with_their_place_and_what_to_do(
    api: Api, windows: list[Any], place: str, words: str
) -> None:
    ((pointer, _code, detail),) = refused(api, hours={"tuesday": windows})
    assert pointer == f"#/hours/tuesday/{place}"
    assert words in detail


def test_all_bad_days_are_named_at_once(api: Api) -> None:
    bad = {"monday": [window("10:00", "09:00")], "sunday": [window("x", "y")], "sonntag": []}
    places = {pointer for pointer, _code, _detail in refused(api, hours=bad, time_zone="Europe/Munich")}
    assert places == {
        "#/hours/monday/0/to",
        "#/hours/sunday/0/from",
        "#/hours/sunday/0/to",
        "#/hours/sonntag",
        "#/time_zone",
    }


@pytest.mark.parametrize(
    ("holidays", "place", "words"),
    [
        ({"dates": ["2026-02-30"]}, "dates/0", "such as 2026-12-25"),
        ({"dates": ["24.12.2026"]}, "dates/0", "such as 2026-12-25"),
        ({"country": "XX"}, "country", "two-letter code"),
        ({"country": "Germany"}, "country", "at most 2 characters"),
        ({"subdivision": "BY"}, "subdivision", "needs its country"),
        ({"country": "DE", "subdivision": "BX"}, "subdivision", "but BB, BE, BW, BY"),
        ({"country": "VA", "subdivision": "X"}, "subdivision", "but none"),
        ({"country": "DE", "subdivision": "FR-BY"}, "subdivision", "no subdivision 'FR-BY'"),
    ],
)
def test_bad_holidays_are_named(api: Api, holidays: dict[str, Any], place: str, words: str) -> None:
    ((pointer, _code, detail),) = refused(api, holidays=holidays)
    assert pointer == f"#/holidays/{place}"
    assert words in detail


def test_a_country_cannot_go_while_its_subdivision_stays(api: Api) -> None:
    api.apply("calendars", name="office", holidays={"country": "DE", "subdivision": "BY"})
    assert refused(api, holidays={"country": None})[0][0] == "#/holidays/subdivision"
    assert api.apply("calendars", name="office", holidays=None)["after"]["holidays"]["country"] is None


def test_a_calendar_that_a_policy_names_stays_and_can_be_renamed(api: Api) -> None:
    api.apply("calendars", name="office")
    api.apply("sla-policies", name="gold", calendar="office")
    blocked = api.apply("calendars", status=409, name="office", state="absent")
    assert blocked["dependants"] == ["sla_policy gold"]
    api.apply("calendars", name="bureau", renamed_from="office")
    assert api.apply("sla-policies", name="gold", calendar="bureau")["action"] == "none"
    unknown = api.apply("sla-policies", status=422, name="gold", calendar="office")
    assert unknown["errors"][0]["code"] == "unknown_reference"


def test_a_policy_pauses_while_waiting_unless_it_says_otherwise(api: Api) -> None:
    made = api.apply("sla-policies", name="gold")["after"]
    assert (made["calendar"], made["pause_statuses"], made["on_reopen"]) == (None, ["waiting"], "continue")
    assert api.apply("sla-policies", name="gold", pause_statuses=["waiting", "open"])["changed"]
    assert api.apply("sla-policies", name="gold", pause_statuses=["open", "waiting"])["action"] == "none"
    assert api.apply("sla-policies", name="gold", pause_statuses=[])["after"]["pause_statuses"] == []
    refusal = api.apply("sla-policies", status=422, name="gold", pause_statuses=["closed"], on_reopen="never")
    assert {error["pointer"] for error in refusal["errors"]} == {"#/pause_statuses/0", "#/on_reopen"}


@given(st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 1440)), max_size=5))
def test_windows_have_one_form_or_are_refused(pairs: list[tuple[int, int]]) -> None:
    """Whatever order they come in: sorted, apart, and the same again; refused exactly where two share a minute."""
    given_windows = [window(f"{a // 60}:{a % 60:02}", f"{b // 60}:{b % 60:02}") for a, b in pairs]
    minutes = [minute for a, b in pairs for minute in range(a, b)]
    bad = any(b <= a for a, b in pairs) or len(minutes) != len(set(minutes))
    if bad:
        with pytest.raises(ValidationError):
            WINDOWS.deserialize(given_windows)
        return
    found = WINDOWS.deserialize(given_windows)
    assert found == WINDOWS.deserialize(list(reversed(given_windows))) == WINDOWS.deserialize(found)
    assert [minutes_of_day(item["from"]) for item in found] == sorted(a for a, _b in pairs)
