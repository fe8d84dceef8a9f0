"""Webhooks: what is refused before it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from dumps import dump

URL = "https://hooks.example/x"


UNSENDABLE: list[tuple[dict[str, Any], str, str]] = [
    ({"url": "https://mia:secret@hooks.example/"}, "#/url", "credentials"),
    ({"url": "https://@hooks.example/"}, "#/url", "credentials"),
    ({"url": "file:///etc/passwd"}, "#/url", "bad_format"),
    ({"url": "javascript:alert(1)"}, "#/url", "bad_format"),
    ({"url": "//hooks.example/x"}, "#/url", "bad_format"),
    ({"url": "https://"}, "#/url", "bad_format"),
    ({"url": "https://hooks.example:99999/"}, "#/url", "bad_format"),
    ({"url": "https://hooks.example:0/"}, "#/url", "bad_format"),
    ({"url": "https://hooks.example\\@other.example/"}, "#/url", "bad_format"),
    ({"url": "https://hooks.example/a b"}, "#/url", "bad_format"),
    ({"url": "https://[::1/"}, "#/url", "bad_format"),
    ({"url": "https://hooks.example/\r\nX: y"}, "#/url", "control_character"),
    ({"url": "https://hooks.example/" + "x" * 2000}, "#/url", "too_long"),
    ({"url": None}, "#/url", "required"),
    ({"headers": {"X-A": "b\r\nX-C: d"}}, "#/headers/X-A", "control_character"),
    ({"headers": {"X-A\r\nX-B": "c"}}, "#/headers/X-A\r\nX-B", "control_character"),
    ({"headers": {"X A": "b"}}, "#/headers/X A", "bad_format"),
    ({"headers": {"": "b"}}, "#/headers/", "too_long"),
    ({"headers": {"Host": "other"}}, "#/headers/Host", "reserved"),
    ({"headers": {"content-LENGTH": "1"}}, "#/headers/content-LENGTH", "reserved"),
    ({"headers": {"X-A": "ünicode"}}, "#/headers/X-A", "bad_format"),
    ({"headers": {"X-A": " b"}}, "#/headers/X-A", "bad_format"),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "#/headers/x-a", "repeated"),
    ({"headers": {"X-A": 1}}, "#/headers/X-A", "wrong_type"),
    ({"headers": {"X-A": None}}, "#/headers/X-A", "wrong_type"),
    ({"headers": [["X-A", "b"]]}, "#/headers", "wrong_type"),
    ({"headers": {f"X-{number}": "" for number in range(51)}}, "#/headers", "too_long"),
    ({"body": {"a": "${no_such}"}}, "#/body", "unknown_placeholder"),
    ({"body": {"a": [{"b": "{{ constructor }}"}]}}, "#/body", "unknown_placeholder"),
    ({"body": {"a": "{{}}"}}, "#/body", "unknown_placeholder"),
    ({"body": {"a": "${}"}}, "#/body", "unknown_placeholder"),
    ({"body": "text"}, "#/body", "wrong_type"),
    ({"body": 7}, "#/body", "wrong_type"),
    ({"body": {"a": "\x00"}}, "#/body", "control_character"),
    ({"body": {"\x00": "a"}}, "#/body", "control_character"),
    ({"body": {"a": 1e300}}, "#/body", "out_of_range"),
    ({"body": {"a": -1e17}}, "#/body", "out_of_range"),
    ({"body": {"a": ["x" * 20_000, "y" * 20_000]}}, "#/body", "too_long"),
    ({"method": "GET", "body": {"a": 1}}, "#/body", "not_allowed"),
    ({"method": "CONNECT"}, "#/method", "not_allowed"),
    ({"method": "post"}, "#/method", "not_allowed"),
    ({"events": ["ticket_created", "no_event"]}, "#/events/1", "not_allowed"),
    ({"secret": "whsec_short"}, "#/secret", "bad_format"),
    ({"secret": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}, "#/secret", "bad_format"),
    ({"secret": "whsec_" + "*" * 40}, "#/secret", "bad_format"),
    ({"enabled": 1}, "#/enabled", "wrong_type"),
]
UNSENDABLE += [
    ({"secret_headers": fields["headers"]}, pointer.replace("#/headers", "#/secret_headers"), code)
    for fields, pointer, code in UNSENDABLE
    if "headers" in fields
]
UNSENDABLE += [
    ({"secret_headers": "Bearer abc"}, "#/secret_headers", "bad_format"),
    ({"secret_headers": "[" * 30_000}, "#/secret_headers", "bad_format"),
    ({"secret_headers": '["a"]'}, "#/secret_headers", "wrong_type"),
    ({"secret_headers": "null"}, "#/secret_headers", "wrong_type"),
    ({"secret_headers": '{"X-A\\ud800": "b"}'}, "#/secret_headers", "bad_format"),
    ({"headers": {"X-A": "1"}, "secret_headers": {"x-a": "2"}}, "#/headers/X-A", "repeated"),
]


@pytest.mark.feature("F171")
def test_what_could_not_be_sent_is_not_kept(api: Api) -> None:
    before = dump(api.desk)
    for fields, pointer, code in UNSENDABLE:
        refused = api.apply("webhooks", status=422, name="hook", **{"url": URL, **fields})
        assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [(pointer, code)], fields
    assert dump(api.desk) == before


def test_secret_headers_are_kept_whole_and_never_shown(api: Api) -> None:
    made = api.apply("webhooks", name="hook", url=URL, secret_headers={"Authorization": "Bearer abc", "X-B": "1"})
    assert made["after"]["secret_headers"] == "(secret)"
    same = '{"X-B": "1",\n "Authorization": "Bearer abc"}'
    for again in (same, "(secret)", {"$secret": "webhook/hook/secret_headers"}):
        assert api.apply("webhooks", name="hook", secret_headers=again)["action"] == "none"
    fewer = api.apply("webhooks", name="hook", secret_headers={"Authorization": "Bearer abc"})
    assert fewer["changes"] == [{"field": "secret_headers", "before": "(secret)", "after": "(secret)"}]
    refused = api.apply("webhooks", status=422, name="hook", headers={"authorization": "Basic abc"})
    assert refused["errors"][0]["detail"] == "is one of secret_headers too"
    none = api.apply("webhooks", name="hook", secret_headers={})
    assert none["changes"] == [{"field": "secret_headers", "before": "(secret)", "after": None}]


def test_a_header_that_looks_like_a_secret_is_kept_with_a_warning(api: Api) -> None:
    for name in ("Authorization", "X-API-Key", "x-gitlab-token", "Cookie"):
        made = api.apply("webhooks", name="hook", url=URL, headers={name: "abc", "Content-Type": "text/plain"})
        assert [name in warning and "secret_headers" in warning for warning in made["warnings"]] == [True]
        assert made["after"]["headers"][name] == "abc"


def test_every_placeholder_is_taken_in_both_spellings(api: Api) -> None:
    names = [
        "ticket_number",
        "subject",
        "status",
        "priority",
        "assigned_to",
        "customer",
        "department",
        "event",
        "timestamp",
        "url",
    ]
    body = {"texts": [f"${{{name}}} {{{{{name}}}}} {{{{ {name} }}}}" for name in names], "$": "{ } $ {x}"}
    made = api.apply("webhooks", name="hook", url=URL, body=body)
    assert made["after"]["body"] == body


def test_a_body_that_differs_in_type_only_is_a_change(api: Api) -> None:
    api.apply("webhooks", name="hook", url=URL, body={"a": [1, 0, {"b": True}]})
    changed = api.apply("webhooks", name="hook", url=URL, body={"a": [True, False, {"b": 1}]})
    assert changed["action"] == "update"
    shown = api.call("GET", f"/webhooks/{changed['after']['id']}")
    assert repr(shown["body"]) == repr({"a": [True, False, {"b": 1}]})


@pytest.mark.parametrize("number", [1.0, 1e2, 0.1, -0.0, 5e-324, 1e15, 123456789.123456789, 2**63, -(2**63) + 1])
def test_a_number_comes_back_as_it_went_and_again_is_no_change(api: Api, number: float) -> None:
    made = api.apply("webhooks", name="hook", url=URL, body={"a": number})
    assert made["after"]["body"]["a"] == number
    assert api.apply("webhooks", name="hook", url=URL, body={"a": number})["action"] == "none"
    assert api.call("GET", "/webhooks")["items"][0]["body"]["a"] == number


def test_one_name_may_stand_once_in_each_department_and_once_globally(api: Api) -> None:
    for name in ("Desk", "Night"):
        api.apply("departments", name=name)
    for department in (None, "Desk", "Night"):
        made = api.apply("webhooks", name="chat", department=department, url=URL)
        assert made["action"] == "create"
    assert len(api.call("GET", "/webhooks?name=chat")["items"]) == 3
    assert len(api.call("GET", "/webhooks?department=Desk")["items"]) == 1
    api.apply("webhooks", name="chat", department="Desk", state="absent")
    left = api.call("GET", "/webhooks?name=chat")["items"]
    assert sorted(str(item["department"]) for item in left) == ["Night", "None"]
    moved = next(item for item in left if item["department"] == "Night")
    assert api.request("PATCH", f"/webhooks/{moved['id']}", {"department": None}).status_code == 409
    api.call("PATCH", f"/webhooks/{moved['id']}", {"department": "Desk"})
    assert api.call("GET", "/webhooks?department=Desk")["items"][0]["id"] == moved["id"]


def test_a_department_with_webhooks_is_not_deleted(api: Api) -> None:
    api.apply("departments", name="Desk")
    api.apply("webhooks", name="chat", department="Desk", url=URL)
    refused = api.apply("departments", status=409, name="Desk", state="absent")
    assert refused["dependants"] == ["webhook Desk/chat"]


def test_scheme_and_host_of_an_address_are_the_same_in_any_case(api: Api) -> None:
    made = api.apply("webhooks", name="hook", url="HTTPS://Hooks.EXAMPLE/Path?Q=A#F")
    assert made["after"]["url"] == "https://hooks.example/Path?Q=A#F"
    assert api.apply("webhooks", name="hook", url="https://hooks.example/Path?Q=A#F")["action"] == "none"


@pytest.mark.feature("F164", "F165")
def test_a_webhook_keeps_what_it_is_told_and_speaks_json_unless_it_is_told_otherwise(api: Api) -> None:
    plain = api.apply("webhooks", name="plain", url=URL)["after"]
    assert (plain["method"], plain["headers"]) == ("POST", {"Content-Type": "application/json"})
    assert (plain["enabled"], plain["events"], plain["body"]) == (True, [], None)
    fields = {
        "name": "chat",
        "description": "The room of the night shift.",
        "url": URL,
        "method": "PUT",
        "headers": {"Content-Type": "application/vnd.chat+json", "X-Room": "night"},
        "body": {"text": "${event}: ${subject}"},
        "events": ["ticket_closed", "ticket_created"],
        "enabled": False,
    }
    address = f"/webhooks/{api.apply('webhooks', **fields)['after']['id']}"
    made = api.call("GET", address)
    assert made == made | fields
