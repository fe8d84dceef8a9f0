"""One measured figure with its bar, as the table prints it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Row:
    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    detail: str = ""
    rounds: list[float] = field(default_factory=list)

    @property
    def bar(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}{self.unit}"
        return f"<= {self.at_most:g}{self.unit}" if self.at_most is not None else ""

    @property
    def ok(self) -> bool:
        too_low = self.at_least is not None and self.value < self.at_least
        too_high = self.at_most is not None and self.value > self.at_most
        return not too_low and not too_high

    def __str__(self) -> str:
        verdict = ("ok" if self.ok else "MISSED") if self.bar else ""
        value = f"{self.value:.2f}{self.unit}"
        return f"{self.what:<46} {self.bar:>9} {value:>11}  {verdict:<6}  {self.detail}".rstrip()


HEAD = f"{'what':<46} {'bar':>9} {'measured':>11}  {'':<6}  detail"


def summary(rows: Iterable[Row]) -> str:
    barred = [row for row in rows if row.bar]
    missed = [row.what for row in barred if not row.ok]
    return f"{len(barred) - len(missed)} bars held, {len(missed)} missed" + (f": {'; '.join(missed)}" if missed else "")


def table(rows: Iterable[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = ["| what | bar | measured | | detail |", "|---|---|---|---|---|"]
    for row in rows:
        verdict = ("ok" if row.ok else "**missed**") if row.bar else ""
        bar = row.bar.replace(">=", "≥").replace("<=", "≤")
        lines.append(f"| {row.what} | {bar} | {row.value:.2f}{row.unit} | {verdict} | {row.detail} |")
    return "\n".join(lines)


def percentile(ordered: list[int], share: float) -> float:
    """The value that this share of an ordered list lies below."""
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * share))])
