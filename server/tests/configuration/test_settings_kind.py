"""Global settings: a fixed list, each with its own type."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from deskplane.desks.settings import SETTINGS
from dumps import dump


def test_a_setting_that_there_is_not_is_refused_with_the_nearest(api: Api) -> None:
    before = dump(api.desk)
    for state in ("present", "absent"):
        refused = api.apply("settings", status=422, key="numbering.prefx", value="OPS", state=state)
        assert refused["errors"][0]["pointer"] == "#/key"
        assert "did you mean numbering.prefix?" in refused["errors"][0]["detail"]
        assert sorted(refused["errors"][0]["allowed"]) == sorted(SETTINGS)
    assert dump(api.desk) == before


def test_absent_sets_a_setting_back_to_its_default_whatever_else_is_said(api: Api) -> None:
    api.apply("settings", key="numbering.prefix", value="OPS")
    back = api.apply("settings", key="numbering.prefix", value="OPS", state="absent")
    assert back["changes"] == [{"field": "value", "before": "OPS", "after": "TKT"}]
    assert api.apply("settings", key="numbering.prefix", state="absent")["action"] == "none"


def test_a_setting_cannot_be_renamed_nor_deleted(api: Api) -> None:
    before = dump(api.desk)
    api.apply("settings", status=422, key="mine", renamed_from="numbering.prefix", value="OPS")
    found = api.call("GET", "/settings?key=numbering.prefix")["items"][0]
    assert api.request("PATCH", f"/settings/{found['id']}", {"key": "mine"}).status_code == 422
    assert api.request("DELETE", f"/settings/{found['id']}").status_code == 405
    assert dump(api.desk) == before


BAD: list[tuple[str, Any, str]] = [
    ("numbering.prefix", "ops", "bad_format"),
    ("numbering.prefix", 7, "wrong_type"),
    ("numbering.prefix", "", "bad_format"),
    ("password.min_length", 7, "out_of_range"),
    ("password.min_length", True, "wrong_type"),
    ("password.min_length", "12", "wrong_type"),
    ("password.min_length", 12.0, "wrong_type"),
    ("workflow.default", "chaos", "unknown_reference"),
    ("department.default", "Nowhere", "unknown_reference"),
    ("time_zone.default", "Europe/Atlantis", "unknown_time_zone"),
    ("time_zone.default", "europe/berlin", "unknown_time_zone"),
    ("public_url", "ftp://desk.example", "bad_format"),
    ("public_url", "https://mia:x@desk.example", "credentials"),
    ("branding.company_name", ["ACME"], "wrong_type"),
    ("branding.company_name", "a\u202eb", "control_character"),
    ("locale.default", "english please", "bad_format"),
    ("attachments.blocked_extensions", ["exe", "tar.gz"], "bad_format"),
    ("attachments.max_bytes", 0, "out_of_range"),
    ("alerts.recipients", ["root@example.org", "a@b@c"], "bad_format"),
    ("smtp.host", "https://mail.example", "bad_format"),
    ("smtp.from", "desk", "bad_format"),
    ("smtp.tls", "yes", "not_allowed"),
    ("registration.enabled", "true", "wrong_type"),
    ("session.idle_minutes", -1, "out_of_range"),
    ("mfa.required_for_admins", 1, "wrong_type"),
    ("mfa.required_for_everyone", "yes", "wrong_type"),
    ("backup.offsite_url", "ftp://copies.example", "bad_format"),
    ("backup.offsite_url", "s3://copies.example/desk", "bad_format"),
    ("backup.offsite_url", "https://key:secret@copies.example", "credentials"),
    ("backup.schedule", "daily", "bad_format"),
    ("backup.schedule", "60 2 * * *", "bad_format"),
    ("backup.schedule", "0 24 * * *", "bad_format"),
    ("backup.schedule", "0 2 0 * *", "bad_format"),
    ("backup.schedule", "0 2 * 13 *", "bad_format"),
    ("backup.schedule", "0 2 * * fry", "bad_format"),
    ("backup.schedule", "5/10 * * * *", "bad_format"),
    ("backup.schedule", "*/0 * * * *", "bad_format"),
    ("backup.schedule", "9-5 * * * *", "bad_format"),
    ("backup.schedule", "1,,2 * * * *", "bad_format"),
    ("retention.deliveries_days", 0, "out_of_range"),
]

GOOD: list[tuple[str, Any, Any]] = [
    ("attachments.blocked_extensions", ["EXE", ".exe", "Ps1"], [".exe", ".ps1"]),
    ("alerts.recipients", ["b@X.example", "a@x.example", "b@x.example"], ["a@x.example", "b@x.example"]),
    ("session.idle_minutes", "2h", 120),
    ("backup.schedule", " 30  2 * JAN-mar,12 Mon-Fri ", "30 2 * jan-mar,12 mon-fri"),
    ("backup.schedule", "*/15 8-18/2 1,15 * 0-7", "*/15 8-18/2 1,15 * 0-7"),
    ("backup.offsite_url", "HTTPS://Copies.example/Desk", "https://copies.example/Desk"),
    ("ai.url", None, None),
]


def test_a_setting_is_kept_in_one_form(api: Api) -> None:
    for key, value, kept in GOOD:
        assert api.apply("settings", key=key, value=value)["after"]["value"] == kept, key
        assert api.apply("settings", key=key, value=value)["action"] == "none", key


def test_a_setting_that_is_a_secret_has_no_value_and_a_value_is_no_secret(api: Api) -> None:
    canary = "canary-4711-secret"
    refused = api.request("POST", "/settings/apply", {"key": "smtp.password", "value": canary})
    assert refused.status_code == 422
    assert "give it as secret" in refused.get_json()["errors"][0]["detail"]
    assert canary not in refused.get_data(as_text=True)
    refused = api.request("POST", "/settings/apply", {"key": "smtp.host", "secret": canary})
    assert refused.get_json()["errors"][0]["pointer"] == "#/secret"
    assert canary not in refused.get_data(as_text=True)
    made = api.apply("settings", key="smtp.password", secret=canary)
    assert made["changes"] == [{"field": "secret", "before": None, "after": "(secret)"}]
    found = api.call("GET", "/settings?key=smtp.password")["items"][0]
    assert (found["value"], found["secret"]) == (None, "(secret)")
    back = api.apply("settings", key="smtp.password", state="absent")
    assert back["after"]["secret"] is None


def test_a_department_that_is_the_default_stays_until_it_is_none_and_keeps_being_it_under_a_new_name(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("departments", name="Desk", customer="ACME")
    api.apply("settings", key="department.default", value="Desk")
    blocked = api.apply("departments", status=409, name="Desk", state="absent")
    assert blocked["dependants"] == ["setting department.default"]
    api.apply("departments", name="Front desk", renamed_from="Desk")
    assert api.call("GET", "/settings?key=department.default")["items"][0]["value"] == "Front desk"
    assert api.call("POST", "/tickets", {"title": "x"}, status=201)["department"] == "Front desk"
    api.apply("customers", name="ACME", state="absent", cascade=True)
    assert api.call("GET", "/settings?key=department.default")["items"][0]["value"] is None


def test_a_setting_follows_the_object_that_it_names_through_a_swap_of_names(api: Api) -> None:
    for name in "ab":
        api.apply("departments", name=name)
    swap = [{"name": "a", "renamed_from": "b"}, {"name": "b", "renamed_from": "a"}]
    for departments in (swap, swap[::-1]):
        api.apply("settings", key="department.default", value="a")
        api.call("POST", "/configuration/apply", {"configuration": {"departments": [{"name": "a"}, {"name": "b"}]}})
        api.call("POST", "/configuration/apply", {"configuration": {"departments": departments}})
        assert api.call("GET", "/settings?key=department.default")["items"][0]["value"] == "b"


def test_a_setting_that_is_declared_together_with_a_swap_is_what_is_declared(api: Api) -> None:
    for declared in "ab":
        for name in "ab":
            api.apply("departments", name=name)
        api.apply("settings", key="department.default", value="a")
        document = {
            "configuration": {
                "departments": [{"name": "a", "renamed_from": "b"}, {"name": "b", "renamed_from": "a"}],
                "settings": [{"key": "department.default", "value": declared}],
            }
        }
        api.call("POST", "/configuration/apply", document)
        assert api.call("GET", "/settings?key=department.default")["items"][0]["value"] == declared
        assert api.call("POST", "/configuration/apply", document)["changed"] is False


def test_a_setting_takes_values_of_its_own_type_only(api: Api) -> None:
    before = dump(api.desk)
    for key, value, code in BAD:
        refused = api.apply("settings", status=422, key=key, value=value)
        assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [("#/value", code)], (key, value)
    assert dump(api.desk) == before


def test_every_setting_is_there_with_its_default(api: Api) -> None:
    found = {item["key"]: item["value"] for item in api.call("GET", "/settings")["items"]}
    assert found == {key: part.initial() for key, part in SETTINGS.items()}


@pytest.mark.feature("F055", "F210")
def test_a_setting_acts_at_the_next_request_of_another_process(api: Api) -> None:
    from conftest import settings
    from deskplane.app import create_app, make_desk

    address = api.desk.database.url.render_as_string(hide_password=False)
    other_desk = make_desk(settings(address), api.desk.clock)
    other = Api(create_app(other_desk).test_client(), api.key, other_desk)
    assert other.call("POST", "/tickets", {"title": "One"}, 201)["number"] == "TKT-000001"
    api.apply("settings", key="numbering.prefix", value="OPS")
    assert other.call("POST", "/tickets", {"title": "Two"}, 201)["number"] == "OPS-000001"
    other_desk.database.dispose()


def _departments(*names: str, **renamed: str) -> list[dict[str, str]]:
    new = [{"name": name, "customer": "ACME"} for name in names]
    return [*new, *({"name": name, "customer": "ACME", "renamed_from": old} for name, old in renamed.items())]


@pytest.mark.parametrize(
    ("departments", "name"),
    [
        (_departments(b="a", a="b"), "b"),
        (_departments(a="b", b="a"), "b"),
        (_departments(b="a", c="b"), "b"),
        (_departments("a", c="a"), "c"),
    ],
    ids=["a swap", "the same from the other end", "a chain", "a name used anew"],
)
def test_a_setting_follows_the_object_and_not_its_name(api: Api, departments: list[dict[str, str]], name: str) -> None:
    _desk_with_default(api, "a")
    api.call("POST", "/configuration/apply", {"configuration": {"departments": departments}})
    assert _default(api) == name


def test_a_plan_may_name_in_a_setting_what_is_not_there_yet(api: Api) -> None:
    wanted = {"key": "department.default", "value": "Later"}
    body = {"configuration": {"settings": [wanted]}, "allow_unresolved": True}
    answer = api.call("POST", "/configuration/plan", body)
    assert answer["unresolved"] == [{"pointer": "#/settings/0/value", "kind": "department", "name": "Later"}]
    answer = api.call("POST", "/settings/apply?dry_run=true&allow_unresolved=true", wanted)
    assert answer["unresolved"] == [{"field": "value", "kind": "department", "name": "Later"}]
    assert [change["after"] for change in answer["changes"]] == ["Later"]


def _desk_with_default(api: Api, name: str) -> None:
    configuration = {
        "customers": [{"name": "ACME"}],
        "departments": _departments("a", "b"),
        "settings": [{"key": "department.default", "value": name}],
    }
    api.call("POST", "/configuration/apply", {"configuration": configuration})


def _default(api: Api) -> str:
    found: str = api.call("GET", "/settings?key=department.default")["items"][0]["value"]
    return found


def test_a_setting_has_the_name_that_it_has(api: Api) -> None:
    entry = {"key": "numbering.prefix", "renamed_from": "prefix", "value": "OPS"}
    one = api.apply("settings", status=422, **entry)
    many = api.call("POST", "/configuration/apply", {"configuration": {"settings": [entry]}}, status=422)
    assert [error["code"] for error in (*one["errors"], *many["errors"])] == ["unknown_field", "unknown_field"]
