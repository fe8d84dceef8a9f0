"""Logging in with an identity provider: from the desk to the provider and back, once, in one browser."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from played_provider import DESK, begin, come_back, log_in, outside, playing, reason

from conftest import Api, TurnedClock
from deskplane.app import create_app
from deskplane.kernel.logging import logger
from deskplane.login import tasks as login_tasks
from deskplane.outbox.schedules import Schedules
from dumps import text_of
from login_help import Browser, events


def problem(answer: Any, status: int) -> str:
    """The code of a problem."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    return str(answer.get_json()["type"]).rpartition(":")[2]


def test_somebody_logs_in_and_is_sent_where_he_wanted_to_go(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock, title="The company", group_roles=[{"group": "desk", "role": "agent"}]) as provider:
        browser = Browser(api)
        (entry,) = browser.call("GET", "/oidc")["items"]
        assert entry == {"name": "corp", "title": "The company", "login_url": "/api/v1/oidc/corp/login"}
        sent = begin(browser, return_to="/tickets?status=open#first")
        assert sent.status_code == 303
        (cookie,) = sent.headers.getlist("Set-Cookie")
        assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=600"} <= set(cookie.split("; "))
        asked = {name: values[0] for name, values in parse_qs(urlsplit(sent.headers["Location"]).query).items()}
        assert asked["scope"] == "openid email profile"
        assert asked["redirect_uri"] == f"{DESK}/api/v1/oidc/corp/callback"
        back = provider.let_in(sent.headers["Location"], groups=["desk"], given_name="Mia", family_name="Sol")
        done = come_back(browser, {**back, "session_state": "what some providers add"})
        assert (done.status_code, done.headers["Location"]) == (303, f"{DESK}/tickets?status=open#first")
        found = browser.call("GET", "/session")
        assert (found["username"], found["password_expired"]) == ("mia", False)
        browser.csrf = found["csrf_token"]
        assert browser.call("POST", "/tickets", {"title": "hers"}, status=201)["reporter"] == "mia"
        (session,) = browser.call("GET", "/sessions")["items"]
        assert session["method"] == "oidc corp"
    (user,) = api.call("GET", "/users?username=mia")["items"]
    assert (user["email"], user["first_name"], user["last_name"]) == ("mia@example.org", "Mia", "Sol")
    assert (user["roles"], user["password"]) == (["agent"], None)
    assert events(api) == ["account_created", "identity_linked", "account_changed", "login"]
    entry = api.call("GET", "/logins?username=mia&event=account_created")["items"][0]
    assert (entry["actor"], entry["address"]) == ("oidc corp", "192.0.2.1")


def test_a_login_is_finished_once_in_its_browser_within_ten_minutes(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        browser = Browser(api)
        back = provider.let_in(begin(browser).headers["Location"])
        assert problem(come_back(Browser(api), back), 400) == "login_over", "somebody else's browser"
        assert problem(come_back(browser, {**back, "state": "made up"}), 400) == "login_over"
        assert problem(come_back(browser, {**back, "state": ""}), 400) == "login_over"
        cookie = browser.client.get_cookie("deskplane-oidc")
        assert cookie is not None
        assert come_back(browser, back).status_code == 303
        assert browser.client.get_cookie("deskplane-oidc") is None
        browser.client.set_cookie("deskplane-oidc", cookie.value)
        assert problem(come_back(browser, back), 400) == "login_over", "it was used"
        back = provider.let_in(begin(browser).headers["Location"])
        clock.turn(minutes=10, seconds=1)
        assert problem(come_back(browser, back), 400) == "login_over"
        back = provider.let_in(begin(browser).headers["Location"])
        api.apply("oidc-providers", name="other", issuer=provider.issuer, client_id="desk")
        assert problem(come_back(browser, back, "other"), 400) == "login_over", "begun with another provider"


def test_it_may_come_back_to_another_server(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        browser = Browser(api)
        back = provider.let_in(begin(browser).headers["Location"])
        elsewhere = create_app(api.desk).test_client()
        cookie = browser.client.get_cookie("deskplane-oidc")
        assert cookie is not None
        elsewhere.set_cookie("deskplane-oidc", cookie.value)
        assert elsewhere.get("/api/v1/oidc/corp/callback", query_string=back).status_code == 303


def test_neither_tokens_nor_nonce_nor_verifier_are_stored_readable(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        browser = Browser(api)
        location = begin(browser).headers["Location"]
        asked = parse_qs(urlsplit(location).query)
        cookie = browser.client.get_cookie("deskplane-oidc")
        assert cookie is not None
        stored = text_of(api.desk)
        assert "identity provider" in stored
        for secret in (asked["state"][0], asked["nonce"][0], cookie.value, "of+the desk"):
            assert secret not in stored
        jobs = Schedules(api.desk.database, clock, "worker", login_tasks.jobs(api.desk.automation))
        jobs.run_due()
        clock.turn(hours=1)
        assert "sessions" in jobs.run_due()
        assert "identity provider" not in text_of(api.desk)
        assert provider.seen == ["/.well-known/openid-configuration"]


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "evil.example", "/\t/evil.example", "\\/evil", ""],
)
def test_nobody_is_sent_to_another_site_afterwards(api: Api, clock: TurnedClock, path: str) -> None:
    with playing(api, clock):
        answer = begin(Browser(api), return_to=path)
        assert problem(answer, 422) == "invalid"
        assert answer.get_json()["errors"][0]["pointer"] == "#/return_to"


def test_the_address_is_the_configured_one_whatever_the_request_says_of_the_host(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        browser = Browser(api)
        sent = begin(browser)
        forged = browser.client.get(
            "/api/v1/oidc/corp/login", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        )
        for answer in (sent, forged):
            assert "evil" not in answer.headers["Location"]
        api.apply("settings", key="public_url", value=None)
        assert problem(begin(browser), 409) == "no_public_url"
        assert provider.seen


def test_who_is_let_in_by_another_provider_is_refused(api: Api, clock: TurnedClock) -> None:
    """RFC 9207: the answer must name the provider that it was asked of."""
    with playing(api, clock) as provider:
        for iss in ("https://evil.example", None):
            browser = Browser(api)
            back = provider.let_in(begin(browser).headers["Location"])
            given = {name: value for name, value in {**back, "iss": iss}.items() if value is not None}
            assert problem(come_back(browser, given), 403) == "login_refused"
            assert reason(api).startswith("mix_up")
        assert "/token" not in provider.seen, "the code went to nobody"
        provider.metadata["authorization_response_iss_parameter_supported"] = None
        clock.turn(hours=2)
        browser = Browser(api)
        back = provider.let_in(begin(browser).headers["Location"])
        del back["iss"]
        assert come_back(browser, back).status_code == 303, "many say nothing of it"


def test_who_is_not_let_in_learns_that_and_the_operator_why(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        browser = Browser(api)
        back = provider.let_in(begin(browser).headers["Location"])
        said = {"state": back["state"], "iss": back["iss"], "error": "access_denied", "error_description": "<script>"}
        answer = come_back(browser, said)
        assert problem(answer, 403) == "login_denied"
        assert "access_denied" not in answer.get_data(as_text=True)
        assert reason(api) == "denied, it said 'access_denied'"
        assert problem(come_back(browser, back), 400) == "login_over", "it was used by that"
        back = provider.let_in(begin(browser).headers["Location"])
        answer = come_back(browser, {**back, "code": "another"})
        assert problem(answer, 403) == "login_refused"
        assert "invalid_grant" not in answer.get_data(as_text=True)
        assert reason(api) == "no_token, its token endpoint answered 400: 'invalid_grant'"
        back = provider.let_in(begin(browser).headers["Location"])
        del back["code"]
        assert problem(come_back(browser, back), 403) == "login_refused"
        assert reason(api).startswith("no_code")
        browser.call("GET", "/session", status=401)


def test_the_code_is_worth_nothing_without_the_verifier(api: Api, clock: TurnedClock) -> None:
    """Somebody who got hold of a code puts it into a login of his own."""
    with playing(api, clock) as provider:
        stolen = provider.let_in(begin(Browser(api)).headers["Location"])
        thief = Browser(api)
        own = provider.let_in(begin(thief).headers["Location"], sub="2002", preferred_username="thief")
        assert problem(come_back(thief, {**own, "code": stolen["code"]}), 403) == "login_refused"
        assert reason(api).startswith("no_token")


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("how", ["post", "none", "basic"])
def test_the_desk_shows_its_secret_as_the_provider_wants_it(api: Api, clock: TurnedClock, how: str) -> None:
    with playing(api, clock, **({"client_secret": None} if how == "none" else {})) as provider:
        if how == "none":
            provider.secret = None
        if how == "post":
            provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
        assert log_in(provider, Browser(api)).status_code == 303


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "https://evil.example"}, "it calls itself 'https://evil.example'"),
        ({"token_endpoint": "http://192.0.2.7/token"}, "its token_endpoint is no address"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "its authorization_endpoint is no address"),
        ({"jwks_uri": None}, "it has no jwks_uri"),
        ({"userinfo_endpoint": ["x"]}, "its userinfo_endpoint is no address"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_provider_that_says_what_cannot_be_is_not_spoken_to(
    api: Api, clock: TurnedClock, metadata: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []  # wherever the log goes
    monkeypatch.setattr(logger, "warning", lambda event, **values: logged.append(f"{event} {values}"))
    with playing(api, clock) as provider:
        provider.metadata = metadata
        answer = begin(Browser(api))
        assert problem(answer, 409) == "provider_unreachable"
        assert why not in answer.get_data(as_text=True)
    assert why in "".join(logged), "the operator's log"


def test_a_provider_that_is_away_or_outside_the_allowed_networks_is_told_as_such(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        assert log_in(provider, Browser(api)).status_code == 303
        browser = Browser(api)
        back = provider.let_in(begin(browser).headers["Location"])
    assert problem(come_back(browser, back), 409) == "provider_unreachable"
    assert reason(api).startswith("unreachable, connection")
    clock.turn(hours=2)
    assert problem(begin(Browser(api)), 409) == "provider_unreachable"
    outside(api)
    api.apply("oidc-providers", name="corp", issuer="https://169.254.169.254")
    assert problem(begin(Browser(api)), 409) == "provider_unreachable"


def test_what_a_provider_says_of_itself_is_asked_for_once_an_hour(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        for _ in range(3):
            assert log_in(provider, Browser(api)).status_code == 303
        asked = [path for path in provider.seen if path != "/token"]
        assert asked == ["/.well-known/openid-configuration", "/jwks"]
        clock.turn(minutes=61)
        assert log_in(provider, Browser(api)).status_code == 303
        assert provider.seen.count("/.well-known/openid-configuration") == provider.seen.count("/jwks") == 2


def test_logins_that_are_begun_are_counted_by_address(api: Api, clock: TurnedClock, monkeypatch: Any) -> None:
    from deskplane.kernel.limits import Rate
    from deskplane.login import attempts

    monkeypatch.setattr(attempts, "BEGINNINGS_PER_CALLER", (Rate(3, 900),))
    with playing(api, clock):
        assert [begin(Browser(api)).status_code for _ in range(4)] == [303, 303, 303, 429]
        assert begin(Browser(api, "198.51.100.9")).status_code == 303
        clock.turn(minutes=15)
        assert begin(Browser(api)).status_code == 303


def test_one_that_is_disabled_or_unknown_is_not_there(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        browser = Browser(api)
        back = provider.let_in(begin(browser).headers["Location"])
        api.apply("oidc-providers", name="corp", enabled=False)
        disabled = come_back(browser, back)
        assert browser.call("GET", "/oidc")["items"] == []
        missing = come_back(browser, back, "nothing")
        assert disabled.status_code == missing.status_code == begin(browser).status_code == 404
        assert {**disabled.get_json(), "request_id": ""} == {**missing.get_json(), "request_id": ""}


def test_who_logs_out_learns_where_to_log_out_of_the_provider(api: Api, clock: TurnedClock, mia: str) -> None:
    with playing(api, clock, link_by_email=True) as provider:
        browser = Browser(api)
        assert log_in(provider, browser).status_code == 303
        browser.call("POST", "/oidc/logout", status=403)
        browser.csrf = browser.call("GET", "/session")["csrf_token"]
        location = browser.call("POST", "/oidc/logout")["location"]
        asked = parse_qs(urlsplit(location).query)
        assert location.startswith(f"{provider.issuer}/bye?")
        assert asked == {"client_id": ["desk"], "post_logout_redirect_uri": [f"{DESK}/"]}
        browser.call("GET", "/session", status=401)
        assert events(api)[-1] == "logout"
        browser.log_in()
        assert browser.call("POST", "/oidc/logout") == {"location": None}, "this one began with a password"
        browser.call("GET", "/session", status=401)
        browser = Browser(api)
        assert log_in(provider, browser).status_code == 303
        browser.csrf = browser.call("GET", "/session")["csrf_token"]
    clock.turn(minutes=50)
    browser.call("GET", "/session")
    api.client.application.extensions["deskplane"].authenticate_session._last_use.flush()
    clock.turn(minutes=20)
    assert browser.call("POST", "/oidc/logout") == {"location": None}, "out of reach, and logged out here all the same"
    browser.call("GET", "/session", status=401)


def test_the_session_that_the_browser_had_is_over(api: Api, clock: TurnedClock, mia: str) -> None:
    with playing(api, clock, link_by_email=True) as provider:
        browser = Browser(api)
        first = browser.log_in()
        assert log_in(provider, browser).status_code == 303
        found = browser.call("GET", "/sessions")["items"]
        assert [entry["method"] for entry in found] == ["oidc corp"]
        assert json.dumps(found).find(first["id"]) == -1
