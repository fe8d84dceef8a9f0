# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as it runs on another host: what it says, and what it writes into that host's log."""

from __future__ import annotations

import inspect
import json

import pytest
from ansible.module_utils import basic
from ansible_collections.deskplane.helpdesk.plugins.module_utils import module
from ansible_collections.deskplane.helpdesk.plugins.modules.configuration import DECLARATION
from ansible_collections.deskplane.helpdesk.tests.unit.conftest import KEY
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import answer, problem

CANARY = "correct-horse-canary-staple"
# Newer versions of Ansible tell a module's arguments only where the controller asks for them, as it does with -vvv.
ASKED = {name: True for name in ("_ansible_inject_invocation",) if name in inspect.getsource(basic)}


@pytest.fixture
def elsewhere(server, monkeypatch, capsys):
    """Runs the module configuration with these options; returns its result, and what it logged."""
    logged = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda self, msg, log_args=None: logged.append("%s %s" % (msg, log_args)))
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)

    def run(**options):
        given = dict({"deskplane_url": server.url, "deskplane_api_key": KEY}, **ASKED, **options)
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        with pytest.raises(SystemExit):
            module.run(DECLARATION)
        return json.loads(capsys.readouterr().out), "".join(logged)

    return run


@pytest.mark.parametrize("status", [200, 422, None])
def test_secrets_are_neither_in_the_result_nor_in_the_hosts_log(server, elsewhere, status):
    server.script = [answer(200, {"changed": False, "changes": []}) if status == 200 else problem(422, "no")]
    document = {"departments": [{"name": "a", "imap": {"password": CANARY}}]}
    # Ansible itself refuses what is no number, before anything of ours has run.
    options = {} if status else {"max_deletions": "many"}
    result, logged = elsewhere(configuration=document, secrets={"ref": "another-canary"}, **options)
    assert bool(result.get("failed")) is (status != 200)
    assert "canary" not in json.dumps(result) and "canary" not in logged
    assert KEY not in json.dumps(result) and KEY not in logged
    assert result["invocation"]["module_args"]["configuration"].startswith("VALUE_SPECIFIED")
    assert len(server.requests) == (1 if status else 0)
    if status:
        assert "deskplane_url=%s" % server.url in logged or server.url in logged
        assert server.requests[0].body["configuration"] == document
