"""From the desk to the provider and back: what is kept of somebody who was sent there, for ten minutes, once.

The state goes to the provider and back, and only the browser that was sent has the cookie; both are random, and kept
as one hash, so that neither opens anything without the other. The nonce and PKCE's verifier never leave the server but
to the provider, and are kept sealed. It all lies among the tokens of the room `login`, which no backup holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from sqlalchemy import delete, insert

from deskplane.desks.settings import setting
from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.ids import new_id, new_secret
from deskplane.kernel.problem import conflict
from deskplane.kernel.work import Work
from deskplane.login.models import LoginToken
from deskplane.oidc.discovery import Metadata
from deskplane.oidc.providers import Provider

BASE = "/api/v1/oidc"
LASTS = timedelta(minutes=10)
PURPOSE = "identity provider"
"""Of the token."""


@dataclass(frozen=True)
class Secrets:
    """What only the server knows of a login: the answer's nonce, and the verifier of PKCE (RFC 7636)."""

    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier: S256."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Begun:
    """A login that was begun: the browser's token, and the address that it is sent to."""

    browser: str
    location: str


@dataclass(frozen=True)
class Back:
    """A login that came back: with what it was begun, and where to go."""

    secrets: Secrets
    return_to: str


def public_url(work: Work) -> str:
    """The desk's own address. Raises 409 where nobody said it: what a request says of the host is anybody's."""
    found = setting(work, "public_url")
    if not found:
        raise conflict("no_public_url", "nobody can log in with a provider; set public_url")
    return str(found).rstrip("/")


def redirect_uri(work: Work, provider: Provider) -> str:
    """Where the provider sends the browser back to; it must be registered there."""
    return f"{public_url(work)}{BASE}/{provider.name}/callback"


def begin(work: Work, provider: Provider, metadata: Metadata, return_to: str) -> Begun:
    """Keeps a login, and answers where to send the browser."""
    state, browser, secrets = new_secret(), new_secret(), Secrets(new_secret(), new_secret())
    now = work.clock.now()
    row = {
        "id": new_id(),
        "purpose": PURPOSE,
        "token_hash": _hash(provider, state, browser),
        "data": {
            "return_to": return_to,
            "secrets": work.vault.seal(orjson.dumps([secrets.nonce, secrets.verifier]).decode()),
        },
        "created_at": now,
        "expires_at": now + LASTS,
    }
    work.session.execute(insert(LoginToken).values(**row))
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri(work, provider),
        "scope": " ".join(dict.fromkeys(["openid", *provider.scopes])),
        "state": state,
        "nonce": secrets.nonce,
        "code_challenge": secrets.challenge,
        "code_challenge_method": "S256",
    }
    return Begun(browser, with_query(metadata.authorization, asked))


def with_query(url: str, more: Mapping[str, str]) -> str:
    """An address with further parameters (RFC 6749, 3.1: those that it has stay)."""
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(more)}"


def take(work: Work, provider: Provider, state: str | None, browser: str | None) -> Back | None:
    """What was kept of a login, which is over by that: of two at once, one finds it gone. Null for one of another
    browser, one that is too old, and one that never was."""
    here = (
        LoginToken.purpose == PURPOSE,
        LoginToken.token_hash == _hash(provider, state or "", browser or ""),
        LoginToken.expires_at > work.clock.now(),
    )
    data: Any = work.session.execute(delete(LoginToken).where(*here).returning(LoginToken.data)).scalar_one_or_none()
    if data is None:
        return None
    try:
        nonce, verifier = orjson.loads(work.vault.open(data["secrets"]))
    except ValueError:
        return None  # sealed with a key that is gone
    return Back(Secrets(nonce, verifier), data["return_to"])


def _hash(provider: Provider, state: str, browser: str) -> str:
    return sha256_hex(f"{provider.id} {state} {browser}")
