# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.deskplane.helpdesk.plugins.module_utils import resource
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import perform
from ansible_collections.deskplane.helpdesk.plugins.modules.server_info import DECLARATION
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import HANG_UP, answer, problem

READY = answer(200, {"status": "ok", "database": "ok", "migrations": "0002", "workers": 1, "outbox": 0, "warnings": []})
VERSION = answer(200, {"version": "0.1.0", "api": "v1"})
NOT_MIGRATED = problem(503, "the database is at migration 0001, this version needs 0002")
GATEWAY = answer(502, headers={"Content-Type": "text/html"}, body=b"<html>Bad Gateway</html>", version=None)


@pytest.fixture(autouse=True)
def looks_again_at_once(monkeypatch):
    monkeypatch.setattr(resource, "LOOK_AGAIN_S", 0.01)


def test_it_needs_no_key_and_tells_version_and_readiness(server):
    server.script = [READY, VERSION]
    result = perform(DECLARATION, {"deskplane_url": server.url}, environ={})
    assert (result["changed"], result["ready"], result["version"], result["api"]) == (False, True, "0.1.0", "v1")
    assert result["readiness"]["migrations"] == "0002"
    assert [request.target for request in server.requests] == ["/readyz", "/api/v1/version"]
    assert all("authorization" not in request.headers for request in server.requests)


def test_a_server_that_is_not_ready_is_an_answer(server, task):
    server.script = [NOT_MIGRATED]
    result = task(DECLARATION)
    assert (result["ready"], "failed" in result) == (False, False)
    assert "migration 0001" in result["reason"]


def test_a_server_that_is_not_there_is_a_failure(server, task):
    server.stop()
    assert "refused the connection" in task(DECLARATION)["msg"]


def test_waiting_outlasts_all_that_passes(server, task):
    server.script = [HANG_UP, GATEWAY, NOT_MIGRATED, READY, VERSION]
    assert task(DECLARATION, wait_for_ready=True)["ready"]


@pytest.mark.parametrize("script", [NOT_MIGRATED, GATEWAY, HANG_UP])
def test_waiting_in_vain_ends_in_time_and_says_why(server, task, script):
    server.script = [script]
    result = task(DECLARATION, wait_for_ready=True, wait_timeout=1)
    assert result["failed"]
    assert result["msg"].startswith("not ready within 1 s (wait_timeout): ")
    assert len(server.requests) > 5


def test_what_does_not_pass_is_not_waited_for(server, task):
    server.script = [answer(404, headers={"Content-Type": "text/html"}, body=b"<html>Not here</html>", version=None)]
    result = task(DECLARATION, wait_for_ready=True)
    assert result["failed"]
    assert len(server.requests) == 1


def test_a_negative_time_is_refused(server, task):
    result = task(DECLARATION, wait_for_ready=True, wait_timeout=-1)
    assert result["failed"]
    assert "wait_timeout must not be less than 0" in result["msg"]
    assert server.requests == []
