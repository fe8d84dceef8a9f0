"""Try the API with made-up requests, good and bad, made from its own OpenAPI document (schemathesis, all checks).

Starts a desk of its own on an empty database. Ends with 1 when an answer is not what the document promises, or when
the server's log has a fault (a 5xx, an error, a traceback), whatever the answers looked like.
"""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from desk import Desk, free_port
from toolchain import ROOT, RUN, ToolError, say

GENERATED = re.compile(r"([\d,]+) generated")
"""How many requests schemathesis says that it made."""


def try_requests(desk: Desk, options: argparse.Namespace) -> int:
    command = [RUN.command("schemathesis"), "--config-file", str(ROOT / "tools" / "schemathesis.toml"), "--no-color"]
    command += ["run", f"{desk.url}/api/v1/openapi.json"]
    # One worker: two threads that parse at once trip over a fault of CPython before 3.11.8 (a recursion count that all
    # threads share), and an error of the tool is no finding.
    command += ["--header", f"Authorization: Bearer {desk.key}", "--checks", "all", "--workers", "1"]
    command += ["--max-examples", str(options.examples), "--seed", str(options.seed), "--continue-on-failure"]
    command += ["--generation-database", "none", "--request-timeout", "20"]
    if options.report:
        command += ["--report", "junit", "--report-junit-path", str(options.report.resolve())]
    say(f"seed {options.seed}, {options.examples} examples an operation")
    cases = 0
    with subprocess.Popen(command, cwd=desk.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as done:
        assert done.stdout is not None
        for line in done.stdout:
            print(line, end="", flush=True)
            cases = max([cases, *(int(found.replace(",", "")) for found in GENERATED.findall(line))])
    if cases < options.least:
        raise ToolError(f"it made {cases} requests, and should make {options.least}; raise --examples")
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=15, help="requests for each operation and phase (default 15)")
    parser.add_argument("--least", type=int, default=0, help="fail where there were fewer requests in all")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="repeats the run that had it")
    parser.add_argument("--report", type=Path, help="write a JUnit file here")
    parser.add_argument("--home", type=Path, help="keep the desk, its log too, below this folder")
    options = parser.parse_args()
    home = options.home or Path(tempfile.mkdtemp(prefix="deskplane-api-"))
    shutil.rmtree(home, ignore_errors=True)
    desk = Desk(home.resolve(), free_port())
    try:
        desk.open(worker=False)
        code = try_requests(desk, options)
        desk.require_alive()
        if desk.status("/api/v1/users?limit=1") != 200:
            raise ToolError("the run took away its own key, so not all of its requests tried what they should")
        desk.require_no_faults()
    except ToolError as error:
        say(f"FAILED: {error}")
        return 1
    finally:
        desk.stop()
    if not options.home:
        shutil.rmtree(home, ignore_errors=True)
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
