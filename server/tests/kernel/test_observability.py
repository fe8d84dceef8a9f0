"""Metrics and logs: readable by machines, and without secrets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

import server_logs
from conftest import Api

SECRET = "vX3kq9Zt7Lw2Rb8Nc5Hd1Gf6Js4Kp0Ym-Qe"
CANARIES = ("canary-password-1", "canary-imap-2", "canary-body-3", "canary-query-4")


def _samples(exposition: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


@pytest.mark.feature("F273")
def test_the_metrics_can_be_parsed_and_count_what_happened(api: Api) -> None:
    before = _samples(api.request("GET", "/metrics").get_data(as_text=True))
    api.call("POST", "/tickets", {"title": "One"}, 201)
    api.call("POST", "/tickets/apply", {"title": "One", "state": "resolved"})
    api.request("GET", "/labels/nothing")
    answer = api.request("GET", "/metrics")
    assert answer.content_type.startswith("text/plain; version=")
    after = _samples(answer.get_data(as_text=True))
    assert after["deskplane_tickets", (("status", "resolved"),)] == 1
    assert after["deskplane_tickets", (("status", "open"),)] == 0
    created = ("deskplane_requests_total", (("operation", "create_ticket"), ("status", "201")))
    missing = ("deskplane_requests_total", (("operation", "get_label"), ("status", "404")))
    for counter in (created, missing):
        assert after[counter] == before.get(counter, 0) + 1
    names = {name for name, _labels in after}
    assert {"deskplane_outbox_messages", "deskplane_outbox_oldest_seconds", "deskplane_workers"} <= names
    assert "deskplane_request_duration_seconds_bucket" in names


@pytest.mark.feature("F220", "F273")
def test_metrics_need_their_permission_and_nothing_more(api: Api) -> None:
    scraper = api.as_user("scraper", roles=["metrics"])
    assert scraper.request("GET", "/metrics").status_code == 200
    assert scraper.request("GET", "/metrics", headers={"Authorization": f"ApiKey {scraper.key}"}).status_code == 200
    assert scraper.request("GET", "/tickets").status_code == 403


class Server:
    """A server in processes of its own, with its log."""

    def __init__(self, home: Path, url: str, **variables: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.log = home / "server.log"
        server_logs.watched(self.log)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DESKPLANE_")}
        environment = {**kept, "DESKPLANE_SECRET_KEY": SECRET, "DESKPLANE_DATABASE_URL": url, **variables}
        program = "from deskplane.cli import main; main()"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, "serve", "--bind", self.address, "--workers", "2"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while self.send("GET", "/healthz")[0] != 200:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        data = None if body is None else json.dumps(body).encode()
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        request = urllib.request.Request(f"http://{self.address}{path}", data=data, headers=sent, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)
        except OSError:
            return 0, "", {}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


@pytest.fixture
def server(database_url: str, api: Api, tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path, database_url)
    yield found
    if found.process.poll() is None:
        found.stop()


def test_the_log_is_json_with_request_ids_and_without_secrets(server: Server, api: Api) -> None:
    key = f"Bearer {api.key}"
    sent: list[tuple[int, str]] = []

    def send(method: str, path: str, body: Any = None, **headers: str) -> None:
        status, text, answered = server.send(method, path, body, **headers)
        sent.append((status, answered.get("X-Request-Id", "")))
        assert not any(canary in text for canary in CANARIES), text

    send("POST", "/api/v1/users/apply", {"username": "mia", "password": CANARIES[0]}, Authorization=key)
    send("POST", "/api/v1/users/apply", {"username": "mia", "password": [CANARIES[0]]}, Authorization=key)
    imap = {"name": "Desk", "imap": {"password": CANARIES[1], "no_such": CANARIES[1]}}
    send("POST", "/api/v1/departments/apply", imap, Authorization=key)
    del imap["imap"]["no_such"]  # type: ignore[attr-defined]
    send("POST", "/api/v1/departments/apply", imap, Authorization=key)
    send("GET", f"/api/v1/labels?cursor={CANARIES[3]}", Authorization=key)
    send("GET", "/api/v1/labels", Authorization=f"Bearer dpk_000000000000_{CANARIES[2]}")
    send("GET", "/api/v1/labels", X_API_Key=api.key or "", X_Request_Id="my-own-id")
    assert [status for status, _request_id in sent] == [201, 422, 422, 201, 400, 401, 200]
    metrics = server.send("GET", "/api/v1/metrics", Authorization=key)[1]
    counted = sum(value for (name, _), value in _samples(metrics).items() if name == "deskplane_requests_total")
    assert counted >= len(sent), "the counts of both processes are answered by either"
    assert server.stop() == 0
    lines = server.log.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    requests = {entry["request_id"]: entry for entry in entries if entry.get("event") == "request"}
    for status, request_id in sent:
        assert requests[request_id]["status"] == status
    mine = requests["my-own-id"]
    assert (mine["path"], mine["user"], mine["address"]) == ("/api/v1/labels", "root", "127.0.0.1")
    assert [requests[sent[index][1]]["user"] for index in (0, 5)] == ["root", None]
    assert all({"timestamp", "level", "event"} <= set(entry) for entry in entries)
    whole = "\n".join(lines)
    for secret in (*CANARIES, SECRET, (api.key or "").split("_", 2)[2]):
        assert secret not in whole


def test_a_header_cannot_hold_a_line_break(server: Server) -> None:
    host, _, port = server.address.partition(":")

    def answer(header: bytes) -> bytes:
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            line = b"GET /api/v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            connection.sendall(line + header + b"\r\n\r\n")
            return connection.makefile("rb").read()

    assert answer(b"X-Request-Id: ab").startswith(b"HTTP/1.1 200")
    assert answer(b"X-Request-Id: a\rb").startswith(b"HTTP/1.1 400")
    assert answer(b"X-Request-Id: a\x00b").startswith(b"HTTP/1.1 400")
    folded = answer(b"X-Request-Id: a\r\n Set-Cookie: b=c")
    assert folded.startswith((b"HTTP/1.1 400", b"HTTP/1.1 200"))
    assert b"Set-Cookie" not in folded


@pytest.mark.provokes(500, "unexpected error", "Traceback", "status=500")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_error_of_our_own_is_told_without_what_was_sent(
    database_url: str, api: Api, tmp_path: Path, log_format: str
) -> None:
    server = Server(tmp_path, database_url, DESKPLANE_LOG_FORMAT=log_format)
    try:
        with api.desk.database.writing.begin() as connection:
            connection.execute(text("ALTER TABLE labels RENAME TO elsewhere"))
        status, answer, headers = server.send(
            "POST", "/api/v1/labels/apply", {"name": CANARIES[2]}, Authorization=f"Bearer {api.key}"
        )
    finally:
        with api.desk.database.writing.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO labels"))
        server.stop()
    problem = json.loads(answer)
    assert (status, headers["Content-Type"]) == (500, "application/problem+json")
    assert problem["request_id"] == headers["X-Request-Id"]
    assert "labels" not in problem["detail"], "nothing of what went wrong, nor of where"
    assert "Traceback" not in answer
    logged = server.log.read_text()
    assert "unexpected error" in logged
    assert problem["request_id"] in logged
    for secret in (CANARIES[2], SECRET, (api.key or "").split("_", 2)[2]):
        assert secret not in answer + logged
