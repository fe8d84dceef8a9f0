"""An identity provider that a test plays: strict about what the desk sends, and told what to say and how to sign it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey
from werkzeug.test import TestResponse

from conftest import Api, TurnedClock
from deskplane.kernel.safe_http import Client
from login_help import Browser
from receivers import NETWORK, Got, Script, receiver
from webhook_help import no_names

DESK = "http://localhost"
SECRET = "a secret: of+the desk/%"
Headers = dict[str, str]
Claims = dict[str, Any]
KEYS: dict[str, Key] = {
    "first": RSAKey.generate_key(2048),
    "second": RSAKey.generate_key(2048),
    "curve": ECKey.generate_key("P-256"),
    "small": RSAKey.generate_key(1024),
}
"""Made once: that takes a moment."""


def public(name: str, **more: Any) -> dict[str, Any]:
    """A key as a provider publishes it."""
    return {**KEYS[name].as_dict(private=False), "kid": name, "use": "sig", **more}


def signed(claims: Claims, key: str = "first", **header: Any) -> str:
    """A token, by whichever key."""
    algorithm = "ES256" if key == "curve" else "RS256"
    whole = {"alg": algorithm, "kid": key, **header}
    whole = {name: value for name, value in whole.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[whole["alg"]], strict_check_header=False)
    return jws.serialize_compact(whole, json.dumps(claims), KEYS[key], registry=registry)


def encoded(value: Any) -> str:
    """A part of a token that nobody signs."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@dataclass
class Grant:
    """What a code stands for."""

    claims: Claims
    nonce: str
    challenge: str
    redirect_uri: str


@dataclass
class Provider(Script):
    """The provider. `sign` makes the token of claims; `metadata` is laid over what it says of itself."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    issuer: str = ""
    secret: str | None = SECRET
    keys: list[dict[str, Any]] = field(default_factory=lambda: [public("first")])
    sign: Callable[[Claims], str] = signed
    metadata: dict[str, Any] = field(default_factory=dict)
    userinfo: Claims = field(default_factory=dict)
    codes: dict[str, Grant] = field(default_factory=dict)
    last: str = ""
    seen: list[str] = field(default_factory=list)

    def next(self, request: Got) -> tuple[int, Headers, bytes]:
        path = urlsplit(request.path).path
        self.seen.append(path)
        if path == "/.well-known/openid-configuration":
            return self._json(self.described())
        if path == "/jwks":
            return self._json({"keys": self.keys})
        if path == "/token":
            return self._token(request)
        if path == "/me":
            assert request.headers["authorization"] == "Bearer an-access-token"
            return self._json({"sub": self.last, **self.userinfo})
        return 404, {}, b"<html>nothing</html>"

    def described(self) -> dict[str, Any]:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth?tenant=7",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/me",
            "end_session_endpoint": f"{self.issuer}/bye",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
            "authorization_response_iss_parameter_supported": True,
        }
        return {name: value for name, value in {**found, **self.metadata}.items() if value is not None}

    def _json(self, value: Any, status: int = 200) -> tuple[int, Headers, bytes]:
        return status, {"Content-Type": "application/json"}, json.dumps(value).encode()

    def _token(self, request: Got) -> tuple[int, Headers, bytes]:
        sent = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        grant = self.codes.pop(sent.get("code", ""), None)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        if (
            grant is None
            or not self._is_client(request, sent)
            or sent["grant_type"] != "authorization_code"
            or sent["redirect_uri"] != grant.redirect_uri
            or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.challenge
        ):
            return self._json({"error": "invalid_grant", "error_description": "never to be shown"}, 400)
        self.last = grant.claims["sub"]
        token = self.sign(grant.claims)
        return self._json({"access_token": "an-access-token", "token_type": "Bearer", "id_token": token})

    def _is_client(self, request: Got, sent: dict[str, str]) -> bool:
        if self.secret is None:
            return sent.get("client_id") == "desk" and "authorization" not in request.headers
        if self.metadata.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            return (sent.get("client_id"), sent.get("client_secret")) == ("desk", self.secret)
        pair = urlencode({"desk": self.secret}).replace("=", ":", 1)
        return request.headers.get("authorization") == f"Basic {base64.b64encode(pair.encode()).decode()}"

    def claims(self, nonce: str, **more: Any) -> Claims:
        """Those of a good token; null leaves one out."""
        now = int(self.clock.time.timestamp())
        found = {"iss": self.issuer, "aud": "desk", "sub": "1001", "iat": now, "exp": now + 300, "nonce": nonce}
        found |= {"preferred_username": "mia", "email": "mia@example.org", "email_verified": True, "groups": []}
        return {name: value for name, value in {**found, **more}.items() if value is not None}

    def let_in(self, location: str, **claims: Any) -> dict[str, str]:
        """Logs somebody in who was sent there; answers what his browser brings back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", "desk", "S256")
        assert location.startswith(f"{self.issuer}/auth?tenant=7&")
        code = f"code {len(self.seen)} {len(self.codes)}"
        given = self.claims(asked["nonce"], **claims)
        self.codes[code] = Grant(given, asked["nonce"], asked["code_challenge"], asked["redirect_uri"])
        return {"code": code, "state": asked["state"], "iss": self.issuer}


def begin(browser: Browser, name: str = "corp", **query: str) -> TestResponse:
    """Opens the address at which a login begins."""
    return browser.send("GET", f"/oidc/{name}/login?{urlencode(query)}", Sec_Fetch_Site="cross-site")


def come_back(browser: Browser, back: dict[str, str], name: str = "corp") -> TestResponse:
    """Follows the provider's redirection."""
    return browser.send("GET", f"/oidc/{name}/callback?{urlencode(back)}", Sec_Fetch_Site="cross-site")


def log_in(provider: Provider, browser: Browser, **claims: Any) -> TestResponse:
    """All of it."""
    sent = begin(browser)
    assert sent.status_code == 303, sent.get_data(as_text=True)
    return come_back(browser, provider.let_in(sent.headers["Location"], **claims))


def outside(api: Api) -> None:
    """Lets the desk call the test network, as an operator would."""
    api.desk.outside = Client([NETWORK], resolve=no_names, seconds=2)
    api.client.application.extensions["deskplane"].outside = api.desk.outside


@contextmanager
def playing(api: Api, clock: TurnedClock, **fields: Any) -> Iterator[Provider]:
    """A provider that is started, and configured as `corp`."""
    provider = Provider(clock=clock)
    with receiver(provider) as (address, port):
        provider.issuer = f"http://{address}:{port}"
        outside(api)
        api.apply("settings", key="public_url", value=DESK)
        given = {"issuer": provider.issuer, "client_id": "desk", "client_secret": SECRET, "create_users": True}
        api.apply("oidc-providers", name="corp", **{**given, **fields})
        yield provider


def reason(api: Api) -> str:
    """What the login history says of the last login that failed."""
    entry = api.call("GET", "/logins?event=login_failed&limit=1")["items"][0]
    found: str = entry["detail"]
    return found.removeprefix("oidc corp: ")
