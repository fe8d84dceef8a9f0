"""quotas.max_agents: active members who may edit tickets; one too many is refused, whatever makes him one."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from dumps import dump

MEMBER = [{"customer": "ACME", "role": "member"}]


@pytest.fixture
def acme(api: Api) -> None:
    """A customer with two agents, and room for no more."""
    api.apply("customers", name="ACME", quotas={"max_agents": 2})
    for name in ("one", "two"):
        api.apply("users", username=name, roles=["agent"], memberships=MEMBER)


def refused(answer: Any) -> tuple[str, str]:
    (error,) = answer["errors"]
    return error["pointer"], error["code"]


@pytest.mark.feature("F014")
@pytest.mark.usefixtures("acme")
def test_one_agent_too_many_is_refused(api: Api, desk: Desk) -> None:
    before = dump(desk)
    for dry_run in (True, False):
        answer = api.apply("users", username="three", roles=["agent"], memberships=MEMBER, status=422, dry_run=dry_run)
        assert refused(answer) == ("#/memberships", "quota_exceeded")
        assert "ACME may have 2 agents (quotas.max_agents), and this makes 3" in answer["detail"]
    assert dump(desk) == before


@pytest.mark.usefixtures("acme")
def test_who_is_no_active_agent_does_not_count(api: Api) -> None:
    api.apply("users", username="reader", roles=["viewer"], memberships=MEMBER)
    api.apply("users", username="looks-on", roles=["agent"], memberships=[{"customer": "ACME", "role": "viewer"}])
    api.apply("users", username="gone", roles=["agent"], memberships=MEMBER, enabled=False)
    api.apply("users", username="other", roles=["agent"], memberships=MEMBER, features={"helpdesk_enabled": False})
    api.apply("users", username="one", state="absent")
    api.apply("users", username="three", roles=["agent"], memberships=MEMBER)
    for change in ({"username": "gone", "enabled": True}, {"username": "reader", "roles": ["agent"]}):
        assert refused(api.apply("users", **change, status=422))[1] == "quota_exceeded"


@pytest.mark.usefixtures("acme")
def test_a_group_or_a_role_makes_agents_too(api: Api) -> None:
    api.apply("roles", name="helper", permissions=["tickets:access"])
    api.apply("users", username="three", roles=["helper"], memberships=MEMBER)
    api.apply("users", username="four", roles=["agent"])
    role = api.apply("roles", name="helper", permissions=["tickets:access", "tickets:edit"], status=422)
    assert refused(role)[1] == "quota_exceeded"
    group = api.apply("groups", name="acme team", members=["four"], memberships=MEMBER, status=422)
    assert refused(group)[1] == "quota_exceeded"
    assert refused(api.apply("groups", name="editors", members=["three"], roles=["agent"], status=422))
    api.apply("groups", name="acme team", members=["one", "two"], memberships=MEMBER, roles=["agent"])


@pytest.mark.usefixtures("acme")
def test_a_limit_may_be_set_below_what_there_is_and_then_it_may_only_shrink(api: Api) -> None:
    api.apply("customers", name="ACME", quotas={"max_agents": 1})
    api.apply("users", username="one", first_name="Still")
    api.apply("users", username="one", memberships=[])
    assert refused(api.apply("users", username="one", memberships=MEMBER, status=422))[1] == "quota_exceeded"
    api.apply("customers", name="ACME", quotas={"max_agents": None})
    api.apply("users", username="one", memberships=MEMBER)


@pytest.mark.usefixtures("acme")
def test_a_document_names_the_user_who_is_too_many(api: Api) -> None:
    users = [{"username": "one", "roles": ["agent"]}, {"username": "three", "roles": ["agent"], "memberships": MEMBER}]
    body = {"configuration": {"users": users}}
    answer = api.call("POST", "/configuration/apply", body, status=422)
    assert refused(answer) == ("#/users/1/memberships", "quota_exceeded")
    swapped = [{"username": "two", "memberships": []}, users[1]]
    assert api.call("POST", "/configuration/apply", {"configuration": {"users": swapped}})["changed"]


@pytest.mark.feature("F016")
@pytest.mark.usefixtures("acme")
def test_a_daily_check_raises_an_alert_until_it_is_right_again(api: Api, desk: Desk, clock: TurnedClock) -> None:
    jobs = make_worker(desk)._schedules
    jobs.run_due()

    def open_after_a_day() -> list[tuple[str, int]]:
        clock.turn(days=1)
        assert "agent quotas" in jobs.run_due()
        found = api.call("GET", "/alerts?open=true")["items"]
        assert {alert["kind"] for alert in found} <= {"agent_quota"}
        return [(alert["text"], alert["count"]) for alert in found]

    assert open_after_a_day() == []
    acme = api.apply("customers", name="ACME", quotas={"max_agents": 1})["after"]["id"]
    api.apply("customers", name="Other", quotas={"max_agents": 0})
    text = "ACME may have 1 agent (quotas.max_agents) and has 2; end memberships, or raise the quota"
    assert open_after_a_day() == [(text, 1)]
    assert open_after_a_day() == [(text, 2)]
    assert api.call("GET", "/alerts")["items"][0]["key"] == acme
    api.apply("users", username="one", memberships=[])
    assert open_after_a_day() == []
    api.apply("users", username="other", roles=["agent"])
    api.apply("customers", name="ACME", quotas={"max_agents": 0})
    assert open_after_a_day() == [(text.replace("1 agent", "0 agents").replace("has 2", "has 1"), 1)]
    api.apply("customers", name="ACME", quotas={"max_agents": None})
    assert open_after_a_day() == []
