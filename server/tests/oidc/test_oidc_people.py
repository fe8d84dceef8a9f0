"""Whose account somebody has whom a provider let in, and which roles he has by his groups there."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from played_provider import log_in, playing, reason

from conftest import Api, TurnedClock
from login_help import WORD, Browser, events

MAPPED = [{"group": "desk", "role": "agent"}, {"group": "bosses", "role": "admin"}, {"group": "desk", "role": "backup"}]


def roles(api: Api, username: str = "mia") -> list[str]:
    (user,) = api.call("GET", f"/users?username={username}")["items"]
    found: list[str] = user["roles"]
    return found


def username(browser: Browser) -> str:
    return str(browser.call("GET", "/session")["username"])


def refused(api: Api, provider: Any, why: str, **claims: Any) -> None:
    """Nobody is let in; the answer is one for all reasons, and the history has this one."""
    browser = Browser(api)
    answer = log_in(provider, browser, **claims)
    assert answer.status_code == 403, reason(api)
    assert answer.get_json()["type"] == "urn:deskplane:problem:no_account"
    assert answer.get_json()["detail"].startswith("you have no account here that may log in; ask")
    assert reason(api).startswith(why)
    browser.call("GET", "/session", status=401)


def test_somebody_is_who_he_was_whatever_he_is_called_now(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        assert log_in(provider, Browser(api)).status_code == 303
        browser = Browser(api)
        again = {"preferred_username": "mia.sol", "email": "sol@example.org", "given_name": "Other"}
        assert log_in(provider, browser, **again).status_code == 303
        assert username(browser) == "mia"
        assert events(api)[-2:] == ["login", "login"], "and nothing of his account changed"
        assert api.call("GET", "/users?username=mia.sol")["items"] == []


def test_a_name_alone_makes_nobody_its_owner(api: Api, clock: TurnedClock, mia: str) -> None:
    with playing(api, clock) as provider:
        refused(api, provider, "taken, the account mia", email="else@example.org")
        refused(api, provider, "taken, the account mia", preferred_username="other", email="MIA@example.org")
        refused(api, provider, "taken, the account root", preferred_username="root", email=None)
        api.apply("oidc-providers", name="corp", link_by_email=True)
        refused(api, provider, "taken, the account mia", email="else@example.org")


def test_a_mail_address_links_where_that_is_on_and_the_address_verified(api: Api, clock: TurnedClock, mia: str) -> None:
    with playing(api, clock, create_users=False) as provider:
        refused(api, provider, "unknown")
        api.apply("oidc-providers", name="corp", link_by_email=True)
        for verified in (None, False, "true", 1):
            refused(api, provider, "unknown", email_verified=verified)
        browser = Browser(api)
        assert log_in(provider, browser, email="Mia@Example.org").status_code == 303
        assert (browser.call("GET", "/session")["user_id"], roles(api)) == (mia, ["agent"])
        assert events(api)[-2:] == ["identity_linked", "login"]
        refused(api, provider, "ambiguous, somebody else", sub="2002")
        api.apply("users", username="tom", email="shared@example.org")
        api.apply("users", username="tim", email="Shared@example.org")
        refused(api, provider, "ambiguous, several", sub="3003", email="shared@example.org")
        browser.call("GET", "/session")
        mine = Browser(api)
        mine.log_in("mia", WORD)


@pytest.mark.parametrize("how", ["disabled", "deleted"])
def test_who_was_shut_out_stays_out(api: Api, clock: TurnedClock, how: str) -> None:
    with playing(api, clock, link_by_email=True) as provider:
        browser = Browser(api)
        assert log_in(provider, browser).status_code == 303
        (user,) = api.call("GET", "/users?username=mia")["items"]
        if how == "disabled":
            api.apply("users", username="mia", enabled=False)
        else:
            api.call("DELETE", f"/users/{user['id']}", status=204)
        browser.call("GET", "/session", status=401)
        refused(api, provider, "disabled, the account mia")
        assert events(api)[-1] == "login_failed", "it is in the history of his account"
        refused(api, provider, "taken, the account mia", sub="2002")
        refused(api, provider, "taken, the account mia", sub="2002", preferred_username="mia2")
        api.apply("users", username="mia", enabled=True)
        assert log_in(provider, Browser(api)).status_code == 303
        api.call("DELETE", f"/users/{user['id']}?purge=true", status=204)
        assert log_in(provider, Browser(api)).status_code == 303, "ended for good, and somebody new by that"


def test_a_new_user_has_a_name_that_can_be_one(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock) as provider:
        browser = Browser(api)
        odd = {"preferred_username": "Mia Sol <b>", "given_name": "x" * 200, "family_name": "a\nb", "groups": "one"}
        assert log_in(provider, browser, **odd).status_code == 303
        assert username(browser) == "mia@example.org"
        (user,) = api.call("GET", "/users?username=mia@example.org")["items"]
        assert (user["first_name"], user["last_name"], user["roles"]) == ("", "", ["requester"])
        refused(api, provider, "no_name", sub="2", preferred_username=None, email=None)
        refused(api, provider, "no_name", sub="2", preferred_username="\u202eaim", email_verified=False)
        refused(api, provider, "no_name", sub="2", preferred_username=["root"], email="no address")


def test_groups_give_roles_and_take_away_what_they_gave(api: Api, clock: TurnedClock) -> None:
    with playing(api, clock, group_roles=MAPPED) as provider:
        log_in(provider, Browser(api), groups=["desk", "others"])
        assert roles(api) == ["agent", "backup"]
        api.apply("users", username="mia", roles=["agent", "backup", "viewer"])
        browser = Browser(api)
        log_in(provider, browser, groups=["bosses"])
        assert roles(api) == ["admin", "viewer"], "what was given by hand stays"
        assert "users:manage" in browser.call("GET", "/session")["permissions"]
        log_in(provider, Browser(api), groups=[])
        assert roles(api) == ["viewer"]
        assert "users:manage" not in browser.call("GET", "/session")["permissions"], "in the session before, too"
        log_in(provider, Browser(api), groups="desk")
        assert roles(api) == ["agent", "backup", "viewer"]
        api.apply("oidc-providers", name="corp", group_roles=MAPPED[:1])
        log_in(provider, Browser(api), groups=["desk"])
        assert roles(api) == ["agent", "viewer"], "what the provider gives no more"
    changes = api.call("GET", "/audit?kind=user&who=oidc+corp&limit=50")["items"]
    assert len(changes) == 6, "made, and changed five times"


def test_a_role_that_somebody_had_by_hand_before_is_not_taken_away(api: Api, clock: TurnedClock, mia: str) -> None:
    with playing(api, clock, group_roles=MAPPED, link_by_email=True) as provider:
        log_in(provider, Browser(api), groups=["desk"])
        assert roles(api) == ["agent", "backup"]
        log_in(provider, Browser(api), groups=[])
        assert roles(api) == ["agent"]


def test_two_providers_give_the_same_role_and_both_must_take_it_away(api: Api, clock: TurnedClock) -> None:
    from played_provider import SECRET, begin, come_back

    with playing(api, clock, group_roles=MAPPED[:1]) as provider:
        given = {"issuer": provider.issuer, "client_id": "desk", "client_secret": SECRET}
        api.apply("oidc-providers", name="second", **given, group_roles=MAPPED[:1])

        def second(groups: list[str]) -> None:
            browser = Browser(api)
            back = provider.let_in(begin(browser, "second").headers["Location"], groups=groups)
            assert come_back(browser, back, "second").status_code == 303

        log_in(provider, Browser(api), groups=["desk"])
        second(["desk"])
        log_in(provider, Browser(api), groups=[])
        assert roles(api) == ["agent"]
        second([])
        assert roles(api) == []


def test_what_the_desks_own_rules_refuse_lets_nobody_in(api: Api, clock: TurnedClock) -> None:
    api.apply("customers", name="ACME", quotas={"max_agents": 0})
    api.apply("groups", name="all", memberships=[{"customer": "ACME", "role": "member"}])
    with playing(api, clock, group_roles=MAPPED[:1]) as provider:
        assert log_in(provider, Browser(api)).status_code == 303
        api.apply("groups", name="all", members=["mia"])
        refused(api, provider, "not_allowed", groups=["desk"])
        assert roles(api) == ["requester"]


def test_two_first_logins_at_once_make_one_user(api: Api, clock: TurnedClock) -> None:
    from played_provider import begin, come_back

    with playing(api, clock) as provider:
        browsers = [Browser(api) for _ in range(4)]
        backs = [provider.let_in(begin(browser).headers["Location"]) for browser in browsers]
        answers: list[int] = []

        def finish(browser: Browser, back: dict[str, str]) -> None:
            answers.append(come_back(browser, back).status_code)

        threads = [threading.Thread(target=finish, args=pair) for pair in zip(browsers, backs, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [303] * 4
        assert events(api).count("account_created") == events(api).count("identity_linked") == 1
