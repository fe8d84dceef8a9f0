"""Files on tickets: how they come and go, what they are called, who reads them, and how much memory that takes."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from file_help import FILES, NUMBER, count, sent
from ticket_help import EVERYTHING, changed, events, history, messages, opened, person

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.kernel.headers import FILE
from deskplane.tickets.attachments import CHUNK
from deskplane.tickets.models import Attachment, AttachmentChunk
from dumps import dump

CANARY = "canary-Qp41vT"


@pytest.fixture
def rita(api: Api) -> Api:
    """A requester who reported the ticket."""
    found = api.as_user("rita", roles=["requester"])
    assert opened(found, "The printer is on fire")["number"] == NUMBER
    return found


# --- coming, staying, going


@pytest.mark.feature("F101")
@pytest.mark.feature("F103")
def test_a_file_comes_back_as_it_was_sent(api: Api, desk: Desk, clock: TurnedClock) -> None:
    opened(api)
    clock.turn(minutes=1)
    data = bytes(range(256)) * 3000  # three chunks, the last one not full
    found = sent(api, data, "résumé 1.pdf", kind="application/pdf; version=2")
    assert found == {
        "id": found["id"],
        "name": "résumé 1.pdf",
        "content_type": "application/pdf",
        "size": 768_000,
        "sha256": hashlib.sha256(data).hexdigest(),
        "internal": True,
        "message": None,
        "author": "root",
        "created_at": "2026-03-02T09:01:00Z",
    }
    assert api.call("GET", FILES) == {"items": [found], "next_cursor": None}
    assert count(desk, AttachmentChunk) == 3
    answer = api.request("GET", f"{FILES}/{found['id']}")
    assert (answer.status_code, answer.data) == (200, data)
    assert answer.content_length == 768_000
    assert "name" not in found["id"]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_files_of_every_size_come_back(api: Api, size: int) -> None:
    opened(api)
    data = b"\xff" * size
    found = sent(api, data)
    answer = api.request("GET", f"{FILES}/{found['id']}")
    assert (answer.data, found["size"], answer.headers["Content-Length"]) == (data, size, str(size))
    assert api.request("HEAD", f"{FILES}/{found['id']}").headers["Content-Length"] == str(size)


@pytest.mark.feature("F265")
def test_whatever_a_file_is_a_browser_does_nothing_with_it(api: Api) -> None:
    opened(api)
    for name, kind in (("x.html", "text/html"), ("x.svg", "image/svg+xml"), ("x.xml", "text/xml"), ("x", "nonsense")):
        found = sent(api, b"<script>alert(1)</script>", name, kind=kind)
        for path in ("", "/text") if kind.startswith("text/") else ("",):
            answer = api.request("GET", f"{FILES}/{found['id']}{path}")
            assert answer.content_type == ("text/plain; charset=utf-8" if path else "application/octet-stream")
            assert answer.headers["Content-Disposition"].startswith("attachment; ")
            assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
            assert answer.headers["Content-Security-Policy"] == FILE


@pytest.mark.feature("F104")
def test_text_is_read_as_text_in_utf_8(api: Api) -> None:
    opened(api)
    long = ("ä" * CHUNK).encode()[1:]  # the first byte is half a character, and each chunk's end, too
    cases = [
        ("x.txt", "text/plain", "grüße".encode(), "grüße"),
        ("x.log", "application/octet-stream", b"a\nb", "a\nb"),
        ("x.LOG", "application/octet-stream", b"", ""),
        ("x", "application/json", b"{}", "{}"),
        ("x", "application/atom+xml", b"<a/>", "<a/>"),
        ("x.csv", "x", "a;ü".encode("latin-1"), "a;�"),
        ("x.txt", "text/plain", "grüße".encode("utf-8-sig"), "grüße"),
        ("x.txt", "text/plain", "grüße".encode("utf-16"), "grüße"),
        ("x.txt", "text/plain", "grüße"[:3].encode() + b"\xc3", "grü�"),
        ("x.txt", "text/plain", long, "�" + "ä" * (CHUNK - 1)),
    ]
    for name, kind, data, expected in cases:
        found = sent(api, data, name, kind=kind)
        assert api.request("GET", f"{FILES}/{found['id']}/text").get_data().decode() == expected
    for name, kind in (("x.pdf", "application/pdf"), ("x.bin", "application/octet-stream"), ("x", "image/svg")):
        found = sent(api, b"x", name, kind=kind)
        assert api.call("GET", f"{FILES}/{found['id']}/text", status=422)["type"].endswith(":not_text")


def test_a_deleted_file_is_gone_with_its_bytes(api: Api, desk: Desk) -> None:
    opened(api)
    found = sent(api, b"x" * 2 * CHUNK)
    other = sent(api)
    api.call("DELETE", f"{FILES}/{found['id']}", status=204)
    assert count(desk, AttachmentChunk) == 1
    assert [entry["id"] for entry in api.call("GET", FILES)["items"]] == [other["id"]]
    for method in ("GET", "DELETE"):
        api.call(method, f"{FILES}/{found['id']}", status=404)


def test_a_deleted_ticket_takes_its_files_with_it(api: Api, desk: Desk) -> None:
    opened(api)
    file = sent(api)["id"]
    api.call("POST", f"/tickets/{NUMBER}/messages", {"body": "x", "attachments": [file]}, status=201)
    sent(api)
    api.call("DELETE", f"/tickets/{NUMBER}", status=204)
    assert (count(desk, Attachment), count(desk, AttachmentChunk)) == (0, 0)


def test_what_comes_and_goes_is_in_the_history_which_replays_to_what_there_is(api: Api, rita: Api) -> None:
    first, second = sent(api), sent(rita, b"two", "two.txt")
    third = sent(api, b"three", internal="false")
    api.call("DELETE", f"{FILES}/{first['id']}", status=204)
    api.call("DELETE", f"{FILES}/{second['id']}", status=204)
    told = ("id", "name", "content_type", "size", "sha256")
    rows = [row for row in history(api, NUMBER) if row["field"] == "attachment"]
    assert [row["author"] for row in rows] == ["root", "rita", "root", "root", "root"]
    there: dict[str, Any] = {}
    for row in rows:
        assert (row["old"] is None) is not (row["new"] is None)
        if row["new"] is not None:
            assert set(row["new"]) == set(told)
            there[row["new"]["id"]] = row["new"]
        else:
            assert there.pop(row["old"]["id"]) == row["old"]
    assert list(there.values()) == [{name: third[name] for name in told}]
    assert [entry["id"] for entry in api.call("GET", FILES)["items"]] == list(there)


def test_files_that_are_not_internal_are_events_and_internal_ones_none(api: Api, rita: Api, desk: Desk) -> None:
    found = sent(api)
    api.call("DELETE", f"{FILES}/{found['id']}", status=204)
    assert events(desk)[1:] == []
    found = sent(rita)
    assert events(desk)[1:] == [("ticket_updated", NUMBER)]
    api.call("DELETE", f"{FILES}/{found['id']}", status=204)
    assert events(desk)[1:] == [("ticket_updated", NUMBER)] * 2
    file = sent(api)["id"]
    api.call("POST", f"/tickets/{NUMBER}/messages", {"body": "x", "attachments": [file]}, status=201)
    assert events(desk)[3:] == [("comment_added", NUMBER)]


def test_a_file_is_a_change_of_the_ticket(api: Api) -> None:
    opened(api)
    before = api.request("GET", f"/tickets/{NUMBER}").headers["ETag"]
    found = sent(api, headers={"If-Match": before})
    after = api.request("GET", f"/tickets/{NUMBER}").headers["ETag"]
    assert after != before
    sent(api, headers={"If-Match": before}, status=412)
    api.call("DELETE", f"{FILES}/{found['id']}", status=412, headers={"If-Match": before})
    api.call("DELETE", f"{FILES}/{found['id']}", status=204, headers={"If-Match": after})


def test_the_same_request_again_stores_nothing_again(api: Api, desk: Desk) -> None:
    opened(api)
    first = sent(api, b"x", headers={"Idempotency-Key": "k"})
    assert sent(api, b"x", headers={"Idempotency-Key": "k"}) == first
    assert count(desk, Attachment) == 1
    for data, name in ((b"y", "hello.txt"), (b"x", "other.txt")):
        sent(api, data, name, headers={"Idempotency-Key": "k"}, status=422)
    assert count(desk, Attachment) == 1


# --- messages


@pytest.mark.feature("F101")
@pytest.mark.feature("F095")
def test_files_become_part_of_a_message_and_as_internal_as_that(api: Api, rita: Api) -> None:
    for direction, internal in (("outbound", False), ("internal", True)):
        for was in ("true", "false"):
            file = sent(api, internal=was)
            assert file["internal"] is (was == "true")
            body = {"body": "see there", "direction": direction, "attachments": [file["id"]]}
            written = api.call("POST", f"/tickets/{NUMBER}/messages", body, status=201)
            assert written["attachments"] == [{**file, "message": written["id"], "internal": internal}]
            assert messages(api, NUMBER)[-1] == written
            assert rita.request("GET", f"{FILES}/{file['id']}").status_code == (404 if internal else 200)
            told = [row["new"] for row in history(api, NUMBER) if row["field"] == "message"][-1]
            assert told == {"id": written["id"], "direction": direction, "attachments": [file["id"]]}


def test_only_files_of_the_ticket_that_are_part_of_nothing_become_part_of_a_message(api: Api, rita: Api) -> None:
    other = opened(api)["number"]
    elsewhere, taken, hidden = sent(api, number=other)["id"], sent(api)["id"], sent(api)["id"]
    api.call("POST", f"/tickets/{NUMBER}/messages", {"body": "x", "attachments": [taken]}, status=201)
    before = dump(api.desk)
    for caller, ids in ((api, [elsewhere]), (api, [taken, "nothing"]), (rita, [hidden])):
        body = {"body": "x", "attachments": ids}
        refused = caller.call("POST", f"/tickets/{NUMBER}/messages", body, status=422)
        assert [(error["pointer"], error["code"]) for error in refused["errors"]] == [
            ("#/attachments", "unknown_reference")
        ] * len(ids)
    assert dump(api.desk) == before
    mine = sent(rita, b"mine")["id"]
    body = {"body": "x", "attachments": [mine]}
    assert rita.call("POST", f"/tickets/{NUMBER}/messages", body, status=201)["attachments"][0]["id"] == mine


# --- rights


def test_no_internal_file_reaches_whoever_may_not_read_it(api: Api, rita: Api) -> None:
    secret = sent(api, CANARY.encode(), f"{CANARY}.txt")
    note = {"body": "x", "direction": "internal", "attachments": [sent(api, CANARY.encode(), f"{CANARY}.log")["id"]]}
    api.call("POST", f"/tickets/{NUMBER}/messages", note, status=201)
    public = sent(api, b"for all", internal="false")
    missing = rita.request("GET", f"{FILES}/nothing").get_json()
    for entry in api.call("GET", FILES)["items"]:
        if entry["internal"]:
            for path in ("", "/text"):
                answer = rita.request("GET", f"{FILES}/{entry['id']}{path}")
                assert answer.status_code == 404
                assert {**answer.get_json(), "request_id": ""} == {**missing, "request_id": ""}
    assert [entry["id"] for entry in rita.call("GET", FILES)["items"]] == [public["id"]]
    for path in ("", "/messages", "/history", "/attachments"):
        assert CANARY not in rita.request("GET", f"/tickets/{NUMBER}{path}").get_data(as_text=True)
    api.call("DELETE", f"{FILES}/{secret['id']}", status=204)
    assert CANARY not in rita.request("GET", f"/tickets/{NUMBER}/history").get_data(as_text=True)
    assert CANARY in str(history(api, NUMBER))


def test_who_may_put_files_on_a_ticket_and_who_may_take_them_away(api: Api, rita: Api) -> None:
    sent(rita)
    assert sent(rita, internal="true", status=403)["missing_permission"] == "tickets:comment"
    reader = person(api, "reader", "tickets:read_internal", *EVERYTHING)
    assert sent(reader, status=403)["missing_permission"] == "tickets:comment"
    lena = person(api, "lena", "tickets:comment", *EVERYTHING)
    assert sent(lena)["internal"] is False
    file = sent(api, internal="false")["id"]
    for caller in (rita, reader, lena):
        refused = caller.call("DELETE", f"{FILES}/{file}", status=403)
        assert refused["missing_permission"] == "tickets:edit"
    editor = person(api, "editor", "tickets:edit", *EVERYTHING)
    secret = sent(api)["id"]
    editor.call("DELETE", f"{FILES}/{secret}", status=404)
    editor.call("DELETE", f"{FILES}/{file}", status=204)
    stranger = api.as_user("stranger", roles=["agent"])
    sent(stranger, status=404)
    for method, path in (("GET", FILES), ("GET", f"{FILES}/{secret}"), ("DELETE", f"{FILES}/{secret}")):
        stranger.call(method, path, status=404)


def test_a_file_is_found_only_at_its_own_ticket(api: Api) -> None:
    opened(api)
    file, other = sent(api)["id"], opened(api)["number"]
    for path in (f"{other}/attachments/{file}", f"{other}/attachments/{file}/text", f"{NUMBER}/attachments/%00"):
        api.call("GET", f"/tickets/{path}", status=404)
    api.call("DELETE", f"/tickets/{other}/attachments/{file}", status=404)


def test_a_ticket_in_a_final_status_keeps_its_files_and_takes_none(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    opened(api, department="Ops")
    file = sent(api)["id"]
    changed(api, NUMBER, status="cancelled")
    assert sent(api, status=422)["type"].endswith(":final")
    assert api.call("DELETE", f"{FILES}/{file}", status=422)["type"].endswith(":final")
    assert api.request("GET", f"{FILES}/{file}").data == b"Hello"
