"""Pages of other origins: those that are named may call the API with a key, and no other reads anything.

Shown by taking the defence out: with `_origin` in `kernel/cors.py` that answers every origin, or one that merely begins
or ends as an allowed one, the second and third fail; with `Access-Control-Allow-Credentials`, the third; with
`allowed_origins` believed in `cookies.require_same_origin`, the last but one; without the check in `settings.py`, the
last.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from werkzeug.test import TestResponse

from conftest import SECRET, Api, settings
from deskplane.cli import advice
from deskplane.settings import Settings, SettingsError, load
from login_help import WORD, Browser

pytestmark = pytest.mark.only_on("sqlite")
CONSOLE = "https://console.example.org"
OTHERS = [
    "https://evil.example",
    "null",
    "",
    "*",
    "https://console.example.org.evil.example",
    "https://evil-console.example.org",
    "https://a.console.example.org",
    "https://console.example.org:444",
    "https://console.example.org:443",
    "http://console.example.org",
    "https://CONSOLE.example.org",
    "https://console.example.org/",
    "https://console.example.org, https://evil.example",
    "https://evil.example#https://console.example.org",
    "https://console.example.org@evil.example",
    " https://console.example.orgx",
]
SAYS = "Access-Control-"


@pytest.fixture
def shared(api: Api) -> Api:
    """A desk that names one origin."""
    api.client.application.extensions["deskplane"].allowed_origins = frozenset({CONSOLE})
    return api


def said(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith(SAYS)}


def ask(api: Api, path: str, origin: str, **headers: str) -> TestResponse:
    """What a browser asks before it lets a page send."""
    asked = {"Origin": origin, f"{SAYS}Request-Method": "POST", **headers}
    return api.client.open(f"/api/v1{path}", method="OPTIONS", headers=asked)


def test_a_page_of_an_origin_that_is_named_reads_what_its_key_opens(shared: Api) -> None:
    for path, status in (("/labels", 200), ("/labels/nothing", 404), ("/nothing", 404)):
        answer = shared.request("GET", path, headers={"Origin": CONSOLE})
        assert answer.status_code == status
        assert said(answer)[f"{SAYS}Allow-Origin"] == CONSOLE
        assert "ETag" in said(answer)[f"{SAYS}Expose-Headers"]
        assert answer.headers.get_all("Vary") == ["Origin"]
    unknown = shared.client.get("/api/v1/labels", headers={"Origin": CONSOLE})
    assert (unknown.status_code, said(unknown)[f"{SAYS}Allow-Origin"]) == (401, CONSOLE)
    allowed = ask(shared, "/labels/apply", CONSOLE)
    assert (allowed.status_code, allowed.data) == (204, b"")
    found = said(allowed)
    assert found[f"{SAYS}Allow-Origin"] == CONSOLE
    assert found[f"{SAYS}Allow-Methods"] == "POST"
    assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(found[f"{SAYS}Allow-Headers"].split(", "))
    assert "Cookie" not in found[f"{SAYS}Allow-Headers"]
    assert "X-CSRF-Token" not in found[f"{SAYS}Allow-Headers"]
    assert 0 < int(found[f"{SAYS}Max-Age"]) <= 600
    assert said(ask(shared, "/labels/x", CONSOLE))[f"{SAYS}Allow-Methods"] == "DELETE, GET, HEAD, PATCH"


@pytest.mark.parametrize("origin", OTHERS)
def test_every_other_origin_is_told_nothing(shared: Api, origin: str) -> None:
    for answer in (
        shared.request("GET", "/labels", headers={"Origin": origin}),
        shared.request("GET", "/nothing", headers={"Origin": origin}),
        ask(shared, "/labels/apply", origin),
    ):
        assert said(answer) == {}
        assert "Origin" in answer.headers["Vary"], "or a cache gives it to the one that is named"
    assert ask(shared, "/labels/apply", origin).status_code == 405


def test_nobody_is_ever_told_that_cookies_do(shared: Api) -> None:
    for origin in (CONSOLE, *OTHERS):
        for answer in (shared.request("GET", "/labels", headers={"Origin": origin}), ask(shared, "/labels", origin)):
            assert f"{SAYS}Allow-Credentials" not in answer.headers
            assert answer.headers.get(f"{SAYS}Allow-Origin") in (None, CONSOLE)


def test_with_no_origin_named_nothing_of_it_is_said(api: Api) -> None:
    for origin in (CONSOLE, "null", "http://localhost"):
        answer = api.request("GET", "/labels", headers={"Origin": origin})
        assert (said(answer), "Vary" in answer.headers) == ({}, False)
        refused = ask(api, "/labels/apply", origin)
        assert (refused.status_code, said(refused)) == (405, {})


def test_what_is_no_question_of_a_browser_is_answered_as_ever(shared: Api) -> None:
    plain = shared.client.open("/api/v1/labels", method="OPTIONS", headers={"Origin": CONSOLE})
    assert plain.status_code == 405
    assert ask(shared, "/nothing/here", CONSOLE).status_code == 404


def test_a_session_is_not_for_the_origin_that_is_named_either(shared: Api, mia: str) -> None:
    browser = Browser(shared)
    browser.log_in()
    for site in ("cross-site", "same-site", ""):
        headers = {"Origin": CONSOLE, "Sec_Fetch_Site": site}
        assert browser.send("POST", "/tickets", {"title": "x"}, **headers).status_code == 403
        login: Any = Browser(shared).send("POST", "/session", {"username": "mia", "password": WORD}, **headers)
        assert login.status_code == 403
        assert "Set-Cookie" not in login.headers


@pytest.mark.feature("F263")
def test_a_setting_that_lets_everybody_in_keeps_a_server_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = ["*", "https://*", "https://*.example.org", "null", "console.example.org", "https://console.example.org/"]
    bad += [
        "https://Console.example.org",
        "https://console.example.org:443",
        "http://console.example.org:80",
        "ftp://x",
    ]
    bad += ["https://user@console.example.org", "https://console.example.org/path", "https://", "https://a b"]
    for origin in bad:
        with pytest.raises(ValidationError, match="allowed_origins"):
            settings("sqlite:///x", allowed_origins=[CONSOLE, origin])
    monkeypatch.delenv("DESKPLANE_CONFIG", raising=False)
    monkeypatch.setenv("DESKPLANE_ALLOWED_ORIGINS", f"{CONSOLE}, *")
    with pytest.raises(SettingsError, match=r"^allowed_origins: .*name each origin"):
        load()
    good = f"{CONSOLE}, http://localhost:3000, https://[::1]:8443"
    monkeypatch.setenv("DESKPLANE_ALLOWED_ORIGINS", good)
    assert load().allowed_origins == good.split(", ")
    wise = Settings(database_url="postgresql+psycopg://localhost/desk", secret_key=SECRET)
    (warning,) = advice.of_settings(wise)
    assert str(warning).startswith("allowed_origins: http://localhost:3000 is not https")
