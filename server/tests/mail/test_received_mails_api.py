"""The quarantine, the originals of messages, and trying a mailbox out."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from deskplane.app import Desk, make_worker
from deskplane.kernel.ids import new_id
from mail.dovecot import PASSWORD, Dovecot
from mail.incoming_help import department, letter, received, stored
from tickets.ticket_help import EVERYTHING, messages, person

ALL = (*EVERYTHING, "tickets:read_internal")


def quarantined(desk: Desk, name: str = "Service Desk") -> dict[str, Any]:
    return received(desk, b"Subject: from nobody\r\nMessage-ID: <q@x>\r\n\r\nHello", name)


def entries(api: Api, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("GET", f"/received-mails{query}")["items"]
    return found


def test_what_cannot_be_handled_is_listed_with_its_reason_and_can_be_read(desk: Desk, api: Api) -> None:
    department(api)
    row = quarantined(desk)
    received(desk, letter())
    (entry,) = entries(api, "?state=quarantined")
    assert (entry["department"], entry["subject"], entry["ticket"]) == ("Service Desk", "from nobody", None)
    assert "address" in entry["reason"]
    assert entry == api.call("GET", f"/received-mails/{row['id']}")
    answer = api.request("GET", f"/received-mails/{row['id']}/raw")
    assert answer.data == b"Subject: from nobody\r\nMessage-ID: <q@x>\r\n\r\nHello"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [one["subject"] for one in entries(api)] == ["The printer is on fire", "from nobody"]
    assert [one["ticket"] for one in entries(api, "?sender=Kim@acme.example&department=Service%20Desk")] == [
        "TKT-000001"
    ]
    page = api.call("GET", "/received-mails?limit=1")
    assert [one["subject"] for one in entries(api, f"?limit=1&cursor={page['next_cursor']}")] == ["from nobody"]


def test_a_mail_is_handled_again_once_what_was_in_its_way_is_gone(desk: Desk, api: Api) -> None:
    department(api)
    api.apply("departments", name="Service Desk", enabled=False)
    row = received(desk, letter())
    assert (row["state"], "no new tickets" in row["reason"]) == ("quarantined", True)
    api.apply("departments", name="Service Desk", enabled=True)
    assert api.call("POST", f"/received-mails/{row['id']}/replay")["state"] == "received"
    make_worker(desk).drain_once()
    while (entry := entries(api)[0])["state"] == "received":
        make_worker(desk).drain_once()
    assert (entry["state"], entry["ticket"]) == ("processed", "TKT-000001")
    assert len(api.call("GET", "/tickets")["items"]) == 1
    api.call("POST", f"/received-mails/{row['id']}/replay", status=409)
    api.call("DELETE", f"/received-mails/{row['id']}", status=409)


def test_what_was_set_aside_can_be_deleted(desk: Desk, api: Api) -> None:
    department(api)
    row = quarantined(desk)
    api.call("DELETE", f"/received-mails/{row['id']}", status=204)
    api.call("GET", f"/received-mails/{row['id']}", status=404)
    api.call("GET", "/received-mails/x", status=404)


def test_the_original_of_a_message_is_kept_until_its_ticket_is_deleted(desk: Desk, api: Api) -> None:
    department(api)
    mail = letter(html="<p>Hi <script>alert(1)</script></p>")
    row = received(desk, mail)
    (message,) = messages(api, "TKT-000001")
    answer = api.request("GET", f"/tickets/TKT-000001/messages/{message['id']}/original")
    assert answer.data == mail
    api.call("DELETE", "/tickets/TKT-000001", status=204)

    def forget(session: Any) -> None:
        from deskplane.mail import incoming

        incoming.forget_deleted(desk.automation(session))

    desk.database.run(forget, write=True)
    assert api.request("GET", f"/received-mails/{row['id']}/raw").data == b""
    (entry,) = entries(api)
    assert (entry["sender"], entry["subject"]) == (None, "")
    assert stored(desk, mail) is None, "delivered once more it makes no new ticket"


def test_who_sees_what(desk: Desk, api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("contacts", email="kim@acme.example", customer="ACME")
    department(api, "Sales")
    mia = person(api, "mia", "tickets:read_internal")
    max_ = person(api, "max", "tickets:read_internal")
    department(api, members=["mia"])
    lost, kept = quarantined(desk), received(desk, letter())
    everyone = person(api, "eve", *ALL)
    assert [one["id"] for one in entries(everyone)] == [kept["id"], lost["id"]]
    assert [one["id"] for one in entries(mia)] == [lost["id"]], "the ticket is of a customer that is not hers"
    assert entries(max_) == []
    for path in ("", "/raw"):
        mia.call("GET", f"/received-mails/{kept['id']}{path}", status=404)
        max_.call("GET", f"/received-mails/{lost['id']}{path}", status=404)
    mia.call("POST", f"/received-mails/{lost['id']}/replay", status=403)
    mia.call("DELETE", f"/received-mails/{lost['id']}", status=403)
    max_.call("POST", f"/received-mails/{lost['id']}/replay", status=404)
    nobody = person(api, "noa", *EVERYTHING)
    nobody.call("GET", "/received-mails", status=403)
    message_id = messages(api, "TKT-000001")[0]["id"]
    mia.call("GET", f"/tickets/TKT-000001/messages/{message_id}/original", status=404)
    nobody.call("GET", f"/tickets/TKT-000001/messages/{message_id}/original", status=403)


@pytest.mark.feature("F140")
def test_a_mailbox_is_tried_out_and_says_what_is_wrong(desk: Desk, api: Api, dovecot: Dovecot) -> None:
    user = f"{new_id()}@example.org"  # one Dovecot serves every test
    dovecot.deliver(user, letter(), letter())
    found = department(api)

    def tried(**imap: Any) -> tuple[bool, str, str]:
        given = {"server": "localhost", "port": dovecot.port, "tls": "none", "username": user}
        department(api, imap={**given, "password": PASSWORD, **imap})
        answer = api.call("POST", f"/departments/{found}/imap/test")
        return answer["works"], answer["failed_at"], answer["detail"]

    nothing = api.call("POST", f"/departments/{found}/imap/test")
    assert (nothing["works"], nothing["failed_at"]) == (False, "setup")
    assert tried() == (True, None, "INBOX holds 2 mails, of which 2 are unseen")
    assert dovecot.flags(user) == ["", ""]
    wrong = tried(password="wrong")
    assert wrong[:2] == (False, "login")
    assert "wrong" not in wrong[2]
    assert tried(folder="Nowhere")[1] == "folder"
    assert tried(port=1)[1] == "connection"
    assert tried(tls="tls")[1] == "tls"
    assert tried(tls="tls", port=dovecot.tls_port) == (
        False,
        "tls",
        "the certificate of localhost is not accepted: self-signed certificate",
    )
    assert tried(server="nowhere.invalid", tls="tls")[1] == "dns"
    assert tried(server="imap.example.org")[1] == "setup"
    api.call("POST", "/departments/nothing/imap/test", status=404)
    person(api, "mia", *ALL).call("POST", f"/departments/{found}/imap/test", status=403)
