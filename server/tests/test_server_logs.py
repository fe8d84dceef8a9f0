"""The watch over servers' logs finds what it is there for: else no test would ever fail by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

import server_logs
from conftest import Api
from deskplane.kernel.http import Endpoint
from deskplane.kernel.operation import Call, Reply
from deskplane.kernel.problem import busy


def _broken(_call: Call) -> Reply:
    raise RuntimeError("nobody has thought of this")


def _busy(_call: Call) -> Reply:
    raise busy()


@pytest.fixture
def labels(app: Flask, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The list of labels runs another view."""
    endpoint = app.view_functions["list_labels"]
    assert isinstance(endpoint, Endpoint)
    monkeypatch.setattr(endpoint, "operation", replace(endpoint.operation, view=request.param))


@pytest.mark.parametrize("labels", [_broken], indirect=True)
def test_an_operation_that_raises_fails_the_test_that_asked_for_it(api: Api, labels: None) -> None:
    assert api.request("GET", "/labels").status_code == 500
    found = server_logs.faults()
    for allowed in ((), (503,), (500,), ("unexpected error",)):
        assert server_logs.beyond(found, allowed), allowed
    assert any("nobody has thought of this" in fault for fault in found)
    assert server_logs.beyond(found, (500, "unexpected error")) == []


@pytest.mark.parametrize("labels", [_busy], indirect=True)
def test_an_answer_of_503_does_so_too_and_is_logged_where_only_warnings_are(api: Api, labels: None) -> None:
    assert api.request("GET", "/labels").status_code == 503
    with pytest.raises(AssertionError, match="answered 503: GET /api/v1/labels"):
        server_logs.require_none()
    api.request("GET", "/labels")
    server_logs.require_none((503,))


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "request", "method": "GET", "path": "/x", "status": 500, "level": "warning"}',
        '{"event": "worker could not work", "level": "error"}',
        "Traceback (most recent call last):",
        "2026-03-02T09:00:00Z [error    ] unexpected error",
        "2026-03-02T09:00:00Z [warning  ] request    method=GET path=/x status=503",
    ],
)
def test_the_log_of_a_process_is_read_in_both_of_its_forms(tmp_path: Path, line: str) -> None:
    log = tmp_path / "server.log"
    harmless = '{"event": "request", "status": 404, "level": "info"}\n[info     ] request status=201\n'
    log.write_text(harmless)
    server_logs.watched(log)
    server_logs.require_none()
    log.write_text(f"{harmless}{line}\n")
    server_logs.watched(log)
    with pytest.raises(AssertionError, match=r"server\.log"):
        server_logs.require_none()
