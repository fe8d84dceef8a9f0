"""Pages of other origins that may call the API: those of the setting `allowed_origins`, and no other (CORS, as the
Fetch standard has it).

Such a page sends an API key that it was given. A session is never for it: `Access-Control-Allow-Credentials` is not
said, so that no browser lets it read what a cookie opens, and what changes something with a cookie is refused to
every page but our own (`kernel.cookies`). With no origin allowed, nothing of all this is said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from flask import Request, Response
from werkzeug.datastructures import Headers

SENT = (
    "Authorization, Content-Disposition, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-Key, "
    "X-Request-Id"
)
"""What a page may send beside what any form can."""
READ = (
    "Content-Disposition, Deskplane-Version, ETag, Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, "
    "Repr-Digest, Retry-After, X-Request-Id"
)
"""What it may read beside what every page can."""
REMEMBERED = 600
"""For how many seconds a browser needs not ask again."""
_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def _origin(request: Request, allowed: Collection[str]) -> str | None:
    origin = request.headers.get("Origin")
    return origin if origin in allowed else None


def preflight(request: Request, allowed: Collection[str], methods: Callable[[], str]) -> Response | None:
    """The answer to a browser that asks before it lets a page send: the methods that the address has. Null where this
    is no such question, or the origin is not allowed, or there is nothing at the address."""
    if not allowed or request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    if _origin(request, allowed) is None or not (found := methods()):
        return None
    answer = Response(status=204)
    answer.headers["Access-Control-Allow-Methods"] = found
    answer.headers["Access-Control-Allow-Headers"] = SENT
    answer.headers["Access-Control-Max-Age"] = str(REMEMBERED)
    return answer


def share(headers: Headers, request: Request, allowed: Collection[str]) -> None:
    """Lets the page that sent this read the answer, if its origin is allowed."""
    if not allowed:
        return
    # a cache must not give one origin's answer to another, nor to who asks without one
    headers.add("Vary", _VARY if request.method == "OPTIONS" else "Origin")
    origin = _origin(request, allowed)
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = READ
