"""Callers' addresses, as far as something is counted by them."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def network(address: str | None) -> str | None:
    """The address, or the first 64 bits of one of IPv6, since who has one of those has all; null where it is none, as
    that of a caller on a socket with a path."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
