# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's rulebook under the real ansible-rulebook, which needs Java: a ticket is opened, and a playbook runs."""

from __future__ import annotations

import base64
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from desk import free_port

CALLED = """\
- name: React to what the desk sends
  hosts: all
  sources:
    - name: The desk calls
      deskplane.helpdesk.tickets:
        mode: webhook
        host: 127.0.0.1
        port: "{{ port }}"
        path: /desk
        secrets: ["{{ webhook_secret }}"]
  rules:
    - name: A ticket that cannot wait was opened
      condition: event.event == "ticket_created" and event.priority == "critical"
      action:
        run_playbook:
          name: deskplane.helpdesk.triage
          extra_vars:
            ticket_number: "{{ event.ticket_number }}"
"""
INVENTORY = """\
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


class Rulebook:
    def __init__(self, desk, folder, state):
        self.desk = desk
        self.folder = folder
        self.log = folder / "rulebook.log"
        collections = folder / "ansible_collections" / "deskplane"
        collections.mkdir(parents=True)
        (collections / "helpdesk").symlink_to(ROOT)
        (folder / "inventory.yml").write_text(INVENTORY)
        (folder / "vars.yml").write_text("state_file: %s\n" % state)
        self.process = None

    def start(self, rulebook="deskplane.helpdesk.tickets"):
        programs = str(pathlib.Path(sys.executable).parent)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "DESKPLANE_"))}
        environ.update(
            PATH=programs + os.pathsep + os.environ["PATH"],
            HOME=str(self.folder),
            ANSIBLE_COLLECTIONS_PATH=str(self.folder),
            DESKPLANE_URL=self.desk.url + "/",
            DESKPLANE_API_KEY=self.desk.key,
        )
        command = ["ansible-rulebook", "--rulebook", str(rulebook), "--inventory", "inventory.yml"]
        command += ["--env-vars", "DESKPLANE_URL,DESKPLANE_API_KEY", "--vars", "vars.yml"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self):
        os.killpg(self.process.pid, 9)
        self.process.wait()

    def wait_for(self, what, seconds=120):
        until = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()[-4000:]
            time.sleep(0.2)


@pytest.fixture
def made(desk, state, tmp_path):
    """One that is not started yet."""
    found = Rulebook(desk, tmp_path / "eda", state)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.kill()


@pytest.fixture
def rulebook(made):
    made.start()
    return made


def test_a_ticket_sets_off_a_rule_and_its_playbook(desk, rulebook):
    def status(number):
        return desk.call("GET", "tickets/" + number)["status"]

    calm, urgent = desk.ticket("calm", priority="low"), desk.ticket("urgent", priority="critical")
    rulebook.wait_for(lambda: status(urgent) == "in_progress")
    messages = desk.call("GET", "tickets/%s/messages" % urgent)["items"]
    assert [message["body"] for message in messages] == ["Taken up by a rulebook."]
    assert status(calm) == "open"

    desk.call("PATCH", "tickets/" + calm, {"status": "closed"})
    rulebook.wait_for(lambda: "%s was closed: calm" % calm in rulebook.log.read_text())

    rulebook.kill()
    missed = desk.ticket("while nobody listened", priority="high")
    desk.again()
    rulebook.start()
    rulebook.wait_for(lambda: status(missed) == "in_progress")
    assert status(urgent) == "in_progress" and len(desk.call("GET", "tickets/%s/messages" % urgent)["items"]) == 1


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_desk_calls_a_rulebook_which_runs_its_playbook(desk, made):
    """The desk's own webhook, signed by it, delivered by its worker; nobody listens yet as the first ticket is opened."""
    port, secret = free_port(), "whsec_" + base64.b64encode(os.urandom(32)).decode()
    (made.folder / "called.yml").write_text(CALLED)
    (made.folder / "vars.yml").write_text("port: %d\nwebhook_secret: %s\n" % (port, secret))
    url = "http://127.0.0.1:%d/desk" % port
    hook = desk.call("POST", "webhooks/apply", {"name": "rulebook", "url": url, "secret": secret})["after"]["id"]
    deliveries = "webhooks/%s/deliveries" % hook
    try:
        numbers = [desk.ticket("before it listened", priority="critical")]
        made.start("called.yml")
        made.wait_for(lambda: listens(port))
        numbers.append(desk.ticket("as it listens", priority="critical"))
        calm = desk.ticket("calm", priority="low")
        # tried in vain, and due again in some minutes
        (missed,) = [one for one in desk.call("GET", deliveries)["items"] if one["ticket"] == numbers[0]]
        desk.call("POST", "%s/%s/redeliver" % (deliveries, missed["id"]))
        made.wait_for(lambda: all(desk.call("GET", "tickets/" + one)["status"] == "in_progress" for one in numbers))
        assert desk.call("GET", "tickets/" + calm)["status"] == "open"
        found = desk.call("GET", deliveries)["items"]
        assert {entry["ticket"] for entry in found if entry["state"] == "succeeded"} >= {*numbers, calm}
    finally:
        desk.call("DELETE", "webhooks/" + hook)
