"""Trying an SMTP server out: what is wrong is named, and a password never is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from smtp_help import certificate, desk_smtp, free_port, plain, smtp_server

from conftest import Api
from tickets.ticket_help import person

PASSWORD = "correct horse battery"
TO = {"to": "admin@example.org"}


@contextmanager
def talking(*lines: bytes) -> Iterator[int]:
    """Something that is no SMTP server: it says these lines to whoever connects, and then nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                connection, _ = listening.accept()
                with connection:
                    for line in lines:
                        connection.sendall(line)
                    if lines:
                        connection.recv(100)
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


@pytest.mark.feature("F159")
def test_a_department_and_the_desk_can_be_tried(api: Api) -> None:
    with smtp_server() as box, smtp_server() as other:
        desk_smtp(api, other)
        department = api.apply("departments", name="Desk", smtp=plain(box))["after"]
        path = f"/departments/{department['id']}/smtp/test"
        found = api.call("POST", path, TO)
        assert found == {"sent": True, "server": f"127.0.0.1:{box.port}", "failed_at": None, "detail": "250 taken"}
        assert api.call("POST", "/settings/smtp/test", TO)["sent"] is True
        api.apply("departments", name="Desk", smtp={"server": None})
        assert api.call("POST", path, TO)["server"] == f"127.0.0.1:{other.port}", "it sends by the desk's then"
    assert [taken.recipient for taken in box.taken + other.taken] == ["admin@example.org"] * 3
    assert box.taken[0].mail["Auto-Submitted"] == "auto-generated"
    assert [taken.sender for taken in other.taken] == ["desk@example.org", "team@example.org"]


def test_rights_and_bad_addresses(api: Api) -> None:
    department = api.apply("departments", name="Desk")["after"]
    path = f"/departments/{department['id']}/smtp/test"
    agent = person(api, "mia", "tickets:edit", "tickets:read_internal")
    agent.call("POST", path, TO, status=403)
    agent.call("POST", "/settings/smtp/test", TO, status=403)
    api.call("POST", "/departments/nothing/smtp/test", TO, status=404)
    api.call("POST", path, {"to": "x@y\r\nBcc: z@y"}, status=422)
    api.call("POST", path, {}, status=422)
    found = api.call("POST", path, TO)
    assert (found["sent"], found["failed_at"], found["server"]) == (False, "setup", None)
    assert "smtp.host" in found["detail"]


def tried(api: Api, **smtp: Any) -> tuple[str, str]:
    """The step at which a department's server fails, and what is said of it."""
    given = {"from_address": "team@example.org", **smtp}
    department = api.apply("departments", name="Desk", smtp=given)["after"]
    found = api.call("POST", f"/departments/{department['id']}/smtp/test", TO)
    assert found["sent"] is False
    assert PASSWORD not in str(found)
    return found["failed_at"], found["detail"]


def test_what_is_wrong_is_named(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, stranger = certificate(tmp_path), certificate(tmp_path, "other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    # one after the other in one test: each takes but a moment, making a desk takes longer
    step, detail = tried(api, server="smtp.invalid", tls="none")
    assert (step, "without TLS" in detail, "mail.unprotected_servers" in detail) == ("tls", True, True)
    api.apply("settings", key="mail.unprotected_servers", value=["SMTP.invalid"])
    step, detail = tried(api, server="smtp.invalid", tls="none")
    assert (step, "the name smtp.invalid has no address" in detail) == ("dns", True)

    port = free_port()
    assert tried(api, server="localhost", port=port) == ("connection", f"localhost:{port}: Connection refused")
    with talking(b"554 go away\r\n") as port:
        assert tried(api, server="localhost", port=port) == ("connection", "the server said 554 go away")
    with talking() as port:
        assert tried(api, server="localhost", port=port)[0] == "connection"
    with talking(b"HTTP/1.1 400 Bad\r\n\r\n") as port:
        assert tried(api, server="localhost", port=port)[0] == "connection"

    with smtp_server() as box:
        step, detail = tried(api, server="localhost", port=box.port, tls="starttls")
        assert (step, "offers no STARTTLS" in detail) == ("tls", True)
        step, detail = tried(api, server="localhost", port=box.port, tls="tls")
        assert (step, "does not begin with TLS" in detail) == ("tls", True)
        step, detail = tried(api, server="localhost", port=box.port, tls="none", username="team", password=PASSWORD)
        assert (step, "takes no login" in detail) == ("login", True)
    with smtp_server(stranger) as box:
        step, detail = tried(api, server="localhost", port=box.port, tls="starttls", username=None)
        assert (step, "is not trusted" in detail) == ("tls", True)
    with smtp_server(trusted) as box:
        step, detail = tried(api, server="127.0.0.1", port=box.port)
        assert step == "tls", "the certificate is of localhost, not of 127.0.0.1"
    with smtp_server(trusted, users={"team": "another"}) as box:
        step, detail = tried(api, server="localhost", port=box.port, username="team", password=PASSWORD)
        assert (step, "535" in detail) == ("login", True)
        step, detail = tried(api, server="localhost", port=box.port, username=None)
        assert (step, "530" in detail) == ("sender", True)
    with smtp_server(trusted, wrapped=True) as box:
        box.to_recipient += ["550 not here"]
        step, detail = tried(api, server="localhost", port=box.port, tls="tls")
        assert (step, detail) == ("recipient", "the server said 550 not here")
        box.to_content += ["554 spam"]
        step, detail = tried(api, server="localhost", port=box.port)
        assert (step, detail) == ("content", "the server said 554 spam")
    step, detail = tried(api, server="localhost", username="team", password=None)
    assert (step, "the password of team is not known" in detail) == ("setup", True)
    step, detail = tried(api, server="localhost", from_address=None, username=None)
    assert (step, "no address that mail comes from" in detail) == ("setup", True)


def test_a_server_that_never_comes_to_an_end_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deskplane.mail.trying.LONGEST", 0.5)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                try:
                    while not stop.wait(0.05):
                        connection.sendall(b"2")
                except OSError:
                    pass

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        step, _detail = tried(api, server="localhost", port=listening.getsockname()[1], tls="none")
        stop.set()
        thread.join(5)
    assert step == "connection"
