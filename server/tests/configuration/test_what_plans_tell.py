"""What a plan tells besides fields, and what it must not call an error."""

from __future__ import annotations

from typing import Any

from conftest import Api


def _call(api: Api, verb: str, configuration: dict[str, Any], **more: Any) -> Any:
    return api.call("POST", f"/configuration/{verb}", {"configuration": configuration, **more})


def test_what_force_takes_over_is_told_also_where_no_value_changes(api: Api) -> None:
    labels = {"labels": [{"name": "red", "color": "#ff0000"}]}
    _call(api, "apply", labels, manager="git:one")
    for verb in ("plan", "apply"):
        (change,) = _call(api, verb, labels, manager="git:two", force=True, adopt=True)["changes"]
        assert change["action"] == "none"
        assert change["warnings"] == ["color is taken over from git:one", "the object is taken over from git:one"]
    assert _call(api, "plan", labels, manager="git:two", force=True, adopt=True)["changes"] == []


def test_objects_whose_places_are_not_there_yet_are_not_taken_for_one(api: Api) -> None:
    hook = {"name": "chat", "url": "https://chat.example/x"}
    _call(api, "apply", {"webhooks": [hook]})
    hooks = [{**hook, "department": "Later"}, {**hook, "department": "Never"}]
    planned = _call(api, "plan", {"webhooks": hooks}, allow_unresolved=True)
    assert planned["summary"]["create"] == 2
    assert [missing["pointer"] for missing in planned["unresolved"]] == [
        "#/webhooks/0/department",
        "#/webhooks/1/department",
    ]
    single = api.call("POST", "/webhooks/apply?dry_run=true&allow_unresolved=true", hooks[0])
    assert (single["action"], len(single["unresolved"])) == ("create", 1)


def test_each_secret_has_a_reference_of_its_own_whatever_the_names(api: Api) -> None:
    wanted = {"url": "https://chat.example/x", "secret": {"$secret": "later"}}
    hooks = [{"name": "a/b/c"}, {"name": "b/c", "department": "a"}, {"name": "c", "department": "a/b"}]
    departments = [{"name": name, "customer": "ACME"} for name in ("a", "a/b")]
    configuration = {
        "customers": [{"name": "ACME"}],
        "departments": departments,
        "webhooks": [{**hook, **wanted} for hook in hooks],
    }
    found = [need["secret"] for need in _call(api, "plan", configuration)["needs_secret"]]
    assert found == ["webhook/a~1b~1c/secret", "webhook/a/b~1c/secret", "webhook/a~1b/c/secret"]
