"""Which files are taken: their names and sizes, and what it takes to receive and send large ones."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from typing import Any
from urllib.parse import quote

import pytest
from file_help import FILES, NUMBER, Made, Unread, count, pieces, post, sent
from ticket_help import changed, history, opened, places, read

from conftest import Api
from deskplane.app import Desk
from deskplane.tickets.attachments import CHUNK
from deskplane.tickets.models import Attachment
from dumps import dump

# --- names

NAMES = [
    ("report.pdf", "report.pdf"),
    ("  report.pdf . . ", "report.pdf"),
    ("../../etc/passwd", "passwd"),
    ("C:\\Users\\rita\\report.pdf", "report.pdf"),
    ("/report.pdf", "report.pdf"),
    ("a/b\\c.txt", "c.txt"),
    ("re\u200bport\u2060.p\ufeffdf", "report.pdf"),
    ("e\u0301te\u0301.txt", "été.txt"),
    ("日本語.txt", "日本語.txt"),
    ("\U0001f525.txt", "\U0001f525.txt"),
    (".profile", ".profile"),
    ("a\"b';c%41.txt", "a\"b';c%41.txt"),
    ("<script>.txt", "<script>.txt"),
    ("x" * 255, "x" * 255),
]
BAD_NAMES = [
    ("", "bad_format"),
    (".", "bad_format"),
    ("..", "bad_format"),
    ("folder/", "bad_format"),
    ("\u200b", "bad_format"),
    ("/ . /", "bad_format"),
    ("a\x00.txt", "control_character"),
    ("a\n.txt", "control_character"),
    ("a\r\nX-Evil: 1.txt", "control_character"),
    ("a\x7f.txt", "control_character"),
    ("a\u2028.txt", "control_character"),
    ("gnp.\u202eexe.txt", "control_character"),
    ("a\u2066.txt", "control_character"),
    ("x" * 256, "too_long"),
    ("x" * 5000, "too_long"),
]


@pytest.mark.parametrize(("given", "kept"), NAMES)
def test_names_are_cleaned(api: Api, given: str, kept: str) -> None:
    opened(api)
    header = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(given, safe='')}"}
    for found in (sent(api, name=given), sent(api, name=None, headers=header)):
        assert found["name"] == kept
        told = api.request("GET", f"{FILES}/{found['id']}").headers["Content-Disposition"]
        assert told.endswith(f"; filename*=UTF-8''{quote(kept, safe='')}")
        assert told.isascii()
        assert told.count('"') == 2


@pytest.mark.parametrize(("given", "code"), BAD_NAMES)
def test_bad_names_are_refused_clearly_before_the_file_is_read(api: Api, given: str, code: str) -> None:
    opened(api)
    before = dump(api.desk)
    assert places(sent(api, Unread(), given, status=422)) == {"name": code}
    header = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(given, safe='')}"}
    if given:
        assert places(sent(api, Unread(), None, headers=header, status=422)) == {"name": code}
    assert dump(api.desk) == before


def test_a_name_is_needed_and_that_of_the_address_wins(api: Api) -> None:
    opened(api)
    for headers in ({}, {"Content-Disposition": "attachment"}, {"Content-Disposition": "nonsense=;;"}):
        assert places(sent(api, name=None, headers=headers, status=422)) == {"name": "required"}
    plain = {"Content-Disposition": 'attachment; filename="plain.txt"'}
    assert sent(api, name=None, headers=plain)["name"] == "plain.txt"
    assert sent(api, name="other.txt", headers=plain)["name"] == "other.txt"


BLOCKED = [
    "x.exe",
    "x.EXE",
    "x.exe.",
    "x.exe . ",
    "x.exe\u200b",
    "x.e\u200dxe",
    "x.e\u00adxe",
    "x.ex\ufe0fe",
    "x.exe.txt",
    "x.exe .txt",
    "invoice.pdf.exe",
    "x\uff0eexe",
    "x\u2024exe",
    "x.ｅｘｅ",
    "x.eⅹe",
    "x.exe:stream",
    "folder/x.exe",
    ".exe",
    "x.straße",
    "x.STRASSE",
    "x.K",
]
ALLOWED = ["exe", "x.exes", "x.e.x.e", "myexe.txt", "x.txt", "exe.txt"]


def test_the_name_of_a_host_is_no_end_of_a_file_but_at_the_end(api: Api) -> None:
    opened(api)
    for name in ("www.example.com.pdf", "www.EXAMPLE.COM.pdf", "mail from a@example.com .eml", "a.com.b.com.txt"):
        sent(api, name=name)
    for name in ("x.com", "invoice.pdf.com", "x.COM. ", "x.com:y.pdf", "x.com.exe", "x.exe.com.pdf", "x.pdf:y.com"):
        assert places(sent(api, name=name, status=422)) == {"name": "blocked_extension"}, name


@pytest.mark.feature("F105")
def test_blocked_extensions_are_refused_however_they_are_written(api: Api, desk: Desk) -> None:
    opened(api)
    api.apply("settings", key="attachments.blocked_extensions", value=["EXE", ".Straße", "\u212a"])
    for name in BLOCKED:
        refused = sent(api, Unread(), name, status=422)
        assert places(refused) == {"name": "blocked_extension"}, name
    assert count(desk, Attachment) == 0
    for name in ALLOWED:
        sent(api, name=name)
    api.apply("settings", key="attachments.blocked_extensions", value=[])
    sent(api, name="x.exe")


def test_what_is_executable_is_blocked_from_the_start(api: Api) -> None:
    opened(api)
    for end in ("exe", "bat", "js", "vbs", "lnk", "ps1", "msi", "hta"):
        assert places(sent(api, name=f"x.{end}", status=422)) == {"name": "blocked_extension"}


# --- size


def test_a_file_that_says_that_it_is_too_large_is_not_read(api: Api) -> None:
    opened(api)
    api.apply("settings", key="attachments.max_bytes", value=5000)
    for size in (5001, 10**12):
        refused = sent(api, Unread(), headers={"Content-Length": str(size)}, status=413)
        assert (refused["type"], "5000 bytes" in refused["detail"]) == ("urn:deskplane:problem:too_large", True)
    assert sent(api, b"x" * 5000)["size"] == 5000


def test_a_file_that_does_not_say_how_large_it_is_is_read_up_to_the_limit(api: Api, desk: Desk) -> None:
    opened(api)
    api.apply("settings", key="attachments.max_bytes", value=200_000)
    for size, status in ((200_000, 201), (200_001, 413), (10**9, 413)):
        body = Made(size)
        answer = post(api, f"{FILES}?name=x", body, {})
        assert answer.status_code == status
        assert body.given < 400_000
    assert count(desk, Attachment) == 1


def test_the_limit_holds_for_files_only_and_may_exceed_that_of_other_requests(api: Api) -> None:
    opened(api)
    assert sent(api, b"x" * 3_000_000)["size"] == 3_000_000
    body = {"body": "x" * 2_000_000}
    assert api.request("POST", f"/tickets/{NUMBER}/messages", body).status_code == 413


def test_a_stranger_cannot_make_the_server_read_anything(api: Api) -> None:
    opened(api)
    nobody = Api(api.client, None, api.desk)
    sent(nobody, Unread(), status=401)
    sent(api.as_user("powerless"), Unread(), status=403)
    sent(api.as_user("stranger", roles=["agent"]), Unread(), status=404)
    sent(api, Unread(), number="TKT-999999", status=404)
    sent(api, Unread(), nonsense="1", status=422)


def test_a_large_file_takes_little_memory_in_and_out(api: Api) -> None:
    opened(api)
    size = 20 * 1024 * 1024
    sent(api, b"x" * 3_000_000)  # what is imported and kept once is there now
    tracemalloc.start()
    try:
        body = Made(size)
        answer = post(api, f"{FILES}?name=x.bin", body, {"Content-Length": str(size)})
        assert (answer.status_code, body.given) == (201, size)
        address = f"{FILES}/{answer.get_json()['id']}"
        digest, length = hashlib.sha256(), 0
        for piece in pieces(api, address):
            digest.update(piece)
            length += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (length, digest.hexdigest()) == (size, answer.get_json()["sha256"])
    assert peak < 8 * 1024 * 1024, peak


def test_a_file_that_is_deleted_while_it_is_sent_breaks_the_connection(api: Api) -> None:
    opened(api)
    file = sent(api, b"x" * 3 * CHUNK)["id"]
    answer = pieces(api, f"{FILES}/{file}")
    assert len(next(answer)) == CHUNK
    api.call("DELETE", f"{FILES}/{file}", status=204)
    with pytest.raises(ConnectionError, match="deleted while it was sent"):
        list(answer)


def test_nobody_waits_for_one_who_reads_slowly(api: Api, desk: Desk) -> None:
    opened(api)
    file = sent(api, b"x" * 3 * CHUNK)["id"]
    slow = [pieces(api, f"{FILES}/{file}") for _ in range(40)]  # more than there are connections
    for answer in slow:
        next(answer)
    changed(api, NUMBER, title="changed meanwhile")
    assert [sum(map(len, answer)) for answer in slow] == [2 * CHUNK] * 40


def test_two_files_at_once_are_both_there(api: Api, desk: Desk) -> None:
    opened(api)
    answers: list[Any] = []

    def send(index: int) -> None:
        client = Api(api.client.application.test_client(), api.key, desk)
        answers.append(sent(client, bytes([index]) * (CHUNK + index), f"{index}.bin"))

    threads = [threading.Thread(target=send, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = api.call("GET", FILES)["items"]
    assert sorted(entry["name"] for entry in listed) == [f"{index}.bin" for index in range(6)]
    for entry in listed:
        index = int(entry["name"][0])
        assert api.request("GET", f"{FILES}/{entry['id']}").data == bytes([index]) * (CHUNK + index)
    rows = [row for row in history(api, NUMBER) if row["field"] == "attachment"]
    assert len(rows) == 6
    assert read(api, NUMBER)["number"] == NUMBER


def test_while_a_file_comes_in_nobody_waits(api: Api, desk: Desk) -> None:
    """The file is received before the transaction that stores it: a slow sender holds no lock."""
    opened(api)

    class Slow(Made):
        def readinto(self, buffer: Any) -> int:
            if self.given == 0:
                changed(Api(api.client.application.test_client(), api.key, desk), NUMBER, title="meanwhile")
            return super().readinto(buffer)

    answer = post(api, f"{FILES}?name=x", Slow(100_000), {"Content-Length": "100000"})
    assert answer.status_code == 201
    assert read(api, NUMBER)["title"] == "meanwhile"


def test_files_come_in_pages_with_as_many_statements_for_many_as_for_few(api: Api, desk: Desk) -> None:
    from statements import recorded

    opened(api)
    ids = []
    for index in range(12):
        ids.append(sent(api, name=f"{index}.txt")["id"])
        body = {"body": "x", "attachments": [ids[-1]]}
        api.call("POST", f"/tickets/{NUMBER}/messages", body, status=201)
    for what in ("attachments", "messages"):
        counts = set()
        for limit in (2, 12):
            with recorded(desk) as statements:
                api.call("GET", f"/tickets/{NUMBER}/{what}?limit={limit}")
            counts.add(len(statements))
        assert len(counts) == 1
    first = api.call("GET", f"{FILES}?limit=5")
    rest = api.call("GET", f"{FILES}?limit=200&cursor={first['next_cursor']}")
    assert sorted(entry["id"] for entry in first["items"] + rest["items"]) == sorted(ids)
