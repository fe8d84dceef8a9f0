"""A document that changed nothing is not looked through again, as long as nothing else changed either."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api, TurnedClock, settings
from deskplane.app import Desk, create_app, make_desk
from statements import recorded

DOCUMENT: dict[str, Any] = {
    "customers": [{"name": "ACME", "notes": "by Git", "sla_policy": "gold"}],
    "sla_policies": [{"name": "gold", "response_minutes": "30m"}],
    "labels": [{"name": f"label-{n}", "color": "#00ff00"} for n in range(5)],
}
GIT = {"manager": "git:desk", "revision": "1"}


def send(api: Api, verb: str = "apply", status: int = 200, **more: Any) -> Any:
    return api.call("POST", f"/configuration/{verb}", {"configuration": DOCUMENT, **GIT, **more}, status)


def settled(api: Api) -> Any:
    """Applied until the same document is known to change nothing."""
    send(api)
    return send(api)


def test_what_changed_nothing_is_answered_at_once(api: Api) -> None:
    first = settled(api)
    with recorded(api.desk) as statements:
        assert send(api) == first
    assert not [text for text in statements if "claims" in text or "labels" in text], statements
    planned = send(api, "plan")
    assert {**planned, "digest": first["digest"]} == first


def test_what_changed_by_hand_meanwhile_is_put_right(api: Api) -> None:
    settled(api)
    api.apply("customers", name="ACME", notes="by hand")
    assert [change["label"] for change in send(api, "plan")["changes"]] == ["customer ACME"]
    assert send(api)["summary"]["update"] == 1
    assert api.call("GET", "/customers?name=ACME")["items"][0]["notes"] == "by Git"


def test_what_another_process_changed_meanwhile_is_put_right(api: Api, desk: Desk, clock: TurnedClock) -> None:
    settled(api)
    other = make_desk(settings(str(desk.settings.database_url)), clock)
    try:
        Api(create_app(other).test_client(), api.key, other).apply("labels", name="label-3", color="#ff0000")
    finally:
        other.database.dispose()
    assert send(api)["summary"]["update"] == 1


def test_claims_that_another_took_meanwhile_are_seen(api: Api) -> None:
    settled(api)
    taking = {"customers": [{"name": "ACME", "notes": "by Git"}]}
    api.call("POST", "/configuration/apply", {"configuration": taking, "manager": "git:other", "force": True})
    assert "git:other" in send(api, status=409)["detail"]


def test_the_managers_revision_is_always_that_of_the_last_apply(api: Api) -> None:
    settled(api)
    send(api, revision="2")
    send(api, revision="2")
    send(api, revision="1")
    api.apply("customers", name="ACME", notes="by hand")
    (drifted,) = api.call("GET", "/configuration/drift")["items"]
    assert drifted["revision"] == "1"


def test_who_may_not_apply_gets_nobody_elses_answer(api: Api) -> None:
    settled(api)
    assert "manage" in send(api.as_user("viewer", roles=["viewer"]), status=403)["detail"]


@pytest.mark.parametrize(("verb", "other"), [("plan", "apply"), ("apply", "plan")])
def test_a_plan_and_an_apply_are_two_requests(api: Api, verb: str, other: str) -> None:
    send(api)
    assert send(api, verb)["summary"] == send(api, other)["summary"] == send(api, verb)["summary"]


def test_a_document_that_sets_passwords_is_compared_each_time(api: Api) -> None:
    users = [
        {"username": "mia", "email": "mia@example.org", "password": "a long password", "update_password": "always"}
    ]
    for expected in (True, False, False):
        answer = api.call("POST", "/configuration/apply", {"configuration": {"users": users}})
        assert answer["changed"] is expected
