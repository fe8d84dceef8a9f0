"""What `make molecule` gets ready before Molecule runs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import machine_image
import molecule
import toolchain
from toolchain import ROOT

SYSTEM = machine_image.System("bookworm", ("deb http://deb.debian.org/debian/ bookworm main",), ())


def test_the_image_is_made_anew_when_what_it_is_made_of_changes() -> None:
    assert SYSTEM.name() == replace(SYSTEM).name()
    assert SYSTEM.name() != replace(SYSTEM, codename="trixie").name()
    assert SYSTEM.name() != replace(SYSTEM, sources=(*SYSTEM.sources, "deb http://elsewhere.example/ x main")).name()
    assert SYSTEM.name() != replace(SYSTEM, options=('Acquire::Retries "3";',)).name()


def test_a_scenario_that_is_not_there_is_refused_with_those_that_are() -> None:
    command = [sys.executable, str(ROOT / "tools" / "molecule.py"), "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("make molecule: no scenario nothing; there are: ")
    assert "default" in done.stderr
    assert "shared" not in done.stderr


def test_a_server_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(toolchain.ToolError, match="there is no file"):
        molecule.ensure_binary(tmp_path / "deskplane.pyz")
