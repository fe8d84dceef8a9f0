"""The kind `workflow`: what may be declared, and that tickets keep to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Api
from deskplane.app import migrate
from deskplane.desks.workflows import FREE, ITIL, SHIPPED, Transition, WorkflowSchema, from_stored, to_stored
from deskplane.kernel.words import STATUSES
from dumps import dump


def step(before: str, after: str, permission: str | None = None) -> dict[str, Any]:
    return {"from": before, "to": after, "permission": permission}


REVIEW = {
    "name": "review",
    "transitions": [
        step("open", "in_progress"),
        step("in_progress", "resolved"),
        step("resolved", "in_progress"),
        step("resolved", "closed", "departments:manage"),
    ],
    "final": ["closed"],
}


@pytest.fixture
def review(api: Api) -> Api:
    """A desk whose department Ops follows the workflow `review`."""
    api.apply("workflows", **REVIEW)
    api.apply("departments", name="Ops", workflow="review")
    return api


def opened(api: Api, **fields: Any) -> str:
    number: str = api.call("POST", "/tickets", {"title": "x", "department": "Ops", **fields}, status=201)["number"]
    return number


def test_two_workflows_come_with_deskplane(api: Api) -> None:
    found = {item["name"]: item for item in api.call("GET", "/workflows")["items"]}
    assert set(found) == {"free", "itil"}
    for name, (description, shipped) in SHIPPED.items():
        item = found[name]
        assert (item["shipped"], item["description"]) == (True, description)
        assert from_stored(name, item["transitions"], item["final"]) == shipped
    assert len(found["free"]["transitions"]) == 30


def test_what_came_with_deskplane_can_be_neither_changed_nor_deleted_nor_renamed(api: Api) -> None:
    before = dump(api.desk)
    refused = api.apply("workflows", status=422, name="itil", final=[], description="mine")
    assert {(error["pointer"], error["code"]) for error in refused["errors"]} == {
        ("#/final", "shipped"),
        ("#/description", "shipped"),
    }
    assert api.apply("workflows", status=422, name="mine", renamed_from="itil")["errors"][0]["code"] == "shipped"
    assert api.apply("workflows", status=409, name="itil", state="absent")["type"].endswith("shipped")
    assert api.apply("workflows", name="itil", final=["cancelled", "closed"])["action"] == "none"
    assert dump(api.desk) == before


def test_a_start_brings_shipped_workflows_to_what_the_version_says(api: Api) -> None:
    from sqlalchemy import update
    from sqlalchemy.orm import Session

    from deskplane.desks.models import StoredWorkflow
    from deskplane.kernel.revision import raise_revision

    before = dump(api.desk)["workflows"]

    def as_an_earlier_version_had_it(session: Session) -> None:
        raise_revision(session)
        session.execute(update(StoredWorkflow).values(final=["resolved"]))

    api.desk.database.run(as_an_earlier_version_had_it, write=True)
    migrate(api.desk)
    found = {item["name"]: item["final"] for item in api.call("GET", "/workflows")["items"]}
    assert found == {"free": [], "itil": ["cancelled", "closed"]}
    after = dump(api.desk)["workflows"]
    migrate(api.desk)
    assert dump(api.desk)["workflows"] == after != before


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"transitions": [step("open", "open")]}, "transitions", "from open must lead to another status"),
        (
            {"transitions": [step("open", "closed"), step("closed", "open")], "final": ["closed"]},
            "transitions",
            "closed is final",
        ),
        ({"transitions": [step("open", "closed"), step("open", "closed", "time:view")]}, "transitions/1/from", "twice"),
        ({"transitions": [{"from": "open"}]}, "transitions/0/to", "is required"),
        ({"transitions": [step("open", "done")]}, "transitions/0/to", "must be one of open"),
        ({"transitions": [step("open", "closed", "tickets:fly")]}, "transitions/0/permission", "must be one of"),
        ({"final": ["waiting"]}, "final/0", "must be one of resolved, closed, cancelled"),
    ],
)
def test_bad_workflows_are_refused_with_the_place(api: Api, fields: dict[str, Any], place: str, words: str) -> None:
    before = dump(api.desk)
    (error,) = api.apply("workflows", status=422, name="mine", **fields)["errors"]
    assert error["pointer"] == f"#/{place}"
    assert words in error["detail"]
    assert dump(api.desk) == before


def test_a_workflow_in_which_no_ticket_can_end_is_warned_of(api: Api) -> None:
    assert (
        "no way from open" in api.apply("workflows", name="mine", transitions=[step("open", "waiting")])["warnings"][0]
    )
    assert api.apply("workflows", name="mine", transitions=[step("open", "cancelled")])["warnings"] == []


def test_the_order_of_transitions_and_final_statuses_is_no_change(review: Api) -> None:
    shuffled = {"transitions": REVIEW["transitions"][::-1], "final": ["closed", "closed"]}
    assert review.apply("workflows", **{**REVIEW, **shuffled})["action"] == "none"


@pytest.mark.feature("F070")
def test_tickets_follow_a_declared_workflow(review: Api) -> None:
    number = opened(review)
    refused = review.call("PATCH", f"/tickets/{number}", {"status": "resolved"}, status=422)
    assert refused["errors"][0]["allowed"] == ["in_progress"]
    assert "workflow review" in refused["errors"][0]["detail"]
    for status in ("in_progress", "resolved", "closed"):
        review.call("PATCH", f"/tickets/{number}", {"status": status})
    assert review.call("PATCH", f"/tickets/{number}", {"title": "y"}, status=422)["type"].endswith("final")


def test_a_step_with_a_permission_needs_it(review: Api) -> None:
    review.apply("customers", name="ACME")
    mia = review.as_user(
        "mia", roles=["agent"], memberships=[{"customer": "ACME"}]
    )  # who may close, but not manage departments
    number = opened(mia, customer="ACME", status="resolved")
    refused = mia.call("PATCH", f"/tickets/{number}", {"status": "closed"}, status=403)
    assert refused["missing_permission"] == "departments:manage"
    wrong = mia.call("PATCH", f"/tickets/{number}", {"status": "open"}, status=422)
    assert wrong["errors"][0]["allowed"] == ["in_progress"], "what he may not do is not offered"
    assert review.call("PATCH", f"/tickets/{number}", {"status": "closed"})["status"] == "closed"


def test_a_machine_takes_the_shortest_way_that_it_may_go(review: Api) -> None:
    body = {"title": "disk", "department": "Ops", "correlation_key": "k"}
    review.call("POST", "/tickets/apply", body, status=201)
    done = review.call("POST", "/tickets/apply", {**body, "state": "closed"})
    history = review.call("GET", f"/tickets/{done['after']['number']}/history")["items"]
    assert [(entry["old"], entry["new"]) for entry in history if entry["field"] == "status"] == [
        ("open", "in_progress"),
        ("in_progress", "resolved"),
        ("resolved", "closed"),
    ]


def test_what_a_workflow_does_not_reopen_is_opened_anew(api: Api) -> None:
    api.apply("workflows", name="oneway", transitions=[step("open", "resolved")])
    api.apply("departments", name="Ops", workflow="oneway")
    body = {"title": "disk", "department": "Ops", "correlation_key": "k", "reopen_within": "1d"}
    first = api.call("POST", "/tickets/apply", body, status=201)["after"]["number"]
    api.call("POST", "/tickets/apply", {**body, "state": "resolved"})
    assert api.call("POST", "/tickets/apply", body, status=201)["after"]["number"] != first


def test_a_change_of_the_workflow_acts_at_the_next_request(review: Api) -> None:
    number = opened(review)
    review.apply("workflows", name="review", transitions=[step("open", "waiting")], final=[])
    assert review.call("PATCH", f"/tickets/{number}", {"status": "waiting"})["status"] == "waiting"


def test_a_workflow_that_is_named_stays(review: Api) -> None:
    assert review.apply("workflows", status=409, name="review", state="absent")["dependants"] == ["department Ops"]
    review.apply("departments", name="Ops", workflow=None)
    review.apply("settings", key="workflow.default", value="review")
    blocked = review.apply("workflows", status=409, name="review", state="absent")
    assert blocked["dependants"] == ["setting workflow.default"]
    review.apply("settings", key="workflow.default", state="absent")
    assert review.apply("workflows", name="review", state="absent")["action"] == "delete"


def test_who_names_a_workflow_follows_its_new_name(review: Api) -> None:
    review.apply("settings", key="workflow.default", value="review")
    renamed = review.apply("workflows", name="checked", renamed_from="review")
    assert renamed["warnings"] == ["the setting workflow.default names it, and follows"]
    assert review.call("GET", "/settings?key=workflow.default")["items"][0]["value"] == "checked"
    assert review.call("GET", "/departments?name=Ops")["items"][0]["workflow"] == "checked"
    number = review.call("POST", "/tickets", {"title": "x"}, status=201)["number"]
    review.call("PATCH", f"/tickets/{number}", {"status": "closed"}, status=422)


STEPS = st.tuples(st.sampled_from(STATUSES), st.sampled_from(STATUSES)).filter(lambda pair: pair[0] != pair[1])


@given(st.dictionaries(STEPS, st.none() | st.sampled_from(["time:view", "audit:read"]), max_size=30), st.randoms())
def test_transitions_have_one_form_and_say_the_same(steps: dict[tuple[str, str], str | None], random: Any) -> None:
    items = [step(*pair, permission) for pair, permission in steps.items()]
    random.shuffle(items)
    found = WorkflowSchema().fields["transitions"].deserialize(items)
    random.shuffle(items)
    assert WorkflowSchema().fields["transitions"].deserialize(items) == found
    made = from_stored("w", found, [])
    assert to_stored(made)[0] == found
    for before in STATUSES:
        allowed = {after for (start, after), needed in steps.items() if start == before and needed != "time:view"}
        assert set(made.following(before, lambda permission: permission != "time:view")) == allowed


def test_the_shipped_workflows_are_their_own_stored_form() -> None:
    for shipped in (FREE, ITIL):
        assert from_stored(shipped.name, *to_stored(shipped)) == shipped
    assert set(Transition().fields) == {"from", "to", "permission"}


def whole(api: Api, **configuration: Any) -> Any:
    """Applies a document of the whole desk."""
    return api.call("POST", "/configuration/apply", {"configuration": configuration})


def test_one_document_declares_a_workflow_and_everything_that_names_it(api: Api) -> None:
    document = {
        "settings": [{"key": "workflow.default", "value": "review"}],
        "departments": [{"name": "Ops", "workflow": "review"}],
        "workflows": [REVIEW],
    }
    assert whole(api, **document)["summary"]["create"] == 2
    assert whole(api, **document)["changed"] is False
    renamed = {
        "settings": [{"key": "workflow.default", "value": "checked"}],
        "workflows": [{"name": "checked", "renamed_from": "review"}],
    }
    whole(api, **renamed)
    assert whole(api, **renamed)["changed"] is False
    assert api.call("GET", "/settings?key=workflow.default")["items"][0]["value"] == "checked"
    gone = {
        "settings": [{"key": "workflow.default", "state": "absent"}],
        "departments": [{"name": "Ops", "workflow": None}],
        "workflows": [{"name": "checked", "state": "absent"}],
    }
    assert whole(api, **gone)["summary"]["delete"] == 1
    exported = api.call("GET", "/configuration")["configuration"]
    assert "workflows" not in exported, "what every desk has from the start is no part of an export"
