# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one playbook again and again, and reads from the desk what its failures left there."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
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
        command = self.command(playbooks, hosts, trouble)
        began = time.monotonic()
        done = subprocess.run(
            command + list(arguments), env=self.environ(variables), capture_output=True, text=True, check=False
        )
        took = time.monotonic() - began
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == code, "exit code %d instead of %d: %s" % (done.returncode, code, said)
        assert "Traceback" not in said, said
        warnings = said.count("deskplane.helpdesk.incident:")
        assert warnings == (1 if warns else 0), "%d warnings: %s" % (warnings, said)
        assert warns is None or re.search(warns, said), "no warning %r in: %s" % (warns, said)
        assert self.desk["deskplane_api_key"] not in said
        return took

    def command(self, playbooks, hosts, trouble):
        return ["ansible-playbook", "-i", hosts, "-c", "local", *playbooks, "-e", json.dumps({"trouble": list(trouble)})]

    def environ(self, variables):
        usual = {
            "DESKPLANE_URL": self.desk["deskplane_url"],
            "DESKPLANE_API_KEY": self.desk["deskplane_api_key"],
            "ANSIBLE_CALLBACKS_ENABLED": "deskplane.helpdesk.incident",
            "ANSIBLE_NOCOLOR": "1",
            "SHOP_API_TOKEN": "canary-of-the-environment",
        }
        environ = {**os.environ, **usual, **variables}
        return {name: value for name, value in environ.items() if value is not None}

    def killed(self, sign, **variables):
        """Send a signal to a run that has failed on some hosts and is busy on others; answer how it ended."""
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                self.command(["deploy.yml"], HOSTS, ["failed", "endless"]),
                env=dict(self.environ(variables), PYTHONUNBUFFERED="1"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                # Shells let what they start in the background ignore Ctrl-C, and whoever is started inherits that.
                preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )
            said, until = "", time.monotonic() + 60
            while "TASK [Take long]" not in said:
                assert process.poll() is None and time.monotonic() < until, said
                time.sleep(0.1)
                output.seek(0)
                said = output.read()
            # Ansible starts what does the task only after it has said so, and a signal just then is another matter.
            time.sleep(1)
            os.killpg(process.pid, sign)
            code = process.wait(30)
            output.seek(0)
            said = output.read()
        assert "Done." not in said and "deskplane.helpdesk.incident" not in said, said
        return code

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


PROBLEM = json.dumps({"type": "about:blank", "title": "Broken", "status": 500, "detail": "It broke.", "request_id": "r1"}).encode()
# What a desk that is not well sends, what the plugin says to that, and within how many seconds.
SICK = {
    "an HTML page": [b"HTTP/1.1 500 Broken\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"],
    "It broke": [b"HTTP/1.1 500 Broken\r\nDeskplane-Version: 0.1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(PROBLEM), PROBLEM)],
    "HTTP 503": [b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"],
    "no JSON": [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"],
    "does not speak HTTP": [b"SSH-2.0-OpenSSH_9.2\r\n"],
    # Each byte is in time, the whole is not.
    "did not answer within 2 s": [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"] + [b" "] * 100,
}


@contextlib.contextmanager
def sick_desk(answer):
    """The address of something that sends these bytes, half a second apart, to whoever asks."""

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            for part in answer:
                connection.sendall(part)
                time.sleep(0.5 if len(answer) > 1 else 0)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield "http://127.0.0.1:%d" % listener.getsockname()[1]


def no_sick_desk_changes_an_outcome(runs, unique):
    for warning, answer in SICK.items():
        with sick_desk(answer) as url:
            for trouble, code in ((["failed"], 2), ([], 0)):
                runs.play(trouble=trouble, code=code, warns=warning, DESKPLANE_URL=url, DESKPLANE_INCIDENT_TIME_LIMIT="2")


def a_killed_run_ends_as_it_would_and_opens_nothing(runs, unique):
    key = "killed@%s" % unique
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        without = runs.killed(sign, ANSIBLE_CALLBACKS_ENABLED=None)
        assert runs.killed(sign, DESKPLANE_INCIDENT_CORRELATION_KEY=key) == without != 0
    assert not runs.tickets(key)
    # Nothing is left behind that would keep the next run from counting.
    runs.play(trouble=["failed"], code=2, DESKPLANE_INCIDENT_CORRELATION_KEY=key)
    runs.only(key, status="open", occurrences=1)


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
        no_sick_desk_changes_an_outcome,
        a_killed_run_ends_as_it_would_and_opens_nothing,
    ):
        print(trial.__name__.replace("_", " "), flush=True)
        trial(runs, unique)


if __name__ == "__main__":
    main()
