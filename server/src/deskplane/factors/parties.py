"""Whom a passkey belongs to besides its user: the desk, by the address under which people reach it.

That is the setting `public_url`, never what a request says of the host: an authenticator signs for whom it was made,
and what it signs is compared with what the desk knows of itself.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from deskplane.desks.settings import setting
from deskplane.kernel.problem import Problem, conflict
from deskplane.kernel.work import Work

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Party:
    """A relying party: its id, a host name; the origin of its pages; and its name for people."""

    id: str
    origin: str
    name: str


def party(work: Work) -> Party:
    """The desk as a relying party. Raises 409 where it has no address that browsers make passkeys for."""
    address = urlsplit(str(setting(work, "public_url") or ""))
    try:
        host, number = (address.hostname or "").encode("idna").decode(), address.port
    except ValueError:
        raise _no_address() from None
    if not host or _is_ip(host) or (address.scheme != "https" and host != "localhost"):
        raise _no_address()
    port = "" if number in (None, _PORTS.get(address.scheme)) else f":{number}"
    name = str(setting(work, "branding.company_name") or "Deskplane")
    return Party(host, f"{address.scheme}://{host}{port}", name)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _no_address() -> Problem:
    detail = "passkeys belong to an address; set public_url to one with https:// and a host name"
    return conflict("no_public_url", detail)
