"""The words of tickets, labels and types, and departments: what is kept of each."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api


@pytest.mark.feature("F060")
def test_a_type_of_ones_own_has_a_name_and_a_description_and_tickets_take_it(api: Api) -> None:
    api.apply("ticket-types", name="access_request", description="Someone needs access.")
    (made,) = api.call("GET", "/ticket-types?name=access_request")["items"]
    assert made["description"] == "Someone needs access."
    number = api.call("POST", "/tickets", {"title": "x", "type": "access_request"}, status=201)["number"]
    api.apply("ticket-types", name="access", renamed_from="access_request", description="Access.")
    assert api.call("GET", f"/tickets/{number}")["type"] == "access"
    assert [item["description"] for item in api.call("GET", "/ticket-types?name=access")["items"]] == ["Access."]


@pytest.mark.feature("F061")
def test_a_label_has_a_colour_in_hexadecimal_digits(api: Api) -> None:
    plain = api.apply("labels", name="plain")["after"]
    assert plain["color"].startswith("#")
    assert api.apply("labels", name="outage", color="#D73A4A")["after"]["color"] == "#d73a4a"
    assert api.apply("labels", name="outage", color="#d73a4a")["action"] == "none"
    assert api.call("GET", "/labels?name=outage")["items"][0]["color"] == "#d73a4a"
    for bad in ("red", "d73a4a", "#d73a4", "#d73a4g", "d73a4a#"):
        refused = api.apply("labels", status=422, name="outage", color=bad)
        assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [("#/color", "bad_format")]


DEPARTMENT: dict[str, Any] = {
    "name": "Service Desk",
    "description": "All that is not planned.",
    "enabled": False,
    "time_tracking": {
        "enabled": True,
        "idle_timeout_minutes": 5,
        "confirm_timeout_minutes": 30,
        "rounding_minutes": 15,
    },
}


@pytest.mark.feature("F139", "F144")
def test_a_department_keeps_what_it_is_told(api: Api) -> None:
    address = f"/departments/{api.apply('departments', **DEPARTMENT)['after']['id']}"
    made = api.call("GET", address)
    assert made == made | DEPARTMENT
    assert api.apply("departments", **DEPARTMENT)["action"] == "none"
    changed = api.apply("departments", name="Service Desk", time_tracking={"rounding_minutes": 0})
    assert [entry["field"] for entry in changed["changes"]] == ["time_tracking.rounding_minutes"]
