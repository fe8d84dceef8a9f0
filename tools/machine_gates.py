"""The gates of what is installed on machines: the binary, and the roles on machines that boot."""

from __future__ import annotations

import sys
from pathlib import Path

from ci import WORK, Failed, Job, Outcome, Step
from toolchain import BINARY, ROOT


def built_binary() -> Path:
    files = list((WORK / "binary" / "dist").glob("*.pyz"))
    if len(files) != 1:
        raise Failed("there is no built binary")
    return files[0]


def binary(job: Job) -> Outcome:
    """The binary is the same wherever it is built, and all that it needs is in it."""
    said = WORK / "binary.txt"
    command = [BINARY.command("python"), str(ROOT / "tools" / "try_binary.py")]
    job.call([*command, "--work", str(WORK / "binary")], output=said)
    job.write(said.read_text())
    made = built_binary()
    return Outcome(note=f"{made.name}, {made.stat().st_size / 1e6:.1f} MB")


def machines(job: Job) -> Outcome:
    job.call([sys.executable, str(ROOT / "tools" / "molecule.py"), "--prepare"])
    return Outcome()


def scenario(job: Job, name: str) -> Outcome:
    """One scenario of Molecule, with the binary that was just built and tried."""
    job.call([sys.executable, str(ROOT / "tools" / "molecule.py"), name, "--binary", str(built_binary())])
    return Outcome()


def steps() -> list[Step]:
    before = ("machines", "binary")
    return [
        Step("machines", "an image of a bare system, and what runs it", machines, counts=False),
        Step("binary", "the binary: the same wherever it is built, and whole", binary, ("environment-binary",)),
        Step(
            "molecule-default",
            "from a bare machine to a desk behind HTTPS",
            lambda job: scenario(job, "default"),
            before,
        ),
        Step(
            "molecule-upgrade",
            "to the next version, and back from one that is broken",
            lambda job: scenario(job, "upgrade"),
            before,
        ),
    ]
