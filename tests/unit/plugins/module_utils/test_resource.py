# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import HARMLESS, NEVER, Listing, Resource
from ansible_collections.deskplane.helpdesk.plugins.modules.ticket import DECLARATION as TICKET
from ansible_collections.deskplane.helpdesk.plugins.modules.ticket_info import DECLARATION as TICKETS
from ansible_collections.deskplane.helpdesk.plugins.modules.user_credential import DECLARATION as USER
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import answer, applied, problem

DEPARTMENT = Resource(
    kind="department",
    path="departments",
    key=["name"],
    options={
        "name": {"type": "str", "required": True},
        "description": {"type": "str"},
        "imap": {"type": "dict", "options": {"server": {"type": "str"}, "password": {"type": "str", "no_log": True}}},
        "api_keys": {"type": "list", "elements": "dict", "no_log": False, "options": {"name": {"type": "str"}}},
        "state": {"type": "str", "choices": ["present", "absent"]},
    },
)
LABELS = Listing(
    kind="label",
    plural="labels",
    path="labels",
    options={"name": {"type": "str"}, "kinds": {"type": "list", "elements": "str"}, "limit": {"type": "int"}},
)


def change(field, before, after):
    return {"field": field, "before": before, "after": after}


def test_only_what_is_given_is_sent(server, task):
    task(DEPARTMENT, name="Support", imap={"server": "mail"})
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/api/v1/departments/apply")
    assert request.body == {"name": "Support", "imap": {"server": "mail"}}
    assert "idempotency-key" not in request.headers


def test_an_explicit_null_is_sent(server, task):
    task(DEPARTMENT, name="Support", description=None, imap={"password": None})
    assert server.requests[0].body == {"name": "Support", "description": None, "imap": {"password": None}}


def test_check_mode_lets_the_desk_work_it_out_and_writes_nothing(server, task):
    missing = [{"field": "customers.0", "kind": "customer", "name": "ACME"}]
    server.script = [applied("create", unresolved=missing, warnings=["the switch is off"])]
    result = task(DEPARTMENT, check_mode=True, name="Support")
    request = server.requests[0]
    assert request.target == "/api/v1/departments/apply?dry_run=true&allow_unresolved=true"
    assert "idempotency-key" not in request.headers
    assert result["changed"]
    assert result["warnings"][0] == "the switch is off"
    assert "customers[0] names the customer 'ACME', which does not exist yet" in result["warnings"][1]


def test_the_result_is_what_the_desk_says(server, task):
    changes = [change("imap.server", "old", "new")]
    server.script = [applied("update", changes, {"name": "Support"})]
    result = task(DEPARTMENT, diff_mode=True, name="Support")
    assert result["changed"] and result["action"] == "update"
    assert result["changes"] == changes
    assert result["department"] == {"name": "Support"}
    assert result["diff"] == {
        "before_header": "department 'Support'",
        "after_header": "department 'Support'",
        "before": {"imap": {"server": "old"}},
        "after": {"imap": {"server": "new"}},
    }


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [("create", {}, {"description": "new"}), ("delete", {"description": "old"}, {}), ("none", {}, {})],
)
def test_a_diff_shows_only_the_side_that_is_there(server, task, action, before, after):
    server.script = [applied(action, [] if action == "none" else [change("description", "old", "new")])]
    diff = task(DEPARTMENT, diff_mode=True, name="Support")["diff"]
    assert (diff["before"], diff["after"]) == (before, after)


def test_no_diff_is_returned_unless_asked_for(task):
    assert "diff" not in task(DEPARTMENT, name="Support")


def test_secrets_are_masked_wherever_they_come_back(server, task):
    server.script = [applied("update", [change("imap.password", None, "hunter2-long")], {"note": "is hunter2-long"})]
    result = task(DEPARTMENT, diff_mode=True, name="Support", imap={"password": "hunter2-long"})
    assert "hunter2-long" not in json.dumps(result)
    assert server.requests[0].body["imap"]["password"] == "hunter2-long"
    assert result["invocation"]["module_args"]["imap"] == {"password": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"}


def test_a_short_secret_does_not_cut_words_out_of_the_result(server, task):
    server.script = [applied("none", after={"status": "open"})]
    assert task(DEPARTMENT, name="Support", imap={"password": "open"})["department"] == {"status": "open"}


def test_a_new_key_is_returned(server, task):
    server.script = [applied("update", after={}, api_keys=[{"name": "ci", "key": "dpk_a_bbbbbbbb"}])]
    assert task(DEPARTMENT, name="Support", api_keys=[{"name": "ci"}])["api_keys"] == [{"name": "ci", "key": "dpk_a_bbbbbbbb"}]


def test_connection_options_come_from_the_given_environment(server, task):
    environ = {"DESKPLANE_URL": server.url, "DESKPLANE_API_KEY": "dpk_env_key", "DESKPLANE_TIMEOUT": "5"}
    result = task(DEPARTMENT, environ=environ, name="Support", deskplane_url=None, deskplane_api_key=None)
    assert not result.get("failed")
    assert server.requests[0].headers["authorization"] == "Bearer dpk_env_key"


def test_an_environment_variable_of_the_wrong_type_is_named(task):
    result = task(DEPARTMENT, environ={"DESKPLANE_VALIDATE_CERTS": "perhaps"}, name="Support")
    assert "deskplane_validate_certs" in result["msg"] and "perhaps" in result["msg"]


def test_an_address_that_ends_in_the_api_is_understood(server, task):
    task(DEPARTMENT, name="Support", deskplane_url=server.url + "/api/v1/")
    assert server.requests[0].target == "/api/v1/departments/apply"


def test_a_loop_uses_one_connection(server, task):
    for number in range(10):
        task(DEPARTMENT, name="D%d" % number)
    assert server.connections == 1


def test_another_key_gets_another_connection(server, task):
    task(DEPARTMENT, name="Support")
    task(DEPARTMENT, name="Support", deskplane_api_key="dpk_other_key")
    assert server.connections == 2


def test_a_listing_reads_all_pages(server, task):
    server.script = [
        answer(200, {"items": [{"name": "a"}, {"name": "b"}], "next_cursor": "x+y"}),
        answer(200, {"items": [{"name": "c"}], "next_cursor": None}),
    ]
    result = task(LABELS, name="ä", kinds=["p", "q"])
    assert [label["name"] for label in result["labels"]] == ["a", "b", "c"]
    assert not result["changed"]
    assert server.requests[0].target == "/api/v1/labels?kinds=p%2Cq&name=%C3%A4&limit=200"
    assert server.requests[1].target.endswith("&limit=200&cursor=x%2By")


def test_a_listing_stops_at_its_limit(server, task):
    server.script = [answer(200, {"items": [{"name": "a"}, {"name": "b"}], "next_cursor": "more"})]
    assert len(task(LABELS, limit=2)["labels"]) == 2
    assert [request.target for request in server.requests] == ["/api/v1/labels?limit=2"]


def test_a_ticket_comes_from_ansible_unless_told_otherwise(server, task):
    task(TICKET, title="Disk full", reopen_within="90")
    task(TICKET, title="Disk full", source="api")
    assert server.requests[0].body == {"title": "Disk full", "source": "ansible", "reopen_within": 90}
    assert server.requests[1].body["source"] == "api"


def test_a_ticket_needs_something_to_be_recognised_by(server, task):
    result = task(TICKET, customer="ACME")
    assert result["msg"] == "ticket: one of the following is required: title, correlation_key"
    assert not server.requests


@pytest.mark.parametrize("on_repeat", ["count", "comment"])
def test_a_ticket_that_leaves_a_trace_each_time_carries_a_key(server, task, on_repeat):
    task(TICKET, title="Disk full", on_repeat=on_repeat)
    task(TICKET, title="Disk full", on_repeat=on_repeat, check_mode=True)
    task(TICKET, title="Disk full")
    assert ["idempotency-key" in request.headers for request in server.requests] == [True, False, False]


def test_a_request_whose_answer_holds_new_keys_is_neither_stored_nor_repeated():
    assert USER.repetition({"username": "ci", "api_keys": [{"name": "a"}]}) == NEVER
    assert USER.repetition({"username": "ci"}) == HARMLESS


def test_a_ticket_is_read_by_its_number(server, task):
    server.script = [answer(200, {"number": "TKT-000001"})]
    assert task(TICKETS, number="TKT-000001")["tickets"] == [{"number": "TKT-000001"}]
    assert server.requests[0].target == "/api/v1/tickets/TKT-000001"


def test_a_number_that_nobody_has_is_no_error(server, task):
    server.script = [problem(404, "there is nothing here")]
    assert task(TICKETS, number="../users")["tickets"] == []
    assert server.requests[0].target == "/api/v1/tickets/..%2Fusers"
