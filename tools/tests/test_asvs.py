"""docs/asvs.md: all requirements, each once, and no file named in it that there is not; `check_house.py` looks for the
tests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from toolchain import ROOT

PAGE = ROOT / "docs" / "asvs.md"
HOW_MANY = {
    "V1": 27, "V2": 11, "V3": 19, "V4": 10, "V5": 9, "V6": 35, "V7": 18, "V8": 7, "V9": 7, "V10": 29, "V11": 14,
    "V12": 9, "V13": 13, "V14": 9, "V15": 13, "V16": 16, "V17": 7,
}  # fmt: skip
"""Requirements of the levels 1 and 2 of each chapter of ASVS 5.0.0."""
STATES = {"holds", "not here", "**in part**", "**not yet**"}
ROW = re.compile(r"^\| (V\d+\.\d+\.\d+) \| (.+?) \| (.+?) \| (.*) \|$", re.MULTILINE)
PLACES = (ROOT / "server" / "src" / "deskplane", ROOT)


def mistakes(text: str) -> Iterator[str]:
    """What is wrong with the page."""
    rows = ROW.findall(text)
    ids = Counter(found[0] for found in rows)
    yield from (f"{one} stands there {count} times" for one, count in ids.items() if count > 1)
    chapters = Counter(one.split(".")[0] for one in ids)
    for chapter, expected in HOW_MANY.items():
        if chapters[chapter] != expected:
            yield f"{chapter} has {chapters[chapter]} requirements instead of {expected}"
    for one, _asks, state, why in rows:
        if state not in STATES:
            yield f"{one} is {state!r}"
        if not why.strip():
            yield f"{one} says nothing of where that shows"
    states = Counter(found[2].strip("*") for found in rows)
    told = {name: int(number) for name, number in re.findall(r"^\| ([a-z ]+) \((\d+)\) \|", text, re.MULTILINE)}
    if told != states:
        yield f"the head says {told}, and there are {dict(states)}"
    for path in re.findall(r"`((?:\w+/)+\w+\.\w+)`", text):
        if not any((place / path).is_file() for place in PLACES):
            yield f"there is no file {path}"


def test_the_page_has_each_requirement_once_and_names_what_there_is() -> None:
    assert list(mistakes(PAGE.read_text())) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("| V1.1.1 |", "| V1.1.2 |", "V1.1.2 stands there 2 times"),
        ("| V17.3.2 |", "| 17.3.2 |", "V17 has 6 requirements"),
        ("`kernel/db.py`", "`kernel/dbx.py`", "no file kernel/dbx.py"),
        ("| holds (", "| holds (1", "the head says"),
        ("| not here | no WebRTC |", "| not here |  |", "says nothing"),
    ],
)
def test_each_mistake_is_found(old: str, new: str, said: str) -> None:
    text = PAGE.read_text()
    assert old in text
    assert said in "\n".join(mistakes(text.replace(old, new, 1)))
