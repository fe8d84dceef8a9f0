# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a ticket: what is said of them before, which are sent, and what a mistake says."""

from __future__ import annotations

import hashlib
import os
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import perform
from ansible_collections.deskplane.helpdesk.plugins.modules.ticket import DECLARATION as TICKET
from ansible_collections.deskplane.helpdesk.plugins.modules.ticket_info import DECLARATION as TICKETS
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import answer, applied, problem

LOG = b"It failed.\n"
OPEN = {"number": "TKT-000007", "title": "x"}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def entry(data, name, **more):
    """An attachment as the desk answers it."""
    return dict({"id": "1", "name": name, "size": len(data), "sha256": digest(data), "internal": True}, **more)


def told(data, name):
    return {"name": name, "size": len(data), "sha256": digest(data)}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "run.log"
    path.write_bytes(LOG)
    return path


def test_what_is_missing_is_sent_and_what_is_there_is_not(server, task, log):
    there = entry(b"two", "b.json")
    server.script = [applied("none", after=OPEN, attachments=[None, there]), answer(201, entry(LOG, "run.log"))]
    files = [{"path": str(log)}, {"content": "two", "name": "b.json"}]
    result = task(TICKET, title="x", attachments=files, internal=False, diff_mode=True)
    assert server.requests[0].body["attachments"] == [told(LOG, "run.log"), told(b"two", "b.json")]
    sent = server.requests[1]
    assert (sent.method, urlsplit(sent.target).path) == ("POST", "/api/v1/tickets/TKT-000007/attachments")
    expected = {"name": ["run.log"], "sha256": [digest(LOG)], "once": ["true"], "internal": ["false"]}
    assert parse_qs(urlsplit(sent.target).query) == expected
    assert (sent.body, sent.headers["content-type"]) == (LOG, "application/octet-stream")
    assert (result["changed"], result["action"]) == (True, "update")
    before, after = [told(b"two", "b.json")], [told(b"two", "b.json"), told(LOG, "run.log")]
    assert result["changes"] == [{"field": "attachments", "before": before, "after": after}]
    assert (result["diff"]["before"], result["diff"]["after"]) == ({"attachments": before}, {"attachments": after})
    assert result["ticket"]["attachments"] == [there, entry(LOG, "run.log")]
    assert "attachments" not in result


def test_a_second_run_changes_nothing(server, task, log):
    server.script = [applied("none", after=OPEN, attachments=[entry(LOG, "run.log")])]
    result = task(TICKET, title="x", attachments=[{"path": str(log)}])
    assert (result["changed"], result["action"], result["changes"]) == (False, "none", [])
    assert len(server.requests) == 1


def test_check_mode_sends_nothing_and_tells_what_the_real_run_tells(server, task, log):
    files = [{"path": str(log)}]
    server.script = [applied("create", after=dict(OPEN, number=None), attachments=[None])]
    planned = task(TICKET, check_mode=True, diff_mode=True, title="x", attachments=files)
    assert len(server.requests) == 1 and "dry_run=true" in server.requests[0].target
    assert planned["ticket"]["attachments"] == [told(LOG, "run.log")]
    server.script = [applied("create", after=OPEN, attachments=[None]), answer(201, entry(LOG, "run.log"))]
    made = task(TICKET, diff_mode=True, title="x", attachments=files)
    for part in ("changed", "action", "changes", "diff"):
        assert planned[part] == made[part]
    assert made["action"] == "create" and "internal" not in server.requests[2].target


def test_types_come_from_names_unless_they_are_given(server, task, log):
    server.script = [applied("none", after=OPEN, attachments=[None] * 4), answer(201, entry(b"", "x"))]
    files = [
        {"content": "x", "name": "plain"},
        {"content": "{}", "name": "x.json"},
        {"path": str(log), "name": "given.json", "content_type": "text/x-log"},
        {"path": str(log), "name": "page.html"},
    ]
    assert task(TICKET, title="x", attachments=files)["changed"]
    kinds = [request.headers["content-type"] for request in server.requests[1:]]
    assert kinds == ["text/plain", "application/json", "text/x-log", "text/html"]


def test_a_file_that_is_empty_or_not_text_is_sent_as_it_is(server, task, tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "large.bin").write_bytes(data)
    server.script = [applied("none", after=OPEN, attachments=[None, None]), answer(201, entry(b"", "x"))]
    files = [{"path": str(tmp_path / "empty")}, {"path": str(tmp_path / "large.bin")}]
    assert task(TICKET, title="x", attachments=files)["changed"]
    assert [request.body for request in server.requests[1:]] == [b"", data]
    assert server.requests[0].body["attachments"][1] == told(data, "large.bin")


@pytest.mark.parametrize(
    "option, words",
    [
        ({"path": "/nowhere/x.log"}, "attachments[0].path: /nowhere/x.log cannot be read: No such file or directory; it is read where"),
        ({"path": "/"}, "attachments[0].path: / is a directory; name each file"),
        ({"path": "/dev/zero"}, "attachments[0].path: /dev/zero is no regular file"),
        ({"content": "x"}, "name"),
        ({"name": "x"}, "path, content"),
        ({"path": "/etc/hosts", "content": "x", "name": "x"}, "path|content"),
        ({"path": "/etc/hosts", "mode": "0600"}, "mode"),
        ({"content": "x", "name": "x", "content_type": "text/plain\r\nX-A: b"}, "attachments[0].content_type must be a media type"),
        ({"content": "x", "name": "x", "content_type": "text"}, "attachments[0].content_type must be a media type"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_is_sent(server, task, option, words):
    result = task(TICKET, title="x", attachments=[option])
    assert result["failed"] and words in result["msg"] and "\n" not in result["msg"]
    assert server.requests == []


def test_an_unreadable_file_is_told(server, task, log, monkeypatch):
    if os.geteuid() == 0:
        # root reads everything: what the system would say to others
        def refuse(*_arguments, **_options):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refuse)
    else:
        log.chmod(0)
    result = task(TICKET, title="x", attachments=[{"path": str(log)}])
    assert "attachments[0].path: %s cannot be read: Permission denied" % log in result["msg"]
    assert server.requests == []


def test_the_same_file_twice_is_told(server, task, log):
    files = [{"path": str(log)}, {"content": "It failed.\n", "name": "run.log"}]
    assert "attachments[1] is the same file as attachments[0]" in task(TICKET, title="x", attachments=files)["msg"]


def test_a_file_that_the_desk_does_not_take_is_told_and_none_is_sent(server, task):
    errors = [
        {"pointer": "#/attachments/0/name", "code": "blocked_extension", "detail": "files that end in .exe are not taken"},
        {"pointer": "#/attachments/1/size", "code": "too_large", "detail": "b has 2 bytes, and 1 is allowed"},
    ]
    server.script = [problem(422, "no", errors)]
    files = [{"content": "1", "name": "x.exe"}, {"content": "22", "name": "b"}]
    result = task(TICKET, title="x", attachments=files)
    assert result["msg"] == (
        "ticket 'x': attachments[0].name: files that end in .exe are not taken; "
        "attachments[1].size: b has 2 bytes, and 1 is allowed"
    )
    assert len(server.requests) == 1


def test_a_failure_on_the_way_says_what_is_done_and_what_is_not(server, task, log):
    server.script = [applied("create", after=OPEN, attachments=[None]), problem(507, "there is no room")]
    result = task(TICKET, title="x", attachments=[{"path": str(log)}])
    assert result["failed"] and result["problem"]["status"] == 507
    assert result["msg"].startswith("ticket TKT-000007: attachments[0] (run.log): there is no room")
    assert result["msg"].endswith("; everything else that the task says of the ticket is done, the next run sends what is missing")


def test_a_file_that_changes_meanwhile_is_not_sent(server, task, log):
    class Files:
        def find(self, path):
            return path

        def plain(self, path):
            return path

    server.script = [[0, applied("none", after=OPEN, attachments=[None])]]
    declare = TICKET.act

    def later(desk, wanted, check_mode):
        log.write_bytes(b"other")
        return declare(desk, wanted, check_mode)

    raw = {"deskplane_url": server.url, "deskplane_api_key": "dpk_test_0", "title": "x", "attachments": [{"path": str(log)}]}
    TICKET.act = later
    try:
        result = perform(TICKET, raw, environ={}, files=Files())
    finally:
        del TICKET.act
    assert "attachments[0]: run.log changed while the task was sending it" in result["msg"]
    assert len(server.requests) == 1


def test_attachments_of_no_files_ask_for_nothing(server, task):
    for nothing in ([], None):
        server.script = [applied("none", after=dict(OPEN))]
        result = task(TICKET, title="x", attachments=nothing)
        assert not result["changed"] and "attachments" not in result["ticket"]


def test_tickets_are_read_with_their_files_if_that_is_asked_for(server, task):
    page = {"items": [entry(LOG, "run.log")], "next_cursor": "more"}
    last = {"items": [entry(b"2", "b")], "next_cursor": None}
    server.script = [answer(200, dict(OPEN)), answer(200, page), answer(200, last)]
    found = task(TICKETS, number="TKT-000007", attachments=True)["tickets"][0]
    assert [one["name"] for one in found["attachments"]] == ["run.log", "b"]
    assert server.requests[1].target.startswith("/api/v1/tickets/TKT-000007/attachments?")
    server.script = [answer(200, {"items": [dict(OPEN)], "next_cursor": None})]
    assert "attachments" not in task(TICKETS, title="x", attachments=False)["tickets"][0]
    assert "attachments" not in server.requests[3].target
