"""The whole desk in one request: forward references, renames and swaps, ownership, prune, digests, export, drift."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from dumps import dump

DESK: dict[str, Any] = {
    "webhooks": [{"name": "chat", "department": "Desk", "url": "https://chat.example/x"}],
    "departments": [
        {
            "name": "Desk",
            "customer": "ACME",
            "members": ["mia", "bob"],
            "imap": {"server": "imap.example", "password": "canary-imap"},
        }
    ],
    "users": [
        {"username": "mia", "roles": ["agent"], "default_department": "Desk"},
        {"username": "bob", "memberships": [{"customer": "ACME", "role": "owner"}]},
    ],
    "customers": [{"name": "ACME", "sla_policy": "gold"}],
    "sla_policies": [{"name": "gold", "response_minutes": "30m", "customers": ["ACME"]}],
    "labels": [{"name": "outage", "color": "#FF0000"}, {"name": "noise"}],
}
GIT = {"manager": "git:helpdesk"}


def apply(api: Api, configuration: dict[str, Any], status: int = 200, **more: Any) -> Any:
    return api.call("POST", "/configuration/apply", {"configuration": configuration, **more}, status=status)


def plan(api: Api, configuration: dict[str, Any], status: int = 200, **more: Any) -> Any:
    return api.call("POST", "/configuration/plan", {"configuration": configuration, **more}, status=status)


def only(api: Api, path: str, **filters: str) -> Any:
    """The one object that fits."""
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    (found,) = api.call("GET", f"/{path}?{query}")["items"]
    return found


def without_ids(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "changes": [{**change, "id": None} for change in answer["changes"]]}


def test_kinds_come_in_any_order_and_refer_forward(api: Api) -> None:
    planned = plan(api, DESK)
    assert planned["summary"] == {"create": 8, "update": 0, "none": 0, "delete": 0, "adopt": 0, "release": 0}
    done = apply(api, DESK)
    assert without_ids(done) == without_ids(planned)
    department = only(api, "departments", name="Desk")
    assert (department["customer"], department["members"]) == ("ACME", ["bob", "mia"])
    assert only(api, "users", username="mia")["default_department"] == "Desk"
    assert only(api, "sla-policies", name="gold")["customers"] == ["ACME"]
    before = dump(api.desk)
    again = apply(api, DESK)
    assert (again["changed"], again["changes"], again["summary"]["none"]) == (False, [], 8)
    assert dump(api.desk) == before


def test_a_plan_writes_nothing(api: Api) -> None:
    before = dump(api.desk)
    assert plan(api, DESK, **GIT)["changed"] is True
    assert dump(api.desk) == before


@pytest.mark.parametrize("declaration", [{}, GIT | {"adopt": True}], ids=["without a manager", "with a manager"])
def test_everything_that_is_wrong_is_named_at_once_with_its_place_and_nothing_is_written(
    api: Api, declaration: dict[str, Any]
) -> None:
    before = dump(api.desk)
    answer = apply(
        api,
        {
            "departments": [
                {"name": "A", "imap": {"port": 70000}, "customer": "Nobody"},
                {"name": "A"},
                "text",
                {"description": "no name"},
            ],
            "lables": [],
            "labels": [{"name": "x", "color": "red"}, {"name": "y", "colour": "#ffffff"}],
            "users": [{"username": "u", "roles": ["agent", "agnet"], "api_keys": []}],
            "customers": {},
            "settings": [{"key": "numbering.prefiks", "value": "X"}],
        },
        status=422,
        **declaration,
    )
    assert {(entry["pointer"], entry["code"]) for entry in answer["errors"]} == {
        ("#/departments/0/imap/port", "out_of_range"),
        ("#/departments/2", "wrong_type"),
        ("#/departments/3/name", "required"),
        ("#/lables", "unknown_kind"),
        ("#/labels/0/color", "bad_format"),
        ("#/labels/1/colour", "unknown_field"),
        ("#/users/0/api_keys", "unknown_field"),
        ("#/customers", "wrong_type"),
        ("#/departments/1/name", "repeated"),
        ("#/settings/0/key", "unknown"),
        ("#/departments/0/customer", "unknown_reference"),
        ("#/users/0/roles/1", "unknown_reference"),
    }
    assert any("did you mean agent" in entry["detail"] for entry in answer["errors"])
    assert dump(api.desk) == before


def test_a_swap_of_names_works_and_is_no_change_the_second_time(api: Api) -> None:
    apply(api, {"labels": [{"name": "a", "color": "#00000a"}, {"name": "b", "color": "#00000b"}]})
    was = {name: only(api, "labels", name=name)["id"] for name in "ab"}
    swap = {"labels": [{"name": "a", "renamed_from": "b"}, {"name": "b", "renamed_from": "a"}]}
    assert apply(api, swap)["summary"]["update"] == 2
    assert {name: only(api, "labels", name=name)["id"] for name in "ab"} == {"a": was["b"], "b": was["a"]}
    assert apply(api, swap)["changed"] is False
    apply(api, {"labels": [{"name": "a"}, {"name": "b"}]})
    assert apply(api, swap)["changed"] is True
    assert {name: only(api, "labels", name=name)["id"] for name in "ab"} == was


def test_a_name_can_be_given_away_and_used_anew_in_one_document(api: Api) -> None:
    apply(api, {"customers": [{"name": "Old"}], "departments": [{"name": "D", "customer": "Old"}]})
    was = only(api, "customers", name="Old")["id"]
    document = {
        "customers": [{"name": "Old"}, {"name": "New", "renamed_from": "Old"}],
        "departments": [{"name": "D", "customer": "New"}, {"name": "E", "customer": "Old"}],
    }
    answer = apply(api, document)
    assert [(change["label"], change["action"]) for change in answer["changes"]] == [
        ("customer New", "update"),
        ("customer Old", "create"),
        ("department E", "create"),
    ]
    assert only(api, "customers", name="New")["id"] == was
    assert apply(api, document)["changed"] is False


def test_a_rename_is_followed_by_what_refers_to_it(api: Api) -> None:
    apply(api, DESK)
    document = {
        "departments": [{"name": "Service", "renamed_from": "Desk"}],
        "webhooks": [{"name": "chat", "department": "Service", "method": "PUT"}],
        "users": [{"username": "mia", "default_department": "Service"}],
    }
    answer = apply(api, document)
    assert [(change["label"], change["changes"]) for change in answer["changes"]] == [
        ("department Service", [{"field": "name", "before": "Desk", "after": "Service"}]),
        ("webhook Service/chat", [{"field": "method", "before": "POST", "after": "PUT"}]),
    ]
    missing = apply(api, {"users": [{"username": "bob", "default_department": "Desk"}]}, status=422)
    assert missing["errors"][0]["pointer"] == "#/users/0/default_department"


def test_two_new_names_for_one_object_are_refused(api: Api) -> None:
    apply(api, {"labels": [{"name": "a"}]})
    both = {"labels": [{"name": "b", "renamed_from": "a"}, {"name": "c", "renamed_from": "a"}]}
    assert {entry["code"] for entry in apply(api, both, status=422)["errors"]} == {"repeated"}


def test_a_second_manager_gets_a_conflict_that_names_the_first(api: Api) -> None:
    apply(api, DESK, manager="git:helpdesk", revision="abc123")
    other = {"labels": [{"name": "outage", "color": "#00ff00"}]}
    answer = apply(api, other, status=409, manager="pipeline")
    assert answer["type"].endswith("owned_by_another")
    assert "git:helpdesk" in answer["detail"]
    assert "abc123" in answer["detail"]
    assert answer["errors"][0]["pointer"] == "#/labels/0"
    assert apply(api, other, manager="pipeline", force=True)["changed"] is True
    refused = apply(api, DESK, status=409, manager="git:helpdesk")
    assert "pipeline" in refused["detail"]


def test_who_does_not_own_an_object_renames_it_only_by_force(api: Api) -> None:
    apply(api, {"labels": [{"name": "red", "color": "#ff0000"}]}, manager="git:one")
    renamed = {"labels": [{"name": "rouge", "renamed_from": "red"}]}
    problem = apply(api, renamed, status=409, manager="git:two")
    assert (problem["errors"][0]["code"], problem["owner"], problem["fields"]) == (
        "owned_by_another",
        "git:one",
        ["name"],
    )
    apply(api, renamed, manager="git:two", force=True)
    assert plan(api, {"labels": [{"name": "red", "renamed_from": "rouge"}]}, manager="git:two")["changed"]


def test_a_plain_rename_of_what_a_manager_owns_is_done_and_warned_of(api: Api) -> None:
    apply(api, {"labels": [{"name": "red", "color": "#ff0000"}]}, **GIT)
    away = api.apply("labels", name="rouge", renamed_from="red")
    assert away["warnings"] == ["git:helpdesk declares it as red, which its next apply makes again"]
    assert api.apply("labels", name="red", renamed_from="rouge")["warnings"] == []


def test_two_managers_share_an_object_field_by_field(api: Api) -> None:
    apply(api, {"departments": [{"name": "D", "description": "one"}]}, manager="one")
    apply(api, {"departments": [{"name": "D", "auto_assign_on_open": True}]}, manager="two")
    released = apply(api, {"departments": [{"name": "D"}]}, manager="one")
    assert (released["changed"], released["changes"][0]["released"]) == (False, ["description"])
    assert only(api, "departments", name="D")["description"] == "one"
    assert apply(api, {"departments": [{"name": "D"}]}, manager="one")["changes"] == []
    assert apply(api, {"departments": [{"name": "D", "description": "two"}]}, manager="two")["changed"] is True


def test_a_set_follows_all_of_its_renames_at_once(api: Api) -> None:
    apply(api, {"users": [{"username": "a"}, {"username": "b"}], "departments": [{"name": "D", "members": ["a", "b"]}]})
    document = {
        "users": [{"username": "z", "renamed_from": "a"}, {"username": "y", "renamed_from": "b"}],
        "departments": [{"name": "D", "description": "the same two"}],
    }
    assert [change["changes"][0]["field"] for change in apply(api, document)["changes"]] == [
        "username",
        "username",
        "description",
    ]
    assert only(api, "departments", name="D")["members"] == ["y", "z"]
    assert apply(api, document)["changed"] is False


def test_a_password_by_reference_is_wanted_on_an_empty_desk(api: Api) -> None:
    document = {"users": [{"username": "u", "password": {"$secret": "user/u/password"}}]}
    assert [wanted["field"] for wanted in apply(api, document)["needs_secret"]] == ["password"]
    assert apply(api, document)["changed"] is False
    given = {"users": [{"username": "u", "password": "a good password"}]}
    assert apply(api, given)["summary"]["update"] == 1
    assert apply(api, document)["needs_secret"] == []


def test_prune_deletes_only_what_the_manager_owns_of_the_listed_kinds(api: Api) -> None:
    apply(api, {"labels": [{"name": "by hand"}]})
    apply(api, DESK, **GIT)
    apply(api, {"labels": [{"name": "another's"}]}, manager="two")
    left = {"labels": [{"name": "noise"}]}
    told = apply(api, left, **GIT)
    assert [entry["label"] for entry in told["not_declared"]] == ["label outage"]
    planned = plan(api, left, prune=True, **GIT)
    assert [(change["label"], change["action"], change["pruned"]) for change in planned["changes"]] == [
        ("label outage", "delete", True)
    ]
    assert without_ids(apply(api, left, prune=True, **GIT)) == without_ids(planned)
    assert [found["name"] for found in api.call("GET", "/labels")["items"]] == ["another's", "by hand", "noise"]
    assert apply(api, left, prune=True, **GIT)["changed"] is False
    assert apply(api, {"labels": []}, prune=True, **GIT)["summary"]["delete"] == 1


def test_more_deletions_than_allowed_are_refused_with_their_list(api: Api) -> None:
    many = {"labels": [{"name": f"l{number}"} for number in range(12)]}
    apply(api, many, **GIT)
    refused = apply(api, {"labels": []}, status=409, prune=True, **GIT)
    assert refused["type"].endswith("too_many_deletions")
    assert len(refused["deletions"]) == 12
    assert apply(api, {"labels": []}, prune=True, max_deletions=12, **GIT)["summary"]["delete"] == 12


def test_what_something_depends_on_is_not_pruned_or_else_disabled(api: Api) -> None:
    apply(api, {"departments": [{"name": "D"}]}, **GIT)
    api.apply("webhooks", name="by hand", department="D", url="https://x.example/")
    refused = apply(api, {"departments": []}, status=409, prune=True, **GIT)
    assert refused["type"].endswith("has_dependants")
    done = apply(api, {"departments": []}, prune=True, on_blocked="disable", **GIT)
    assert [(change["action"], change["disabled"]) for change in done["changes"]] == [("update", True)]
    assert only(api, "departments", name="D")["enabled"] is False
    again = apply(api, {"departments": []}, prune=True, on_blocked="disable", **GIT)
    assert again["changed"] is False


def test_prune_deletes_what_depends_on_each_other_in_one_go(api: Api) -> None:
    apply(api, DESK, **GIT)
    empty: dict[str, Any] = {name: [] for name in DESK if name != "users"}
    done = apply(api, empty, prune=True, **GIT)
    assert done["summary"]["delete"] == 6


def test_an_object_that_is_there_is_pruned_only_once_it_was_adopted(api: Api) -> None:
    api.apply("labels", name="mine", color="#111111")
    document = {"labels": [{"name": "mine", "color": "#111111"}]}
    assert apply(api, document, **GIT)["changes"] == []
    nothing = apply(api, {"labels": []}, prune=True, **GIT)
    assert (nothing["changed"], nothing["changes"][0]["released"]) == (False, ["color"])
    adopted = apply(api, document, adopt=True, **GIT)
    assert (adopted["changed"], adopted["changes"][0]["adopted"]) == (False, True)
    assert apply(api, {"labels": []}, prune=True, **GIT)["summary"]["delete"] == 1


def test_an_apply_with_the_digest_of_another_plan_is_refused_with_the_new_one(api: Api) -> None:
    reviewed = plan(api, DESK, **GIT)["digest"]
    api.apply("labels", name="outage")
    refused = apply(api, DESK, status=409, plan_digest=reviewed, **GIT)
    assert refused["type"].endswith("plan_changed")
    assert api.call("GET", "/customers")["items"] == []
    assert apply(api, DESK, plan_digest=refused["plan"]["digest"], **GIT)["changed"] is True


def test_the_digest_knows_another_secret_without_telling_it(api: Api) -> None:
    def digest(password: str) -> str:
        document = {"departments": [{"name": "D", "imap": {"password": password}}]}
        found: str = plan(api, document)["digest"]
        return found

    assert digest("one") == digest("one")
    assert digest("one") != digest("two")


def test_a_secret_by_reference_keeps_the_stored_one_and_is_asked_for_where_there_is_none(api: Api) -> None:
    document = {
        "departments": [{"name": "support", "imap": {"password": {"$secret": "department/support/imap.password"}}}]
    }
    made = apply(api, document)
    assert made["needs_secret"] == [
        {
            "kind": "department",
            "key": {"name": "support"},
            "field": "imap.password",
            "secret": "department/support/imap.password",
        }
    ]
    assert apply(api, document)["changed"] is False
    api.apply("departments", name="support", imap={"password": "canary"})
    again = apply(api, document)
    assert (again["changed"], again["needs_secret"]) == (False, [])
    assert api.call("GET", "/configuration")["configuration"]["departments"] == document["departments"]


def test_an_export_makes_the_same_desk_of_an_empty_one(api: Api) -> None:
    apply(api, DESK)
    exported = api.request("GET", "/configuration").data
    document = api.call("GET", "/configuration")["configuration"]
    assert apply(api, document, adopt=True, **GIT)["changed"] is False
    left = {name: [] for name in DESK} | {"users": [user for user in document["users"] if user["username"] == "root"]}
    assert apply(api, left, prune=True, max_deletions=20, **GIT)["summary"]["delete"] == 8
    assert api.call("GET", "/configuration")["configuration"] == {"users": left["users"]}
    apply(api, document)
    assert api.request("GET", "/configuration").data == exported
    assert b"canary" not in exported


def test_a_change_by_hand_is_drift_until_the_next_apply(api: Api) -> None:
    apply(api, DESK, manager="git:helpdesk", revision="abc123")
    assert api.call("GET", "/configuration/drift") == {"drifted": False, "items": []}
    mia = api.as_user("boss", roles=["admin"])
    policy = only(api, "sla-policies", name="gold")
    mia.call("PATCH", f"/sla-policies/{policy['id']}", {"response_minutes": 99})
    label = only(api, "labels", name="noise")
    mia.call("DELETE", f"/labels/{label['id']}", status=204)
    found = api.call("GET", "/configuration/drift?manager=git:helpdesk")
    shown = [
        {name: item[name] for name in ("label", "change", "field", "before", "after", "who", "revision")}
        for item in found["items"]
    ]
    assert shown == [
        {
            "label": "sla_policy gold",
            "change": "field",
            "field": "response_minutes",
            "before": 30,
            "after": 99,
            "who": "boss",
            "revision": "abc123",
        },
        {
            "label": "label noise",
            "change": "deleted",
            "field": None,
            "before": None,
            "after": None,
            "who": "boss",
            "revision": "abc123",
        },
    ]
    assert all(item["when"] for item in found["items"])
    put_right = apply(api, DESK, manager="git:helpdesk", revision="abc123")
    assert [change["label"] for change in put_right["changes"]] == ["sla_policy gold", "label noise"]
    assert api.call("GET", "/configuration/drift")["items"] == []


def test_a_plain_change_of_what_a_manager_declared_is_done_and_warned_of(api: Api) -> None:
    apply(api, DESK, **GIT)
    answer = api.apply("labels", name="outage", color="#123456")
    assert answer["warnings"] == ["color is declared by git:helpdesk, whose next apply sets it back"]
    single = api.apply("labels", status=409, name="outage", color="#654321", manager="other")
    assert single["type"].endswith("owned_by_another")


def test_the_history_says_who_did_what_through_which_manager(api: Api) -> None:
    apply(api, DESK, manager="git:helpdesk", revision="abc123")
    api.apply("labels", name="noise", color="#123456")
    api.apply("labels", name="noise", state="absent")
    gone, changed, made = api.call("GET", "/configuration/history?kind=label&limit=3")["items"]
    assert (gone["action"], gone["label"], gone["who"], gone["manager"]) == ("delete", "label noise", "root", None)
    assert changed["changes"] == [{"field": "color", "before": "#6e7781", "after": "#123456"}]
    assert (made["action"], made["manager"], made["revision"]) == ("create", "git:helpdesk", "abc123")
    page = api.call("GET", "/configuration/history?limit=7")
    rest = api.call("GET", f"/configuration/history?limit=7&cursor={page['next_cursor']}")
    assert (len(page["items"]), len(rest["items"]), rest["next_cursor"]) == (7, 4, None)
    assert "canary" not in repr([page, rest])


def test_a_planning_key_plans_everything_and_writes_nothing(api: Api) -> None:
    api.apply("roles", name="planner", permissions=["configuration:plan"])
    planner = api.as_user("ci", roles=["planner"])
    before = dump(api.desk)
    assert plan(planner, DESK, **GIT)["changed"] is True
    assert apply(planner, DESK, status=403)["missing_permission"]
    assert planner.call("GET", "/configuration")["configuration"]["users"]
    assert planner.call("GET", "/configuration/drift")["items"] == []
    assert dump(api.desk) == before
    labels = api.as_user("labeller", roles=["agent"])
    assert plan(labels, DESK, status=403)["missing_permission"]


def test_who_may_manage_only_some_kinds_applies_only_those(api: Api) -> None:
    api.apply("roles", name="labeller", permissions=["labels:manage", "tickets:access"])
    labeller = api.as_user("lea", roles=["labeller"])
    assert apply(labeller, {"labels": [{"name": "x"}]})["changed"] is True
    refused = apply(labeller, {"labels": [], "departments": []}, status=403)
    assert refused["missing_permission"] == "departments:manage"


def test_a_document_may_be_larger_than_other_bodies(api: Api) -> None:
    notes = "x" * 20_000
    large = {"customers": [{"name": f"C{number}", "notes": notes} for number in range(100)]}
    assert plan(api, large)["summary"]["create"] == 100
    assert api.request("POST", "/customers/apply", {"name": "C", "notes": notes * 100}).status_code == 413
    too_large = {"customers": [{"name": f"C{number}", "notes": notes} for number in range(900)]}
    assert apply(api, too_large, status=413)["type"].endswith("too_large")


def test_the_last_administrator_stays_even_where_two_go_at_once(api: Api) -> None:
    apply(api, {"users": [{"username": "second", "roles": ["admin"]}]})
    both = {"users": [{"username": "root", "state": "absent"}, {"username": "second", "state": "absent"}]}
    assert apply(api, both, status=409)["type"].endswith("last_administrator")
    neither = {"users": [{"username": "root", "roles": []}, {"username": "second", "enabled": False}]}
    assert apply(api, neither, status=409)["type"].endswith("last_administrator")
    assert only(api, "users", username="root")["roles"] == ["admin"]


def test_prune_adopt_and_force_need_a_manager(api: Api) -> None:
    answer = apply(api, {}, status=422, prune=True, adopt=True, force=True)
    assert [entry["pointer"] for entry in answer["errors"]] == ["#/prune", "#/adopt", "#/force"]


def test_a_failed_apply_leaves_nothing(api: Api) -> None:
    api.apply("webhooks", name="w", url="https://x.example/")
    api.apply("departments", name="D")
    api.apply("webhooks", name="w", department="D", url="https://x.example/")
    before = dump(api.desk)
    failing = {**DESK, "departments": [*DESK["departments"], {"name": "D", "state": "absent"}]}
    assert apply(api, failing, status=409, **GIT)["type"].endswith("has_dependants")
    assert dump(api.desk) == before


def test_the_schema_for_editors_describes_every_kind(api: Api) -> None:
    schema = api.call("GET", "/configuration/schema.json")
    assert set(DESK) <= set(schema["properties"])
    assert schema["$defs"]["label"]["required"] == ["name"]
    assert "api_keys" not in schema["$defs"]["user"]["properties"]
    assert "C(" not in repr(schema)
