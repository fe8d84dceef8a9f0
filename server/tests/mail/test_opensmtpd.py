"""Through a real mail server: what OpenSMTPD takes, queues and hands on is what was written."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from smtp_help import Mailbox, drain, free_port, mails, plain, smtp_server

from conftest import Api
from deskplane.app import Desk
from tickets.file_help import sent as uploaded
from tickets.ticket_help import opened

CONFIGURATION = """\
listen on 127.0.0.1 port {port}
action "onward" relay host "smtp://127.0.0.1:{onward}"
match from any for domain "example.net" action "onward"
"""


def program() -> str:
    """Where smtpd is; installs it where it may."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    if shutil.which("smtpd", path=path) is None:
        sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))
        from toolchain import install_system_packages

        install_system_packages(["opensmtpd"], "the tests of mail need the program smtpd")
    found = shutil.which("smtpd", path=path)
    assert found is not None, "apt-get install opensmtpd"
    return found


def wait_for(condition: Callable[[], bool], log: Path) -> None:
    """Until it is so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody answers there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def opensmtpd(folder: Path, onward: int) -> Iterator[tuple[int, Path]]:
    """A server that hands on what is for example.net, and refuses everything else; its port and its log."""
    port, log, configuration = free_port(), folder / "smtpd.log", folder / "smtpd.conf"
    configuration.write_text(CONFIGURATION.format(port=port, onward=onward))
    # it has one queue and one control socket on a machine, wherever its configuration is
    with (Path(tempfile.gettempdir()) / "deskplane-opensmtpd.lock").open("w") as lock, log.open("wb") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen([program(), "-d", "-f", str(configuration)], stdout=output, stderr=output)
        try:
            wait_for(lambda: listens(port), log)
            yield port, log
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.feature("F096", "F140")
def test_a_conversation_goes_through_a_real_server(api: Api, desk: Desk, tmp_path: Path) -> None:
    body = "Grüße, 你好\n\n" + "x" * 3000 + "\n\n.\n\nFrom here on: {{7*7}}\n"
    with smtp_server() as box, opensmtpd(tmp_path, box.port) as (port, log):
        api.apply("departments", name="Desk", smtp=plain(Mailbox(port), from_name="Zoë"))
        ticket = opened(api, '","status":"x', contact="ada@example.net", department="Desk")
        file = uploaded(api, bytes(range(256)) * 4000, "Übersicht.bin", kind="application/octet-stream")
        path = f"/tickets/{ticket['number']}/messages"
        api.call("POST", path, {"body": f"```\n{body}```", "attachments": [file["id"]]}, status=201)
        elsewhere = opened(api, contact="bob@example.com", department="Desk")
        api.call("POST", f"/tickets/{elsewhere['number']}/messages", {"body": "Hello."}, status=201)
        drain(desk)
        wait_for(lambda: bool(box.taken), log)
        states = {mail["recipient"]: mail for mail in mails(api)}
    (taken,) = box.taken
    assert taken.recipient == "ada@example.net"
    assert taken.mail["Subject"] == '[TKT-000001] ","status":"x'
    assert taken.mail["From"].addresses[0].display_name == "Zoë"
    assert taken.body() == body
    (part,) = taken.mail.iter_attachments()
    assert part.get_filename() == "Übersicht.bin"
    assert part.get_content() == bytes(range(256)) * 4000
    assert states["ada@example.net"]["state"] == "sent"
    assert taken.mail["Message-ID"] == states["ada@example.net"]["message_id"]
    assert states["bob@example.com"]["state"] == "failed"
    assert states["bob@example.com"]["last_error"].startswith("recipient: the server said 550")
