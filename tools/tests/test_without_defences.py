from __future__ import annotations

import re

import pytest

from check_house import NAMED_TEST
from defences import DEFENCES, Defence
from toolchain import ROOT
from without_defences import SOURCE, TESTS, pieces, taken_out


@pytest.mark.parametrize("defence", DEFENCES, ids=[defence.against for defence in DEFENCES])
def test_each_defence_is_where_it_is_looked_for_and_leaves_code_that_compiles(defence: Defence) -> None:
    for file, code, without in pieces(defence):
        source = (SOURCE / "deskplane" / file).read_text()
        compile(taken_out(source, file, code, without), file, "exec")


def test_each_test_is_there() -> None:
    for defence in DEFENCES:
        for test in defence.tests:
            file, _, name = test.partition("::")
            assert re.search(rf"^def {name}\(", (TESTS / file).read_text(), re.MULTILINE), test


def test_each_threat_of_the_documentation_has_a_defence_that_is_taken_out() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    table = text.split("## Threats")[1].split("\n## ")[0]
    tried = {test for defence in DEFENCES for test in defence.tests}
    for row in (line for line in table.splitlines() if "::" in line and line.startswith("|")):
        if "no CSV is made" in row:
            continue  # nothing stands there that could be taken out
        named = {f"{file}::{name}" for file, name in NAMED_TEST.findall(row)}
        assert named & tried, f"no defence is taken out to see one of these fail: {row}"
