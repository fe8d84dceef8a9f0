"""What a whole desk costs in Ansible: a loop of module tasks, beside one task `configuration` that reads files.

Runs ansible-playbook on a playbook made here, in which both make the same objects of nothing and then find them as they
should be. A task's time is from its start to its result, as ansible-playbook itself sees them. What the task adds
around its request is what remains once the same request, made directly right after, is subtracted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_costs import Controller, Kind
from figures import HEAD, Row, summary
from servers import BenchmarkError, Desk, Server

SIZES = (100, 1_000)
FILES = 10
TASKS = 5
APPLY = "/api/v1/configuration/apply"

TIMES = """# Writes how long each task took and whether it changed something, by its name.
import json
import os
import time

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_NAME = "times"

    def v2_playbook_on_start(self, playbook):
        self.seen = {}

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.started = time.perf_counter()

    def v2_runner_on_ok(self, result):
        self.seen[result.task_name] = time.perf_counter() - self.started, result.is_changed()

    def v2_playbook_on_stats(self, stats):
        with open(os.environ["TIMES"], "w", encoding="utf-8") as target:
            json.dump(self.seen, target)
"""


def policy(number: int) -> dict[str, Any]:
    return {
        "name": f"desk-{number:04}",
        "description": f"What is promised to the group {number} of those who call",
        "priorities": ["critical", "high"],
        "response_minutes": 30,
        "resolution_minutes": 240,
    }


class Comparison:
    """The same policies, made and found as they should be, in either way."""

    def __init__(self, server: Server, directory: Path, size: int) -> None:
        self.server = server
        self.controller = Controller(server, directory)
        self.policies = [policy(number) for number in range(size)]
        self.gone = [{"name": one["name"], "state": "absent"} for one in self.policies]
        self.write_files(self.controller.directory)
        callbacks = self.controller.directory / "callbacks"
        callbacks.mkdir()
        callbacks.joinpath("times.py").write_text(TIMES)
        self.times = self.controller.directory / "times.json"
        self.controller.environment |= {
            "ANSIBLE_CALLBACK_PLUGINS": str(callbacks),
            "ANSIBLE_CALLBACKS_ENABLED": "times",
            "TIMES": str(self.times),
        }

    def write_files(self, directory: Path) -> None:
        """As people write them: a few files, block style."""
        directory.joinpath("desk").mkdir()
        for part in range(FILES):
            lines = ["---\nsla_policies:\n"]
            for one in self.policies[part::FILES]:
                fields = [f"    {name}: {json.dumps(value)}\n" for name, value in one.items()]
                lines.append("  - " + "".join(fields).removeprefix("    "))
            directory.joinpath("desk", f"policies-{part}.yml").write_text("".join(lines))

    def playbook(self) -> str:
        """Loop and whole, each on nothing and then once more."""
        loop = {
            "deskplane.helpdesk.sla_policy": {name: f"{{{{ item.{name} }}}}" for name in self.policies[0]},
            "loop": "{{ policies }}",
            "loop_control": {"label": "{{ item.name }}"},
        }
        whole = {"deskplane.helpdesk.configuration": {"src": "desk"}}
        away = {"deskplane.helpdesk.configuration": {"configuration": {"sla_policies": "{{ gone }}"}}}
        tasks = {"loop makes": loop, "loop finds": loop, "away": away, "whole makes": whole, "whole finds": whole}
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"policies": self.policies, "gone": self.gone},
            "tasks": [{"name": name, **task} for name, task in tasks.items()],
        }
        return json.dumps([play])

    def round(self) -> dict[str, float]:
        """Seconds of each task, and of the same requests without Ansible."""
        self.controller.run(Playbook(f"desk of {len(self.policies)}", self.playbook(), TASKS), settle=True)
        seen: dict[str, tuple[float, bool]] = json.loads(self.times.read_text())
        wrong = [name for name, (_, changed) in seen.items() if changed is name.endswith("finds")]
        if wrong or len(seen) != TASKS:
            raise BenchmarkError(f"{', '.join(wrong) or 'a task'} did not do what it should")
        seconds = {name: took for name, (took, _) in seen.items()}
        seconds["request finds"] = self.request(self.policies, changes=False)
        self.request(self.gone, changes=True)
        seconds["request makes"] = self.request(self.policies, changes=True)
        self.request(self.gone, changes=True)
        return seconds

    def request(self, policies: list[dict[str, Any]], *, changes: bool) -> float:
        started = time.perf_counter()
        answer = self.server.ask("POST", APPLY, {"configuration": {"sla_policies": policies}})
        seconds = time.perf_counter() - started
        if answer["changed"] is not changes:
            raise BenchmarkError(f"a request should say changed: {changes}: {answer['summary']}")
        return seconds


class Playbook(Kind):
    """One that is written already."""

    def playbook(self) -> str:
        return self.task


def measure(directory: Path, rounds: int) -> Iterator[Row]:
    """On a desk of its own, which has nothing."""
    desk = Desk(directory / "compared")
    server = desk.start(2, 4, desk.prepare())
    try:
        server.wait()
        for size in SIZES:
            comparison = Comparison(server, directory / f"compared-{size}", size)
            seen = [comparison.round() for _ in range(rounds)]
            yield row(seen, "makes", f"ansible: {size:,} objects made, one configuration task")
            yield row(seen, "finds", f"ansible: {size:,} objects unchanged, one configuration task")
    finally:
        server.stop()
    added = [one["whole finds"] - one["request finds"] for one in seen]
    detail = f"{SIZES[-1]:,} objects in {FILES} files, unchanged"
    what = "ansible: what the configuration task adds to its request"
    yield Row(what, statistics.median(added), " s", at_most=0.5, detail=detail, rounds=added)


def row(seen: list[dict[str, float]], verb: str, what: str) -> Row:
    whole = [one[f"whole {verb}"] for one in seen]
    ratio = statistics.median(one[f"loop {verb}"] / one[f"whole {verb}"] for one in seen)
    loop, request = (statistics.median(one[f"{way} {verb}"] for one in seen) for way in ("loop", "request"))
    detail = f"a loop of modules takes {loop:.2f} s, {ratio:.0f} times as long; the request alone {request:.2f} s"
    return Row(what, statistics.median(whole), " s", detail=detail, rounds=whole)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="deskplane-bench-") as name:
        try:
            print(HEAD)
            for measured in measure(Path(name), options.rounds):
                rows.append(measured)
                print(measured, flush=True)
            print(summary(rows))
        except BenchmarkError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    return 0 if all(measured.ok for measured in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
