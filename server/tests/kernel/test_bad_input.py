"""Bad input: a 4xx that names every place, and nothing is stored. The list is quality.md's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bad_bodies import UNREADABLE
from conftest import Api
from dumps import dump

JSON = {"Content-Type": "application/json"}


def test_a_body_that_cannot_be_read_is_400_everywhere_and_stores_nothing(api: Api) -> None:
    label = api.apply("labels", name="there")["after"]["id"]
    number = api.call("POST", "/tickets", {"title": "There"}, 201)["number"]
    before = dump(api.desk)
    addresses = [
        ("POST", "/departments/apply"),
        ("POST", "/departments/apply?dry_run=true"),
        ("POST", "/tickets"),
        ("POST", "/tickets/apply"),
        ("PATCH", f"/labels/{label}"),
        ("PATCH", f"/tickets/{number}"),
    ]
    for name, raw in UNREADABLE.items():
        for method, path in addresses:
            answer = api.request(method, path, data=raw, headers=JSON)
            where = f"{name}: {method} {path}: {answer.get_data(as_text=True)[:300]}"
            assert answer.status_code == 400, where
            assert answer.content_type == "application/problem+json", where
            assert answer.get_json()["detail"], where
    assert dump(api.desk) == before


LINES: dict[str, Any] = {
    "NUL": "a\x00b",
    "a line break": "a\nb",
    "an escape": "a\x1bb",
    "a C1 control": "a\x9bb",
    "a line separator": "a\u2028b",
    "an override": "a\u202eb",
    "an isolate": "a\u2066b",
    "an Arabic letter mark": "a\u061cb",
    "a zero-width space": "a\u200bb",
    "a byte order mark": "a\ufeffb",
    "a soft hyphen": "a\u00adb",
    "too long": "x" * 121,
    "too long in characters of four bytes": "\U0001f600" * 121,
    "empty": "",
    "white space": " \u00a0\u3000",
    "null": None,
    "a number": 7,
    "a boolean": True,
    "a list": ["x"],
    "an object": {"x": 1},
}


def test_a_bad_name_is_422_with_its_place_and_stores_nothing(api: Api) -> None:
    before = dump(api.desk)
    for why, name in LINES.items():
        for path in ("customers", "departments", "labels", "roles", "sla-policies", "ticket-types"):
            for dry_run in (True, False):
                refused = api.apply(path, status=422, dry_run=dry_run, name=name)
                assert [entry["pointer"] for entry in refused["errors"]] == ["#/name"], why
    assert dump(api.desk) == before


def test_a_body_without_its_key_is_refused_whatever_state_it_asks_for(api: Api) -> None:
    for path, key in (("labels", "name"), ("users", "username"), ("settings", "key"), ("tickets", "title")):
        for body in ({}, {"state": "absent"}):
            refused = api.apply(path, status=422, **body)
            assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [(f"#/{key}", "required")]


VALUES = [
    ("sla-policies", "enabled", [1, 0, "true", "yes", [], {}]),
    ("sla-policies", "position", [True, 1.0, "1", -1, 2**31, 10**18, [], {}]),
    ("sla-policies", "response_minutes", [-1, 0, "-5m", "0m", "5", "5x", "1.5h", "", "m", "999999w", 10**9, True, 1.5]),
    ("sla-policies", "response_minutes", ["٣m", "PT5M", "5m 5m", "5m1h", "1h\n", [], {}]),
    ("sla-policies", "priorities", ["critical", {"critical": 1}, [None], [["critical"]], [1], ["urgent"]]),
    ("sla-policies", "priorities", [["critical"] * 1001]),
    ("sla-policies", "customers", [["nobody"], [""], ["x" * 255], [None], ["a\x00b"]]),
    ("labels", "color", ["red", "#fff", "#gggggg", "#1f6febff", "1f6feb", 7, "#١٢٣٤٥٦", "", "#1f6feb\n"]),
    ("customers", "number_prefix", ["acme", "9A", "", "A-B", "A" * 11, "Ä", "A\u0301", 7]),
    ("customers", "address", ["x" * 2001, "a\x00b", "a\x07b", 7]),
    ("customers", "features", [{"public_api": 1}, {"no_such": True}, [], "all", {"public_api": "true"}]),
    ("customers", "quotas", [{"max_agents": -1}, {"max_agents": 1.5}, {"max_agents": True}]),
    ("departments", "imap", [{"port": 0}, {"port": 65536}, {"port": "993"}, {"server": "a b"}, {"server": "-x"}]),
    ("departments", "imap", [{"tls": "ssl"}, {"server": "x" * 254}, {"server": "a\r\nb"}, {"folder": "a\x00"}, []]),
    ("departments", "workflow", ["none", 7, ["free"]]),
    ("users", "email", ["a@b@c", "a", "@b", "a@", "a b@c", "a@b..c", ".a@b", "a.@b", "a..b@c", '"a b"@c', "a@b\n"]),
    ("users", "email", ["a@[127.0.0.1]", "Mia <a@b.example>", "ü@b.example", "a@ü.example", "x" * 65 + "@b.example"]),
    ("users", "locale", ["english", "en_GB", "e", "en-", "-en", 7]),
    ("users", "time_zone", ["Europe/Atlantis", "../../etc/passwd", "UTC\x00", "", "utc "]),
    ("users", "roles", [["nobody"], "admin", [7], {"admin": True}]),
    ("users", "memberships", [[{}], [{"role": "owner"}], [{"customer": "x", "role": "king"}], ["x"], [{"a": 1}]]),
    ("users", "password", ["short", "x" * 1025, 12345678, ["x" * 8], "a\x00bcdefgh", ""]),
    ("users", "last_login_at", ["2026-01-01T00:00:00Z", None]),
    ("users", "id", ["x"]),
    ("roles", "shipped", [True]),
    (
        "tickets",
        "remind_at",
        ["2026-03-29T02:30:00", "2026-02-30T00:00:00Z", "now", 0, "2026-01-01", "٢٠٢٦-01-01T00:00Z"],
    ),
    ("tickets", "remind_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-01T25:00:00Z"]),
    ("tickets", "priority", ["urgent", "", 1, ["high"]]),
    ("tickets", "tags", [["x" * 61], [""], [None], ["a\nb"], "x", [f"{number}" for number in range(51)]]),
    ("tickets", "labels", [["nobody"], [7]]),
    ("tickets", "reopen_within", ["-1h", -1, "soon", True]),
    ("tickets", "correlation_key", ["", "x" * 201, "a\x00b", 7]),
    ("tickets", "assignee", ["nobody", "", 7]),
    ("tickets", "number", ["TKT-000001"]),
    ("tickets", "sla", [{}]),
]


def test_a_bad_value_is_422_with_its_place_and_stores_nothing(api: Api) -> None:
    before = dump(api.desk)
    keys = {"users": "username", "tickets": "title"}
    for path, field, values in VALUES:
        for value in values:
            if value is None and field != "last_login_at":
                continue
            refused = api.apply(path, status=422, **{keys.get(path, "name"): "made", field: value})
            pointers = [entry["pointer"] for entry in refused["errors"]]
            assert pointers, (path, field, value)
            assert all(found.startswith(f"#/{field}") for found in pointers), (path, field, value, pointers)
            assert all(entry["code"] and entry["detail"] for entry in refused["errors"])
    assert dump(api.desk) == before


def test_an_unknown_field_is_refused_with_the_nearest_known_one(api: Api) -> None:
    refused = api.apply("departments", status=422, name="x", descripton="y", imap={"prot": 1}, __class__={}, **{"": 1})
    found = {entry["pointer"]: entry["detail"] for entry in refused["errors"]}
    assert set(found) == {"#/descripton", "#/imap/prot", "#/__class__", "#/"}
    assert "did you mean description?" in found["#/descripton"]
    assert "did you mean port?" in found["#/imap/prot"]
    assert api.call("GET", "/departments")["items"] == []


def test_composed_and_decomposed_names_are_one_name(api: Api) -> None:
    composed, decomposed = "Zürich \u212bngström", "Zu\u0308rich A\u030angstro\u0308m"
    made = api.apply("customers", name=composed)
    assert api.apply("customers", name=decomposed)["action"] == "none"
    assert [item["id"] for item in api.call("GET", "/customers", query_string={"name": decomposed})["items"]] == [
        made["after"]["id"]
    ]
    api.apply("departments", name="Desk", customer=decomposed)
    renamed = api.apply("customers", name="Other", renamed_from=f" {decomposed} ")
    assert renamed["after"]["id"] == made["after"]["id"]


QUERIES = [
    ("limit", ["0", "-1", "201", "x", "1.0", "", "٣", "1e2", "9" * 30, "true"]),
    ("sort", ["id", "name desc", "name;drop table labels", "-", "", "secret", "-password"]),
    ("cursor", ["x", "x.y", "ü", "a" * 2001, ".", "e30.AAAA", "\x00"]),
    ("name", ["\x00", "x" * 300, "a\u202eb"]),
    ("no_such", ["1"]),
    ("limit[]", ["1"]),
]


def test_a_bad_query_is_refused_with_the_parameter(api: Api) -> None:
    for name, values in QUERIES:
        for value in values:
            answer = api.request("GET", "/labels", query_string={name: value})
            assert answer.status_code in {400, 422}, (name, value, answer.get_data(as_text=True))
            if answer.status_code == 422:
                assert answer.get_json()["errors"][0]["pointer"] == f"#/{name}"
    repeated = api.request("GET", "/labels?limit=1&limit=2")
    assert repeated.get_json()["errors"][0]["code"] == "repeated"
    for value in ("1", "yes", "", "TRUE "):
        answer = api.request("POST", "/labels/apply", {"name": "x"}, query_string={"dry_run": value})
        assert answer.status_code == 422, value
    twice = api.request("POST", "/labels/apply?dry_run=true&dry_run=false", {"name": "x"})
    assert twice.status_code == 422
    assert api.call("GET", "/labels")["items"] == []


def test_a_forged_cursor_is_400_and_a_cursor_serves_its_own_list_only(api: Api) -> None:
    for number in range(3):
        api.apply("labels", name=f"l{number}")
        api.apply("ticket-types", name=f"t{number}")
    cursor = api.call("GET", "/labels?limit=1")["next_cursor"]
    assert len(api.call("GET", f"/labels?limit=1&cursor={cursor}")["items"]) == 1
    text, signature = cursor.split(".")
    others = [f"{text}x.{signature}", f"{text}.{signature[:-1]}", f"{text[:-4]}.{signature}", f"{text}.", signature]
    for forged in others:
        assert api.request("GET", f"/labels?cursor={forged}").status_code == 400, forged
    assert api.request("GET", f"/ticket-types?cursor={cursor}").status_code == 400
    assert api.request("GET", f"/labels?sort=-name&cursor={cursor}").status_code == 400


@pytest.mark.parametrize("address", ["/labels/%00", "/labels/a%00b", "/tickets/%00", "/tickets/TKT-%00"])
def test_a_nul_in_an_address_is_404(api: Api, address: str) -> None:
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        answer = api.request(method, address, body)
        assert answer.status_code == 404, answer.get_data(as_text=True)


def test_odd_addresses_are_404(api: Api) -> None:
    odd = ["/labels/%ff", "/labels/%ed%a0%80", "/labels/..%2f..%2fetc", "/labels/" + "x" * 3000, "/labels/'or'1'='1"]
    odd += [
        "/tickets/TKT-99999999999999999999",
        "/tickets/TKT",
        "/tickets/-1",
        "/tickets/TKT-٣",
        "/tickets/" + "9" * 400,
    ]
    odd += ["/nothing", "/labels/x/y", "/tickets/TKT-000001/nothing"]
    for address in odd:
        answer = api.request("GET", address)
        assert answer.status_code == 404, (address, answer.get_data(as_text=True))
        assert answer.content_type == "application/problem+json"


def test_the_whole_problem_is_named_at_once_and_it_never_repeats_long_input(api: Api) -> None:
    long = "y" * 100_000
    refused = api.request("POST", "/labels/apply", {"name": long, "color": long, long: 1, "state": long})
    assert refused.status_code == 422
    assert len(refused.get_json()["errors"]) == 4
    assert len(refused.data) < 5000
    refused = api.request("POST", "/sla-policies/apply", {"name": "x", "priorities": [long] * 3, "customers": [long]})
    assert len(refused.data) < 5000
    text = json.dumps({"name": "x", long: {long: long}})
    assert len(api.request("POST", "/departments/apply", data=text, headers=JSON).data) < 5000
