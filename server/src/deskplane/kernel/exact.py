"""Fields for dates, times of day and amounts: text in one exact form, free of time zones and of binary fractions."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

from deskplane.kernel.fields import Text, refuse, type_name

DAY_MINUTES = 24 * 60


class Date(Text):
    """A day of the calendar (RFC 3339, full-date)."""

    json_format = "date"
    _form = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

    def __init__(self, description: str, **common: Any) -> None:
        super().__init__(description, longest=10, **common)

    def canonical(self, text: str) -> str:
        try:
            if not self._form.fullmatch(text):
                raise ValueError
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise refuse("bad_format", "must be a day such as 2026-12-25") from None


class TimeOfDay(Text):
    """A time on the wall, `HH:MM`; with `midnight_ends`, `24:00` is the end of the day."""

    json_format = "time"
    _form = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)", re.ASCII)

    def __init__(self, description: str, *, midnight_ends: bool = False, **common: Any) -> None:
        super().__init__(description, longest=5, **common)
        self.latest = DAY_MINUTES if midnight_ends else DAY_MINUTES - 1

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY_MINUTES:
            # YAML 1.1 reads 17:30 without quotes as a number to the base of sixty
            hint = "{}:{:02}".format(*divmod(value, 60))
            raise refuse("wrong_type", f"must be text, got the number {value}; write a time in quotes: '{hint}'")
        return super()._deserialize(value, attr, data, **kwargs)

    def canonical(self, text: str) -> str:
        found = self._form.fullmatch(text)
        if not found or minutes_of_day(text) > self.latest:
            last = "24:00" if self.latest == DAY_MINUTES else "23:59"
            raise refuse("bad_format", f"must be a time from 00:00 to {last}, such as 17:30")
        return f"{int(found[1]):02}:{found[2]}"

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        # JSON Schema's own format for times wants seconds and an offset
        last = "|24:00" if self.latest == DAY_MINUTES else ""
        return {"type": "string"} if answer else {"type": "string", "pattern": rf"^(([01]?\d|2[0-3]):[0-5]\d{last})$"}


def minutes_of_day(text: str) -> int:
    """Minutes since midnight of a time of day."""
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


class Amount(Text):
    """An exact decimal number that is not negative, kept and answered as text, without zeros that say nothing.

    A JSON number is taken as it was written: with at most fifteen digits, that is what its shortest spelling says
    (IEEE 754, binary64), so nothing is lost on the way to `Decimal`.
    """

    _form = re.compile(r"\d+(\.\d+)?", re.ASCII)

    def __init__(self, description: str, *, whole_digits: int = 9, decimals: int = 4, **common: Any) -> None:
        assert whole_digits + decimals <= 15
        super().__init__(description, longest=whole_digits + decimals + 1, **common)
        self.whole_digits = whole_digits
        self.decimals = decimals

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = f"{Decimal(repr(value)):f}"
        if not isinstance(value, str):
            raise refuse("wrong_type", f"must be a decimal number such as '95.50', got {type_name(value)}")
        text = value.strip()
        if len(text) > 40 or not self._form.fullmatch(text):
            raise refuse("bad_format", "must be a decimal number such as '95.50', without sign or separators")
        whole, _, fraction = text.partition(".")
        whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
        if len(whole) > self.whole_digits or len(fraction) > self.decimals:
            raise refuse(
                "out_of_range",
                f"must have at most {self.whole_digits} digits before and {self.decimals} after the point",
            )
        return f"{whole}.{fraction}" if fraction else whole

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        if answer:
            return {"type": "string"}
        return {"type": ["string", "number"], "pattern": r"^\d+(\.\d+)?$", "minimum": 0}
