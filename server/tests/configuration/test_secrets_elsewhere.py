"""A canary in every secret field of every kind, and a desk at work: mails and webhooks go out, things fail, logs, audit
log, alerts, metrics and backups are written. None of it has one of them, but what a receiver is to be sent.

With `Vault.seal` answering what it is given, everything here fails; with a webhook's log that keeps the headers of a
request, the answers do; with an error that repeats what could not be decrypted or logged in with, the logs do.
"""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from test_desk_secrets import CANARY, GIT, Listener, assert_silent, changed, desk_of
from world import furnish

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.audit import reading
from deskplane.backup import snapshot
from deskplane.backup.archive import reading as archive_reading
from deskplane.kernel.safe_http import Client
from dumps import text_of
from receivers import NETWORK, Script, receiver
from worker_help import drain

SEALED = "gAAAAA"


def work_off(desk: Desk, clock: TurnedClock) -> None:
    """Everything that is due now and in the next hours, with all that fails on the way."""
    for _ in range(4):
        drain(make_worker(desk))
        clock.turn(hours=2)


def backup(desk: Desk) -> str:
    """Everything in a backup that is not sealed with a passphrase, unpacked."""
    file = io.BytesIO()
    with desk.database.transaction(write=False) as session:
        snapshot.write(session, file, desk.clock, desk.vault, None)
    file.seek(0)
    with archive_reading(file) as archive:
        return json.dumps(archive.header) + "".join(part.lines.decode() for part in archive.parts())


def test_a_desk_at_work_shows_none_of_its_secrets(
    api: Api,
    desk: Desk,
    clock: TurnedClock,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    furnish(api)
    listener = Listener(api)
    desk.outside = Client([NETWORK], resolve=lambda name, port: ["127.0.0.1"], seconds=2)
    api.client.application.extensions["deskplane"].outside = desk.outside
    script = Script(((200, {}, b""), (500, {}, b"no"), (200, {}, b"")))
    with receiver(script) as (address, port):
        configuration = desk_of("one")
        for hook in configuration["webhooks"]:
            hook["url"] = f"http://{address}:{port}/"
        listener.apply(configuration, **GIT)
        settings = {"smtp.host": "127.0.0.1", "smtp.port": 1, "smtp.from": "desk@example.org", "smtp.tls": "none"}
        for key, value in settings.items():
            listener.call("POST", "/settings/apply", {"key": key, "value": value}, (200, 201))
        contact = {"contact": "kim@acme.example", "department": "Desk", "customer": "ACME"}
        number = listener.call("POST", "/tickets", {"title": "Help", **contact}, 201)["number"]
        for direction in ("outbound", "internal"):
            listener.call("POST", f"/tickets/{number}/messages", {"body": "x", "direction": direction}, 201)
        listener.call("PATCH", f"/tickets/{number}", {"status": "resolved"})
        work_off(desk, clock)
        for room in ("webhooks", "departments"):
            for item in listener.call("GET", f"/{room}?limit=200")["items"]:
                for path in ("test", "imap/test", "smtp/test", "rotate-secret"):
                    answer = api.request("POST", f"/{room}/{item['id']}/{path}", {})
                    if path != "rotate-secret":  # whose answer is the new secret
                        listener.heard.append(f"{answer.headers} {answer.get_data(as_text=True)}")
                if room == "webhooks":
                    found = listener.call("GET", f"/webhooks/{item['id']}/deliveries")["items"]
                    for delivery in found:
                        listener.call("GET", f"/webhooks/{item['id']}/deliveries/{delivery['id']}")
        listener.apply(changed(configuration, "two"), **GIT)
        work_off(desk, clock)
    for path in (
        "alerts",
        "mails",
        "received-mails",
        "audit",
        "configuration/history",
        "configuration/drift",
        "metrics",
    ):
        listener.call("GET", f"/{path}")
    assert [sent for sent in script.got if CANARY.search(str(sent.headers))], "a receiver gets the headers it is to get"
    assert not [sent for sent in script.got if CANARY.search(f"{sent.path} {sent.body!r}")]
    with desk.database.transaction(write=False) as session:
        exported = b"".join(reading.export(session)).decode()
    kept = backup(desk)
    assert '"api_key' in exported or '"user' in exported
    assert SEALED in kept, "secrets are in a backup as they are in the database"
    logs = [caplog.text, *capfd.readouterr()]
    assert_silent([*listener.heard, exported, *logs], [kept, text_of(desk)])
