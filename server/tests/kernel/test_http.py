"""What holds for every request: media types, methods, sizes, headers, ids, and repeated requests."""

from __future__ import annotations

import re

import pytest

from conftest import Api
from deskplane import __version__
from dumps import dump


def test_a_body_must_be_json_in_utf_8(api: Api) -> None:
    good = [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF8",
        "application/a+json",
    ]
    for number, kind in enumerate(good):
        answer = api.request("POST", "/labels/apply", data=f'{{"name": "l{number}"}}', headers={"Content-Type": kind})
        assert answer.status_code == 201, kind
    before = dump(api.desk)
    bad = ["", "text/plain", "application/x-www-form-urlencoded", "text/json", "application/xml", "json"]
    bad += ["multipart/form-data; boundary=x", "application/json; charset=latin-1", "application/json; charset=utf-16"]
    for kind in bad:
        answer = api.request("POST", "/labels/apply", data='{"name": "x"}', headers={"Content-Type": kind})
        assert answer.status_code == 415, kind
    assert dump(api.desk) == before


def test_a_method_that_an_address_does_not_know_is_405_with_those_it_does(api: Api) -> None:
    expected = {
        ("PUT", "/labels"): "GET, HEAD",
        ("POST", "/labels"): "GET, HEAD",
        ("OPTIONS", "/labels/apply"): "POST",
        ("PUT", "/labels/apply"): "POST",
        ("PUT", "/labels/x"): "DELETE, GET, HEAD, PATCH",
        ("DELETE", "/settings/x"): "GET, HEAD, PATCH",
        ("PATCH", "/tickets"): "GET, HEAD, POST",
        ("TRACE", "/tickets/TKT-000001"): "DELETE, GET, HEAD, PATCH",
        ("DELETE", "/healthz"): "GET, HEAD",
        ("BREW", "/version"): "GET, HEAD",
    }
    for (method, path), allowed in expected.items():
        answer = api.request(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed), (method, path)
        assert answer.content_type == "application/problem+json"


def test_a_body_that_is_too_large_is_413(api: Api) -> None:
    before = dump(api.desk)
    text = '{"title": "x", "description": "' + "y" * 2_000_000 + '"}'
    answer = api.request("POST", "/tickets", data=text, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.get_json()["type"]) == (413, "urn:deskplane:problem:too_large")
    stream = api.request(
        "POST", "/tickets", data=text, headers={"Content-Type": "application/json", "Content-Length": str(10**12)}
    )
    assert stream.status_code == 413
    assert dump(api.desk) == before


def test_every_answer_says_its_version_and_request_id(api: Api) -> None:
    paths = ["/version", "/labels", "/nothing", "/labels/nothing", "/healthz", "/openapi.json", "/docs"]
    for path in paths:
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            answer = api.request("GET", path, headers=headers)
            assert answer.headers["Deskplane-Version"] == __version__
            assert re.fullmatch(r"[0-9a-f]{12}", answer.headers["X-Request-Id"])
            if answer.status_code >= 400:
                assert answer.get_json()["request_id"] == answer.headers["X-Request-Id"]


def test_a_callers_request_id_is_kept_only_where_it_is_harmless(api: Api) -> None:
    for given in ("abc-1.2_3", "A" * 64):
        assert api.request("GET", "/version", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given
    for given in ("a b", "A" * 65, "<script>", "ü", "", '"', "a;b"):
        answer = api.request("GET", "/version", headers={"X-Request-Id": given})
        assert re.fullmatch(r"[0-9a-f]{12}", answer.headers["X-Request-Id"]), given


def test_head_answers_as_get_does_without_the_body(api: Api) -> None:
    got, head = api.request("GET", "/labels"), api.request("HEAD", "/labels")
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", got.headers["Content-Length"])


# --- Idempotency-Key


def test_the_same_key_and_body_get_the_same_answer_and_no_second_ticket(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    first = api.request("POST", "/tickets", {"title": "One"}, headers=headers)
    before = dump(api.desk)
    again = api.request("POST", "/tickets", {"title": "One"}, headers=headers)
    assert (again.status_code, again.data, again.content_type) == (201, first.data, first.content_type)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert dump(api.desk) == before
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]


def test_a_key_with_another_body_or_address_is_422(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    api.call("POST", "/tickets", {"title": "One"}, 201, headers=headers)
    before = dump(api.desk)
    for path, body in (("/tickets", {"title": "Two"}), ("/tickets/apply", {"title": "One"})):
        refused = api.request("POST", path, body, headers=headers)
        assert (refused.status_code, refused.get_json()["type"]) == (
            422,
            "urn:deskplane:problem:idempotency_key_reused",
        )
    assert dump(api.desk) == before


def test_a_key_is_its_callers_own(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    first = api.call("POST", "/tickets", {"title": "One"}, 201, headers=headers)
    other = api.as_user("mia", roles=["admin"])
    second = other.call("POST", "/tickets", {"title": "Two"}, 201, headers=headers)
    assert first["number"] != second["number"]


def test_an_answer_is_kept_for_a_day(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    first = api.call("POST", "/tickets", {"title": "One"}, 201, headers=headers)
    api.desk.clock.turn(hours=23, minutes=59)  # type: ignore[attr-defined]
    assert api.call("POST", "/tickets", {"title": "One"}, 201, headers=headers) == first
    api.desk.clock.turn(minutes=2)  # type: ignore[attr-defined]
    assert api.call("POST", "/tickets", {"title": "Two"}, 201, headers=headers)["number"] != first["number"]


def test_a_key_of_bad_form_is_400_also_in_a_dry_run(api: Api) -> None:
    before = dump(api.desk)
    for key in ("", "a b", "ü", "x" * 201, "\t"):
        for path in ("/tickets", "/labels/apply", "/labels/apply?dry_run=true"):
            answer = api.request(
                "POST", path, {"title": "x"} if path == "/tickets" else {"name": "x"}, headers={"Idempotency-Key": key}
            )
            assert answer.status_code == 400, (key, path, answer.get_data(as_text=True))
    assert dump(api.desk) == before


def test_what_failed_is_not_kept_and_a_dry_run_neither(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    assert api.request("POST", "/labels/apply", {"name": ""}, headers=headers).status_code == 422
    assert api.request("POST", "/labels/apply?dry_run=true", {"name": "x"}, headers=headers).status_code == 200
    made = api.request("POST", "/labels/apply", {"name": "x"}, headers=headers)
    again = api.request("POST", "/labels/apply", {"name": "x"}, headers=headers)
    assert (made.status_code, again.status_code, again.data) == (201, 201, made.data)
    assert (
        api.request("POST", "/labels/apply?dry_run=true", {"name": "x"}, headers=headers).get_json()["action"] == "none"
    )


@pytest.mark.parametrize("secret", ["hunter2-hunter2"])
def test_the_mark_of_a_request_is_no_plain_hash_of_its_body(api: Api, secret: str) -> None:
    """A plain SHA-256 of a body with a password would be a hash of the password that is quick to guess at."""
    import hashlib
    import json

    body = json.dumps({"name": "Desk", "imap": {"password": secret}}).encode()
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    api.request("POST", "/departments/apply", data=body, headers=headers)
    plain = hashlib.sha256(b"POST\n/api/v1/departments/apply?\n" + body).hexdigest()
    stored = dump(api.desk)["idempotency_keys"]
    assert len(stored) == 1
    assert plain not in repr(stored)
