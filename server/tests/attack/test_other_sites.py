"""Pages of other sites, and requests that lie about the host.

Shown by taking the defence out: without `require_own_page` and `require_same_origin` in `kernel/http.py` the first
three tests fail; with a link that begins with the request's host, the fourth.
"""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from login_help import PUBLIC_URL, WORD, Browser, link_in, mails, set_up_mail, work_off

ELSEWHERE: list[dict[str, str]] = [
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "", "Origin": "https://evil.example"},
    {"Sec_Fetch_Site": "", "Origin": "null"},
    {"Sec_Fetch_Site": "", "Origin": "http://localhost.evil.example"},
    {"Sec_Fetch_Site": "", "Origin": "http://evil.example/localhost"},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
def test_a_page_of_another_site_does_nothing_with_a_session(api: Api, mia: str, headers: dict[str, str]) -> None:
    browser = Browser(api)
    browser.log_in()
    refused = browser.send("POST", "/tickets", {"title": "not hers"}, **headers)
    assert (refused.status_code, refused.get_json()["type"]) == (403, "urn:deskplane:problem:cross_site")
    assert browser.send("DELETE", "/session", **headers).status_code == 403
    assert api.call("GET", "/tickets")["items"] == []
    browser.call("GET", "/session")


def test_without_the_token_of_the_session_nothing_changes(api: Api, mia: str) -> None:
    api.apply("users", username="tom", roles=["agent"], password=WORD)
    browser, other = Browser(api), Browser(api)
    mine, others = browser.log_in()["csrf_token"], other.log_in("tom")["csrf_token"]
    for token in ("", others, mine[:-1], mine + "x", "ü"):
        assert browser.send("POST", "/tickets", {"title": "x"}, X_CSRF_Token=token).status_code == 403, token
        silent = browser.send("POST", "/tickets", {"title": "x"}, X_CSRF_Token=token, Sec_Fetch_Site="")
        assert silent.status_code == 403, "nor for who says nothing of where he is"
    assert browser.send("POST", "/tickets", {"title": "x"}, X_CSRF_Token=mine).status_code == 201
    key: Any = api.request("POST", "/tickets", {"title": "x"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert key.status_code == 201, "a browser sends no key by itself"


@pytest.mark.parametrize("headers", ELSEWHERE)
def test_a_page_of_another_site_logs_nobody_in(api: Api, mia: str, headers: dict[str, str]) -> None:
    """Else somebody would go on in an account of the attacker's, and leave there what he writes."""
    body = {"username": "mia", "password": WORD}
    refused = Browser(api).send("POST", "/session", body, **headers)
    assert refused.status_code == 403
    assert "Set-Cookie" not in refused.headers
    form = Browser(api).client.post("/api/v1/session", data=body)
    assert form.status_code == 415, "what a form can send without asking is not taken"


def test_a_link_is_never_about_the_host_that_a_request_names(api: Api, mia: str) -> None:
    set_up_mail(api)
    headers = {
        "Host": "evil.example",
        "X_Forwarded_Host": "evil.example",
        "Forwarded": "host=evil.example",
        "X_Forwarded_Proto": "http",
    }
    answer = Browser(api).send("POST", "/password/forgotten", {"email": "mia@example.org"}, **headers)
    assert answer.status_code == 204
    work_off(api)
    (mail,) = mails(api)
    assert link_in(api, mail).startswith(f"{PUBLIC_URL}/reset-password#")
    assert "evil" not in mail.body_text + mail.body_html


def test_a_page_of_ours_is_let_in_behind_a_proxy_that_ends_tls(api: Api, mia: str) -> None:
    for headers in ({"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "", "Origin": "https://localhost"}):
        browser = Browser(api)
        assert browser.send("POST", "/session", {"username": "mia", "password": WORD}, **headers).status_code == 201
