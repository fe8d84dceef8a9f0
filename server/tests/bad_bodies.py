"""Bodies that no operation takes, and values that no field of its sort takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deskplane.kernel.compound import Group, ListOf
from deskplane.kernel.fields import Described, Flag, Minutes, Moment, Text, Whole

UNREADABLE: dict[str, bytes] = {
    "cut off": b'{"name": "x"',
    "cut off in a string": b'{"name": "x',
    "empty": b"",
    "white space": b" \n\t",
    "a list": b'[{"name": "x"}]',
    "a string": b'"x"',
    "a number": b"7",
    "null": b"null",
    "two documents": b'{"name": "x"}{"name": "y"}',
    "text behind": b'{"name": "x"} y',
    "duplicate keys": b'{"name": "x", "name": "y"}',
    "duplicate keys, escaped": b'{"name": "x", "n\\u0061me": "y"}',
    "duplicate keys, deep": b'{"name": "x", "imap": {"port": 1, "port": 2}}',
    "10,000 lists": b'{"name": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10,000 objects": b'{"name":' * 10_000 + b"1" + b"}" * 10_000,
    "10,000 levels, cut off": b"[" * 10_000,
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": Infinity}',
    "minus Infinity": b'{"name": -Infinity}',
    "a number beyond 64 bits": b'{"name": 1e400}',
    "a deep number beyond 64 bits": b'{"name": [[-1e999]]}',
    "a huge integer": b'{"name": ' + b"9" * 5000 + b"}",
    "a huge negative integer": b'{"name": -99999999999999999999}',
    "a byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "an overlong NUL": b'{"name": "\xc0\x80"}',
    "an encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "the other half": b'{"name": {"\\udc00": 1}}',
    "a raw control character": b'{"name": "a\x01b"}',
    "single quotes": b"{'name': 'x'}",
    "a comment": b'{"name": "x" /* y */}',
    "a trailing comma": b'{"name": "x",}',
    "a leading zero": b'{"name": 012}',
    "no JSON": b"name=x",
}


WRONG_TYPES: tuple[str, ...] = (
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/octet-stream"),
    *("application/json; charset=latin-1", "application/json; charset=utf-16", "text/json", ""),
)
"""Media types of a body that is none of JSON in UTF-8."""


def bad_values(part: Described) -> Iterator[Any]:
    """Values that a field does not take, by what sort of field it is."""
    if isinstance(part, ListOf):
        yield from ("x", 7, True, {}, [None], [None] * (part.most + 1))
        for value in bad_values(part.inner):
            yield [value]
    elif isinstance(part, Group):
        yield from ("x", 7, False, [], {"no_such_part": 1})
        for name, inner in part.parts.items():
            for value in bad_values(inner):
                yield {name: value}
    elif isinstance(part, Whole):
        yield from (True, 1.5, [], {}, part.most + 1, part.least - 1)
        yield "soon" if isinstance(part, Minutes) else "1"
    elif isinstance(part, Flag):
        yield from (0, 1, "true", "", [], {})
    elif isinstance(part, Moment):
        yield from ("now", 0, True, [], "2026-02-30T00:00:00Z", "2026-03-29T02:30:00", "9999-12-31T23:59:59-12:00")
    elif isinstance(part, Text):
        yield from (7, True, ["x"], {"x": 1}, "a\x00b", "a\x07b", "x" * (part.longest + 1))
        if part.shortest:
            yield ""
        if not part.block:
            yield from ("a\u202eb", "a\nb", "a\u2066b")
    else:
        raise AssertionError(f"say here what {type(part).__name__} does not take")
