# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.deskplane.helpdesk.plugins.modules import api_key_info
from ansible_collections.deskplane.helpdesk.plugins.modules.api_key import DECLARATION
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import HANG_UP, answer, applied, problem

ID = "970052a2e58a"
SECRET = "a-secret-of-43-characters-0123456789-abcdefg"
KEY = "dpk_%s_%s" % (ID, SECRET)
ASKED = {"username": "prometheus", "name": "scrape.1"}
SECRET_CHANGE = {"field": "api_keys.scrape.1", "before": "(secret)", "after": "(secret)"}
MADE = {"field": "api_keys.scrape.1", "before": None, "after": "present"}


def listed(*names):
    """The desk's keys of the account."""
    items = [{"id": ID, "user": "prometheus", "name": name} for name in names]
    return answer(200, {"items": items, "next_cursor": None})


ACCOUNT = answer(200, {"items": [{"username": "prometheus"}], "next_cursor": None})
NOTHING = listed()
THERE = listed("other", "scrape.1")
UNCHANGED = applied("none", api_key_ids={"scrape.1": ID})


def did(*changes, **more):
    """The desk's answer to what changes a key."""
    return applied("update", changes, api_key_ids={"scrape.1": ID}, **more)


def sent(server):
    """What the desk was told of the key, and whether that was for a try."""
    return [
        (request.body["api_keys"][0], "dry_run=true" in request.target)
        for request in server.requests
        if request.method == "POST"
    ]


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "deskplane.key"


def waiting(dest):
    return dest.with_name("deskplane.key.new")


def test_a_key_is_made_and_shown_once(server, task):
    server.script = [NOTHING, ACCOUNT, did(MADE, api_keys=[{"name": "scrape.1", "key": KEY}])]
    result = task(DECLARATION, diff_mode=True, scopes=["metrics:read"], **ASKED)
    assert (result["changed"], result["action"], result["key"], result["key_id"]) == (True, "create", KEY, ID)
    assert result["changes"] == [{"field": "key", "before": None, "after": "present"}]
    assert (result["diff"]["before"], result["diff"]["after"]) == ({}, {"key": "present"})
    assert sent(server) == [({"name": "scrape.1", "scopes": ["metrics:read"], "overlap_minutes": 60}, False)]
    server.script = [THERE, UNCHANGED]
    server.requests.clear()
    again = task(DECLARATION, **ASKED)
    assert (again["changed"], again["action"], again["key_id"], "key" in again) == (False, "none", ID, False)


def test_an_account_that_there_is_not_is_not_made(server, task):
    server.script = [NOTHING]
    result = task(DECLARATION, **ASKED)
    assert result["failed"]
    assert result["msg"].startswith("api_key 'prometheus / scrape.1': username: there is no account named 'prometheus'")
    assert sent(server) == []
    planned = task(DECLARATION, check_mode=True, **ASKED)
    assert (planned["changed"], planned["action"]) == (True, "create")
    assert "there is no account" in planned["warnings"][0]
    gone = task(DECLARATION, state="absent", **ASKED)
    assert (gone["changed"], gone["action"]) == (False, "none")
    assert sent(server) == []


def test_a_lost_answer_that_held_a_key_is_not_asked_for_twice(server, task):
    server.script = [NOTHING, ACCOUNT, HANG_UP]
    assert "it may have been carried out or not" in task(DECLARATION, **ASKED)["msg"]
    assert len(sent(server)) == 1


def test_a_secret_of_ones_own_is_hidden_but_in_the_key(server, task):
    server.script = [NOTHING, ACCOUNT, did(MADE, api_keys=[{"name": "scrape.1", "key": KEY}])]
    result = task(DECLARATION, secret=SECRET, **ASKED)
    assert result.pop("key") == KEY
    assert SECRET not in str(result)


def test_what_replaces_the_secret_is_the_desks_affair_without_a_file(server, task):
    server.script = [THERE, did(SECRET_CHANGE, api_keys=[{"name": "scrape.1", "key": KEY}])]
    result = task(DECLARATION, rotate_after_days=90, overlap_minutes=0, **ASKED)
    assert (result["action"], result["key"]) == ("update", KEY)
    assert result["changes"] == [{"field": "secret", "before": "(secret)", "after": "(secret)"}]
    assert sent(server) == [({"name": "scrape.1", "rotate_after_days": 90, "overlap_minutes": 0}, False)]


def test_a_file_gets_the_key_and_the_result_does_not(server, task, dest):
    server.script = [NOTHING, ACCOUNT, did(MADE)]
    result = task(DECLARATION, dest=str(dest), **ASKED)
    ((told, dry),) = sent(server)
    assert (result["changed"], result["action"], result["dest"], dry) == (True, "create", str(dest), False)
    assert dest.read_text() == "dpk_%s_%s\n" % (ID, told["secret"])
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    assert len(told["secret"]) >= 43
    assert told["secret"] not in str(result)
    assert os.listdir(str(dest.parent)) == ["deskplane.key"]


def test_a_file_that_holds_the_key_is_left_alone(server, task, dest):
    dest.write_text(KEY + "\n")
    server.script = [THERE, UNCHANGED]
    result = task(DECLARATION, dest=str(dest), rotate_after_days=90, **ASKED)
    assert (result["changed"], result["action"]) == (False, "none")
    verified, due, last = sent(server)
    assert verified == ({"name": "scrape.1", "secret": SECRET}, True)
    assert due == ({"name": "scrape.1", "rotate_after_days": 90}, True)
    assert last == ({"name": "scrape.1", "overlap_minutes": 60}, False)
    assert dest.read_text() == KEY + "\n"


def test_a_secret_that_is_old_enough_is_replaced_in_its_file(server, task, dest):
    dest.write_text(KEY + "\n")
    dest.chmod(0o640)
    server.script = [THERE, UNCHANGED, did(SECRET_CHANGE), did(SECRET_CHANGE)]
    result = task(DECLARATION, dest=str(dest), rotate_after_days=90, overlap_minutes=1440, **ASKED)
    assert (result["changed"], result["action"], result["changes"][0]["field"]) == (True, "update", "secret")
    told, dry = sent(server)[-1]
    assert (told["overlap_minutes"], "rotate_after_days" in told, dry) == (1440, False, False)
    assert dest.read_text() == "dpk_%s_%s\n" % (ID, told["secret"])
    assert told["secret"] != SECRET
    assert stat.S_IMODE(dest.stat().st_mode) == 0o640, "whoever could read it still can"


def test_a_check_writes_nothing(server, task, dest):
    dest.write_text(KEY + "\n")
    server.script = [THERE, did(SECRET_CHANGE)]
    result = task(DECLARATION, check_mode=True, dest=str(dest), regenerate=True, **ASKED)
    assert (result["changed"], result["action"]) == (True, "update")
    assert [dry for _told, dry in sent(server)] == [True]
    assert dest.read_text() == KEY + "\n"
    assert os.listdir(str(dest.parent)) == ["deskplane.key"]
    server.script = [THERE, applied("delete", [dict(MADE, before="present", after=None)])]
    gone = task(DECLARATION, check_mode=True, dest=str(dest), state="absent", **ASKED)
    assert (gone["changed"], gone["action"]) == (True, "delete")
    assert dest.exists()


@pytest.mark.parametrize("script", [HANG_UP, problem(500, "no")])
def test_a_run_that_breaks_off_loses_nothing(server, task, dest, script):
    dest.write_text(KEY + "\n")
    server.script = [THERE, script]
    assert task(DECLARATION, dest=str(dest), regenerate=True, **ASKED)["failed"]
    assert dest.read_text() == KEY + "\n", "which works as long as the desk says"
    promised = waiting(dest).read_text().strip()
    assert stat.S_IMODE(waiting(dest).stat().st_mode) == 0o600
    assert {told["secret"] for told, _dry in sent(server)} == {promised}
    server.requests.clear()
    server.script = [THERE, UNCHANGED]
    result = task(DECLARATION, dest=str(dest), **ASKED)
    assert (result["changed"], result["action"]) == (True, "none"), "the desk had heard of it"
    assert sent(server) == [({"name": "scrape.1", "overlap_minutes": 60, "secret": promised}, False)]
    assert dest.read_text() == "dpk_%s_%s\n" % (ID, promised)
    assert not waiting(dest).exists()


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (None, "does not hold this key"),
        ("dpk_000000000000_%s" % SECRET, "does not hold this key"),
        ("something else", "does not hold this key"),
        ("\u00e4", "does not hold this key"),
        (KEY, "holds a secret that the key has no more"),
    ],
)
def test_a_key_that_nobody_has_is_not_replaced_behind_its_users_backs(server, task, dest, held, words):
    if held is not None:
        dest.write_text(held + "\n", encoding="utf-8")
    server.script = [THERE, did(SECRET_CHANGE)]
    result = task(DECLARATION, dest=str(dest), **ASKED)
    assert result["failed"]
    assert words in result["msg"]
    assert "regenerate: true" in result["msg"]
    assert [dry for _told, dry in sent(server)] in ([], [True])
    server.script = [THERE, did(SECRET_CHANGE)]
    server.requests.clear()
    assert task(DECLARATION, dest=str(dest), regenerate=True, **ASKED)["changed"]
    assert dest.read_text() == "dpk_%s_%s\n" % (ID, sent(server)[-1][0]["secret"])


def test_a_key_that_goes_takes_its_file_along(server, task, dest):
    dest.write_text(KEY)
    waiting(dest).write_text(SECRET)
    server.script = [THERE, applied("delete", [dict(MADE, before="present", after=None)])]
    result = task(DECLARATION, dest=str(dest), state="absent", **ASKED)
    assert (result["changed"], result["action"]) == (True, "delete")
    assert sent(server) == [({"name": "scrape.1", "state": "absent"}, False)]
    assert os.listdir(str(dest.parent)) == []
    server.script = [NOTHING, ACCOUNT, applied("none")]
    assert not task(DECLARATION, dest=str(dest), state="absent", **ASKED)["changed"]


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_done(server, task, tmp_path):
    server.script = [THERE]
    for dest, words in ((tmp_path, "is a directory"), (tmp_path / "no" / "where", "is no directory")):
        result = task(DECLARATION, dest=str(dest), regenerate=True, **ASKED)
        assert result["failed"]
        assert words in result["msg"]
    assert sent(server) == []


@pytest.mark.parametrize("other", [{"regenerate": True}, {"rotate_after_days": 3}, {"dest": "key"}])
def test_a_secret_of_ones_own_goes_with_nothing_that_makes_one(server, task, other):
    result = task(DECLARATION, secret=SECRET, **dict(ASKED, **other))
    assert result["failed"]
    assert "mutually exclusive" in result["msg"]
    assert server.requests == []


def test_the_keys_that_there_are_can_be_read(server, task):
    server.script = [THERE]
    result = task(api_key_info.DECLARATION, user="prometheus")
    assert [entry["name"] for entry in result["api_keys"]] == ["other", "scrape.1"]
    assert server.requests[0].target == "/api/v1/api-keys?user=prometheus&limit=200"
