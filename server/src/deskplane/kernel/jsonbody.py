"""Request bodies: strict JSON. What two parsers could read differently is refused (RFC 8259, I-JSON RFC 7493)."""

from __future__ import annotations

import json
import re
from array import array
from itertools import accumulate
from math import isinf
from typing import Any, NoReturn

import orjson

from deskplane.kernel.problem import Problem

MAX_DEPTH = 64
MAX_INTEGER_DIGITS = 20


def bad_json(detail: str) -> Problem:
    """400: the body is not JSON that can be read in one way only."""
    return Problem(400, "bad_json", detail)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _value in pairs:
            if name in seen:
                raise bad_json(f"the name {name[:100]!r} stands twice in one object")
            seen.add(name)
    return found


def _constant(name: str) -> NoReturn:
    raise bad_json(f"{name} is not JSON")


def _integer(digits: str) -> int:
    # a longer text is not even read: that takes quadratic time
    if len(digits) <= MAX_INTEGER_DIGITS and -(2**63) <= (found := int(digits)) < 2**64:
        return found
    raise bad_json("an integer is larger than 64 bits hold")


def _float(digits: str) -> float:
    found = float(digits)
    if isinf(found):
        raise bad_json("a number is larger than 64 bits hold")
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer, parse_float=_float)


_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string in JSON. One that does not end is taken whole, so that nothing is looked at twice."""
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _too_deep(raw: bytes) -> bool:
    """Whether the parser would have to go deeper than allowed, in one pass: this is done for callers not yet known."""
    steps = array("b", _TEXT.sub(b"", raw).translate(_STEPS, _NO_BRACKETS))
    return max(accumulate(steps), default=0) > MAX_DEPTH


def parse(raw: bytes) -> dict[str, Any]:
    """The object in a request's body. Raises 400 naming what is wrong with it."""
    if not raw.strip():
        raise bad_json("the body is empty; a JSON object is expected")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise bad_json("the body starts with a byte order mark; send UTF-8 without one")
    # only a body with that many brackets can be that deep, so that the exact count is seldom needed
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _too_deep(raw):
        raise bad_json(f"the document is nested deeper than {MAX_DEPTH} levels")
    try:
        found = _decoder.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise bad_json("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise bad_json(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(found, dict):
        raise bad_json("a JSON object is expected")
    if b"\\u" in raw:
        try:
            orjson.dumps(found)
        except TypeError:
            raise bad_json("a string holds half of a surrogate pair") from None
    return found
