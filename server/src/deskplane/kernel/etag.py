"""Entity tags (RFC 9110, 8.8.3): the version of one thing, and, where it is read, what was shown of it."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from deskplane.kernel.problem import Problem


def etag(version: int, shown: Any = None) -> str:
    """A strong tag. Every write of the thing raises its version.

    `shown` is the answer, where the tag is one of it: names of other things in it, and states that follow from the
    time, change without a write.
    """
    if shown is None:
        return f'"{version}"'
    text = orjson.dumps(shown, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
    return f'"{version}-{hashlib.blake2s(text, digest_size=6).hexdigest()}"'


def _tags(header: str) -> list[str]:
    return [tag.strip() for tag in header.split(",")]


def not_modified(if_none_match: str | None, tag: str) -> bool:
    """Whether the caller has that answer already (RFC 9110, 13.1.2: the weak comparison)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in [given.removeprefix("W/") for given in _tags(if_none_match)]


def require_match(if_match: str | None, version: int) -> None:
    """Raises 412 where the caller's copy is of an earlier version (RFC 9110, 13.1.1)."""
    if if_match is None or if_match.strip() == "*":
        return
    for tag in _tags(if_match):
        if tag == etag(version) or (tag.startswith(f'"{version}-') and tag.endswith('"')):
            return
    raise Problem(
        412,
        "stale",
        "it was changed since you read it; read it again and repeat your change",
        headers={"ETag": etag(version)},
    )
