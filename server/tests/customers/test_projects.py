"""Projects: of one customer or of all, and who may have those of all."""

from __future__ import annotations

import pytest

from conftest import Api
from dumps import dump


@pytest.fixture
def desk(api: Api) -> Api:
    """Two customers, a project of the first and one of all."""
    for name in ("ACME", "Northwind"):
        api.apply("customers", name=name)
    api.apply("projects", customer="ACME", name="move")
    api.apply("projects", name="training")
    return api


@pytest.fixture
def keeper(desk: Api) -> Api:
    """Someone who manages customers, and may nothing else."""
    desk.apply("roles", name="keeper", permissions=["customers:manage"])
    return desk.as_user("keeper", roles=["keeper"])


def test_one_name_may_be_a_project_of_each_customer_and_of_all(desk: Api) -> None:
    for customer in ("Northwind", None):
        assert desk.apply("projects", customer=customer, name="move")["action"] == "create"
        assert desk.apply("projects", customer=customer, name="move")["action"] == "none"
    assert len(desk.call("GET", "/projects?name=move")["items"]) == 3
    gone = desk.apply("projects", name="move", state="absent")
    assert gone["before"]["customer"] is None
    assert [item["customer"] for item in desk.call("GET", "/projects?name=move")["items"]] == ["ACME", "Northwind"]


def test_members_see_their_customers_projects_and_those_of_all(desk: Api) -> None:
    desk.apply("projects", customer="Northwind", name="secret")
    mia = desk.as_user("mia", roles=["agent"], memberships=[{"customer": "ACME"}])
    assert [item["name"] for item in mia.call("GET", "/projects")["items"]] == ["move", "training"]
    tom = desk.as_user("tom", roles=["agent"])
    assert [item["name"] for item in tom.call("GET", "/projects")["items"]] == ["training"]
    hidden = desk.call("GET", "/projects?name=secret")["items"][0]["id"]
    assert tom.request("GET", f"/projects/{hidden}").status_code == 404


@pytest.mark.feature("F225")
def test_projects_of_all_need_a_permission_of_their_own(desk: Api, keeper: Api) -> None:
    training = desk.call("GET", "/projects?name=training")["items"][0]["id"]
    move = desk.call("GET", "/projects?name=move")["items"][0]["id"]
    before = dump(desk.desk)
    for name, more in (("new", {}), ("training", {"enabled": False}), ("courses", {"renamed_from": "training"})):
        refused = keeper.apply("projects", status=422, name=name, **more)
        assert [(one["pointer"], one["code"]) for one in refused["errors"]] == [("#/customer", "beyond_yours")]
    # nor does a customer's project become one of all, or the other way
    assert keeper.request("PATCH", f"/projects/{move}", {"customer": None}).status_code == 422
    assert keeper.request("PATCH", f"/projects/{training}", {"customer": "ACME"}).status_code == 422
    refused = keeper.apply("projects", status=403, name="training", state="absent")
    assert refused["missing_permission"] == "settings:manage"
    assert keeper.request("DELETE", f"/projects/{training}").status_code == 403
    assert dump(desk.desk) == before
    assert keeper.apply("projects", name="training")["action"] == "none"
    assert keeper.apply("projects", customer="ACME", name="move", enabled=False)["action"] == "update"
    assert keeper.apply("projects", customer="ACME", name="move", state="absent")["action"] == "delete"


def test_a_customer_takes_its_projects_along_and_leaves_those_of_all(desk: Api, keeper: Api) -> None:
    refused = keeper.apply("customers", status=409, name="ACME", state="absent")
    assert refused["dependants"] == ["project ACME/move"]
    keeper.apply("customers", name="ACME", state="absent", cascade=True)
    assert [item["name"] for item in desk.call("GET", "/projects")["items"]] == ["training"]
