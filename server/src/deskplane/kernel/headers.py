"""What every answer tells browsers to leave alone.

Nothing here is a page of an application: the API answers data, attachments are files, and the one page there is, the
API's description, needs a style sheet of its own and nothing else. So a browser that is led to any of these addresses
runs nothing, loads nothing, frames nothing, and tells nobody where it has been.
"""

from __future__ import annotations

import base64
import hashlib

from flask import Request
from werkzeug.datastructures import Headers

CSP = "Content-Security-Policy"
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
FILE = f"sandbox; {NOTHING}"
"""Of files that somebody sent: whatever they hold, a browser does nothing with it."""
HSTS = "Strict-Transport-Security"
HTTPS = "https://"

ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""Of every answer, and said here alone. A view may say more of its own content and its caching."""


def page_with(style: str) -> str:
    """The policy of a page whose one style sheet stands in it: that one is known by its hash, and no other works."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"{NOTHING}; style-src 'sha256-{digest}'"


def strict_transport(seconds: int, *, subdomains: bool) -> str | None:
    """The value of `Strict-Transport-Security`; null where browsers are told nothing (RFC 6797)."""
    return None if not seconds else f"max-age={seconds}" + ("; includeSubDomains" if subdomains else "")


def tell(headers: Headers, request: Request, public_address: str, transport: str | None) -> None:
    """Puts them on an answer."""
    for name, value in ALWAYS:
        headers.add(name, value)  # to look for one of the same name would take as long as all else here
    headers.setdefault(CSP, NOTHING)
    headers.setdefault("Cache-Control", "no-store")
    # a proxy that ends TLS may not say so, and the operator did
    if transport is not None and (request.is_secure or public_address.startswith(HTTPS)):
        headers[HSTS] = transport
