"""More callers than a process may have files open: everybody is answered, and the process lives."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from crash_servers import Server

from conftest import Api

FILES, CALLERS = 110, 300


@pytest.mark.only_on("sqlite")
def test_callers_who_stay_connected_take_no_files_from_those_who_come(
    api: Api, database_url: str, tmp_path: Path
) -> None:
    """With gunicorn's own bound of 1000 connections the process ends with the first one that it has no file for."""
    server = Server(database_url, tmp_path, workers=1, threads=2)
    server.start(["prlimit", f"--nofile={FILES}:{FILES}"])
    assert server.process is not None
    children = Path(f"/proc/{server.process.popen.pid}/task/{server.process.popen.pid}/children")
    before = children.read_text()
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    idle = []
    try:
        for number in range(CALLERS):
            caller = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            caller.request("POST", "/api/v1/tickets", f'{{"title": "caller {number}"}}', headers)
            answer = caller.getresponse()
            assert (answer.status, answer.read(1)) == (201, b"{")
            answer.read()
            idle.append(caller)
        assert children.read_text() == before, "it is the same process all the while"
        kept = sum(caller.sock is not None for caller in idle)
        assert 10 < kept < FILES, "whom there is room for stays connected"
    finally:
        for caller in idle:
            caller.close()
        server.kill()
    assert sum(api.call("GET", "/tickets/counts")["counts"].values()) == CALLERS
