"""Logging in with a provider that somebody else wrote and that is certified: npm's `oidc-provider`, as the lock beside
it pins it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests
from played_provider import DESK, begin, come_back, outside

from conftest import Api, TurnedClock
from login_help import Browser, events
from receivers import NETWORK

sys.path.append(str(Path(__file__).resolve().parents[3] / "tools"))
import toolchain

HOST = str(NETWORK[60_000])
SECRET = "only for these tests: %/+ and such"
CALLBACK = f"{DESK}/api/v1/oidc/corp/callback"
PEOPLE: dict[str, dict[str, Any]] = {
    "mia": {
        "preferred_username": "mia",
        "given_name": "Mia",
        "family_name": "Sol",
        "email": "mia@example.org",
        "email_verified": True,
        "groups": ["desk", "everyone"],
    },
    "tom": {"preferred_username": "tom", "email": "tom@example.org", "email_verified": False},
}

pytestmark = pytest.mark.only_on("sqlite")


class RealProvider:
    """A process, and the browser of somebody who logs in there."""

    def __init__(self, *, conform: bool) -> None:
        home = toolchain.node_packages(Path(__file__).parent / "real_provider")
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        self.issuer = f"http://{HOST}:{port}"
        client = {
            "client_id": "desk",
            "client_secret": SECRET,
            "redirect_uris": [CALLBACK],
            "post_logout_redirect_uris": [f"{DESK}/"],
        }
        signed_by_curve = {**client, "client_id": "curve", "id_token_signed_response_alg": "ES256"}
        told = {
            "issuer": self.issuer,
            "host": HOST,
            "port": port,
            "conform": conform,
            "clients": [client, signed_by_curve],
            "people": PEOPLE,
        }
        variables = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.process = subprocess.Popen(
            ["node", "provider.mjs", json.dumps(told)],
            cwd=home,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        while "listening" not in (line := self.process.stdout.readline()):
            assert line, self.process.stderr.read()

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()

    def rotate(self) -> None:
        """Gives it new keys, and lets it forget everything else."""
        assert requests.post(f"{self.issuer}/test/rotate", timeout=20).status_code == 200

    def let_in(self, location: str, name: str, person: requests.Session | None = None) -> dict[str, str]:
        """Types a name into the login page, and agrees to what is asked; answers what his browser brings back."""
        person = person or requests.Session()
        person.trust_env = False
        for _ in range(10):
            answer = person.get(location, timeout=20, allow_redirects=False)
            if answer.is_redirect:
                location = urljoin(location, answer.headers["Location"])
                if location.startswith(CALLBACK):
                    return {key: values[0] for key, values in parse_qs(urlsplit(location).query).items()}
                continue
            assert answer.status_code == 200, answer.text
            (action,) = re.findall(r'<form[^>]* action="([^"]+)"', answer.text)
            (prompt,) = re.findall(r'name="prompt" value="(\w+)"', answer.text)
            form = {"prompt": prompt, "login": name, "password": "whatever"}
            sent = person.post(urljoin(location, action), data=form, timeout=20, allow_redirects=False)
            assert sent.is_redirect, sent.text
            location = urljoin(location, sent.headers["Location"])
        raise AssertionError("it asks and asks")


@pytest.fixture(scope="module", params=[True, False], ids=["claims at the user info", "claims in the token"])
def provider(request: pytest.FixtureRequest) -> Iterator[RealProvider]:
    found = RealProvider(conform=request.param)
    yield found
    found.stop()


@pytest.fixture
def desk_api(api: Api, clock: TurnedClock, provider: RealProvider) -> Api:
    """A desk whose clock is the provider's."""
    clock.time = datetime.now(UTC)
    outside(api)
    api.apply("settings", key="public_url", value=DESK)
    api.apply(
        "oidc-providers",
        name="corp",
        issuer=provider.issuer,
        client_id="desk",
        client_secret=SECRET,
        scopes=["profile", "email", "groups"],
        group_roles=[{"group": "desk", "role": "agent"}],
        create_users=True,
    )
    return api


def log_in(provider: RealProvider, browser: Browser, name: str = "mia") -> None:
    """All of it."""
    back = provider.let_in(begin(browser).headers["Location"], name)
    assert back["iss"] == provider.issuer
    answer = come_back(browser, back)
    assert answer.status_code == 303, answer.get_data(as_text=True)


def test_somebody_logs_in_has_his_roles_and_loses_them(desk_api: Api, provider: RealProvider) -> None:
    browser = Browser(desk_api)
    log_in(provider, browser)
    found = browser.call("GET", "/session")
    assert found["username"] == "mia"
    assert "tickets:edit" in found["permissions"]
    (user,) = desk_api.call("GET", "/users?username=mia")["items"]
    assert (user["first_name"], user["last_name"], user["email"]) == ("Mia", "Sol", "mia@example.org")
    assert user["roles"] == ["agent"]
    desk_api.apply("oidc-providers", name="corp", group_roles=[{"group": "everyone", "role": "viewer"}])
    log_in(provider, browser)
    (user,) = desk_api.call("GET", "/users?username=mia")["items"]
    assert user["roles"] == ["viewer"]
    assert events(desk_api).count("login") == 2
    other = Browser(desk_api)
    log_in(provider, other, "tom")
    (user,) = desk_api.call("GET", "/users?username=tom")["items"]
    assert (user["roles"], user["email"]) == (["requester"], None), "his address is not verified"


def test_it_logs_in_with_new_keys_and_with_a_curve(desk_api: Api, provider: RealProvider, clock: TurnedClock) -> None:
    log_in(provider, Browser(desk_api))
    provider.rotate()
    clock.turn(seconds=31)
    log_in(provider, Browser(desk_api))
    desk_api.apply("oidc-providers", name="corp", client_id="curve")
    browser = Browser(desk_api)
    log_in(provider, browser)
    assert browser.call("GET", "/session")["username"] == "mia"


def test_a_code_works_once_and_the_secret_must_be_right(desk_api: Api, provider: RealProvider) -> None:
    browser = Browser(desk_api)
    back = provider.let_in(begin(browser).headers["Location"], "mia")
    desk_api.apply("oidc-providers", name="corp", client_secret="another")
    assert come_back(browser, back).status_code == 403
    detail = desk_api.call("GET", "/logins?event=login_failed")["items"][0]["detail"]
    assert detail == "oidc corp: no_token, its token endpoint answered 401: 'invalid_client'"
    browser.call("GET", "/session", status=401)


def test_who_declines_is_not_let_in(desk_api: Api, provider: RealProvider) -> None:
    browser, person = Browser(desk_api), requests.Session()
    person.trust_env = False
    location = begin(browser).headers["Location"]
    asking = person.get(location, timeout=20)
    (abort,) = re.findall(r'href="([^"]+/abort)"', asking.text)
    answer = person.get(urljoin(asking.url, abort), timeout=20, allow_redirects=False)
    while not answer.headers["Location"].startswith(CALLBACK):
        answer = person.get(urljoin(asking.url, answer.headers["Location"]), timeout=20, allow_redirects=False)
    back = {key: values[0] for key, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    refused = come_back(browser, back)
    assert refused.status_code == 403
    assert refused.get_json()["type"] == "urn:deskplane:problem:login_denied"


def test_the_provider_takes_the_address_of_the_logout(desk_api: Api, provider: RealProvider) -> None:
    browser, person = Browser(desk_api), requests.Session()
    back = provider.let_in(begin(browser).headers["Location"], "mia", person)
    assert come_back(browser, back).status_code == 303
    browser.csrf = browser.call("GET", "/session")["csrf_token"]
    location = browser.call("POST", "/oidc/logout")["location"]
    browser.call("GET", "/session", status=401)
    asking = person.get(location, timeout=20)
    assert asking.status_code == 200
    (action,) = re.findall(r'action="([^"]+)"', asking.text)
    (token,) = re.findall(r'name="xsrf" value="(\w+)"', asking.text)
    form = {"xsrf": token, "logout": "yes"}
    done = person.post(urljoin(location, action), data=form, timeout=20, allow_redirects=False)
    assert done.headers["Location"] == f"{DESK}/"
