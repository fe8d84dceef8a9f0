"""What one request may cost: documents that are large, or wrong a hundred thousand times over."""

from __future__ import annotations

import time
from typing import Any

from conftest import Api


def _refused(api: Api, configuration: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.call("POST", "/configuration/plan", {"configuration": configuration}, 422)
    found: list[dict[str, Any]] = answer["errors"]
    return found


def test_of_too_many_objects_none_is_looked_at(api: Api) -> None:
    errors = _refused(api, {"labels": [1] * 60_000, "customers": [2] * 40_001})
    assert [(error["pointer"], error["code"], error["allowed"]) for error in errors] == [("#", "too_long", 100_000)]


def test_reading_ends_where_there_is_more_wrong_than_anyone_reads(api: Api) -> None:
    errors = _refused(api, {"labels": [1] * 50_000, **{f"kind{number}": [] for number in range(2000)}})
    assert len(errors) == 1000
    assert len(_refused(api, {"labels": [{"name": "x", **{f"field{number}": 1 for number in range(5000)}}]})) == 100


def test_every_unknown_name_is_told_and_the_first_ones_with_the_nearest(api: Api) -> None:
    customers = [{"name": f"c{number}", "sla_policy": f"gold{number}"} for number in range(500)]
    errors = _refused(api, {"sla_policies": [{"name": "gold"}], "customers": customers})
    assert len(errors) == 500
    assert sum("did you mean gold?" in error["detail"] for error in errors) == 20


def test_an_empty_digest_is_no_leave_to_apply(api: Api) -> None:
    body = {"configuration": {"labels": [{"name": "x"}]}, "plan_digest": ""}
    (error,) = api.call("POST", "/configuration/apply", body, 422)["errors"]
    assert (error["pointer"], error["code"]) == ("#/plan_digest", "too_short")


def test_a_change_of_many_objects_takes_as_long_as_making_them(api: Api) -> None:
    def seconds(color: str) -> float:
        labels = [{"name": f"l{number}", "color": color} for number in range(6000)]
        began = time.monotonic()
        api.call("POST", "/configuration/apply", {"configuration": {"labels": labels}, "manager": "git:labels"})
        return time.monotonic() - began

    assert seconds("#00000a") * 2.5 > seconds("#00000b")
