"""How deep a document is, is counted before it is read: exactly, and in no more time than reading it takes."""

from __future__ import annotations

import time

import pytest

from deskplane.kernel.jsonbody import MAX_DEPTH, parse
from deskplane.kernel.problem import Problem


def nested(levels: int) -> bytes:
    """An object with lists and objects by turns, `levels` deep."""
    found = b"1"
    for level in range(levels - 1):
        found = b"[" + found + b"]" if level % 2 else b'{"b": ' + found + b"}"
    return b'{"a": ' + found + b"}"


def test_a_document_may_be_as_deep_as_allowed_and_no_deeper() -> None:
    parse(nested(MAX_DEPTH))
    with pytest.raises(Problem, match="nested deeper than 64 levels"):
        parse(nested(MAX_DEPTH + 1))


def test_many_lists_side_by_side_are_not_deep() -> None:
    assert len(parse(b'{"a": [' + b",".join([b"[[]]"] * 1000) + b"]}")["a"]) == 1000


def test_brackets_in_text_do_not_count() -> None:
    text = '\\"' + "[" * 1000 + '\\"' + "{" * 1000 + "\\\\"
    assert parse(b'{"a": "' + text.encode() + b'", "b": []}')["b"] == []


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"a", b"\\", b"[]", b'"a', b"[[]", b'"[\\'])
def test_what_cannot_be_read_takes_no_more_time_than_what_can(piece: bytes) -> None:
    raw = b'{"a": "' + piece * (1 << 20) + b"[" * MAX_DEPTH
    began = time.process_time()
    with pytest.raises(Problem):
        parse(raw)
    assert time.process_time() - began < 2


def test_depth_beyond_all_measure_is_found_in_one_pass() -> None:
    raw = b"[" * (1 << 23) + b"]" * (1 << 23)
    began = time.process_time()
    with pytest.raises(Problem, match="nested deeper"):
        parse(raw)
    assert time.process_time() - began < 5
