# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what a webhook sent: which webhook is meant, which deliveries, and what a mistake says."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from ansible_collections.deskplane.helpdesk.plugins.modules.webhook_delivery_info import DECLARATION
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import answer, problem

EVERYWHERE = {"id": "h1", "name": "chat", "department": None}
OF_DESK = {"id": "h2", "name": "chat", "department": "Desk"}


def page(*items):
    return answer(200, {"items": list(items), "next_cursor": None})


def paths(server):
    return [urlsplit(request.target).path for request in server.requests]


def test_the_webhook_of_all_departments_is_meant_where_none_is_named(server, task):
    server.script = [page(OF_DESK, EVERYWHERE), page({"id": "d1", "state": "failed"})]
    result = task(DECLARATION, name="chat", state="failed", since="2026-03-01T08:30:00Z", limit=3)
    assert paths(server) == ["/api/v1/webhooks", "/api/v1/webhooks/h1/deliveries"]
    assert parse_qs(urlsplit(server.requests[1].target).query) == {
        "state": ["failed"],
        "since": ["2026-03-01T08:30:00Z"],
        "limit": ["3"],
    }
    assert (result["changed"], result["deliveries"]) == (False, [{"id": "d1", "state": "failed"}])


def test_one_delivery_is_read_with_its_request_and_answer(server, task):
    server.script = [page(OF_DESK), answer(200, {"id": "d/1", "log": []})]
    result = task(DECLARATION, name="chat", department="Desk", delivery="d/1")
    assert parse_qs(urlsplit(server.requests[0].target).query)["department"] == ["Desk"]
    assert paths(server)[1] == "/api/v1/webhooks/h2/deliveries/d%2F1"
    assert result["deliveries"] == [{"id": "d/1", "log": []}]


def test_a_webhook_or_a_delivery_that_there_is_not_is_named(server, task):
    server.script = [page(OF_DESK)]
    assert "there is no webhook 'chat' of all departments" in task(DECLARATION, name="chat")["msg"]
    checked = task(DECLARATION, check_mode=True, name="chat")
    assert checked["deliveries"] == [] and "an earlier task of this play may make it" in checked["warnings"][0]
    server.script = [page(OF_DESK), problem(404, "not_found")]
    assert "delivery 'd1'" in task(DECLARATION, name="chat", department="Desk", delivery="d1")["msg"]
