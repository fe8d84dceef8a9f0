"""What a task of the collection costs, beside a module that does nothing at all.

Runs ansible-playbook on playbooks made here: 50 tasks, or one task with a loop of 200 items, every one of them finding
its object as it should be (that is what a playbook mostly does). The start of ansible-playbook, measured with an empty
play, is subtracted. All kinds take turns, forwards and backwards; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figures import HEAD, Row, summary
from servers import HERE, BenchmarkError, Desk, Server

REPOSITORY = HERE.parents[1]
TASKS, ITEMS, FEW = 50, 200, 20

NOOP = """#!/usr/bin/python
# The least that a module can be: it takes nothing, does nothing, and says that nothing changed.
from ansible.module_utils.basic import AnsibleModule

AnsibleModule(argument_spec={}, supports_check_mode=True).exit_json(changed=False)
"""

POLICY = """deskplane.helpdesk.sla_policy:
        name: bench-{n}
        response_minutes: 30
        resolution_minutes: 240
        priorities: [critical]"""
LABEL = """deskplane.helpdesk.label:
        name: bench-{n}
        color: "#ff8800" """
TICKET = """deskplane.helpdesk.ticket:
        title: Deployment failed on bench-{n}
        correlation_key: bench-{n}
        priority: high"""
TICKET_INFO = """deskplane.helpdesk.ticket_info:
        number: TKT-000001"""


@dataclass(frozen=True)
class Kind:
    what: str
    task: str
    count: int
    loop: bool = False

    def playbook(self) -> str:
        head = "- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n"
        if self.loop:
            task = self.task.format(n="{{ item % 10 }}")
            return head + f'    - {task}\n      loop: "{{{{ range({self.count}) | list }}}}"\n'
        # ten objects in turn: a session or a look-up kept from the task before must not be the whole story
        return head + "".join(f"    - {self.task.format(n=n % 10)}\n" for n in range(self.count))


EMPTY = Kind("empty play", "meta: noop", 1)
NOOP_TASK = Kind("no-op module", "noop:", TASKS)
NOOP_LOOP = Kind("no-op module, loop item", "noop:", FEW, loop=True)
TASK_KINDS = [
    Kind("sla_policy, unchanged", POLICY, TASKS),
    Kind("label, unchanged", LABEL, TASKS),
    Kind("ticket, unchanged", TICKET, TASKS),
    Kind("ticket_info", TICKET_INFO, TASKS),
]
LOOP_KINDS = [
    Kind("sla_policy, loop item", POLICY, ITEMS, loop=True),
    Kind("label, loop item", LABEL, ITEMS, loop=True),
    Kind("ticket, loop item", TICKET, ITEMS, loop=True),
]
OTHERS = [EMPTY, NOOP_TASK, Kind("ansible.builtin.ping", "ansible.builtin.ping:", FEW), NOOP_LOOP]


def ansible_playbook() -> str:
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if beside.exists() else shutil.which("ansible-playbook")
    if not found:
        raise BenchmarkError("ansible-playbook is not installed: pip install ansible-core")
    return found


class Controller:
    """A directory with the collection, the no-op module and one playbook a kind."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.directory = directory / "ansible"
        namespace = self.directory / "collections/ansible_collections/deskplane"
        namespace.mkdir(parents=True)
        namespace.joinpath("helpdesk").symlink_to(REPOSITORY)
        library = self.directory / "library"
        library.mkdir()
        library.joinpath("noop.py").write_text(NOOP)
        configuration = self.directory / "ansible.cfg"
        configuration.write_text("[defaults]\n")  # so that nobody's own settings take part
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "DESKPLANE_"))},
            "ANSIBLE_HOME": str(self.directory / "home"),
            "ANSIBLE_CONFIG": str(configuration),
            "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
            "ANSIBLE_LIBRARY": str(library),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "1",
            "DESKPLANE_URL": f"http://127.0.0.1:{server.port}",
            "DESKPLANE_API_KEY": server.key,
        }

    def run(self, kind: Kind, *, settle: bool = False) -> tuple[float, float]:
        """Seconds on the clock and of the processor; settle allows changes (the run that makes the objects)."""
        playbook = self.directory / (re.sub(r"\W+", "_", kind.what) + ".yml")
        playbook.write_text(kind.playbook())
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [ansible_playbook(), str(playbook)], env=self.environment, capture_output=True, text=True, check=False
        )
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        recap = re.search(r"localhost\s*: ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=0", done.stdout)
        if done.returncode or (kind is not EMPTY and not recap):
            said = [line for line in (done.stdout + done.stderr).splitlines() if re.search("fatal|error", line, re.I)]
            raise BenchmarkError(f"{kind.what}: {said[0][:400] if said else done.stdout[-400:]}")
        if recap and not settle and (int(recap[1]), int(recap[2])) != (1 if kind.loop else kind.count, 0):
            raise BenchmarkError(f"{kind.what}: every task should be ok without a change: {recap[0]}")
        return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(server: Server, directory: Path, rounds: int) -> Iterator[Row]:
    controller = Controller(server, directory)
    kinds = [*OTHERS, *TASK_KINDS, *LOOP_KINDS]
    for kind in (EMPTY, *TASK_KINDS, *LOOP_KINDS):
        controller.run(kind, settle=True)
    walls: dict[str, list[float]] = {kind.what: [] for kind in kinds}
    processor: dict[str, list[float]] = {kind.what: [] for kind in kinds}
    for turn in range(rounds):
        took: dict[str, tuple[float, float]] = {}
        for kind in kinds if turn % 2 == 0 else reversed(kinds):
            took[kind.what] = controller.run(kind)
        for kind in kinds:
            for values, which in ((walls, 0), (processor, 1)):
                values[kind.what].append((took[kind.what][which] - took[EMPTY.what][which]) / kind.count * 1000)

    def detail(kind: Kind) -> str:
        middle, cpu = statistics.median(walls[kind.what]), statistics.median(processor[kind.what])
        return f"{middle:.1f} ms, {cpu:.1f} ms of the controller's processor"

    for kind in OTHERS[1:]:
        wall = walls[kind.what]
        yield Row(f"ansible: {kind.what}", statistics.median(wall), " ms", detail=detail(kind), rounds=wall)
    for kind in TASK_KINDS:
        ratios = [ours / noop for ours, noop in zip(walls[kind.what], walls[NOOP_TASK.what], strict=True)]
        what = f"ansible: {kind.what} / no-op module"
        yield Row(what, statistics.median(ratios), at_most=0.3, detail=detail(kind), rounds=ratios)
    for kind in LOOP_KINDS:
        wall = walls[kind.what]
        yield Row(f"ansible: {kind.what}", statistics.median(wall), " ms", at_most=15, detail=detail(kind), rounds=wall)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="deskplane-bench-") as name:
        directory = Path(name)
        server: Server | None = None
        try:
            desk = Desk(directory / "desk")
            server = desk.start(2, 4, desk.prepare())
            server.wait()
            server.ask("POST", "/api/v1/tickets", {"title": "One to read"})
            print(HEAD)
            for row in measure(server, directory, options.rounds):
                rows.append(row)
                print(row, flush=True)
            print(summary(rows))
        except BenchmarkError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
        finally:
            if server:
                server.stop()
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
