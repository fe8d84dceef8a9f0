from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from desk import Desk, write_secret
from run import counts_of, minutes
from toolchain import ROOT, ToolError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("port", ["x", "0", "70000", "-1"])
def test_a_port_that_is_none_is_named_in_one_line(port: str) -> None:
    done = run(f"--port={port}")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert repr(port) in done.stderr


def test_a_port_in_use_is_named_in_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = run("--port", str(other.getsockname()[1]))
    assert done.returncode == 1
    assert "is in use" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_old_python_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        (tmp_path / name).write_text('#!/bin/sh\n[ "$1" = --version ] && { echo Python 3.9.2; exit 0; }\nexit 1\n')
        (tmp_path / name).chmod(0o755)
    command = ["/bin/sh", str(ROOT / "tools" / "python"), "-c", "print('ran')"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer, and here is Python 3.9.2" in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_a_secret_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("old")
    secret.chmod(0o644)
    write_secret(secret, "new")
    assert secret.read_text() == "new\n"
    assert secret.stat().st_mode & 0o777 == 0o600


def test_a_server_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 1)
    desk.log.mkdir()
    (desk.log / "server.log").write_text("first\nsecret_key is too short\n")
    desk.processes["server"] = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    desk.processes["server"].wait()
    with pytest.raises(ToolError, match="exit code 7: secret_key is too short"):
        desk.require_alive()


@pytest.mark.parametrize("line", ['{"status": 500}', '{"level": "error"}', "Traceback (most recent call last):"])
def test_a_fault_in_the_log_is_found(tmp_path: Path, line: str) -> None:
    desk = Desk(tmp_path, 1)
    desk.log.mkdir()
    (desk.log / "server.log").write_text('{"status": 200, "level": "info"}\n')
    desk.require_no_faults()
    (desk.log / "server.log").write_text(f"{line}\n")
    with pytest.raises(ToolError):
        desk.require_no_faults()


def test_the_recap_is_summed_over_hosts() -> None:
    output = "PLAY RECAP ***\na  : ok=3  changed=1  failed=0\nb-2 : ok=2    changed=2    failed=0\n"
    assert counts_of(output) == {"ok": 5, "changed": 3, "failed": 0}


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (30, "30 min"), (240, "4 h"), (90, "1 h 30 min"), (7200, "5 d")]
)
def test_durations_are_shown_as_people_say_them(value: int | None, shown: str) -> None:
    assert minutes(value) == shown
