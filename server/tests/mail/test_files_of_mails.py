"""What comes along with a mail: files, images, and what is not taken over, which an internal note names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from conftest import Api
from deskplane.app import Desk
from mail.incoming_help import department, letter, received
from tickets.ticket_help import events, history, messages, person

NUMBER = "TKT-000001"


@pytest.fixture(autouse=True)
def service_desk(api: Api) -> str:
    return department(api)


def files(api: Api) -> dict[str, Any]:
    return {file["name"]: file for file in api.call("GET", f"/tickets/{NUMBER}/attachments")["items"]}


def test_files_are_part_of_the_message(desk: Desk, api: Api) -> None:
    received(desk, letter(files=[("über.pdf", "application/pdf", b"%PDF"), ("log.txt", "text/plain", b"a\n")]))
    (message,) = messages(api, NUMBER)
    assert sorted(file["name"] for file in message["attachments"]) == ["log.txt", "über.pdf"]
    found = files(api)["über.pdf"]
    assert (found["content_type"], found["size"], found["internal"]) == ("application/pdf", 4, False)
    assert api.request("GET", f"/tickets/{NUMBER}/attachments/{found['id']}").data == b"%PDF"
    assert [entry["field"] for entry in history(api, NUMBER)].count("attachment") == 2
    assert events(desk) == [("ticket_created", NUMBER)], "one mail is one event"


@pytest.mark.feature("F106")
def test_what_is_blocked_is_left_out_and_an_internal_note_names_it(desk: Desk, api: Api) -> None:
    bad = [
        "run.exe",
        "RUN.Exe",
        "invoice.pdf.js",
        "trail.bat. ",
        "zero\u200b.e\u200bxe",
        "wide.ｅｘｅ",
        "a\u202etxt.exe",
    ]
    sent = [(name, "application/octet-stream", b"MZ") for name in bad]
    row = received(desk, letter(files=[*sent, ("fine.txt", "text/plain", b"ok")]))
    assert row["state"] == "processed"
    assert list(files(api)) == ["fine.txt"]
    message, note = messages(api, NUMBER)
    assert (message["direction"], note["direction"], note["author"]) == ("inbound", "internal", "automation")
    for name in ("run.exe", "invoice.pdf.js", "trail.bat", "zero.exe", "atxt.exe"):
        assert name in note["body_text"]
    assert "\u202e" not in note["body_text"]
    kim = person(api, "kim", "tickets:view_all", "tickets:view_all_departments")
    assert [one["direction"] for one in messages(kim, NUMBER)] == ["inbound"]
    original = api.request("GET", f"/received-mails/{row['id']}/raw").data
    assert b"run.exe" in original


def test_a_note_shows_names_as_they_are(desk: Desk, api: Api) -> None:
    received(desk, letter(files=[("<img src=x>`*[a](http://evil.example)`.exe", "application/x-a", b"MZ")]))
    note = messages(api, NUMBER)[1]
    assert "<img" not in note["body_html"]
    assert "<a" not in note["body_html"]
    assert "<img src=x>`*[a](http:" not in note["body_html"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\a.txt", "a.txt"),
        ("a\x00b.txt", "a b.txt"),
        ("...", "part-1.bin"),
        ("", "part-3.bin"),
        ("x" * 400 + ".txt", "x" * 214 + "…" + "x" * 36 + ".txt"),
        ("line\r\nbreak.txt", "line break.txt"),
    ],
)
def test_a_name_is_only_ever_a_name(desk: Desk, api: Api, name: str, kept: str) -> None:
    raw = letter(files=[("placeholder", "application/octet-stream", b"x")])
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    raw = raw.replace(b'filename="placeholder"', f"filename*=utf-8''{encoded}".encode())
    received(desk, raw)
    assert list(files(api)) == [kept]


def test_what_is_too_large_is_named_and_what_is_within_the_bound_is_there(desk: Desk, api: Api) -> None:
    api.apply("settings", key="attachments.max_bytes", value=1_100_000)
    large = bytes(range(256)) * 4_000
    received(
        desk, letter(files=[("large.bin", "application/x-a", large), ("larger.bin", "application/x-a", large + large)])
    )
    assert {name: file["size"] for name, file in files(api).items()} == {"large.bin": len(large)}
    assert "larger.bin" in messages(api, NUMBER)[1]["body_text"]


def test_images_within_a_mail_are_shown_from_its_files(desk: Desk, api: Api) -> None:
    raw = (
        b"From: kim@acme.example\r\nSubject: x\r\nContent-Type: multipart/related; boundary=e\r\n\r\n"
        b'--e\r\nContent-Type: text/html\r\n\r\n<p>See <img src="cid:a%40x" alt="fire"><img src="cid:gone@x">'
        b'<img src="https://tracker.example/p.png"></p>\r\n'
        b"--e\r\nContent-Type: image/png; name=a.png\r\nContent-ID: <a@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"iVBORw0KGgo=\r\n--e--\r\n"
    )
    received(desk, raw)
    (message,) = messages(api, NUMBER)
    (address,) = re.findall(r'<img [^>]*src="([^"]*)"', message["body_html"])
    assert api.request("GET", address).data == b"\x89PNG\r\n\x1a\n"
    assert "tracker" not in message["body_html"]
    assert "cid:" not in message["body_html"]
    one = api.call("GET", f"/tickets/{NUMBER}/messages/{message['id']}")
    assert one == message
