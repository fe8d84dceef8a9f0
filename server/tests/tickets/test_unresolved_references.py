"""Check mode over several tasks: a ticket that refers to what an earlier task would have made."""

from __future__ import annotations

from typing import Any

from conftest import Api

BODY: dict[str, Any] = {
    "title": "Deployment failed",
    "customer": "Example Ltd",
    "department": "Operations",
    "type": "maintenance",
    "labels": ["deployment"],
    "correlation_key": "deploy/shop",
}


def dry(api: Api, query: str = "&allow_unresolved=true", status: int = 200, **fields: Any) -> Any:
    return api.call("POST", f"/tickets/apply?dry_run=true{query}", BODY | fields, status=status)


def test_what_is_not_there_yet_is_reported_and_shown_as_if_it_were(api: Api) -> None:
    found = dry(api)
    assert found["action"] == "create"
    assert sorted((entry["field"], entry["kind"], entry["name"]) for entry in found["unresolved"]) == [
        ("customer", "customer", "Example Ltd"),
        ("department", "department", "Operations"),
        ("labels", "label", "deployment"),
        ("type", "ticket_type", "maintenance"),
    ]
    assert {name: found["after"][name] for name in BODY} == BODY
    assert {change["field"]: change["after"] for change in found["changes"]}["customer"] == "Example Ltd"


def test_without_being_allowed_it_is_refused_by_name(api: Api) -> None:
    found = dry(api, query="", status=422)
    assert {error["pointer"] for error in found["errors"]} >= {"#/customer", "#/department", "#/type", "#/labels"}


def test_a_real_run_refuses_it_whatever_is_allowed(api: Api) -> None:
    api.call("POST", "/tickets/apply?allow_unresolved=true", BODY, status=422)
    assert api.call("GET", "/tickets")["items"] == []


def test_the_ticket_of_nobody_with_the_same_key_is_not_meant(api: Api) -> None:
    api.apply("tickets", title="of nobody", correlation_key="deploy/shop")
    assert dry(api)["action"] == "create"


def test_a_recovery_for_a_customer_that_is_not_there_is_no_change(api: Api) -> None:
    found = dry(api, state="resolved")
    assert (found["action"], found["changed"]) == ("none", False)


def test_a_missing_label_on_a_ticket_that_is_there_is_a_change(api: Api) -> None:
    api.apply("tickets", title="known", correlation_key="known")
    found = api.call(
        "POST",
        "/tickets/apply?dry_run=true&allow_unresolved=true",
        {"title": "known", "correlation_key": "known", "labels": ["new"]},
    )
    assert (found["action"], found["changes"]) == ("update", [{"field": "labels", "before": [], "after": ["new"]}])
