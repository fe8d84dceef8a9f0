"""Upgrades a machine by the role `server` again and again, each time killed at another task (SIGKILL), and sees that
one more run ends in a working server of the wanted version with the data that was there, and the run after changes
nothing.

Each round upgrades to the next made-up version of the binary, which brings a migration of its own; so no round needs
the machine to be put back. By default a run is killed before every task that it has; with --seconds it is killed so
long after the task began, while it does what it does. With --states only tasks right behind one that may have touched
the machine count: what a run that was killed leaves behind is the same up to the next of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made_up_version
from toolchain import ROOT, ToolError, say

PLAYBOOK = """\
- name: A server
  hosts: all
  roles:
    - role: deskplane.helpdesk.server
"""
LOOK = r"""
import glob, hashlib, json, sqlite3, time, urllib.request
key = open(glob.glob("/etc/deskplane/keys/*")[0]).read().strip()
def get(path):
    request = urllib.request.Request("http://127.0.0.1:8080" + path, headers={"Authorization": "Bearer " + key})
    return json.load(urllib.request.urlopen(request, timeout=20))
# What runs anew with every start, what is worked out from the rest, and what the made-up versions bring.
moving = {"outbox", "schedules", "workers", "revisions", "alembic_version", "idempotency_keys", "ticket_sla_counts"}
# Backups leave these out; and the audit log says itself that one was restored.
moving |= {"login_sessions", "pending_logins", "login_tokens", "rate_counts", "schema_floor", "audit_entries"}
def rows():
    database = sqlite3.connect("file:/var/lib/deskplane/deskplane.db?mode=ro", uri=True)
    found = {}
    for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        if name in moving or name.startswith(("made_up_", "sqlite_", "ticket_search")):
            continue
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{name}")') if row[1] != "last_used_at"]
        content = database.execute("SELECT " + ", ".join(f'"{c}"' for c in columns) + f' FROM "{name}"').fetchall()
        found[name] = [len(content), hashlib.sha256(repr(sorted(map(repr, content))).encode()).hexdigest()]
    database.close()
    return found
before = rows()
while (after := rows()) != before or get("/readyz")["outbox"]:
    before = after
    time.sleep(1)
export = get("/api/v1/configuration")
print(json.dumps({
    "version": get("/api/v1/version")["version"],
    "ready": get("/readyz")["status"],
    "export": hashlib.sha256(json.dumps(export, sort_keys=True).encode()).hexdigest(),
    "rows": after,
}))
"""


@dataclass(frozen=True)
class Run:
    """What became of a run of the playbook."""

    code: int
    said: str
    tasks: list[tuple[int, str, str]]

    @property
    def changed(self) -> int:
        found = re.search(r"changed=(\d+)", self.said)
        return int(found[1]) if found else -1


@dataclass
class Machine:
    """A machine in an inventory of its own, and the command that runs others on it, such as `podman exec -i NAME`."""

    inventory: Path
    shell: list[str]
    binary: Path
    work: Path
    ansible: str
    number: int = 0

    def version(self, number: int) -> Path:
        """The made-up version of a number; each knows one migration more than the one before."""
        target = self.work / f"deskplane-1.{number}.0.pyz"
        if not target.exists():
            made_up_version.make(self.binary, target, f"1.{number}.0", number, "")
        return target

    def play(self, kill_at: int = 0, seconds: float = 0) -> Run:
        """Runs the role with the version of now. Raises nothing: a run that was killed has a code, too."""
        log = self.work / "tasks.log"
        log.unlink(missing_ok=True)
        playbook = self.work / "server.yml"
        playbook.write_text(PLAYBOOK)
        given = {"server_binary": str(self.version(self.number)), "server_keep_versions": 1}
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(self.work / "collections"),
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tools" / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "kill_at",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            "KILL_AT_LOG": str(log),
            "KILL_AT_TASK": str(kill_at),
            "KILL_AT_SECONDS": str(seconds),
        }
        done = subprocess.run(
            [self.ansible, "-i", str(self.inventory), str(playbook), "-e", json.dumps(given)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            check=False,
        )
        lines = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
        return Run(done.returncode, done.stdout, [(int(number), word, name) for number, word, name in lines])

    def must(self) -> Run:
        done = self.play()
        if done.code:
            raise ToolError(f"the role failed:\n{done.said[-4000:]}")
        return done

    def call(self, command: list[str], text: str = "") -> str:
        done = subprocess.run([*self.shell, *command], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"{shlex.join(command)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def look(self) -> dict[str, Any]:
        """Version, readiness, and what the desk holds: its export, and each table's rows."""
        found: dict[str, Any] = json.loads(self.call(["python3", "-"], LOOK))
        return found


def require(that: bool, message: str) -> None:
    if not that:
        raise ToolError(message)


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    tables = {*before["rows"], *after["rows"]}
    found = [
        f"{name}: {before['rows'].get(name)} {after['rows'].get(name)}"
        for name in sorted(tables)
        if before["rows"].get(name) != after["rows"].get(name)
    ]
    return found + (["the export"] if before["export"] != after["export"] else [])


def places(run: Run, states: bool) -> list[tuple[int, str]]:
    """Where to kill: the numbers and names of tasks."""
    began = [(number, name) for number, word, name in run.tasks if word == "began"]
    touched = {number for number, word, _name in run.tasks if word == "touched"}
    return [(number, name) for number, name in began if not states or number - 1 in touched]


def round_of(machine: Machine, before: dict[str, Any], number: int, name: str, seconds: float) -> str:
    """One upgrade that is killed at a task, and what follows. Raises ToolError where it does not end well."""
    machine.number += 1
    killed = machine.play(kill_at=number, seconds=seconds)
    where = f"killed {f'{seconds} s into' if seconds else 'before'} task {number}, {name!r}"
    require(killed.code != 0 or bool(seconds), f"{where}: it was not killed")
    again = machine.play()
    require(again.code == 0, f"{where}: the next run failed:\n{again.said[-4000:]}")
    after = machine.look()
    require(after["version"] == f"1.{machine.number}.0", f"{where}: the version is {after['version']}")
    require(after["ready"] == "ok", f"{where}: it is not ready")
    found = differences(before, after)
    require(not found, f"{where}: other data than before: {'; '.join(found)}")
    third = machine.play()
    require(third.code == 0 and third.changed == 0, f"{where}: the run after changed something:\n{third.said[-4000:]}")
    return where


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path, help="the binary that the versions are made of")
    parser.add_argument("--inventory", type=Path, required=True, help="inventory with one machine, which is used up")
    parser.add_argument("--shell", required=True, help="runs commands there: 'podman exec -i NAME', 'ssh NAME'")
    parser.add_argument("--ansible", default="ansible-playbook", help="the program ansible-playbook")
    parser.add_argument("--seconds", type=float, default=0, help="kill so long after the task began, not before it")
    parser.add_argument("--states", action="store_true", help="only behind tasks that may have touched the machine")
    parser.add_argument("--number", type=int, default=0, help="number of the first version: of a machine used before")
    parser.add_argument("--match", default="", help="only at tasks whose name holds this regular expression")
    parser.add_argument(
        "--from", type=int, default=1, dest="first", metavar="N", help="only from the task of this number on"
    )
    parser.add_argument("--to", type=int, default=10_000, dest="last", metavar="N", help="and only up to this one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deskplane-kill-") as folder:
        work = Path(folder)
        (work / "collections" / "ansible_collections" / "deskplane").mkdir(parents=True)
        (work / "collections" / "ansible_collections" / "deskplane" / "helpdesk").symlink_to(ROOT)
        shell = shlex.split(options.shell)
        machine = Machine(
            options.inventory.resolve(), shell, options.binary.resolve(), work, options.ansible, options.number
        )
        try:
            machine.must()
            machine.call(["deskplane", "seed", "--tickets", "50", "--yes"])
            before = machine.look()
            machine.number += 1
            whole = machine.must()
            found = differences(before, machine.look())
            require(not found, f"an upgrade that nobody kills changes data: {'; '.join(found)}")
            chosen = [
                (number, name)
                for number, name in places(whole, options.states)
                if options.first <= number <= options.last and re.search(options.match, name)
            ]
            say(f"{max(number for number, _word, _name in whole.tasks)} tasks; killing at {len(chosen)} of them")
            for number, name in chosen:
                began = time.monotonic()
                where = round_of(machine, before, number, name, options.seconds)
                say(f"{where}: well, {time.monotonic() - began:.0f} s")
        except ToolError as error:
            print(f"kill_upgrades: {error}", file=sys.stderr)
            return 1
    say(f"{len(chosen)} upgrades were killed, and each ended well after one more run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
