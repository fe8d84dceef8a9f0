# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which a desk can fail a task ends in one readable line, and nothing is sent twice that must not be."""

from __future__ import annotations

import json

import pytest
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import KEYED, NEVER, Listing, Resource
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import HANG_UP, answer, applied, problem

POLICY = Resource(
    kind="sla_policy",
    path="sla-policies",
    key=["name"],
    options={
        "name": {"type": "str", "required": True},
        "response_minutes": {"type": "raw"},
        "priorities": {"type": "list", "elements": "str"},
        "password": {"type": "str", "no_log": True},
    },
)
TITLE = {"title": {"type": "str"}}
COUNTED = Resource(kind="ticket", path="tickets", key=["title"], options=TITLE, repetition=lambda wanted: KEYED)
UNIQUE = Resource(kind="ticket", path="tickets", key=["title"], options=TITLE, repetition=lambda wanted: NEVER)
POLICIES = Listing(kind="sla_policy", plural="sla_policies", path="sla-policies", options={"limit": {"type": "int"}})

PAGE = b"<html><head><title>502 Bad\n Gateway</title></head><body>nginx</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}


def failure(result):
    """The line of a failed task, which must be one and show no key."""
    assert result["failed"] and not result["changed"]
    assert "\n" not in result["msg"] and "0123456789abcdef" not in json.dumps(result)
    assert "Traceback" not in result["msg"]
    return result["msg"]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (answer(200, body=PAGE, headers=HTML, version=None), 'HTTP 200 with an HTML page ("502 Bad Gateway")'),
        (answer(404, body=PAGE, headers=HTML, version=None), "HTTP 404 with an HTML page"),
        (answer(200, body=b"", version=None), "an empty page"),
        (answer(200, body=b"OK", headers={"Content-Type": "text/plain"}, version=None), "no JSON (text/plain)"),
        (answer(200, {"hello": "world"}, version=None), "JSON that no desk sends"),
        (answer(404, {"message": "no Route matched"}, version=None), "JSON that no desk sends"),
        (answer(200, body=b"{" * 100000), "JSON that no desk sends"),
        (answer(302, body=b"", headers={"Location": "https://login.example.com/"}, version=None), "sends its visitors on to https://login.example.com/"),
        (answer(407, body=PAGE, headers=HTML, version=None), "wants a login"),
    ],
)
def test_an_answer_that_no_desk_gave_says_to_check_the_address(server, task, sent, words):
    server.script = [sent]
    text = failure(task(POLICY, name="gold"))
    assert words in text
    assert "deskplane_url" in text or "the proxy before" in text


def test_a_wrong_key_says_which_option_to_check(server, task):
    server.script = [problem(401, "the key is not known")]
    result = task(POLICY, name="gold")
    assert "does not accept the key (the key is not known): check deskplane_api_key" in failure(result)
    assert result["problem"]["status"] == 401


def test_a_missing_permission_is_named(server, task):
    server.script = [problem(403, "this needs the permission sla:manage", missing_permission="sla:manage")]
    text = failure(task(POLICY, name="gold"))
    assert text.startswith("sla_policy 'gold': this needs the permission sla:manage (the key in deskplane_api_key lacks")


def test_every_bad_field_is_named_with_what_is_allowed(server, task):
    errors = [
        {"pointer": "#/response_minutes", "code": "out_of_range", "detail": "must be at least 1, got -5"},
        {
            "pointer": "#/priorities/1",
            "code": "not_allowed",
            "detail": "is none of the priorities",
            "allowed": ["low", "medium", "high", "critical"],
        },
    ]
    server.script = [problem(422, "2 fields are not valid", errors)]
    result = task(POLICY, name="gold", response_minutes=-5, priorities=["low", "hihg"])
    assert failure(result) == (
        "sla_policy 'gold': response_minutes: must be at least 1, got -5; "
        "priorities[1]: is none of the priorities (allowed: low, medium, high, critical), did you mean high?"
    )
    assert result["problem"]["errors"] == errors


def test_an_unknown_reference_says_what_to_do(server, task):
    errors = [{"pointer": "#/customers/0", "code": "unknown_reference", "detail": "there is no customer 'ACME'"}]
    server.script = [problem(422, "not valid", errors)]
    text = failure(task(POLICY, name="gold"))
    assert text == "sla_policy 'gold': customers[0]: there is no customer 'ACME', create it first or correct the name"


def test_a_secret_in_a_refusal_is_masked(server, task):
    server.script = [problem(422, "the password geheim is too short")]
    result = task(POLICY, name="gold", password="geheim")
    assert "the password ******** is too short" in failure(result)
    assert "geheim" not in json.dumps(result)


def test_a_conflict_names_the_other_side(server, task):
    server.script = [problem(409, "the field is owned by git:helpdesk")]
    assert "owned by git:helpdesk" in failure(task(POLICY, name="gold"))


def test_a_broken_desk_names_the_request_for_its_log(server, task):
    server.script = [problem(500, "something went wrong", headers={"X-Request-Id": "abc"})]
    assert "HTTP 500, request abc: see its log" in failure(task(POLICY, name="gold"))


def test_an_old_desk_is_refused(server, task):
    server.script = [answer(200, {"changed": False}, version="0.0.9")]
    text = failure(task(POLICY, name="gold"))
    assert "is version 0.0.9" in text and "needs 0.1.0 or later" in text


@pytest.mark.parametrize("missing", ["deskplane_url", "deskplane_api_key"])
def test_without_a_connection_nothing_is_tried(server, task, missing):
    text = failure(task(POLICY, name="gold", **{missing: None}))
    assert "%s is not set" % missing in text and missing.upper() in text
    assert not server.requests


def test_a_desk_that_is_not_there_is_named_after_a_few_tries(server, task):
    server.stop()
    text = failure(task(POLICY, name="gold"))
    assert "refused the connection: is the desk running" in text


def test_a_desk_that_goes_mid_request_leaves_the_outcome_open(server, task):
    server.script = [HANG_UP]
    text = failure(task(POLICY, name="gold"))
    assert "closed the connection before its answer was complete" in text
    assert "run it again" in text
    assert len(server.requests) == 1


def test_reading_has_no_outcome_to_leave_open(server, task):
    server.script = [HANG_UP]
    assert "run the task again" not in failure(task(POLICIES))


@pytest.mark.parametrize(("declaration", "options"), [(POLICY, {"name": "gold"}), (COUNTED, {"title": "full"})])
def test_a_kept_connection_that_dies_is_tried_once_more(server, task, declaration, options):
    server.script = [applied(), HANG_UP, applied()]
    assert not task(declaration, **options).get("failed")
    assert not task(declaration, **options).get("failed")
    assert len(server.requests) == 3


def test_what_leaves_a_trace_each_time_is_known_again_by_its_key(server, task):
    server.script = [applied(), HANG_UP, applied()]
    task(COUNTED, title="full")
    task(COUNTED, title="full")
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys[1] == keys[2] != keys[0]


def test_what_must_happen_once_is_not_repeated_on_a_dead_connection(server, task):
    server.script = [applied(), HANG_UP, applied()]
    assert not task(UNIQUE, title="full").get("failed")
    failure(task(UNIQUE, title="full"))
    assert len(server.requests) == 2
    assert "idempotency-key" not in server.requests[1].headers


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_desk_is_asked_again(server, task, status):
    server.script = [problem(status, "busy", headers={"Retry-After": "0"}), applied()]
    assert task(UNIQUE, title="full")["changed"]


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_without_a_desk_is_asked_again_only_if_that_is_safe(server, task, status):
    gone = answer(status, body=PAGE, headers=HTML, version=None)
    server.script = [gone, applied()]
    assert task(POLICY, name="gold")["changed"]
    server.script = [gone, applied()]
    assert "HTML page" in failure(task(UNIQUE, title="full"))


def test_a_busy_desk_is_not_asked_for_ever(server, task):
    server.script = [problem(503, "the database is busy", headers={"Retry-After": "0"})]
    assert "the desk is busy, it asks to wait 0 s; run the task again later" in failure(task(POLICY, name="gold"))
    assert len(server.requests) == 4


def test_a_long_wait_is_reported_instead_of_waited_for(server, task):
    server.script = [problem(429, "slow down", headers={"Retry-After": "3600"})]
    assert "it asks to wait 3600 s" in failure(task(POLICY, name="gold"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["with space", "zwei\nzeilen", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(server, task, key):
    result = task(POLICY, name="gold", deskplane_api_key=key)
    assert "deskplane_api_key is empty or holds a character" in failure(result)
    assert key not in json.dumps(result, ensure_ascii=False)
    assert not server.requests


def test_a_line_break_at_the_end_of_a_key_is_the_files_own(server, task):
    assert not task(POLICY, name="gold", deskplane_api_key="dpk_a_b\n").get("failed")
    assert server.requests[0].headers["authorization"] == "Bearer dpk_a_b"
