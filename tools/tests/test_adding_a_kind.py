"""The guide to adding a kind shows the product's own code, and stays with it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "adding-a-kind.md"
SOURCES = (
    "customers/models.py",
    "customers/projects.py",
    "migrations/versions/0003_all_kinds.py",
    "app.py",
)


def test_every_block_of_code_stands_like_this_in_the_server() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    sources = [(ROOT / "server" / "src" / "deskplane" / name).read_text() for name in SOURCES]
    assert len(blocks) == 8
    for block in blocks:
        assert any(block in source for source in sources), block


def test_every_file_that_the_guide_names_is_there() -> None:
    named = re.findall(r"`((?:server|docs|tests|plugins|meta)/[\w./-]+)`", GUIDE.read_text())
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_rows_of_rights_are_those_of_the_test() -> None:
    rows = re.findall(r"^ {6}(\w+_projects?.*)$", GUIDE.read_text(), re.MULTILINE)
    table = (ROOT / "server" / "tests" / "rights" / "test_rights.py").read_text().splitlines()
    assert len(rows) == 6
    assert [row for row in rows if row not in table] == []
