"""Versions that are made up out of a binary."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import made_up_version

PACKAGE = ".deps/deskplane-1.0.0-py3-none-any.whl/deskplane/"
HASH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """What pex makes, as far as it matters: a shell script, an archive, and the hash that both know."""
    path = tmp_path / "deskplane.pyz"
    with path.open("wb") as out:
        out.write(f'#!/bin/sh\nexec python3 "$0" {HASH}\n'.encode())
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr(f"{PACKAGE}__init__.py", '"""Us."""\n\n__version__ = "1.0.0"\n')
            archive.writestr(f"{PACKAGE}system.py", "def readyz(call): return 'ok'\n")
            archive.writestr(f"{PACKAGE}migrations/versions/0001_first.py", "")
            archive.writestr(f"{PACKAGE}migrations/tables.py", "metadata = Base.metadata\n")
            archive.writestr(
                "PEX-INFO", json.dumps({"pex_hash": HASH, "distributions": {"deskplane-1.0.0": "a", "x": "b"}})
            )
            archive.writestr("__main__.py", f"import sys; print('{HASH}', sys.argv[1] == '{HASH}')\n")
    return path


def test_it_has_another_version_more_migrations_and_a_place_of_its_own_to_be_unpacked_to(
    binary: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made.pyz"
    made_up_version.make(binary, made, "2.0.0", 2, "unready")
    with zipfile.ZipFile(made) as archive:
        assert b'__version__ = "2.0.0"' in archive.read(f"{PACKAGE}__init__.py")
        assert b'down_revision = "0002"' in archive.read(f"{PACKAGE}migrations/versions/0003_made_up.py")
        assert archive.read(f"{PACKAGE}migrations/tables.py").count(b'Table("made_up_000') == 2
        assert archive.read(f"{PACKAGE}system.py").count(b"def readyz") == 2
        information = json.loads(archive.read("PEX-INFO"))
    assert information["pex_hash"] != HASH
    assert information["distributions"]["deskplane-1.0.0"] != "a"
    assert information["distributions"]["x"] == "b"
    # The script before the archive knows the new hash, and the archive is found behind it.
    done = subprocess.run([sys.executable, made, information["pex_hash"]], capture_output=True, text=True, check=True)
    assert done.stdout == f"{information['pex_hash']} True\n"
    assert HASH.encode() not in made.read_bytes()


def test_what_is_no_binary_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(ValueError, match="no binary of Deskplane"):
        made_up_version.make(other, tmp_path / "made", "2.0.0", 0, "")
