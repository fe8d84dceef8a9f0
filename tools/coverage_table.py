"""`make coverage-table`: which test shows which feature, and which features no test shows.

The features are the rows of server/tests/features.tsv. A test of the server names those that it shows by
`@pytest.mark.feature("F068")`, a target of the collection's integration tests and a scenario of Molecule by a line
`# feature: F251`.
"""

from __future__ import annotations

import argparse
import ast
import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from toolchain import ROOT, ToolError, say

FEATURES = ROOT / "server" / "tests" / "features.tsv"
TESTS = ROOT / "server" / "tests"
TARGETS = ROOT / "tests" / "integration" / "targets"
SCENARIOS = ROOT / "extensions" / "molecule"
NOW = "now"
_LINE = re.compile(r"^\s*# features?: (F\d{3}(?:[, ]+F\d{3})*)\s*$", re.MULTILINE)


class Feature(NamedTuple):
    id: str
    area: str
    when: str
    feature: str


def features(path: Path = FEATURES) -> list[Feature]:
    with path.open(encoding="utf-8", newline="") as lines:
        return [Feature(**row) for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]


def _named(node: ast.expr) -> list[str]:
    """The features that a decorator names; none where it is another one."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "pytest.mark.feature":
        return []
    return [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]


def in_module(text: str) -> Iterator[tuple[str, str]]:
    """(feature, name of the test) of a module of tests; a mark of the whole module counts for it."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                for name in _named(decorator):
                    yield name, node.name
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            marks = node.value.elts if isinstance(node.value, (ast.List, ast.Tuple)) else [node.value]
            for mark in marks:
                for name in _named(mark):
                    yield name, "*"


def shown() -> dict[str, list[str]]:
    """Feature → the tests that name it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, test in in_module(path.read_text(encoding="utf-8")):
            found[name].append(f"{path.relative_to(TESTS)}::{test}")
    for path in sorted([*TARGETS.rglob("*.yml"), *SCENARIOS.rglob("*.yml")]):
        for names in _LINE.findall(path.read_text(encoding="utf-8")):
            for name in re.split(r"[, ]+", names):
                found[name].append(f"{path.relative_to(ROOT)}")
    return found


def table(rows: list[Feature], tests: dict[str, list[str]], *, missing_only: bool) -> Iterator[str]:
    area = ""
    for row in rows:
        named = tests.get(row.id, [])
        if missing_only and named:
            continue
        if row.area != area:
            area = row.area
            yield f"\n{area}"
        yield f"  {row.id}  {row.feature}"
        yield from (f"        {test}" for test in named)
        if not named:
            yield "        no test names it"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", default="", help="only areas whose name holds this")
    parser.add_argument("--missing", action="store_true", help="only features that no test names")
    options = parser.parse_args()
    rows = [row for row in features() if row.when == NOW and options.area.lower() in row.area.lower()]
    tests = shown()
    try:
        unknown = sorted(set(tests) - {row.id for row in features()})
        if unknown:
            raise ToolError(f"{tests[unknown[0]][0]} names the feature {unknown[0]}, which there is not")
        if not rows:
            raise ToolError(f"no area is called {options.area!r}")
    except ToolError as error:
        print(f"make coverage-table: {error}", file=sys.stderr)
        return 1
    for line in table(rows, tests, missing_only=options.missing):
        say(line)
    without = sum(not tests.get(row.id) for row in rows)
    say(f"\n{len(rows) - without} of {len(rows)} features are shown by a test, {without} by none")
    return 0


if __name__ == "__main__":
    sys.exit(main())
