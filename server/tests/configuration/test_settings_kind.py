"""Global settings: a fixed list, each with its own type."""

from __future__ import annotations

from typing import Any

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
    ("workflow.default", "chaos", "not_allowed"),
    ("department.default", "Nowhere", "unknown_reference"),
    ("time_zone.default", "Europe/Atlantis", "unknown_time_zone"),
    ("time_zone.default", "europe/berlin", "unknown_time_zone"),
    ("public_url", "ftp://desk.example", "bad_format"),
    ("public_url", "https://mia:x@desk.example", "credentials"),
    ("branding.company_name", ["ACME"], "wrong_type"),
    ("branding.company_name", "a\u202eb", "control_character"),
    ("locale.default", "english please", "bad_format"),
]


def test_a_setting_takes_values_of_its_own_type_only(api: Api) -> None:
    before = dump(api.desk)
    for key, value, code in BAD:
        refused = api.apply("settings", status=422, key=key, value=value)
        assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [("#/value", code)], (key, value)
    assert dump(api.desk) == before


def test_every_setting_is_there_with_its_default(api: Api) -> None:
    found = {item["key"]: item["value"] for item in api.call("GET", "/settings")["items"]}
    assert found == {key: part.initial() for key, part in SETTINGS.items()}


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
