# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a task runs, and with which environment. Ansible's side is stood in for; the engine is the real one."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible_collections.deskplane.helpdesk.plugins.action.ticket import ActionModule

KEY = "dpk_test_0123456789abcdef"


@pytest.fixture
def action(server):
    """The action plugin of a task for a host that cannot be reached."""

    def make(transport="ssh", environment=None, delegate_to=None, async_val=0, check_mode=False, **options):
        given = dict({"deskplane_url": server.url, "deskplane_api_key": KEY, "title": "Disk full"}, **options)
        task = MagicMock(
            args={name: value for name, value in given.items() if value is not None},
            action="deskplane.helpdesk.ticket",
            resolved_action="deskplane.helpdesk.ticket",
            environment=environment,
            delegate_to=delegate_to,
            async_val=async_val,
            check_mode=check_mode,
            diff=False,
        )
        connection = MagicMock(transport=transport)
        templar = MagicMock()
        templar.template.side_effect = lambda value: value
        made = ActionModule(task, connection, MagicMock(), MagicMock(), templar, MagicMock())
        made._execute_module = MagicMock(return_value={"changed": True, "ran": "there"})
        return made

    return make


def test_the_task_runs_in_the_controller_whatever_the_hosts_connection_is(server, action):
    made = action(transport="ssh")
    assert made.run(task_vars={})["changed"]
    made._execute_module.assert_not_called()
    assert server.requests[0].body["title"] == "Disk full"


def test_check_mode_reaches_the_desk(server, action):
    action(check_mode=True).run(task_vars={})
    assert "dry_run=true" in server.requests[0].target


def test_delegated_to_the_controller_it_stays_there(action):
    made = action(transport="local", delegate_to="localhost")
    assert made.run(task_vars={})["changed"]
    made._execute_module.assert_not_called()


def test_delegated_elsewhere_the_module_runs_there_with_the_controllers_connection_options(server, action, monkeypatch):
    monkeypatch.setenv("DESKPLANE_API_KEY", "dpk_environment_key")
    made = action(transport="ssh", delegate_to="bastion", deskplane_api_key=None)
    assert made.run(task_vars={"a": 1})["ran"] == "there"
    made._execute_module.assert_called_once_with(
        module_name="deskplane.helpdesk.ticket",
        module_args={"deskplane_url": server.url, "deskplane_api_key": "dpk_environment_key", "title": "Disk full"},
        task_vars={"a": 1},
    )
    assert not server.requests


def test_async_is_refused_in_words(server, action):
    result = action(async_val=60).run(task_vars={})
    assert result["failed"] and "deskplane.helpdesk.ticket cannot run with async" in result["msg"]
    assert not server.requests


def test_the_tasks_environment_wins_over_the_controllers(server, action, monkeypatch):
    monkeypatch.setenv("DESKPLANE_API_KEY", "dpk_controller_key")
    environment = [{"DESKPLANE_API_KEY": "dpk_play_key"}, {"DESKPLANE_API_KEY": "dpk_task_key"}]
    assert not action(environment=environment, deskplane_api_key=None).run(task_vars={}).get("failed")
    assert server.requests[0].headers["authorization"] == "Bearer dpk_task_key"


def test_a_proxy_of_the_tasks_environment_is_used(server, action):
    environment = [{"http_proxy": server.url}]
    action(environment=environment, deskplane_url="http://desk.invalid").run(task_vars={})
    assert server.requests[0].target == "http://desk.invalid/api/v1/tickets/apply"
