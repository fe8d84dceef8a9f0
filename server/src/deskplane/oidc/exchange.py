"""What the desk asks a provider once somebody is back: for its tokens, and where they say too little, for the rest."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode

import orjson

from deskplane.kernel.crypto import Vault
from deskplane.kernel.safe_http import Client
from deskplane.oidc.discovery import Metadata, call, json_of, words
from deskplane.oidc.providers import Provider
from deskplane.oidc.refusals import bad_answer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MOST_GROUPS = 5000


@dataclass(frozen=True)
class Person:
    """Who somebody is, as his provider says it. `email` is one that the provider has verified, or null."""

    subject: str
    username: str | None
    email: str | None
    first_name: str
    last_name: str
    groups: frozenset[str]


@dataclass(frozen=True)
class Tokens:
    """What a code was changed for."""

    id_token: Any
    access_token: str | None


def redeem(outside: Client, vault: Vault, provider: Provider, metadata: Metadata, form: Mapping[str, str]) -> Tokens:
    """Changes a code for tokens (RFC 6749, 4.1.3). Calls the network; raises Refused."""
    secret = _secret(vault, provider.client_secret)
    headers, sent = dict(FORM), {"grant_type": "authorization_code", **form}
    if secret is None:
        sent["client_id"] = provider.client_id
    elif "client_secret_basic" in metadata.client_auth or "client_secret_post" not in metadata.client_auth:
        # each part is encoded as in a form first (RFC 6749, 2.3.1)
        pair = f"{quote_plus(provider.client_id)}:{quote_plus(secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        sent |= {"client_id": provider.client_id, "client_secret": secret}
    answer = call(outside, "POST", metadata.token, headers, urlencode(sent).encode())
    if 400 <= answer.status < 500:
        raise bad_answer("no_token", f"its token endpoint answered {answer.status}{_error(answer.body)}")
    found = json_of(answer, "its token endpoint")
    access = found.get("access_token")
    is_bearer = isinstance(access, str) and access.isascii() and access.isprintable()
    if str(found.get("token_type", "")).lower() != "bearer" or not is_bearer:
        access = None
    return Tokens(found.get("id_token"), access)


def _secret(vault: Vault, sealed: str | None) -> str | None:
    try:
        return vault.open(sealed) if sealed else None
    except ValueError:
        return None  # sealed with a key that is gone


def _error(body: bytes) -> str:
    """The word with which it refuses (RFC 6749, 5.2), for the log."""
    try:
        word = orjson.loads(body).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return f": {word[:60]!r}" if isinstance(word, str) else ""


def completed(
    outside: Client, provider: Provider, metadata: Metadata, claims: Mapping[str, Any], access_token: str | None
) -> Mapping[str, Any]:
    """The claims, with those of the user info where some that are needed are missing. Calls the network; raises
    Refused, also where that speaks of somebody else."""
    named = provider.claims
    needed = [named["username"], named["email"]] + ([named["groups"]] if provider.group_roles else [])
    if all(name in claims for name in needed) or metadata.userinfo is None or access_token is None:
        return claims
    answer = call(outside, "GET", metadata.userinfo, {"Authorization": f"Bearer {access_token}"})
    found = json_of(answer, "its userinfo_endpoint")
    if found.get("sub") != claims["sub"]:
        raise bad_answer("bad_userinfo", "its userinfo_endpoint speaks of somebody else (sub)")
    return {**found, **claims}


def person(provider: Provider, claims: Mapping[str, Any]) -> Person:
    """Who the claims speak of. Raises Refused where he did not log in as the provider is asked to make sure."""
    if provider.required_amr and not set(words(claims.get("amr"))) & set(provider.required_amr):
        wanted = ", ".join(provider.required_amr)
        raise bad_answer("weak_login", f"its amr names none of {wanted}")
    named = provider.claims

    def text(name: str) -> str | None:
        value = claims.get(named[name])
        return value.strip() or None if isinstance(value, str) else None

    groups = claims.get(named["groups"])
    return Person(
        subject=claims["sub"],
        username=text("username"),
        # true and nothing that merely looks like it: what is not verified anybody may have typed
        email=text("email") if claims.get("email_verified") is True else None,
        first_name=text("first_name") or "",
        last_name=text("last_name") or "",
        groups=frozenset([groups] if isinstance(groups, str) else words(groups)[:MOST_GROUPS]),
    )
