"""`make test`: everything that has to hold before a change lands. The gates themselves are in gates.py.

Runs several steps at once where they do not need each other, keeps a log of each, and ends with one line
`N passed, N failed` that counts test cases where a step has them, and one for each gate that has none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import toolchain
from toolchain import ROOT, ToolError, say

WORK = toolchain.CACHE / "ci"
TAIL = 60
REASONS = "= FAILURES ="  # the headline of pytest's and schemathesis' own accounts


class Failed(Exception):
    """A gate found something, or could not do its work."""


@dataclass
class Outcome:
    """What a step counted. A step without test cases of its own counts as one."""

    passed: int = 1
    failed: int = 0
    note: str = ""


@dataclass(frozen=True)
class Step:
    name: str
    title: str
    work: Callable[[Job], Outcome]
    after: tuple[str, ...] = ()
    # Preparation counts only when it fails: building an environment tests nothing.
    counts: bool = True
    minutes: float = 15


class Job:
    """One running step: its log, and the programs that it starts."""

    running: dict[int, subprocess.Popen[bytes]] = {}
    guard = threading.Lock()

    def __init__(self, step: Step) -> None:
        self.step = step
        self.log = WORK / "logs" / f"{step.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        self.deadline = time.monotonic() + step.minutes * 60

    def write(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text.rstrip("\n") + "\n")

    def call(
        self,
        command: list[str],
        *,
        cwd: Path = ROOT,
        variables: Mapping[str, str] | None = None,
        output: Path | None = None,
        allowed: tuple[int, ...] = (0,),
    ) -> int:
        """Run a program, its output into the step's log or `output`. Raises Failed unless its exit code is allowed."""
        self.write(f"$ {' '.join(command)}")
        with self.log.open("ab") as log, (output or Path(os.devnull)).open("wb") as other:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=other if output else log,
                stderr=log,
                start_new_session=True,
            )
            with self.guard:
                self.running[process.pid] = process
            try:
                code = process.wait(max(1.0, self.deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                end(process)
                raise Failed(f"not done after {self.step.minutes:g} minutes") from None
            finally:
                with self.guard:
                    self.running.pop(process.pid, None)
        if code not in allowed:
            raise Failed(f"{Path(command[0]).name} ended with exit code {code}")
        return code

    def tail(self) -> str:
        """The log's end. A long account of failures is shown from its start, since warnings may follow it."""
        lines = self.log.read_text(errors="replace").splitlines()
        start = next((number for number, line in enumerate(lines) if REASONS in line), len(lines))
        shown = lines[-TAIL:]
        if start < len(lines) - TAIL:
            shown = [*lines[start:][:TAIL], "[…]", *lines[max(start + TAIL, len(lines) - TAIL // 3) :]]
        return "\n".join(f"    {line[:400]}" for line in shown)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started: each has a session of its own, so its group is its family."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@dataclass
class Report:
    step: Step
    outcome: Outcome
    seconds: float = 0.0
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error and not self.outcome.failed

    def line(self) -> str:
        counted = f"{self.outcome.passed} passed, {self.outcome.failed} failed" if self.step.counts else ""
        word = "ok  " if self.ok else "FAIL"
        note = self.error or self.outcome.note
        return f"{word} {self.step.name:<20} {self.seconds:6.1f} s  {counted:<24} {note}".rstrip()


@dataclass
class Run:
    steps: list[Step]
    at_once: int
    reports: dict[str, Report] = field(default_factory=dict)

    def perform(self, step: Step) -> Report:
        started = time.monotonic()
        job = Job(step)
        try:
            outcome, error = step.work(job), ""
        except (Failed, ToolError) as problem:
            outcome, error = getattr(problem, "outcome", None) or Outcome(0, 1), str(problem)
        except Exception as problem:
            # A fault of these tools themselves must not look like a pass, nor hide the other steps' results.
            job.write(f"{type(problem).__name__}: {problem}")
            outcome, error = Outcome(0, 1), f"{type(problem).__name__}: {problem}"
        if error and not outcome.failed:
            outcome.failed = 1
        report = Report(step, outcome, time.monotonic() - started, error)
        say(report.line())
        if not report.ok:
            say(f"    log: {job.log.relative_to(ROOT)}, its end:\n{job.tail()}")
        return report

    def go(self) -> None:
        waiting = list(self.steps)
        names = {step.name for step in waiting}
        futures: dict[Future[Report], Step] = {}
        with ThreadPoolExecutor(self.at_once) as pool:
            while waiting or futures:
                for step in list(waiting):
                    before = [name for name in step.after if name in names]
                    if any(name in self.reports and not self.reports[name].ok for name in before):
                        bad = next(name for name in before if name in self.reports and not self.reports[name].ok)
                        waiting.remove(step)
                        self.reports[step.name] = Report(step, Outcome(0, 1), error=f"not run: it needs {bad}")
                        say(self.reports[step.name].line())
                    elif len(futures) < self.at_once and all(name in self.reports for name in before):
                        waiting.remove(step)
                        futures[pool.submit(self.perform, step)] = step
                if not futures:
                    continue
                for future in wait(futures, return_when=FIRST_COMPLETED).done:
                    self.reports[futures.pop(future).name] = future.result()


def choose(steps: list[Step], only: list[str]) -> list[Step]:
    """The named steps and what they need. A name ending in `*` stands for all that begin so."""
    known = {step.name: step for step in steps}
    wanted: set[str] = set()
    for pattern in only:
        begins = pattern.removesuffix("*")
        matches = [name for name in known if name == pattern or (pattern.endswith("*") and name.startswith(begins))]
        if not matches:
            raise ToolError(f"no step {pattern}; the steps are: {', '.join(known)}")
        wanted.update(matches)
    todo = list(wanted)
    while todo:
        for name in known[todo.pop()].after:
            if name in known and name not in wanted:
                wanted.add(name)
                todo.append(name)
    return [step for step in steps if step.name in wanted]


def stop(number: int, _frame: object) -> None:
    with Job.guard:
        running = list(Job.running.values())
    for process in running:
        end(process)
    print(f"stopped by {signal.Signals(number).name}", file=sys.stderr)
    os._exit(1)


def main() -> int:
    import gates

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the steps and end")
    parser.add_argument("--only", action="append", default=[], metavar="STEP", help="only this step and what it needs")
    # One more than there are processors: each step waits for its disk, or for what it started, part of its time.
    at_once = (os.cpu_count() or 1) + 1
    parser.add_argument(
        "--at-once", type=int, default=at_once, metavar="N", help=f"how many steps run at once (default {at_once})"
    )
    parser.add_argument("--keep", action="store_true", help="keep the unpacked artefacts and desks of an earlier run")
    options = parser.parse_args()
    steps = gates.steps()
    if options.list:
        for step in steps:
            say(f"{step.name:<20} {step.title}")
        return 0
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    started = time.monotonic()
    try:
        steps = choose(steps, options.only) if options.only else steps
        toolchain.require_writable(ROOT)
        if not options.keep:
            shutil.rmtree(WORK / "desks", ignore_errors=True)
            shutil.rmtree(WORK / "trees", ignore_errors=True)
    except ToolError as error:
        print(f"make test: {error}", file=sys.stderr)
        return 1
    run = Run(steps, max(1, options.at_once))
    run.go()
    passed = sum(report.outcome.passed for report in run.reports.values() if report.step.counts)
    failed = sum(report.outcome.failed for report in run.reports.values())
    say(f"\nAll steps after {(time.monotonic() - started) / 60:.1f} minutes:")
    for step in steps:
        say(run.reports[step.name].line())
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    # gates.py imports this module by its name; one module object serves both.
    sys.modules["ci"] = sys.modules["__main__"]
    sys.exit(main())
