"""Entity tags (RFC 9110, 8.8.3): the version of one thing."""

from __future__ import annotations

from deskplane.kernel.problem import Problem


def etag(version: int) -> str:
    """A strong tag: every write of the thing raises its version."""
    return f'"{version}"'


def require_match(if_match: str | None, version: int) -> None:
    """Raises 412 where the caller's copy is stale (RFC 9110, 13.1.1)."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag(version) not in [tag.strip() for tag in if_match.split(",")]:
        raise Problem(
            412,
            "stale",
            "it was changed since you read it; read it again and repeat your change",
            headers={"ETag": etag(version)},
        )
