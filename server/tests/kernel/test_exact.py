"""Dates, times of day and amounts have one exact form."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from deskplane.kernel.exact import Amount, Date, TimeOfDay

AMOUNT = Amount("An amount.")


@given(st.decimals(0, 10**9 - 1, places=4))
def test_an_amount_is_what_was_written_as_text_or_as_a_number(value: Decimal) -> None:
    text = AMOUNT.deserialize(f"{value:f}")
    assert Decimal(text) == value
    assert not text.endswith(".")
    assert "." not in text or not text.endswith("0")
    assert AMOUNT.deserialize(json.loads(f"{value:f}")) == text, "a JSON number says the same"
    assert AMOUNT.deserialize(f"0{value:f}0") == text


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), ("0.00", "0"), (95.5, "95.5"), ("95.50", "95.5"), (1e2, "100"), (0.1, "0.1")]
)
def test_amounts_have_no_zeros_that_say_nothing(value: Any, expected: str) -> None:
    assert AMOUNT.deserialize(value) == expected


@pytest.mark.parametrize(
    "value",
    [-1, "-1", "1,5", "1.000,00", "1e3", "", ".5", "5.", "NaN", float("inf"), float("nan"), 0.00001, 10**9, True, []],
)
def test_other_things_are_no_amounts(value: Any) -> None:
    with pytest.raises(ValidationError):
        AMOUNT.deserialize(value)


@pytest.mark.parametrize("value", ["2026-2-1", "20260201", "2026-02-29", "2026-W05-1", "0000-01-01", 20260201, None])
def test_other_things_are_no_days(value: Any) -> None:
    with pytest.raises(ValidationError):
        Date("A day.", required=True).deserialize(value)
    assert Date("A day.").deserialize("2028-02-29") == "2028-02-29"


@pytest.mark.parametrize("value", ["24:00", "7", "7:5", "07:60", "-1:00", "07:30:00", "٠٧:٣٠", 17.5, 1441, True])
def test_other_things_are_no_times(value: Any) -> None:
    with pytest.raises(ValidationError):
        TimeOfDay("A time.").deserialize(value)


def test_a_time_that_yaml_read_as_a_number_is_answered_with_what_to_write() -> None:
    with pytest.raises(ValidationError, match="in quotes: '17:30'"):
        TimeOfDay("A time.").deserialize(1050)


def test_a_day_may_end_at_midnight() -> None:
    assert TimeOfDay("A time.", midnight_ends=True).deserialize("24:00") == "24:00"
    assert TimeOfDay("A time.").deserialize("7:05") == "07:05"
