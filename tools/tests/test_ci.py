"""A runner that cannot fail would make every gate worthless, so its failures are what is tested here."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import ci
import gates
from toolchain import ToolError, explain_pip


@pytest.fixture(autouse=True)
def own_work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ci, "WORK", tmp_path)
    monkeypatch.setattr(ci, "ROOT", tmp_path)


def passes(_job: ci.Job) -> ci.Outcome:
    return ci.Outcome(3)


def fails(job: ci.Job) -> ci.Outcome:
    job.call([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])
    return ci.Outcome()


def go(*steps: ci.Step) -> dict[str, ci.Report]:
    run = ci.Run(list(steps), 2)
    run.go()
    return run.reports


def test_a_program_that_fails_fails_its_step_and_shows_why(capsys: pytest.CaptureFixture[str]) -> None:
    report = go(ci.Step("one", "", fails))["one"]
    assert (report.ok, report.outcome.failed) == (False, 1)
    assert "the reason" in capsys.readouterr().out


def test_the_reason_is_shown_where_much_follows_it(capsys: pytest.CaptureFixture[str]) -> None:
    code = "print('===== FAILURES ====='); print('the reason'); print('warning\\n' * 300 + 'the end'); exit(1)"

    def talks(job: ci.Job) -> ci.Outcome:
        job.call([sys.executable, "-c", code])
        return ci.Outcome()

    go(ci.Step("one", "", talks))
    shown = capsys.readouterr().out
    assert "the reason" in shown
    assert shown.rstrip().endswith("the end")
    assert shown.count("warning") < 100


def test_a_step_whose_need_failed_is_not_run_and_counts_as_failed() -> None:
    reports = go(ci.Step("first", "", fails), ci.Step("second", "", passes, ("first",)))
    assert "not run" in reports["second"].error
    assert (reports["second"].outcome.passed, reports["second"].outcome.failed) == (0, 1)


def test_a_fault_of_the_tools_is_a_failure_of_the_step() -> None:
    def broken(_job: ci.Job) -> ci.Outcome:
        raise KeyError("oops")

    reports = go(ci.Step("broken", "", broken), ci.Step("other", "", passes))
    assert not reports["broken"].ok
    assert reports["other"].ok


def test_a_step_that_takes_too_long_is_ended() -> None:
    def sleeps(job: ci.Job) -> ci.Outcome:
        job.call([sys.executable, "-c", "import time; time.sleep(60)"])
        return ci.Outcome()

    started = time.monotonic()
    report = go(ci.Step("slow", "", sleeps, minutes=0.01))["slow"]
    assert "not done after" in report.error
    assert time.monotonic() - started < 30


def test_naming_a_step_brings_what_it_needs() -> None:
    steps = [ci.Step("a", "", passes), ci.Step("b", "", passes, ("a",)), ci.Step("c", "", passes)]
    assert [step.name for step in ci.choose(steps, ["b"])] == ["a", "b"]
    with pytest.raises(ToolError, match="no step d"):
        ci.choose(steps, ["d"])


def test_a_suite_that_ran_nothing_has_not_passed(tmp_path: Path) -> None:
    (tmp_path / "empty.xml").write_text("<testsuites><testsuite/></testsuites>")
    with pytest.raises(ci.Failed, match="ran no test"):
        gates.count(tmp_path, "*.xml")


def test_failures_errors_and_skips_are_told_apart(tmp_path: Path) -> None:
    cases = "<testcase/><testcase><failure/></testcase><testcase><error/></testcase><testcase><skipped/></testcase>"
    (tmp_path / "some.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    outcome = gates.count(tmp_path, "*.xml")
    assert (outcome.passed, outcome.failed) == (1, 2)


def test_a_runner_that_fails_without_a_failed_case_still_fails(tmp_path: Path) -> None:
    (tmp_path / "some.xml").write_text("<testsuite><testcase/></testsuite>")
    job = ci.Job(ci.Step("x", "", passes))
    assert gates.counted(job, tmp_path, "*.xml", 1).failed == 1


SAID = """Running label integration test role
fatal: [ghost]: FAILED! => {"msg": "rescued, and meant to"}
Running ticket integration test script
"""


def test_integration_counts_targets_and_not_the_tasks_that_fail_on_purpose() -> None:
    outcome = gates.count_targets(SAID, 0)
    assert (outcome.passed, outcome.failed) == (2, 0)


def test_integration_names_the_targets_that_failed() -> None:
    listed = "FATAL: The 1 integration test(s) listed below (out of 2) failed. See error output above:\nticket\n"
    outcome = gates.count_targets(SAID + listed, 1)
    assert (outcome.passed, outcome.failed) == (1, 1)
    assert "ticket" in outcome.note


def test_integration_that_ended_badly_fails_whatever_it_listed() -> None:
    assert gates.count_targets(SAID, 1).failed == 1
    with pytest.raises(ci.Failed, match="ran no target"):
        gates.count_targets("", 0)


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for alembic==1", "index cannot be reached"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "hash"),
        ("something\nERROR: a new kind of trouble", "a new kind of trouble"),
    ],
)
def test_what_pip_says_becomes_one_plain_line(said: str, meaning: str) -> None:
    explained = explain_pip(said)
    assert meaning in explained
    assert "\n" not in explained
