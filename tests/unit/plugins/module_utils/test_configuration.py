# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.deskplane.helpdesk.plugins.modules.configuration import DECLARATION
from ansible_collections.deskplane.helpdesk.plugins.modules.configuration_info import DECLARATION as INFO
from ansible_collections.deskplane.helpdesk.plugins.modules.label import DECLARATION as LABEL
from ansible_collections.deskplane.helpdesk.plugins.modules.label_info import DECLARATION as LABEL_INFO
from ansible_collections.deskplane.helpdesk.plugins.modules.ticket import DECLARATION as TICKET
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import answer, problem

CANARY = "correct-horse-canary-staple"


def planned(changes=(), **more):
    document = {"changed": bool(changes), "digest": "sha256:1", "summary": {}, "changes": list(changes), "needs_secret": []}
    document.update(unresolved=[], not_declared=[], warnings=[], manager=None, revision=None)
    return answer(200, dict(document, **more))


def change(name="x", action="update", pointer="#/labels/0", **more):
    fields = [{"field": "color", "before": "red", "after": "blue"}]
    found = {"kind": "label", "key": {"name": name}, "label": "label " + name, "action": action, "changes": fields}
    return dict(dict(found, pointer=pointer, adopted=False, released=[], warnings=[]), **more)


@pytest.fixture
def desk(tmp_path, monkeypatch, server):
    monkeypatch.chdir(tmp_path)
    server.script = [planned()]

    def write(text, name="desk.yml"):
        pathlib.Path(name).write_text(text, encoding="utf-8")
        return name

    return write


def test_files_are_sent_as_they_stand_with_what_the_task_says(desk, server, task):
    src = desk("labels: [{name: '{{ x }}'}]\n")
    result = task(DECLARATION, src=src, manager="git:desk", revision="3f1", prune=True, max_deletions=3, on_blocked="disable")
    assert not result.get("failed"), result
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/api/v1/configuration/apply")
    assert request.body == {
        "configuration": {"labels": [{"name": "{{ x }}"}]},
        "manager": "git:desk",
        "revision": "3f1",
        "prune": True,
        "max_deletions": 3,
        "on_blocked": "disable",
    }
    assert (result["changed"], result["changes"], result["digest"]) == (False, [], "sha256:1")


def test_check_mode_plans_and_warns_of_what_is_not_there_yet(desk, server, task):
    src = desk("departments:\n  - name: a\n    customer: Nope\n")
    unresolved = [{"pointer": "#/departments/0/customer", "kind": "customer", "name": "Nope"}]
    need = {"kind": "department", "key": {"name": "a"}, "field": "imap.password", "secret": "department/a/imap.password"}
    server.script = [planned([change()], unresolved=unresolved, needs_secret=[need], warnings=["look"])]
    result = task(DECLARATION, check_mode=True, src=[src])
    assert server.requests[0].target == "/api/v1/configuration/plan"
    assert server.requests[0].body["allow_unresolved"] is True
    assert result["changed"]
    assert result["warnings"][0] == "look"
    assert result["warnings"][1].startswith("desk.yml:3: departments/0 (a): customer names the customer 'Nope', which does not")
    assert "add 'department/a/imap.password' to secrets" in result["warnings"][2]


def test_a_digest_is_sent_and_in_check_mode_compared(desk, server, task):
    src = desk("labels: []")
    task(DECLARATION, src=src, plan_digest="sha256:1")
    assert server.requests[0].body["plan_digest"] == "sha256:1"
    assert not task(DECLARATION, check_mode=True, src=src, plan_digest="sha256:1").get("failed")
    assert "the plan changed" in task(DECLARATION, check_mode=True, src=src, plan_digest="sha256:2")["msg"]
    assert "plan_digest" not in server.requests[1].body
    task(DECLARATION, src=src, plan_digest="")
    assert server.requests[-1].body["plan_digest"] == "", "a variable that was not set lets nothing be applied unseen"


def test_the_diff_has_one_entry_an_object(desk, server, task):
    server.script = [planned([change("x"), change("y", "create"), change("z", "none", adopted=True)])]
    result = task(DECLARATION, diff_mode=True, src=desk("labels: [{name: x}]"))
    assert result["diff"] == [
        {"before_header": "label x", "after_header": "label x", "before": {"color": "red"}, "after": {"color": "blue"}},
        {"before_header": "label y", "after_header": "label y", "before": {}, "after": {"color": "blue"}},
    ]
    assert "diff" not in task(DECLARATION, src=desk("labels: [{name: x}]"))


def test_overlays_are_layers(desk, server, task):
    base, one, two = desk("labels: [{name: x, color: a}]"), desk("labels: [{name: x, color: b}]", "1.yml"), desk("labels: [{name: y}]", "2.yml")
    task(DECLARATION, src=base, overlays=[one, [two]])
    assert server.requests[0].body["configuration"] == {"labels": [{"name": "x", "color": "b"}, {"name": "y"}]}
    assert "overlays are laid over src" in task(DECLARATION, configuration={"labels": []}, overlays=[one])["msg"]


TWENTY = {
    "1.yml": "sla_policies:\n  - name: NO\n    response_minutes: 17:30\n    resolution_minutes: 24:00\n    x: 1e5\n",
    "2.yml": "sla_policy: []\nlabels: {a: b}\nroles:\nuser: []\n",
    "3.yml": "labels:\n  - name: a\n  - name: a\n  - a\n  - name: c\n    name: d\n    color: 010\n",
    "4.json": '{"labels": [{"name": "a"}], "customer": [], "roles": 7, "settings": [null]}',
    "5.yml": "webhooks:\n  - name: !vault x\n  - name: w\n  - name: w\n  - {name: v, on: 1}\n  - name: off\n",
}


def test_twenty_mistakes_in_five_files_are_told_at_once_each_with_its_place(desk, server, task):
    for name, text in TWENTY.items():
        desk(text, name)
    result = task(DECLARATION, src=sorted(TWENTY))
    assert [request.target for request in server.requests] == ["/api/v1/configuration/plan"]
    places = [(error["file"], error["line"]) for error in result["errors"]]
    assert places == [
        *[("1.yml", line) for line in (2, 3, 4, 5)],
        *[("2.yml", line) for line in (1, 2, 3, 4)],
        *[("3.yml", line) for line in (3, 4, 6, 7)],
        *[("4.json", 1)] * 4,
        *[("5.yml", line) for line in (2, 4, 5, 6)],
    ]
    assert len(places) == 20
    fields = [error["field"] for error in result["errors"]]
    assert fields[:4] == ["name", "response_minutes", "resolution_minutes", "x"]
    assert fields[8:12] == ["name", None, "name", "color"]
    for error in result["errors"]:
        assert "%s:%d: %s" % (error["file"], error["line"], error["text"]) in result["msg"].splitlines()


def test_twenty_mistakes_that_the_desk_finds_have_their_places_too(desk, server, task):
    names = ["%d.yml" % number for number in range(5)]
    for name in names:
        desk("labels:\n" + "".join("  - name: %s-%d\n    color: none\n" % (name, number) for number in range(4)), name)
    errors = [{"pointer": "#/labels/%d/color" % n, "code": "x", "detail": "must be a colour like #1f6feb"} for n in range(20)]
    server.script = [problem(422, "labels/0/color: … (and 19 more)", errors)]
    result = task(DECLARATION, src=names)
    lines = result["msg"].splitlines()
    assert lines[0] == "configuration: 20 mistakes, and nothing was changed:"
    assert lines[1] == "0.yml:3: labels/0 (0.yml-0): color: must be a colour like #1f6feb"
    assert lines[20] == "4.yml:9: labels/19 (4.yml-3): color: must be a colour like #1f6feb"
    assert [(e["file"], e["line"]) for e in result["errors"]] == [(name, 3 + 2 * n) for name in names for n in range(4)]
    assert len(result["problem"]["errors"]) == 20


BAD = """\
label: [{name: printer}]
labels:
  - name: NO
  - name: one
    color: 010
    description: [yes]
departments:
  - name: d
    customer: printer
    workflow: itli
"""


def wrong(pointer, code="bad_format"):
    return {"pointer": "#/" + pointer, "code": code, "detail": "is wrong"}


def test_what_the_desk_finds_stands_among_what_cannot_be_read_without_what_only_follows_from_it(desk, server, task):
    news = [wrong("labels/1/colour"), wrong("departments/0/workflow", "unknown_reference")]
    follows = [wrong("labels/0/name", "required"), wrong("labels/1/color"), wrong("labels/1/description")]
    follows.append(wrong("departments/0/customer", "unknown_reference"))
    server.script = [problem(422, "no", follows + news)]
    result = task(DECLARATION, src=desk(BAD), manager="git:desk", prune=True, adopt=True, plan_digest="sha256:1")
    (request,) = server.requests
    assert request.target == "/api/v1/configuration/plan"
    # What is to be pruned goes by what is not there.
    assert (request.body["adopt"], "prune" in request.body) == (True, False)
    assert request.body["configuration"]["labels"] == [{}, {"name": "one", "description": []}]
    lines = [(error["line"], error["field"]) for error in result["errors"]]
    assert lines == [(1, None), (3, "name"), (4, "colour"), (5, "color"), (6, "description[0]"), (10, "workflow")]
    assert "problem" not in result


def test_references_are_left_out_where_a_file_is_missing(desk, server, task):
    server.script = [problem(422, "no", [wrong("departments/0/customer", "unknown_reference"), wrong("departments/0/workflow")])]
    text = task(DECLARATION, src=[desk(BAD.replace("NO", "n")), "gone.yml"])["msg"]
    assert "desk.yml:9" not in text and "desk.yml:10: departments/0 (d): workflow: is wrong" in text


@pytest.mark.parametrize("script", [[problem(403, "no")], [problem(500, "no")], [answer(200, "<html>")]])
def test_mistakes_in_files_are_told_without_a_desk_that_helps(desk, server, task, script):
    server.script = script
    result = task(DECLARATION, src=desk("label: []\nlabels: []\n"))
    assert result["msg"].startswith("configuration: desk.yml:1: unknown kind label")
    assert len(result["errors"]) == 1
    result = task(DECLARATION, src="desk.yml", deskplane_url="http://127.0.0.1:1")
    assert len(result["errors"]) == 1


def test_what_was_misread_before_it_came_here_is_told_once(desk, server, task):
    server.script = [problem(422, "no", [wrong("labels/0/name"), wrong("labels/0/color")])]
    result = task(DECLARATION, configuration={"labels": [{"name": False, "color": "red"}]})
    assert [error["field"] for error in result["errors"]] == ["name", "color"]
    assert "YAML read a word like yes, no" in result["errors"][0]["text"]


def test_a_conflict_says_where_whose_and_what_to_do(desk, server, task):
    errors = [{"pointer": "#/labels/0/color", "code": "owned_by_another", "detail": "belongs to git:first"}]
    server.script = [problem(409, "git:first owns label x: color", errors, type="urn:deskplane:problem:owned_by_another")]
    text = task(DECLARATION, src=desk("labels: [{name: x, color: y}]"), manager="git:second")["msg"]
    assert text == "configuration: desk.yml:1: labels/0 (x): color: belongs to git:first"


def test_secrets_go_in_and_never_come_out(desk, server, task):
    text = "departments:\n  - name: a\n    imap: {password: {$secret: ref}}\n    smtp: {password: %s-plain}\n" % CANARY
    server.script = [planned([change(warnings=[CANARY])]), problem(422, "it is " + CANARY + "-plain")]
    src = desk(text)
    first = task(DECLARATION, diff_mode=True, src=src, secrets={"ref": CANARY})
    second = task(DECLARATION, src=src, secrets={"ref": CANARY})
    third = task(DECLARATION, configuration={"departments": [{"name": "a", "imap": {"password": CANARY}}]})
    sent = server.requests[0].body["configuration"]["departments"][0]
    assert (sent["imap"]["password"], sent["smtp"]["password"]) == (CANARY, CANARY + "-plain")
    assert CANARY not in json.dumps([first, second, third])
    assert second["failed"] and third["failed"]
    assert "secrets: ref must be text" in task(DECLARATION, src=src, secrets={"ref": 5})["msg"]


def test_one_of_src_and_configuration_is_needed(desk, task, server):
    assert "one of the following is required: src, configuration" in task(DECLARATION)["msg"]
    assert "mutually exclusive: src|configuration" in task(DECLARATION, src="x", configuration={})["msg"]
    assert "did you mean prune?" in task(DECLARATION, src="x", prun=True)["msg"]
    assert not server.requests


def test_the_connections_manager_and_revision_go_with_what_has_one(desk, server, task):
    server.script = [answer(200, {"changed": False, "action": "none", "changes": [], "items": [], "configuration": {}, "adopted": True})]
    environ = {"DESKPLANE_MANAGER": "git:env", "DESKPLANE_REVISION": "3f1"}
    src = desk("labels: []")
    assert task(LABEL, environ=environ, name="x")["adopted"]
    task(LABEL, deskplane_manager="git:task", name="x")
    task(DECLARATION, environ=environ, src=src)
    task(DECLARATION, environ=environ, src=src, manager="git:own")
    bodies = [(request.body.get("manager"), request.body.get("revision")) for request in server.requests]
    assert bodies == [("git:env", "3f1"), ("git:task", None), ("git:env", "3f1"), ("git:own", "3f1")]
    del server.requests[:]
    task(TICKET, environ=environ, title="x")
    task(LABEL_INFO, environ=environ)
    task(INFO, environ=environ)
    assert "manager" not in server.requests[0].body
    assert [request.target for request in server.requests[1:]] == [
        "/api/v1/labels?limit=200",
        "/api/v1/configuration?manager=git%3Aenv",
    ]


EXPORT = {"labels": [{"name": "NO", "color": "#fff"}], "departments": [{"name": "a", "imap": {"password": {"$secret": "r"}}}]}


def test_an_export_is_written_to_a_file_a_kind_and_only_where_it_differs(desk, server, task):
    server.script = [answer(200, {"configuration": EXPORT})]
    dest = pathlib.Path("out")
    looked = task(INFO, check_mode=True, diff_mode=True, dest="out")
    assert looked["changed"] and not dest.exists()
    assert looked["diff"][0]["after_header"] == "out/labels.yml" and "'NO'" in looked["diff"][0]["after"]
    first = task(INFO, dest="out")
    assert first["changed"] and first["files"] == ["out/departments.yml", "out/labels.yml"] and first["configuration"] == EXPORT
    before = (dest / "labels.yml").stat().st_mtime_ns
    assert not task(INFO, dest="out")["changed"]
    assert (dest / "labels.yml").stat().st_mtime_ns == before
    server.script = [planned()]
    task(DECLARATION, src="out")
    assert server.requests[-1].body["configuration"] == EXPORT


def test_a_kind_that_is_empty_now_becomes_an_empty_list_where_an_export_wrote_it(desk, server, task):
    server.script = [answer(200, {"configuration": EXPORT}), answer(200, {"configuration": {}})]
    task(INFO, dest="out")
    desk("roles: [{name: by-hand}]\n", "out/roles.yml")
    assert task(INFO, dest="out")["files"] == ["out/departments.yml", "out/labels.yml"]
    assert pathlib.Path("out/labels.yml").read_text(encoding="utf-8").endswith("\nlabels: []\n")
    assert "by-hand" in pathlib.Path("out/roles.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["desk.yml", "desk.json"])
def test_an_export_fits_into_one_file(desk, server, task, name):
    server.script = [answer(200, {"configuration": EXPORT})]
    assert task(INFO, dest=name, full=True)["files"] == [name]
    assert server.requests[0].target.endswith("/configuration?full=true")
    server.script = [planned()]
    task(DECLARATION, src=name)
    assert server.requests[-1].body["configuration"] == EXPORT
    assert not list(pathlib.Path(".").glob(".deskplane-*"))


def test_a_place_that_cannot_be_written_is_named(desk, server, task):
    server.script = [answer(200, {"configuration": EXPORT})]
    desk("x", "taken")
    assert task(INFO, dest="taken")["msg"].startswith("configuration: dest: taken")


def test_drift_is_a_list(desk, server, task):
    item = {"kind": "label", "label": "label x", "change": "field", "field": "color", "before": "a", "after": "b", "who": "mia"}
    server.script = [answer(200, {"drifted": True, "items": [item]})]
    result = task(INFO, drift=True, manager="git:desk")
    assert (result["changed"], result["drifted"], result["drift"]) == (False, True, [item])
    assert server.requests[0].target == "/api/v1/configuration/drift?manager=git%3Adesk"
    assert "dest and full do not go with it" in task(INFO, drift=True, dest="x")["msg"]
