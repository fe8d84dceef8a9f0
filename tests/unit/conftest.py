# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.deskplane.helpdesk.plugins.module_utils import desk as desk_module
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import perform
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import ScriptedServer

KEY = "dpk_test_0123456789abcdef"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No connection of another test, and waits that are counted in milliseconds."""
    monkeypatch.setattr(desk_module, "_desks", {})
    monkeypatch.setattr(desk_module, "WAITS_S", (0.01, 0.01, 0.01))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with ScriptedServer() as started:
        yield started


@pytest.fixture
def task(server):
    """Performs a task against the scripted server; options given as keywords."""

    def run(declaration, check_mode=False, diff_mode=False, environ=None, **options):
        raw = dict({"deskplane_url": server.url, "deskplane_api_key": KEY}, **options)
        return perform(declaration, raw, check_mode, diff_mode, environ if environ is not None else {})

    return run
