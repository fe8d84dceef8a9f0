# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.deskplane.helpdesk.plugins.modules.ticket import DECLARATION as TICKET
from ansible_collections.deskplane.helpdesk.plugins.modules.ticket_info import DECLARATION as TICKETS
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import answer, applied

LINK = {"type": "blocks", "ticket": "TKT-000002"}
RUN = {"type": "pipeline", "title": "Run 7", "url": "https://git.example.com/runs/7"}
MOVEMENT = {"asset": "printer 4", "at": "2027-01-15T09:00:00Z"}


def test_whom_and_what_it_is_about_is_sent_as_it_is_given(server, task):
    wanted = {
        "contact": "kim@example.com",
        "group": "Second level",
        "assets": ["printer 4"],
        "movement": MOVEMENT,
        "links": [LINK],
        "references": [RUN],
    }
    server.script = [applied("create", warnings=["movement is ignored"])]
    result = task(TICKET, title="x", **wanted)
    assert server.requests[0].body == dict(wanted, title="x", source="ansible")
    assert result["warnings"] == ["movement is ignored"]


def test_relations_that_are_not_given_are_not_touched(server, task):
    task(TICKET, title="x", links=[], movement=None)
    assert server.requests[0].body == {"title": "x", "source": "ansible", "links": [], "movement": None}


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"links": [{"type": "likes", "ticket": "TKT-000002"}]}, "type"),
        ({"links": [{"type": "blocks"}]}, "ticket"),
        ({"references": [{"type": "url", "url": "https://x.example"}]}, "title"),
        ({"references": [dict(RUN, more=1)]}, "more"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(server, task, wrong, words):
    result = task(TICKET, title="x", **wrong)
    assert result["failed"] and words in result["msg"]
    assert server.requests == []


def test_tickets_are_found_by_what_they_have_to_do_with(server, task):
    server.script = [answer(200, {"items": [], "next_cursor": None})]
    task(TICKETS, contact="kim@example.com", group="none", asset="printer 4")
    target = server.requests[0].target
    assert "contact=kim%40example.com" in target and "group=none" in target
    assert "asset=printer%204" in target or "asset=printer+4" in target
