"""What a deletion takes along, and where it takes a name out of a field: planned, owned and refused like the rest."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from dumps import dump

GONE = {"customers": [{"name": "ACME", "state": "absent", "cascade": True}]}


def apply(api: Api, configuration: dict[str, Any], status: int = 200, **more: Any) -> Any:
    return api.call("POST", "/configuration/apply", {"configuration": configuration, **more}, status=status)


def plan(api: Api, configuration: dict[str, Any], **more: Any) -> Any:
    return api.call("POST", "/configuration/plan", {"configuration": configuration, **more})


@pytest.fixture
def acme(api: Api) -> Api:
    desk = {
        "customers": [{"name": "ACME"}],
        "departments": [{"name": "Desk", "customer": "ACME"}],
        "webhooks": [{"name": "chat", "department": "Desk", "url": "https://chat.example/x"}],
    }
    apply(api, desk)
    return api


def test_a_plan_names_everything_that_goes_along(acme: Api) -> None:
    planned = plan(acme, GONE)
    assert planned["summary"]["delete"] == 3
    labels = ["customer ACME", "department Desk", "webhook Desk/chat"]
    assert [(change["action"], change["label"]) for change in planned["changes"]] == [
        ("delete", label) for label in labels
    ]
    apply(acme, {"webhooks": [{"name": "more", "department": "Desk", "url": "https://chat.example/y"}]})
    assert apply(acme, GONE, 409, plan_digest=planned["digest"])["plan"]["summary"]["delete"] == 4
    assert apply(acme, GONE)["summary"]["delete"] == 4


def test_what_belongs_to_another_manager_goes_along_only_by_force(acme: Api) -> None:
    apply(acme, {"departments": [{"name": "Desk"}]}, manager="git:desks", adopt=True)
    before = dump(acme.desk)
    problem = apply(acme, GONE, 409, manager="git:customers")
    assert problem["detail"].startswith("department Desk: the object belongs to the manager git:desks")
    assert dump(acme.desk) == before
    assert apply(acme, GONE, manager="git:customers", force=True)["summary"]["delete"] == 3
    assert acme.call("GET", "/configuration/drift")["items"] == []


def test_what_is_declared_does_not_go_along(acme: Api) -> None:
    problem = apply(acme, {**GONE, "departments": [{"name": "Desk"}]}, 409)
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("#/departments/0", "has_dependants")]
    absent = {"state": "absent", "name": "Desk"}
    hook = {"state": "absent", "name": "chat", "department": "Desk"}
    assert apply(acme, {**GONE, "departments": [absent], "webhooks": [hook]})["summary"]["delete"] == 3


def test_a_plan_names_the_fields_out_of_which_a_deletion_takes_a_name(acme: Api) -> None:
    apply(acme, {"users": [{"username": "mia", "default_department": "Desk", "starred_customer": "ACME"}]})
    answer = apply(acme, GONE)
    (mia,) = (change for change in answer["changes"] if change["kind"] == "user")
    assert (mia["action"], mia["pointer"]) == ("update", None)
    assert sorted((change["field"], change["before"], change["after"]) for change in mia["changes"]) == [
        ("default_department", "Desk", None),
        ("starred_customer", "ACME", None),
    ]


def test_a_name_that_goes_is_told_where_its_object_is_declared(acme: Api) -> None:
    apply(acme, {"users": [{"username": "mia", "starred_customer": "ACME"}]})
    answer = apply(acme, {**GONE, "users": [{"username": "mia", "first_name": "Mia"}]})
    (mia,) = (change for change in answer["changes"] if change["kind"] == "user")
    assert mia["pointer"] == "#/users/0"
    assert [change["field"] for change in mia["changes"]] == ["first_name", "starred_customer"]
    history = acme.call("GET", "/configuration/history?kind=user&limit=2")["items"]
    assert [[change["field"] for change in entry["changes"]] for entry in history] == [
        ["starred_customer"],
        ["first_name"],
    ]
