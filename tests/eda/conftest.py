# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desks for the event source to listen to: real servers with a worker, to be stopped and started."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import signal
import sys
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "extensions" / "eda" / "plugins" / "event_source" / "tickets.py"
sys.path.insert(0, str(ROOT / "tools"))

from desk import Desk, free_port  # noqa: E402


def load():
    """The event source, as ansible-rulebook loads it: by its path."""
    spec = importlib.util.spec_from_file_location("tickets_source", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ADesk(Desk):
    """A desk to which tickets are written as a patient client does."""

    def settings(self):
        # what listens to its webhooks here is on this very machine
        return super().settings() + "webhook_networks: 127.0.0.0/8\n"

    def call(self, method, path, body=None, seconds=60):
        request = self.request("/api/v1/" + path)
        request.method = method
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        until = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                    return json.load(answer) if answer.status != 204 else None
            except urllib.error.HTTPError as error:
                if error.code < 500 or time.monotonic() > until:
                    raise
            except OSError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.1)

    def ticket(self, title, **fields):
        return self.call("POST", "tickets", dict(fields, title=title))["number"]

    def again(self):
        """End everything, and start it anew at the same address."""
        self.stop()
        self.open()

    def die(self):
        """As when the power fails: nothing of it, its children included, has time to end well."""
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def now(self):
        """The place in the feed behind everything that happened so far."""
        last, cursor = self.ticket("the last one before a test"), None
        until = time.monotonic() + 60
        while time.monotonic() < until:
            page = self.call("GET", "tickets/events" + ("?cursor=" + cursor if cursor else ""))
            cursor = page["next_cursor"]
            if last in [event["ticket_number"] for event in page["items"]]:
                return cursor
            time.sleep(0.05)
        raise AssertionError("the ticket %s is not in the feed: does the worker run?" % last)


@pytest.fixture(scope="session")
def shared_desk(tmp_path_factory):
    found = ADesk(tmp_path_factory.mktemp("shared") / "desk", free_port())
    try:
        found.open()
        yield found
    finally:
        found.stop()


@pytest.fixture
def desk(shared_desk):
    """A desk that runs; others may have used it before."""
    if not shared_desk.processes or any(process.poll() is not None for process in shared_desk.processes.values()):
        shared_desk.again()
    return shared_desk


@pytest.fixture
def state(desk, tmp_path):
    """A state file of a source that has read everything that happened before."""
    found = tmp_path / "state.json"
    found.write_text(json.dumps({"cursor": desk.now()}))
    return found


@pytest.fixture
def source():
    return load()
