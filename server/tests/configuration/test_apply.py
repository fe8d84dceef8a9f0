"""Apply: what should be, compared with what is, on the server."""

from __future__ import annotations

from conftest import Api


def test_a_second_apply_of_the_same_changes_nothing(api: Api) -> None:
    first = api.apply("sla-policies", name="critical", response_minutes="30m", priorities=["critical", "high"])
    again = api.apply("sla-policies", name="critical", response_minutes=30, priorities=["high", "critical"])
    assert first["action"] == "create"
    assert (again["changed"], again["action"], again["changes"]) == (False, "none", [])


def test_an_apply_of_a_user_with_roles_makes_a_key_once(api: Api) -> None:
    first = api.apply("users", username="mia", password="correct horse", roles=["agent"], api_keys=[{"name": "ci"}])
    again = api.apply("users", username="mia", password="correct horse", roles=["agent"], api_keys=[{"name": "ci"}])
    assert first["api_keys"][0]["key"].startswith("dpk_")
    assert (again["changed"], again["api_keys"]) == (False, [])
