"""Contracts: prices are exact, and slots are times that there are."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api

CONTRACT = {"customer": "ACME", "name": "support", "hourly_rate": "95.50", "currency": "EUR"}
NIGHT = {"label": "night", "from": "19:00", "to": "07:00", "ends_after_days": 1}


@pytest.fixture
def desk(api: Api) -> Api:
    api.apply("customers", name="ACME")
    api.apply("contracts", **CONTRACT)
    return api


@pytest.mark.feature("F232")
@pytest.mark.parametrize("price", ["95.5", "095.500", 95.5, " 95.50 "])
def test_a_price_is_one_however_it_is_written(desk: Api, price: Any) -> None:
    same = desk.apply("contracts", **{**CONTRACT, "hourly_rate": price, "currency": "eur"})
    assert (same["action"], same["after"]["hourly_rate"], same["after"]["currency"]) == ("none", "95.5", "EUR")


@pytest.mark.parametrize("price", ["-1", "1e3", "1,5", "95.50 EUR", True, "0.1234567", "12345678901234", "NaN"])
def test_what_is_no_price_is_refused(desk: Api, price: Any) -> None:
    refused = desk.apply("contracts", status=422, **{**CONTRACT, "hourly_rate": price})
    assert [entry["pointer"] for entry in refused["errors"]] == ["#/hourly_rate"]


@pytest.mark.parametrize(
    ("code", "near"), [("EUX", "EUR"), ("euro", "EUR"), ("USB", "USD"), ("XXX", None), ("XAU", None)]
)
def test_a_currency_is_one_that_there_is(desk: Api, code: str, near: str | None) -> None:
    (error,) = desk.apply("contracts", status=422, **{**CONTRACT, "currency": code})["errors"]
    assert error["pointer"] == "#/currency"
    if near is not None:
        assert error["detail"].endswith(f"did you mean {near}?")


@pytest.mark.feature("F233")
def test_a_slot_says_its_days_in_one_way(desk: Api) -> None:
    made = desk.apply("contracts", **CONTRACT, slots=[{**NIGHT, "days": ["weekends", "friday"]}])
    assert made["after"]["slots"] == [
        {**NIGHT, "days": ["friday", "saturday", "sunday"], "factor": None, "rate": None},
    ]
    every = desk.apply("contracts", **CONTRACT, slots=[NIGHT])["after"]["slots"][0]["days"]
    assert every == desk.apply("contracts", **CONTRACT, slots=[{**NIGHT, "days": ["all"]}])["after"]["slots"][0]["days"]
    assert len(every) == 7


@pytest.mark.parametrize(
    ("slot", "place", "code"),
    [
        ({"from": "19:00", "to": "07:00"}, "to", "out_of_range"),
        ({"from": "19:00", "to": "19:00"}, "to", "out_of_range"),
        ({"from": "07:00", "to": "08:00", "ends_after_days": 7}, "ends_after_days", "out_of_range"),
        ({"from": "07:00", "to": "25:00"}, "to", "bad_format"),
        ({"from": "24:00", "to": "24:00", "ends_after_days": 1}, "from", "bad_format"),
        ({"from": "07:00", "to": "08:00", "days": []}, "days", "too_short"),
        ({"from": "07:00", "to": "08:00", "days": ["someday"]}, "days/0", "not_allowed"),
        ({"from": "07:00", "to": "08:00", "factor": "-2"}, "factor", "bad_format"),
        ({"from": "07:00", "to": "08:00", "factor": "12345"}, "factor", "out_of_range"),
        ({"to": "08:00"}, "from", "required"),
    ],
)
def test_a_slot_that_there_cannot_be_is_refused_where_it_stands(
    desk: Api, slot: dict[str, Any], place: str, code: str
) -> None:
    slots = [NIGHT, {"label": "bad", **slot}]
    refused = desk.apply("contracts", status=422, **CONTRACT, slots=slots)
    assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [(f"#/slots/1/{place}", code)]


@pytest.mark.feature("F233")
def test_the_longest_slots_are_taken(desk: Api) -> None:
    slots = [
        {"label": "always", "from": "00:00", "to": "24:00", "ends_after_days": 6, "days": ["monday"]},
        {"label": "week", "from": "07:00", "to": "07:00", "ends_after_days": 7},
    ]
    assert desk.apply("contracts", **CONTRACT, slots=slots)["action"] == "update"
    twice = desk.apply("contracts", status=422, **CONTRACT, slots=[NIGHT, NIGHT])
    assert [(entry["pointer"], entry["code"]) for entry in twice["errors"]] == [("#/slots/1/label", "repeated")]


def test_prices_are_for_those_who_manage_customers(desk: Api) -> None:
    agent = desk.as_user("mia", roles=["agent"], memberships=[{"customer": "ACME", "role": "owner"}])
    assert agent.request("GET", "/contracts").status_code == 403
    assert "contract" not in str(agent.call("GET", "/customers"))
