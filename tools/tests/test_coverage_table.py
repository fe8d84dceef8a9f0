"""The table of features and their tests."""

from __future__ import annotations

import coverage_table

MODULE = """
import pytest

pytestmark = [pytest.mark.feature("F001"), pytest.mark.soak]


@pytest.mark.feature("F002", "F003")
@pytest.mark.parametrize("one", [1])
def test_this(one): ...


def test_that(): ...
"""


def test_marks_of_tests_and_modules_are_found() -> None:
    assert list(coverage_table.in_module(MODULE)) == [("F001", "*"), ("F002", "test_this"), ("F003", "test_this")]


def test_what_no_test_names_is_told() -> None:
    rows = [coverage_table.Feature("F001", "Area", "now", "One"), coverage_table.Feature("F002", "Area", "now", "Two")]
    tests = {"F001": ["a::test"]}
    assert list(coverage_table.table(rows, tests, missing_only=True)) == [
        "\nArea",
        "  F002  Two",
        "        no test names it",
    ]
    assert "        a::test" in list(coverage_table.table(rows, tests, missing_only=False))


def test_every_mark_names_a_feature_that_there_is() -> None:
    known = [row.id for row in coverage_table.features()]
    assert len(known) == len(set(known)) > 200
    assert set(coverage_table.shown()) <= set(known)
