"""Whether to believe an ID token (OpenID Connect Core, 3.1.3.7; RFC 8725)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from deskplane.oidc.discovery import words
from deskplane.oidc.models import LONGEST_SUBJECT
from deskplane.oidc.refusals import Refused, bad_answer

ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
}
"""By what may be signed, and with which sort of key. Neither `none`, nor what is signed with the client's own secret:
whoever could read that could make tokens."""
LEAST_BITS = 2048
"""Of an RSA key."""
SKEW = timedelta(seconds=60)
"""How far the provider's clock may be from ours."""
OLDEST = timedelta(minutes=15)
"""How long ago a token may have been made: it was asked for a moment ago."""


class _Registry(jws.JWSRegistry):
    """Takes headers that nobody knows, as is the rule (RFC 7515, 4), and long ones: some bring a chain of
    certificates along, which nobody looks at."""

    max_header_length = 16_384

    def __init__(self, algorithms: Sequence[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)


Fits = Callable[[Mapping[str, Any]], bool]
KeysThatFit = Callable[[Fits], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Expected:
    """What a token must say."""

    issuer: str
    client_id: str
    nonce: str
    algorithms: Sequence[str]
    now: datetime


def _bad(detail: str) -> Refused:
    return bad_answer("bad_token", detail)


def verified(token: Any, expected: Expected, keys: KeysThatFit) -> dict[str, Any]:
    """The claims of a token that is signed by its issuer, for us, for this login, and for now. Raises Refused."""
    if not isinstance(token, str) or not token.isascii():
        raise _bad("there is no ID token")
    header = _header(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    sort = ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if sort is None or algorithm not in expected.algorithms:
        raise _bad(f"it is signed by {str(algorithm)[:40]!r}, which is not taken, or not what the provider offers")
    if "crit" in header:
        raise _bad("its header asks for what nobody here knows (crit)")
    kind = header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in ("jwt", "application/jwt")):
        raise _bad(f"it is no ID token, but {str(kind)[:40]!r}")

    def fits(key: Mapping[str, Any]) -> bool:
        return (
            key.get("kty") == sort
            and key.get("use") in (None, "sig")
            and key.get("alg") in (None, algorithm)
            and (kid is None or key.get("kid") == kid)
        )

    found = keys(fits)
    if not found:
        raise _bad(f"it is signed with the key {str(kid)[:80]!r}, which is not among the provider's")
    claims = next((claims for key in found if (claims := _signed(token, key, str(algorithm))) is not None), None)
    if claims is None:
        raise _bad("its signature is wrong")
    _check(claims, expected)
    return claims


def _header(token: str) -> dict[str, Any]:
    first, *others = token.split(".")
    try:
        found = orjson.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except ValueError:
        found = None
    if not isinstance(found, dict) or len(others) != 2:
        raise _bad("it cannot be read")
    return found


def _signed(token: str, key: Mapping[str, Any], algorithm: str) -> dict[str, Any] | None:
    """The claims, if this key signed them."""
    try:
        public = (RSAKey if key["kty"] == "RSA" else ECKey).import_key(_public(key))
        if isinstance(public, RSAKey) and public.public_key.key_size < LEAST_BITS:
            return None
        found = orjson.loads(jws.deserialize_compact(token, public, registry=_Registry([algorithm])).payload)
    except (JoseError, ValueError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _public(key: Mapping[str, Any]) -> dict[str, Any]:
    """What is needed of a key, and nothing that somebody should not have published."""
    return {name: key[name] for name in ("kty", "n", "e", "crv", "x", "y") if isinstance(key.get(name), str)}


def _check(claims: Mapping[str, Any], expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise _bad(f"its iss is {str(claims.get('iss'))[:200]!r}, not the issuer")
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = (audience,) if isinstance(audience, str) else words(audience)
    if expected.client_id not in audiences:
        raise _bad("its aud does not name this client")
    if (len(set(audiences)) > 1 or party is not None) and party != expected.client_id:
        raise _bad("it was made for another client (azp)")
    if not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= LONGEST_SUBJECT:
        raise _bad(f"its sub is no text of 1 to {LONGEST_SUBJECT} characters")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise _bad("its nonce is not that of this login")
    now = expected.now.timestamp()
    expires, issued, begins = (_second(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None:
        raise _bad("it has no exp or no iat")
    if expires + SKEW.total_seconds() <= now:
        raise _bad("it has expired; look at the clocks of both servers")
    if max(issued, begins or 0) - SKEW.total_seconds() > now:
        raise _bad("it is of the future; look at the clocks of both servers")
    if issued + (OLDEST + SKEW).total_seconds() < now:
        raise _bad("it was made long ago; look at the clocks of both servers")


def _second(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim that is a time (RFC 7519, 2); null where there is none. Raises Refused where it is something else."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _bad(f"its {name} is no time")
    return float(value)
