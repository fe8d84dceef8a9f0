"""How entries are chained: each hash is made of its entry and of the hash before it.

The hash is SHA-256 of the entry as JSON with sorted names and no spaces, with `previous` (the hash of the entry before
it) and without `sequence` and `hash`. What is null is left out, so that fields which a later version adds leave the
hashes of before as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

BEGINNING = "0" * 64
"""What stands for the hash before the first entry."""
FIELDS = (
    "at",
    "kind",
    "object_id",
    "key",
    "action",
    "changes",
    "user_id",
    "username",
    "key_id",
    "address",
    "manager",
    "revision",
    "request_id",
)
"""What is hashed, besides the hash before."""
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z


def text(value: Any) -> str:
    """JSON as it is stored: the same text for the same value."""
    return orjson.dumps(value, option=_OPTIONS).decode()


def moment(at: datetime) -> str:
    """An instant as it is hashed, microseconds always."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table as what is exported and shown: JSON values, without nulls."""
    return _values(row, orjson.loads)


def hashed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same for hashing alone: what is JSON already is not read."""
    return _values(row, orjson.Fragment)


def _values(row: Mapping[str, Any], read: Callable[[str], Any]) -> dict[str, Any]:
    found = {name: row[name] for name in FIELDS if row[name] is not None}
    found["at"] = moment(found["at"])
    for name in ("key", "changes"):
        found[name] = read(found[name])
    return found


def digest(previous: str, content: Mapping[str, Any]) -> str:
    """The hash of an entry behind the one with the hash `previous`."""
    return hashlib.sha256(orjson.dumps({**content, "previous": previous}, option=_OPTIONS)).hexdigest()
