"""What the tests of backups share."""

from __future__ import annotations

from typing import Any

from conftest import Api


def opened(api: Api, title: str, **fields: Any) -> Any:
    """A new ticket."""
    return api.call("POST", "/tickets", {"title": title, **fields}, 201)
