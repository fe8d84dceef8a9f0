"""Cookies, and how a request that a browser sends by itself is told from one that our own pages send.

A cookie is `HttpOnly`, `SameSite=Lax`, `Secure` and named with the prefix `__Host-`, which binds it to this very host
(RFC 6265bis, 4.1.3). Only where somebody tries the desk out on his own machine, over plain HTTP, it is neither
`Secure` nor prefixed, since browsers would not keep it.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flask import Request, Response

from deskplane.kernel.crypto import Vault, sha256_hex
from deskplane.kernel.operation import Cookie
from deskplane.kernel.problem import Problem

SESSION = "deskplane"
"""Holds the token of a session."""
DEVICE = "deskplane-device"
"""Holds the token by which a browser is known from which somebody logged in before."""
PROVIDER_LOGIN = "deskplane-oidc"
"""Holds the token of who was sent to an identity provider, until he is back."""
HOST_PREFIX = "__Host-"
CSRF_HEADER = "X-CSRF-Token"
LONGEST = 200
"""Characters of a cookie that is looked at; tokens have 43."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def _is_loopback(request: Request) -> bool:
    host = urlsplit(f"//{request.host}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain(request: Request) -> bool:
    return not request.is_secure and _is_loopback(request)


def _named(request: Request, name: str) -> str:
    return name if _is_plain(request) else HOST_PREFIX + name


def read(request: Request, name: str) -> str | None:
    """The cookie's value, if there is one that can be a token."""
    found = request.cookies.get(_named(request, name))
    return found if found and len(found) <= LONGEST and found.isascii() else None


def read_all(request: Request) -> dict[str, str]:
    """The values of our own cookies, as far as there are any."""
    if "Cookie" not in request.headers:
        return {}
    found = {name: read(request, name) for name in (SESSION, DEVICE, PROVIDER_LOGIN)}
    return {name: value for name, value in found.items() if value is not None}


def write(request: Request, response: Response, cookie: Cookie) -> None:
    """Sets a cookie, or removes it."""
    response.set_cookie(
        _named(request, cookie.name),
        cookie.value or "",
        max_age=0 if cookie.value is None else cookie.max_age,
        path="/",
        secure=not _is_plain(request),
        httponly=True,
        samesite="Lax",
    )


def csrf_token(vault: Vault, session_token: str) -> str:
    """What a page of ours sends along in `X-CSRF-Token`: bound to its session, and worth nothing in another."""
    return vault.signature(_signed(session_token))


def _signed(session_token: str) -> bytes:
    return f"CSRF {sha256_hex(session_token)}".encode()


def require_own_page(request: Request, vault: Vault, session_token: str, public_address: str) -> None:
    """Raises 403 where a request with a session may have been made by somebody else's page."""
    require_same_origin(request, public_address)
    if not vault.is_signed(_signed(session_token), request.headers.get(CSRF_HEADER, "")):
        raise _cross_site(f"send {CSRF_HEADER} with the csrf_token that GET /api/v1/session answers")


def require_same_origin(request: Request, public_address: str) -> None:
    """Raises 403 where a browser says that another site's page sends this. Who is no browser says nothing of it."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise _cross_site("a page of another site cannot do this")
        return
    origin = request.headers.get("Origin")
    if origin is None:
        return
    ours = {request.host, urlsplit(public_address).netloc}
    if urlsplit(origin).netloc not in ours - {""}:
        raise _cross_site("a page of another site cannot do this")


def _cross_site(detail: str) -> Problem:
    return Problem(403, "cross_site", detail)
