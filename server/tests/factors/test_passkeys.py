"""Passkeys: added with the password, shown after it or in its place, and refused for whatever is not as it must be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from conftest import Api, TurnedClock
from deskplane.factors import passkeys, passkeys_api, tasks
from deskplane.factors.models import Passkey, PasskeyCeremony
from deskplane.outbox.schedules import Schedules
from factors.authenticator import EDDSA, ES256, PRESENT, VERIFIED, Authenticator
from factors.factor_help import code_of, half_in, set_up
from login_help import PUBLIC_URL, WORD, Browser, events, mails, set_up_mail

pytestmark = pytest.mark.feature("F200")


@pytest.fixture
def browser(api: Api, mia: str) -> Browser:
    """Mia, logged in, on a desk that has an address."""
    set_up_mail(api)
    found = Browser(api)
    found.log_in()
    return found


def begin(browser: Browser) -> Any:
    return browser.call("POST", "/account/passkeys/options", {"password": WORD}, status=201)


def add(browser: Browser, key: Authenticator, name: str = "laptop", status: int = 201, **wrong: Any) -> Any:
    """Adds a passkey; keeps what changes need."""
    begun = begin(browser)
    body = {"name": name, "ceremony": begun["ceremony"], "credential": key.make(begun["options"], **wrong)}
    found = browser.call("POST", "/account/passkeys", body, status=status)
    browser.csrf = found.get("csrf_token", browser.csrf)
    return found


def asked(browser: Browser, token: str | None = None) -> Any:
    return browser.call("POST", "/session/passkey/options", {"token": token})


def show(browser: Browser, key: Authenticator, token: str | None = None, status: int = 201, **wrong: Any) -> Any:
    """Logs in with a passkey."""
    begun = asked(browser, token)
    body = {"token": token, "ceremony": begun["ceremony"], "credential": key.sign(begun["options"], **wrong)}
    found = browser.call("POST", "/session/passkey", body, status=status)
    browser.csrf = found.get("csrf_token", browser.csrf)
    return found


@pytest.mark.parametrize("algorithm", [ES256, EDDSA])
def test_one_is_added_and_logs_in_without_the_password_and_after_it(
    api: Api, browser: Browser, algorithm: int, clock: TurnedClock
) -> None:
    key, other = Authenticator(algorithm), Browser(api)
    other.log_in()
    assert len(add(browser, key)["recovery_codes"]) == 10
    other.call("GET", "/session", status=401)
    assert browser.call("GET", "/account/factors") == {"totp": False, "passkeys": 1, "recovery_codes": 10}
    show(other, key)
    assert other.call("GET", "/sessions")["items"][0]["method"] == "passkey"
    begun = other.log_in(status=202)
    assert sorted(begun["methods"]) == ["passkey", "recovery_code"]
    show(other, key, begun["token"])
    assert other.call("GET", "/sessions")["items"][0]["method"] == "password+passkey"
    assert events(api)[-3:] == ["passkey_added", "login", "login"]
    told = mails(api, "mia@example.org")[-1]
    assert (told.subject, "the passkey laptop" in told.body_text) == ("A passkey was added", True)
    entry = api.call("GET", "/audit?kind=second_factor&limit=1")["items"][0]
    assert (entry["action"], entry["key"]) == ("create", {"user": "mia", "name": "laptop"})


def test_what_the_browser_is_given(api: Api, browser: Browser, mia: str) -> None:
    key = Authenticator()
    add(browser, key)
    options = begin(browser)["options"]
    assert options["rp"] == {"id": "desk.example.org", "name": "Deskplane"}
    assert (options["user"]["name"], len(options["user"]["id"])) == ("mia", 22)
    assert [each["id"] for each in options["excludeCredentials"]] == list(key.credentials)
    assert options["excludeCredentials"][0]["transports"] == ["internal"]
    assert options["authenticatorSelection"]["residentKey"] == "required"
    alone, after = asked(browser)["options"], asked(browser, half_in(Browser(api)))["options"]
    assert (alone["rpId"], alone["userVerification"]) == ("desk.example.org", "required")
    assert alone["allowCredentials"] == [], "nobody learns whose there are"
    assert [each["id"] for each in after["allowCredentials"]] == list(key.credentials)


def test_none_is_added_that_was_made_for_something_else(api: Api, browser: Browser) -> None:
    """Each check is shown to be on: origin, party, challenge, type, verification."""
    wrong: dict[str, list[str]] = {
        "origin": [f"{PUBLIC_URL}.evil.example", "http://desk.example.org", f"{PUBLIC_URL}:8443", f"{PUBLIC_URL}/"],
        "rp_id": ["example.org", "evil.example"],
        "challenge": ["bm90aGluZw"],
        "type": ["webauthn.get"],
    }
    for name, values in wrong.items():
        for value in values:
            refused = add(browser, Authenticator(), status=422, **{name: value})
            assert refused["errors"][0]["code"] == "bad_credential", (name, value)
    add(browser, Authenticator(flags=PRESENT), status=422)
    assert browser.call("GET", "/account/passkeys") == {"items": []}
    add(browser, Authenticator())


def test_none_logs_in_that_signs_something_else(api: Api, browser: Browser) -> None:
    """Each check is shown to be on: origin, party, challenge, type, verification, presence, owner, counter."""
    key, other = Authenticator(), Browser(api)
    add(browser, key)
    show(other, key)
    wrong: dict[str, list[Any]] = {
        "origin": [f"{PUBLIC_URL}.evil.example", "http://desk.example.org"],
        "rp_id": ["evil.example"],
        "challenge": ["bm90aGluZw"],
        "type": ["webauthn.create"],
        "flags": [PRESENT, VERIFIED, 0],
        "handle": ["AAAAAAAAAAAAAAAAAAAAAA"],
        "sign_count": [0, 1],
    }
    for name, values in wrong.items():
        for value in values:
            refused = show(other, key, status=401, **{name: value})
            assert code_of(refused) == "bad_factor", (name, value)
            assert events(api)[-1] == "login_failed"
            show(other, key, half_in(Browser(api)), status=401, **{name: value})
    show(other, key)


def test_one_that_never_counts_is_taken(api: Api, browser: Browser) -> None:
    """As those are that password managers copy."""
    key, other = Authenticator(counts=False), Browser(api)
    add(browser, key)
    show(other, key)
    show(other, key)


def test_a_challenge_is_answered_once_in_time_and_by_whom_it_was_given_to(
    api: Api, browser: Browser, clock: TurnedClock
) -> None:
    key, other = Authenticator(), Browser(api)
    add(browser, key)
    begun = asked(other)
    body = {"token": None, "ceremony": begun["ceremony"], "credential": key.sign(begun["options"])}
    other.call("POST", "/session/passkey", body, status=201)
    other.call("POST", "/session/passkey", body, status=401)
    spoiled = asked(other)
    bad = {**body, "ceremony": spoiled["ceremony"]}
    other.call("POST", "/session/passkey", bad, status=401)
    other.call("POST", "/session/passkey", {**bad, "credential": key.sign(spoiled["options"])}, status=401)
    late = asked(other)
    clock.turn(minutes=5)
    body = {"token": None, "ceremony": late["ceremony"], "credential": key.sign(late["options"])}
    other.call("POST", "/session/passkey", body, status=401)
    made = begin(browser)
    new = {"name": "x", "ceremony": made["ceremony"], "credential": Authenticator().make(made["options"])}
    to_log_in = {"token": None, "ceremony": made["ceremony"], "credential": new["credential"]}
    other.call("POST", "/session/passkey", to_log_in, status=401)
    browser.call("POST", "/account/passkeys", new, status=422)


def test_a_challenge_to_add_one_is_of_one_session(api: Api, browser: Browser, mia: str) -> None:
    api.apply("users", username="tom", roles=["agent"], password=WORD)
    toms, hers = Browser(api), Browser(api)
    toms.log_in("tom")
    hers.log_in()
    for other in (toms, hers):
        made = begin(browser)
        new = {"name": "x", "ceremony": made["ceremony"], "credential": Authenticator().make(made["options"])}
        other.call("POST", "/account/passkeys", new, status=422)
        assert other.call("GET", "/account/passkeys") == {"items": []}


def test_a_challenge_for_one_login_does_not_do_for_another(api: Api, browser: Browser, mia: str) -> None:
    """Neither alone for after the password, nor the other way round, nor somebody else's."""
    api.apply("users", username="tom", roles=["agent"], password=WORD)
    toms, mias, toms_key = Browser(api), Authenticator(), Authenticator()
    toms.log_in("tom")
    add(browser, mias)
    add(toms, toms_key)
    thief = Browser(api)
    token = half_in(thief)
    alone = asked(thief)
    body = {"token": token, "ceremony": alone["ceremony"], "credential": mias.sign(alone["options"])}
    thief.call("POST", "/session/passkey", body, status=401)
    after = asked(thief, token)
    body = {"token": None, "ceremony": after["ceremony"], "credential": mias.sign(after["options"])}
    thief.call("POST", "/session/passkey", body, status=401)
    (name,) = toms_key.credentials
    begun = asked(thief, token)
    body = {"token": token, "ceremony": begun["ceremony"], "credential": toms_key.sign(begun["options"], name)}
    thief.call("POST", "/session/passkey", body, status=401)
    assert events(api)[-1] == "login_failed"
    show(thief, mias, token)
    assert code_of(thief.call("POST", "/session/passkey/options", {"token": token}, status=401)) == "unauthenticated"


def test_five_tries_end_a_half_done_login(api: Api, browser: Browser) -> None:
    key, other = Authenticator(), Browser(api)
    add(browser, key)
    token = half_in(other)
    for _ in range(5):
        show(other, key, token, status=401, origin="https://evil.example")
    assert code_of(other.call("POST", "/session/passkey/options", {"token": token}, status=401)) == "unauthenticated"


def test_of_two_logins_with_one_answer_at_once_one_gets_in(api: Api, browser: Browser) -> None:
    key = Authenticator()
    add(browser, key)
    begun = asked(browser)
    body = {"token": None, "ceremony": begun["ceremony"], "credential": key.sign(begun["options"])}
    browsers = [Browser(api) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda one: one.send("POST", "/session/passkey", body).status_code, browsers)
        assert sorted(found) == [201, 401, 401, 401]


def test_an_account_that_cannot_log_in_cannot_by_a_passkey(api: Api, browser: Browser) -> None:
    key = Authenticator()
    add(browser, key)
    off: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"enabled": False}, {"enabled": True}),
        ({"state": "absent"}, {}),
    ]
    for out, back in off:
        api.apply("users", username="mia", **out)
        show(Browser(api), key, status=401)
        api.apply("users", username="mia", **back)
        show(Browser(api), key)


def test_they_are_listed_renamed_and_removed_by_their_owner_alone(
    api: Api, browser: Browser, clock: TurnedClock
) -> None:
    api.apply("users", username="tom", roles=["agent"], password=WORD)
    toms, key = Browser(api), Authenticator()
    toms.log_in("tom")
    add(browser, key)
    clock.turn(minutes=1)
    show(browser, key)
    add(browser, Authenticator(), "phone")
    phone, laptop = browser.call("GET", "/account/passkeys")["items"]
    assert laptop == {
        "id": laptop["id"],
        "name": "laptop",
        "backed_up": False,
        "created_at": "2026-03-02T09:00:00Z",
        "last_used_at": "2026-03-02T09:01:00Z",
    }
    assert (phone["name"], phone["last_used_at"]) == ("phone", None)
    path = f"/account/passkeys/{laptop['id']}"
    assert browser.call("PATCH", path, {"name": "old laptop"})["name"] == "old laptop"
    missing = "/account/passkeys/nothing"
    for method, more, body in (("PATCH", "", {"name": "mine"}), ("POST", "/remove", {"password": WORD})):
        foreign, nothing = (toms.call(method, where + more, body, status=404) for where in (path, missing))
        assert {**foreign, "request_id": ""} == {**nothing, "request_id": ""}
    browser.call("POST", f"{path}/remove", {"password": "wrong password"}, status=401)
    found = browser.call("POST", f"{path}/remove", {"password": WORD}, status=201)
    browser.csrf = found["csrf_token"]
    assert [each["name"] for each in browser.call("GET", "/account/passkeys")["items"]] == ["phone"]
    show(Browser(api), key, status=401)
    assert [event for event in events(api) if event.startswith("passkey")] == [
        "passkey_added",
        "passkey_added",
        "passkey_removed",
    ]
    assert mails(api, "mia@example.org")[-1].subject == "A passkey was removed"


def test_recovery_codes_go_with_the_last_factor_only(api: Api, browser: Browser) -> None:
    add(browser, Authenticator())
    _app, codes = set_up(browser, api)
    assert codes is None
    (entry,) = browser.call("GET", "/account/passkeys")["items"]
    path = f"/account/passkeys/{entry['id']}/remove"
    browser.csrf = browser.call("POST", path, {"password": WORD}, status=201)["csrf_token"]
    assert browser.call("GET", "/account/factors") == {"totp": True, "passkeys": 0, "recovery_codes": 10}
    browser.call("POST", "/account/totp/disable", {"password": WORD}, status=201)
    Browser(api).log_in()


@pytest.mark.feature("F195")
def test_an_administrator_resets_passkeys_too(api: Api, browser: Browser, mia: str) -> None:
    key = Authenticator()
    add(browser, key)
    api.call("DELETE", f"/users/{mia}/factors", status=204)
    assert api.call("GET", f"/users/{mia}/factors") == {"totp": False, "passkeys": 0, "recovery_codes": 0}
    show(Browser(api), key, status=401)
    Browser(api).log_in()


@pytest.mark.feature("F201")
def test_a_passkey_is_factor_enough_for_an_administrator(api: Api, cheap: None) -> None:
    set_up_mail(api)
    api.apply("users", username="boss", roles=["admin"], password=WORD)
    api.apply("settings", key="mfa.required_for_admins", value=True)
    boss, key = Browser(api), Authenticator()
    boss.log_in("boss")
    boss.call("GET", "/labels", status=403)
    add(boss, key)
    boss.call("GET", "/labels")
    assert show(boss, key)["second_factor_needed"] is False
    boss.call("GET", "/labels")


def test_without_an_address_that_passkeys_may_belong_to_there_are_none(api: Api, browser: Browser) -> None:
    for address in (None, "http://desk.example.org", "https://192.0.2.1", "https://[2001:db8::1]", "https://a..b"):
        api.apply("settings", key="public_url", value=address)
        refused = browser.call("POST", "/account/passkeys/options", {"password": WORD}, status=409)
        assert code_of(refused) == "no_public_url"
        browser.call("POST", "/session/passkey/options", {"token": None}, status=409, Host="desk.example.org")


def test_whom_they_belong_to_is_never_what_a_request_says_of_the_host(api: Api, browser: Browser) -> None:
    begun = browser.call("POST", "/session/passkey/options", {"token": None}, Host="evil.example")
    assert begun["options"]["rpId"] == "desk.example.org"
    api.apply("settings", key="public_url", value=f"{PUBLIC_URL}:443/desk/")
    add(browser, Authenticator())
    api.apply("settings", key="public_url", value="http://localhost:8080")
    assert asked(browser)["options"]["rpId"] == "localhost"


def test_what_is_no_credential_is_refused(api: Api, browser: Browser) -> None:
    """Whatever bytes come, they are a 4xx."""
    key = Authenticator()
    add(browser, key)
    good = key.sign(asked(browser)["options"])
    response = good["response"]
    made = key.make(begin(browser)["options"])
    bad: list[Any] = [
        {},
        {**good, "id": "ü", "rawId": "ü"},
        {**good, "id": 1},
        {**good, "type": "password"},
        {**good, "response": {}},
        {**good, "response": {**response, "authenticatorData": "AAAA"}},
        {**good, "response": {**response, "signature": "####"}},
        {**good, "response": {**response, "clientDataJSON": passkeys.text_of(b"[]")}},
        {**good, "response": {**response, "clientDataJSON": passkeys.text_of(b'"' + b"\xff" * 9)}},
        {**good, "response": {**response, "userHandle": "\x7f"}},
        {**made, "response": {**made["response"], "attestationObject": passkeys.text_of(b"\xa1\xff")}},
        {**made, "response": {**made["response"], "attestationObject": passkeys.text_of(b"\x9f" * 5000)}},
        {**made, "response": {**made["response"], "transports": [{}, 1, "internal"], "clientDataJSON": "AA"}},
    ]
    for credential in bad:
        begun = asked(browser)
        body = {"token": None, "ceremony": begun["ceremony"], "credential": credential}
        assert browser.send("POST", "/session/passkey", body).status_code == 401, credential
        new = {"name": "x", "ceremony": begin(browser)["ceremony"], "credential": credential}
        assert browser.send("POST", "/account/passkeys", new).status_code == 422, credential
    too_long = Authenticator(identifier=b"x" * 1100)
    assert add(browser, too_long, status=422)
    for credential in (None, [], "x", 1):
        body = {"token": None, "ceremony": "x", "credential": credential}
        assert browser.send("POST", "/session/passkey", body).status_code == 422, credential


def test_only_the_public_half_is_stored_and_challenges_are_forgotten(
    api: Api, browser: Browser, clock: TurnedClock
) -> None:
    key = Authenticator()
    add(browser, key)
    asked(browser)
    with api.desk.database.transaction(write=False) as session:
        (name,) = session.execute(select(Passkey.credential_id)).scalars()
        assert len(session.execute(select(PasskeyCeremony.id)).all()) == 1
    assert [name] == list(key.credentials)
    jobs = Schedules(api.desk.database, clock, "worker", tasks.jobs(api.desk.automation))
    jobs.run_due()
    clock.turn(hours=1)
    assert jobs.run_due() == ["second factors"]
    with api.desk.database.transaction(write=False) as session:
        assert session.execute(select(PasskeyCeremony.id)).all() == []


def test_nobody_has_too_many_and_no_address_asks_for_too_many_challenges(
    api: Api, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passkeys, "MOST", 2)
    for name in ("one", "two"):
        add(browser, Authenticator(), name)
    assert code_of(browser.call("POST", "/account/passkeys/options", {"password": WORD}, status=409)) == "too_many"
    limit = 20
    monkeypatch.setattr(passkeys_api, "PER_CALLER", (passkeys_api.PER_CALLER[0]._replace(limit=limit),))
    thief = Browser(api, "198.51.100.1")
    statuses = [thief.send("POST", "/session/passkey/options", {"token": None}).status_code for _ in range(limit + 2)]
    assert statuses == [200] * limit + [429] * 2


def test_one_that_somebody_has_is_nobody_elses(api: Api, browser: Browser, mia: str) -> None:
    api.apply("users", username="tom", roles=["agent"], password=WORD)
    toms, key = Browser(api), Authenticator()
    toms.log_in("tom")
    add(browser, key)
    begun = begin(toms)
    credential = key.make(begun["options"])
    with api.desk.database.transaction(write=True) as session:
        taken = session.execute(select(Passkey)).scalars().one()
        taken.credential_id = credential["id"]
        session.flush()
    body = {"name": "stolen", "ceremony": begun["ceremony"], "credential": credential}
    assert code_of(toms.call("POST", "/account/passkeys", body, status=409)) == "known"
