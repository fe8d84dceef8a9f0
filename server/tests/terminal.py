"""Commands, typed in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

SECRET = "vX3kq9Zt7Lw2Rb8Nc5Hd1Gf6Js4Kp0Ym-Qe"


DRIVER = """
import json, os, sys
from click.testing import CliRunner
from deskplane.cli import main
for line in sys.stdin:
    call = json.loads(line)
    for name in [name for name in os.environ if name.startswith("DESKPLANE_")]:
        del os.environ[name]
    os.environ.update(call["variables"])
    done = CliRunner().invoke(main, call["arguments"], input=call["text"], prog_name="deskplane")
    fault = None if done.exception is None or isinstance(done.exception, SystemExit) else repr(done.exception)
    print(json.dumps([done.exit_code, done.stdout, done.stderr, fault]), flush=True)
"""
"""One process for all commands, since most of the time of each goes into imports; not pytest's own, whose logs and
environment the commands would change."""


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    returncode: int
    stdout: str
    stderr: str


class Terminal:
    """Where commands are typed."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DESKPLANE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, *arguments: str, url: str = "sqlite:///none.db", text: str = "", **variables: str) -> Done:
        """Runs `deskplane`, and asserts that it shows neither a traceback nor the secret key."""
        given = {"DESKPLANE_SECRET_KEY": SECRET, "DESKPLANE_DATABASE_URL": url, "DESKPLANE_BIND": "127.0.0.1:0"}
        variables = given | variables
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"arguments": arguments, "variables": variables, "text": text}) + "\n")
        self.process.stdin.flush()
        code, stdout, stderr, fault = json.loads(self.process.stdout.readline())
        assert fault is None, f"{arguments}: {fault}"
        assert SECRET not in stdout + stderr
        return Done(code, stdout, stderr)


def failure(done: Done) -> str:
    """The one line that a failed command says."""
    assert done.returncode == 1, (done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("deskplane: ")]
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    return lines[0].removeprefix("deskplane: ")
