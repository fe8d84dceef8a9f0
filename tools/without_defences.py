"""Take each defence of the server out, one at a time, and see the tests fail that are there for it.

A test of what does not happen passes as well where it looks at nothing. Here it has to fail once: a copy of the server
is made, the piece of code that stands against a threat is replaced, and its tests run on that copy. Ends with 1 where
one of them passes all the same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from defences import DEFENCES, Defence
from toolchain import ROOT, RUN, say

SOURCE = ROOT / "server" / "src"
TESTS = ROOT / "server" / "tests"


def pieces(defence: Defence) -> list[tuple[str, str, str]]:
    """File, code, and what stands in its place."""
    return [(defence.file, defence.code, defence.without), *defence.also]


def taken_out(source: str, file: str, code: str, without: str) -> str:
    """The source of a file without a piece of code. Raises ValueError where it is not there, or twice."""
    if source.count(code) != 1:
        raise ValueError(f"{file}: this is not there once: {code!r}")
    return source.replace(code, without)


def passing(defence: Defence, test: str, place: Path) -> str | None:
    """What is wrong where a test does not fail without its defence; null where it does."""
    command = [RUN.command("python"), "-m", "pytest", "-q", "-x", "--color=no", "-p", "no:cacheprovider"]
    variables = {**os.environ, "PYTHONPATH": str(place), "DESKPLANE_TEST_DATABASES": defence.database}
    done = subprocess.run(
        [*command, "--rootdir", str(TESTS.parent), str(TESTS / test)],
        cwd=TESTS.parent,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 1 and " failed" in done.stdout:
        return None
    said = done.stdout[-2000:] + done.stderr[-500:]
    return f"{test} does not fail without what stands against {defence.against}:\n{said}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="words of what it stands against")
    options = parser.parse_args()
    wrong = []
    for defence in DEFENCES:
        if options.only not in defence.against:
            continue
        with tempfile.TemporaryDirectory(prefix="deskplane-without-") as place:
            copy = Path(place) / "src"
            shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            for name, code, without in pieces(defence):
                file = copy / "deskplane" / name
                file.write_text(taken_out(file.read_text(), name, code, without))
            for test in defence.tests:
                problem = passing(defence, test, copy)
                say(f"{'PASSED ' if problem else 'failed '} {test}, without what stands against {defence.against}")
                if problem:
                    wrong.append(problem)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
