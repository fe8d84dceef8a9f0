"""Forged and foreign ID tokens, one of each sort: none of them lets anybody in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from played_provider import KEYS, SECRET, Claims, Provider, encoded, log_in, playing, public, reason, signed

from conftest import Api, TurnedClock
from login_help import Browser

Forge = Callable[[Claims], Any]


def unsigned(claims: Claims) -> str:
    return f"{encoded({'alg': 'none', 'kid': 'first'})}.{encoded(claims)}."


def _hmac(claims: Claims, key: bytes) -> str:
    signing = f"{encoded({'alg': 'HS256', 'kid': 'first'})}.{encoded(claims)}"
    digest = hmac.new(key, signing.encode(), hashlib.sha256).digest()
    return f"{signing}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def with_the_clients_secret(claims: Claims) -> str:
    """What an honest provider may do, and whoever has the secret as well."""
    return _hmac(claims, SECRET.encode())


def with_the_public_key_as_secret(claims: Claims) -> str:
    """The oldest trick: everyone has the public key."""
    return _hmac(claims, KEYS["first"].as_pem(private=False))


def tampered(claims: Claims) -> str:
    header, _, signature = signed(claims).split(".")
    return f"{header}.{encoded({**claims, 'sub': '1'})}.{signature}"


def without_signature(claims: Claims) -> str:
    return signed(claims).rpartition(".")[0] + "."


def with_its_own_key(claims: Claims) -> str:
    return signed(claims, "second", kid="first", jwk=public("second"))


def changed(**more: Any) -> Forge:
    """A good signature under claims that are not; null leaves one out."""

    def forge(claims: Claims) -> str:
        return signed({name: value for name, value in {**claims, **more}.items() if value is not None})

    return forge


def later(**seconds: int) -> Forge:
    """Times moved by so many seconds."""
    return lambda claims: signed({**claims, **{name: claims["iat"] + by for name, by in seconds.items()}})


FORGED: dict[str, tuple[Forge, str]] = {
    "not signed at all": (unsigned, "it is signed by 'none'"),
    "signed with the client's secret": (with_the_clients_secret, "it is signed by 'HS256'"),
    "signed with the public key as a secret": (with_the_public_key_as_secret, "it is signed by 'HS256'"),
    "changed after it was signed": (tampered, "its signature is wrong"),
    "its signature cut off": (without_signature, "its signature is wrong"),
    "signed with a key that it brings along": (with_its_own_key, "its signature is wrong"),
    "signed with a key of nobody": (lambda claims: signed(claims, "second"), "it is signed with the key 'second'"),
    "without kid, by another key": (lambda claims: signed(claims, "second", kid=None), "its signature is wrong"),
    "signed with a key that is too short": (lambda claims: signed(claims, "small"), "its signature is wrong"),
    "signed with an algorithm that is not offered": (
        lambda claims: signed(claims, alg="RS512"),
        "it is signed by 'RS512'",
    ),
    "with a header that must be understood": (
        lambda claims: signed(claims, crit=["b64"], b64=True),
        "its header asks for what nobody here knows",
    ),
    "an access token": (lambda claims: signed(claims, typ="at+jwt"), "it is no ID token"),
    "a logout token": (lambda claims: signed(claims, typ="logout+jwt"), "it is no ID token"),
    "of another issuer": (changed(iss="https://evil.example"), "its iss is 'https://evil.example'"),
    "of no issuer": (changed(iss=None), "its iss is 'None'"),
    "for another client": (changed(aud="other"), "its aud does not name this client"),
    "for nobody": (changed(aud=None), "its aud does not name this client"),
    "for us and others, made for another": (changed(aud=["desk", "other"], azp="other"), "it was made for another"),
    "for us and others, made for nobody": (changed(aud=["desk", "other"]), "it was made for another"),
    "for us, made for another": (changed(azp="other"), "it was made for another"),
    "expired": (later(exp=-61), "it has expired"),
    "without end": (changed(exp=None), "it has no exp"),
    "with an end that is no time": (changed(exp="tomorrow"), "its exp is no time"),
    "without beginning": (changed(iat=None), "it has no exp or no iat"),
    "of tomorrow": (later(iat=61 + 3600, exp=7200), "it is of the future"),
    "not valid yet": (later(nbf=3600), "it is of the future"),
    "of last week": (later(iat=-7 * 86_400), "it was made long ago"),
    "of another login": (changed(nonce="of another login"), "its nonce is not that of this login"),
    "of no login": (changed(nonce=None), "its nonce is not that of this login"),
    "of nobody": (changed(sub=None), "its sub is no text"),
    "of somebody with a number": (changed(sub=1001), "its sub is no text"),
    "of somebody with an endless name": (changed(sub="x" * 256), "its sub is no text"),
    "a list": (lambda claims: signed([claims]), "its signature is wrong"),  # type: ignore[arg-type]
    "no token": (lambda _claims: None, "there is no ID token"),
    "nonsense": (lambda _claims: "a.b.c", "it cannot be read"),
    "encrypted": (lambda _claims: "a.b.c.d.e", "it cannot be read"),
    "of five dots and letters nobody knows": (lambda _claims: "ä.ö.ü", "there is no ID token"),
}


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_lets_nobody_in(api: Api, clock: TurnedClock, name: str) -> None:
    forge, why = FORGED[name]
    with playing(api, clock) as provider:
        provider.keys.append(public("small"))
        provider.sign = forge
        browser = Browser(api)
        answer = log_in(provider, browser)
        assert answer.status_code == 403
        assert answer.get_json()["type"] == "urn:deskplane:problem:login_refused"
        assert reason(api).startswith(f"bad_token, {why}")
        assert why not in answer.get_data(as_text=True)
        browser.call("GET", "/session", status=401)
        assert api.call("GET", "/users?username=mia")["items"] == []


GOOD: dict[str, Forge] = {
    "RSA": signed,
    "an elliptic curve": lambda claims: signed(claims, "curve"),
    "without kid": lambda claims: signed(claims, kid=None),
    "with certificates and what nobody knows": lambda claims: signed(claims, x5c=["M" * 2000] * 3, of_its_own="x"),
    "with its type": lambda claims: signed(claims, typ="JWT"),
    "for a list of one": changed(aud=["desk"]),
    "for several, made for us": changed(aud=["other", "desk"], azp="desk"),
    "by a clock that is behind": later(iat=-60, exp=-59),
    "by a clock that is ahead": later(iat=60, nbf=60),
}


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_does(api: Api, clock: TurnedClock, name: str) -> None:
    with playing(api, clock) as provider:
        provider.keys = [{"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"}, public("curve"), public("first")]
        provider.sign = GOOD[name]
        answer = log_in(provider, Browser(api))
        assert answer.status_code == 303, reason(api)


@pytest.mark.only_on("sqlite")
def test_a_key_for_encryption_signs_nothing(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        provider.keys = [public("first", use="enc"), public("second", alg="RS512", kid="first")]
        assert log_in(provider, Browser(api)).status_code == 403
        assert reason(api).startswith("bad_token, it is signed with the key 'first'")


def rotate(provider: Provider, name: str) -> None:
    """Signs with another key, and publishes that alone."""
    provider.keys = [public(name)]
    provider.sign = lambda claims: signed(claims, name)


@pytest.mark.only_on("sqlite")
def test_new_keys_are_looked_for_but_not_for_every_token_that_names_one(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        assert log_in(provider, Browser(api)).status_code == 303
        clock.turn(seconds=31)
        rotate(provider, "second")
        assert log_in(provider, Browser(api)).status_code == 303
        assert provider.seen.count("/jwks") == 2
        provider.sign = lambda claims: signed(claims, "second", kid=f"made up {len(provider.seen)}")
        for _ in range(5):
            assert log_in(provider, Browser(api)).status_code == 403
        assert provider.seen.count("/jwks") == 2
        clock.turn(seconds=31)
        for _ in range(5):
            assert log_in(provider, Browser(api)).status_code == 403
        assert provider.seen.count("/jwks") == 3
        provider.sign = lambda claims: signed(claims, "first")
        assert log_in(provider, Browser(api)).status_code == 403, "a key that is published no more"


@pytest.mark.only_on("sqlite")
def test_what_is_missing_is_asked_for_and_must_be_of_the_same_one(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock, group_roles=[{"group": "desk", "role": "agent"}]) as provider:
        short = {"preferred_username": None, "email": None, "email_verified": None, "groups": None}
        provider.userinfo = {"sub": "somebody else", "preferred_username": "admin"}
        assert log_in(provider, Browser(api), **short).status_code == 403
        assert reason(api).startswith("bad_userinfo")
        provider.userinfo = {"sub": "1001", "preferred_username": "mia", "groups": ["desk"]}
        browser = Browser(api)
        assert log_in(provider, browser, **short).status_code == 303
        found = browser.call("GET", "/session")
        assert found["username"] == "mia"
        assert "tickets:edit" in found["permissions"]
        asked = provider.seen.count("/me")
        assert log_in(provider, Browser(api)).status_code == 303
        assert provider.seen.count("/me") == asked, "the token says it all"


@pytest.mark.only_on("sqlite")
def test_the_provider_must_have_asked_for_what_is_required(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock, required_amr=["mfa", "hwk"]) as provider:
        for amr in (None, ["pwd"], "mfa", [["mfa"]]):
            assert log_in(provider, Browser(api), amr=amr).status_code == 403
            assert reason(api) == "weak_login, its amr names none of hwk, mfa"
        assert log_in(provider, Browser(api), amr=["pwd", "mfa"]).status_code == 303


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 60_000, b'"x"', b"{" + b" " * 70_000 + b"}"])
def test_keys_that_cannot_be_read_are_nobodys(
    api: Api, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    with playing(api, clock) as provider:
        browser = Browser(api)
        whole = provider.next

        def publish(keys: bytes) -> None:
            monkeypatch.setattr(provider, "next", lambda got: (200, {}, keys) if got.path == "/jwks" else whole(got))

        publish(body)
        assert log_in(provider, browser).status_code == 409
        assert reason(api).startswith("unreachable, its jwks_uri answered no JSON")
        bad = [{"kty": "RSA"}, {"kty": "RSA", "kid": "first", "n": 1, "e": "!"}, 7]
        publish(json.dumps({"keys": bad}).encode())
        assert log_in(provider, browser).status_code == 403
