# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import os

import pytest
from ansible_collections.deskplane.helpdesk.plugins.modules.backup import DECLARATION
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import HANG_UP, answer, problem

CONTENT = bytes(range(256)) * 4096  # a MiB: several pieces
NAME = "deskplane-20261121T023000Z.tar.gz"


def backup(content=CONTENT, digest_of=None, name=NAME, **more):
    digest = base64.b64encode(hashlib.sha256(digest_of or content).digest()).decode()
    headers = {
        "Content-Type": "application/gzip",
        "Content-Disposition": 'attachment; filename="%s"' % name,
        "Repr-Digest": "sha-256=:%s:" % digest,
    }
    return answer(200, headers=headers, body=content, **more)


def test_it_arrives_whole_under_the_name_that_the_desk_gives(server, task, tmp_path):
    server.script = [backup()]
    result = task(DECLARATION, dest=str(tmp_path))
    path = tmp_path / NAME
    assert path.read_bytes() == CONTENT
    assert oct(path.stat().st_mode)[-3:] == "600"
    assert (result["changed"], result["dest"], result["size"]) == (True, str(path), len(CONTENT))
    assert result["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert [(request.method, request.target) for request in server.requests] == [("GET", "/api/v1/admin/backup")]


def test_it_takes_the_place_of_the_file_that_is_named(server, task, tmp_path):
    path = tmp_path / "desk.tar.gz"
    path.write_text("the one before")
    server.script = [backup()]
    assert task(DECLARATION, dest=str(path))["dest"] == str(path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([backup()[:-1000], HANG_UP], "closed the connection before its answer was complete"),
        (backup(digest_of=b"something else"), "what arrived is not what was sent"),
        (backup(version=None), "deskplane_url"),
        (problem(403, "needs the permission backup:create"), "backup:create"),
        (problem(507, "there is no room for the backup; nothing was sent"), "no room for the backup"),
    ],
)
def test_what_goes_wrong_leaves_the_file_that_was_there(server, task, tmp_path, script, words):
    path = tmp_path / "desk.tar.gz"
    path.write_text("the one before")
    server.script = [script]
    result = task(DECLARATION, dest=str(path))
    assert result["failed"]
    assert words in result["msg"]
    assert os.listdir(str(tmp_path)) == ["desk.tar.gz"]
    assert path.read_text() == "the one before"


def test_a_check_makes_none_and_says_where_none_could_be(server, task, tmp_path):
    assert task(DECLARATION, check_mode=True, dest=str(tmp_path))["changed"]
    result = task(DECLARATION, check_mode=True, dest=str(tmp_path / "no" / "where"))
    assert result["failed"]
    assert result["msg"] == "backup: dest: %s is no directory" % (tmp_path / "no")
    assert server.requests == []
    assert os.listdir(str(tmp_path)) == []


def test_a_name_that_leads_elsewhere_is_not_believed(server, task, tmp_path):
    server.script = [backup(name="../../elsewhere")]
    assert task(DECLARATION, dest=str(tmp_path))["dest"] == str(tmp_path / "deskplane.tar.gz")
    assert os.listdir(str(tmp_path)) == ["deskplane.tar.gz"]
