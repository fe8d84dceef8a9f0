"""What a provider says of itself, and its keys (OpenID Connect Discovery 1.0): asked for when it is needed, kept for a
while in each process, and never for more providers than a desk has use for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import orjson

from deskplane.kernel.clock import Clock
from deskplane.kernel.safe_http import MOST_READ, Answer, Client, Failed
from deskplane.login.hashing import Gate
from deskplane.oidc.refusals import unreachable
from deskplane.oidc.schemas import is_protected

SECONDS = 5.0
"""That each call may take; a login makes four at most."""
KEPT_FOR = timedelta(hours=1)
LEAST_BETWEEN = timedelta(seconds=30)
"""Between two looks at a provider's keys, however many tokens name one that nobody knows."""
MOST_KEPT = 20
MOST_KEYS = 100
CALLING = Gate(2, 2)
"""A provider that hangs holds up so many requests of a process at once, and so many that wait; others are told 503."""


def call(
    outside: Client,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """One request to a provider. Raises Refused where there was no answer."""
    try:
        with CALLING.turn():
            return outside.send(method, url, {"Accept": "application/json", **(headers or {})}, body, SECONDS)
    except Failed as failure:
        raise unreachable(f"{failure.code}: {failure.detail}") from None


def json_of(answer: Answer, what: str) -> dict[str, Any]:
    """The JSON object in an answer. Raises Refused where there is none."""
    if answer.status != 200:
        raise unreachable(f"{what} answered {answer.status}")
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        size = f", or more than {MOST_READ} bytes" if len(answer.body) >= MOST_READ else ""
        raise unreachable(f"{what} answered no JSON{size}") from None
    if not isinstance(found, dict):
        raise unreachable(f"{what} answered no JSON object")
    return found


def words(value: Any) -> tuple[str, ...]:
    """The texts in a list, as far as it is one."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


@dataclass(frozen=True)
class Metadata:
    """What a provider says of itself. Optional endpoints are null where it has none."""

    issuer: str
    authorization: str
    token: str
    jwks: str
    userinfo: str | None
    end_session: str | None
    algorithms: Sequence[str]
    client_auth: Sequence[str]
    sends_iss: bool


def read_metadata(issuer: str, found: Mapping[str, Any]) -> Metadata:
    """Takes a provider's document apart. Raises Refused where it is another's, or lacks what is needed."""
    if found.get("issuer") != issuer:
        # else whoever answers at this address could speak for somebody else (Discovery, 4.3)
        raise unreachable(f"it calls itself {str(found.get('issuer'))[:200]!r}, which is not the issuer {issuer!r}")

    def endpoint(name: str) -> str | None:
        url = found.get(name)
        if url is None:
            return None
        if not isinstance(url, str) or len(url) > 2000 or not _is_address(url):
            raise unreachable(f"its {name} is no address that begins with https://")
        return url

    def needed(name: str) -> str:
        url = endpoint(name)
        if url is None:
            raise unreachable(f"it has no {name}")
        return url

    return Metadata(
        issuer=issuer,
        authorization=needed("authorization_endpoint"),
        token=needed("token_endpoint"),
        jwks=needed("jwks_uri"),
        userinfo=endpoint("userinfo_endpoint"),
        end_session=endpoint("end_session_endpoint"),
        algorithms=words(found.get("id_token_signing_alg_values_supported")) or ("RS256",),
        client_auth=words(found.get("token_endpoint_auth_methods_supported")) or ("client_secret_basic",),
        sends_iss=found.get("authorization_response_iss_parameter_supported") is True,
    )


def _is_address(url: str) -> bool:
    try:
        return url.isascii() and url.isprintable() and " " not in url and is_protected(url)
    except ValueError:
        return False


@dataclass
class Known:
    """A provider as this process knows it: since when, and its keys since when."""

    metadata: Metadata
    at: datetime
    keys: Sequence[Mapping[str, Any]] = ()
    keys_at: datetime | None = None


@dataclass
class Discovery:
    """What this process knows of providers, by their issuers."""

    _lock: Lock = field(default_factory=Lock)
    _known: dict[str, Known] = field(default_factory=dict)

    def metadata(self, outside: Client, clock: Clock, issuer: str) -> Metadata:
        """What a provider says of itself. Calls the network; raises Refused."""
        return self._of(outside, clock, issuer).metadata

    def _of(self, outside: Client, clock: Clock, issuer: str) -> Known:
        now = clock.now()
        with self._lock:
            known = self._known.get(issuer)
        if known is not None and abs(now - known.at) < KEPT_FOR:
            return known
        url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = json_of(call(outside, "GET", url), "its openid-configuration")
        known = Known(read_metadata(issuer, document), now)
        with self._lock:
            self._known.pop(issuer, None)
            while len(self._known) >= MOST_KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[issuer] = known
        return known

    def keys(
        self, outside: Client, clock: Clock, issuer: str, fits: Callable[[Mapping[str, Any]], bool]
    ) -> list[Mapping[str, Any]]:
        """The keys of a provider that fit. Where none does, it may have new ones: then they are looked for, but not
        more often than every so many seconds. Calls the network; raises Refused."""
        known = self._of(outside, clock, issuer)
        found = [key for key in known.keys if fits(key)]
        now = clock.now()
        is_old = known.keys_at is None or abs(now - known.keys_at) >= KEPT_FOR
        if not is_old and (found or abs(now - (known.keys_at or now)) < LEAST_BETWEEN):
            return found
        answered = json_of(call(outside, "GET", known.metadata.jwks), "its jwks_uri").get("keys")
        keys = [key for key in answered if isinstance(key, dict)] if isinstance(answered, list) else []
        known.keys, known.keys_at = keys[:MOST_KEYS], now
        return [key for key in known.keys if fits(key)]
