# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one playbook again and again, and reads from the desk what its failures left there."""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import yaml

HOSTS = "shop-1,shop-2,shop-3,"
CANARY = re.compile(r"canary[\w.-]+")


class Runs:
    def __init__(self, config):
        self.desk = yaml.safe_load(pathlib.Path(config).read_text(encoding="utf-8"))

    def play(self, *arguments, playbooks=("deploy.yml",), hosts=HOSTS, trouble=(), code=0, warns=None, **variables):
        """Run the playbook, which must end with this code; answer how long it took."""
        usual = {
            "DESKPLANE_URL": self.desk["deskplane_url"],
            "DESKPLANE_API_KEY": self.desk["deskplane_api_key"],
            "ANSIBLE_CALLBACKS_ENABLED": "deskplane.helpdesk.incident",
            "ANSIBLE_NOCOLOR": "1",
            "SHOP_API_TOKEN": "canary-of-the-environment",
        }
        environ = {**os.environ, **usual, **variables}
        command = ["ansible-playbook", "-i", hosts, "-c", "local", *playbooks, "-e", json.dumps({"trouble": list(trouble)})]
        began = time.monotonic()
        done = subprocess.run(command + list(arguments), env=environ, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == code, "exit code %d instead of %d: %s" % (done.returncode, code, said)
        assert "Traceback" not in said, said
        warnings = said.count("deskplane.helpdesk.incident:")
        assert warnings == (1 if warns else 0), "%d warnings: %s" % (warnings, said)
        assert warns is None or re.search(warns, said), "no warning %r in: %s" % (warns, said)
        assert self.desk["deskplane_api_key"] not in said
        return took

    def get(self, path):
        request = urllib.request.Request(
            self.desk["deskplane_url"] + "/api/v1/" + path,
            headers={"Authorization": "Bearer " + self.desk["deskplane_api_key"]},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)

    def tickets(self, key):
        return self.get("tickets?" + urllib.parse.urlencode({"correlation_key": key, "sort": "created_at"}))["items"]

    def only(self, key, **expected):
        """The one ticket with this key, which must be as expected."""
        found = self.tickets(key)
        assert len(found) == 1, "%d tickets with the key %s" % (len(found), key)
        actual = {name: found[0][name] for name in expected}
        assert actual == expected, "%s is not %s" % (actual, expected)
        return found[0]

    def all_of(self, ticket):
        """Everything that the desk can show of a ticket, as text."""
        paths = ["tickets/" + ticket["number"]]
        paths += [paths[0] + "/history?limit=200", paths[0] + "/messages?limit=200"]
        return json.dumps([self.get(path) for path in paths])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def five_failures_make_one_ticket(runs, unique):
    key = "shop@%s" % unique
    set_key = {"DESKPLANE_INCIDENT_CORRELATION_KEY": key}
    for _run in range(5):
        runs.play(trouble=["failed", "rescued", "ignored"], code=2, **set_key)
    ticket = runs.only(key, status="open", occurrences=5, type="incident", priority="high", source="ansible")
    assert "Hosts that failed: 2 (shop-1, shop-2)" in ticket["description"], ticket["description"]
    assert "No login with ********" in ticket["description"], ticket["description"]
    assert not CANARY.search(runs.all_of(ticket)), CANARY.findall(runs.all_of(ticket))

    # Green, but not the whole of it.
    for partly in (["--check"], ["--limit", "shop-1"], ["--tags", "part"], ["--skip-tags", "other"]):
        runs.play(*partly, **set_key)
        runs.only(key, status="open", occurrences=5)
    runs.play("--start-at-task", "End well", **set_key)
    runs.play(hosts=os.devnull, **set_key)
    runs.play(DESKPLANE_INCIDENT_RESOLVE="false", **set_key)
    runs.only(key, status="open", occurrences=5)

    # What is rescued and what is ignored did not fail.
    runs.play(trouble=["rescued", "ignored"], **set_key)
    runs.only(key, status="resolved", occurrences=5)
    runs.play(**set_key)
    runs.only(key, status="resolved", occurrences=5, reopened_count=0)

    runs.play(trouble=["failed"], code=2, **set_key)
    runs.only(key, status="open", occurrences=6, reopened_count=1)


def unreachable_hosts_have_failed(runs, unique):
    key = "away@%s" % unique
    runs.play(trouble=["unreachable"], code=4, DESKPLANE_INCIDENT_CORRELATION_KEY=key, DESKPLANE_INCIDENT_ON_REPEAT="comment")
    ticket = runs.only(key, status="open", occurrences=1)
    assert "unreachable at" in ticket["description"], ticket["description"]


def what_is_hidden_stays_hidden(runs, unique):
    key = "hidden@%s" % unique
    for trouble in ("hidden", "hidden_item"):
        runs.play(trouble=[trouble], code=2, DESKPLANE_INCIDENT_CORRELATION_KEY=key, DESKPLANE_INCIDENT_ON_REPEAT="comment")
    ticket = runs.only(key, status="open", occurrences=1)
    shown = runs.all_of(ticket)
    assert "the task has no_log" in shown and "Fail in secret for one item" in shown, shown
    assert not CANARY.search(shown), CANARY.findall(shown)


def a_check_opens_nothing(runs, unique):
    key = "check@%s" % unique
    runs.play("--check", trouble=["failed"], code=2, DESKPLANE_INCIDENT_CORRELATION_KEY=key)
    assert not runs.tickets(key)


def awx_names_the_template(runs, unique):
    number = str(int(unique, 16))
    runs.play("-e", json.dumps({"awx_job_template_id": int(number), "awx_job_id": 7}), trouble=["failed"], code=2)
    runs.only("awx/job-template/" + number, status="open")
    runs.play("-e", json.dumps({"tower_job_template_id": int(number)}))
    runs.only("awx/job-template/" + number, status="resolved")


def without_awx_it_is_project_playbook_and_inventory(runs, unique):
    runs.play(trouble=["failed"], code=2, DESKPLANE_INCIDENT_PROJECT=unique)
    runs.only("ansible/%s/%s@%s" % (unique, _path_of_playbook(), HOSTS.strip(",")), status="open")


def _path_of_playbook(name="deploy.yml"):
    here = pathlib.Path(name).resolve()
    for folder in here.parents:
        if any((folder / mark).exists() for mark in (".git", "ansible.cfg", "galaxy.yml", "MANIFEST.json")):
            return here.relative_to(folder)
    return here.name


def two_playbooks_of_one_command_are_two_runs(runs, unique):
    runs.play(
        playbooks=["deploy.yml", "deploy_more.yml"],
        trouble=["failed", "cleared"],
        DESKPLANE_INCIDENT_CORRELATION_KEY="{playbook}@" + unique,
    )
    runs.only("%s@%s" % (_path_of_playbook(), unique), status="open")
    assert not runs.tickets("%s@%s" % (_path_of_playbook("deploy_more.yml"), unique))


def no_desk_changes_no_outcome(runs, unique):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bad = {
            "refused the connection": {"DESKPLANE_URL": "http://127.0.0.1:%d" % free_port()},
            "did not answer within 2 s": {
                "DESKPLANE_URL": "http://127.0.0.1:%d" % silent.getsockname()[1],
                "DESKPLANE_INCIDENT_TIME_LIMIT": "2",
            },
            "does not accept the key": {"DESKPLANE_API_KEY": "dpk_000000000000_canary"},
            "Nobody Ltd": {"DESKPLANE_INCIDENT_CUSTOMER": "Nobody Ltd"},
            "is not set": {"DESKPLANE_URL": ""},
            "is not an address": {"DESKPLANE_URL": "desk"},
        }
        for warning, variables in bad.items():
            for trouble, code in ((["failed"], 2), ([], 0)):
                runs.play(trouble=trouble, code=code, warns=warning, **variables)
    assert runs.play(trouble=["failed"], code=2, warns="refused", **bad["refused the connection"]) < 30


def main():
    runs = Runs(sys.argv[1])
    unique = os.urandom(4).hex()
    for trial in (
        five_failures_make_one_ticket,
        unreachable_hosts_have_failed,
        what_is_hidden_stays_hidden,
        a_check_opens_nothing,
        awx_names_the_template,
        without_awx_it_is_project_playbook_and_inventory,
        two_playbooks_of_one_command_are_two_runs,
        no_desk_changes_no_outcome,
    ):
        print(trial.__name__.replace("_", " "), flush=True)
        trial(runs, unique)


if __name__ == "__main__":
    main()
