# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's rulebook under the real ansible-rulebook, which needs Java: a ticket is opened, and a playbook runs."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import pytest
from conftest import ROOT

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

    def start(self):
        programs = str(pathlib.Path(sys.executable).parent)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "DESKPLANE_"))}
        environ.update(
            PATH=programs + os.pathsep + os.environ["PATH"],
            HOME=str(self.folder),
            ANSIBLE_COLLECTIONS_PATH=str(self.folder),
            DESKPLANE_URL=self.desk.url + "/",
            DESKPLANE_API_KEY=self.desk.key,
        )
        command = ["ansible-rulebook", "--rulebook", "deskplane.helpdesk.tickets", "--inventory", "inventory.yml"]
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
def rulebook(desk, state, tmp_path):
    found = Rulebook(desk, tmp_path / "eda", state)
    found.start()
    yield found
    if found.process.poll() is None:
        found.kill()


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
