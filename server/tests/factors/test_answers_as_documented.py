"""Every operation on factors answers as the OpenAPI document says, good and bad."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from conftest import Api, TurnedClock
from contract.test_openapi import OPERATIONS, check, operation_at
from factors.authenticator import Authenticator
from factors.factor_help import App
from login_help import WORD, Browser, set_up_mail

OURS = {
    operation.name
    for operation in OPERATIONS
    if any(word in operation.path for word in ("totp", "passkey", "recovery", "factors"))
}


class Checked(Browser):
    """A browser that holds each answer against the document, and notes which operations answered well."""

    done: set[str] = set()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        answer = super().send(method, path, body, **headers)
        check(method, f"/api/v1{path}", answer)
        operation = operation_at(method, f"/api/v1{path}")
        if answer.status_code < 300 and operation is not None:
            self.done.add(operation.name)
        if answer.status_code == 201 and "csrf_token" in answer.get_json():
            self.csrf = answer.get_json()["csrf_token"]
        return answer


@pytest.mark.feature("F200")
def test_each_answers_as_it_is_documented(api: Api, mia: str, clock: TurnedClock) -> None:
    set_up_mail(api)
    api.apply("users", username="boss", roles=["admin"], password=WORD)
    browser, boss, key, own = Checked(api), Checked(api), Authenticator(), {"password": WORD}
    boss.log_in("boss")
    browser.log_in()
    wrong = {"password": "wrong password"}
    for path in ("totp", "totp/disable", "recovery-codes", "passkeys/options", "passkeys/x/remove"):
        for body in (wrong, {}, {"password": 1}):
            assert browser.send("POST", f"/account/{path}", body).status_code in (401, 422)
    app = App(api, browser.call("POST", "/account/totp", own, status=201)["secret"])
    browser.call("POST", "/account/totp/confirm", {"code": "x"}, status=422)
    codes = browser.call("POST", "/account/totp/confirm", {"code": app.code()}, status=201)["recovery_codes"]
    codes = browser.call("POST", "/account/recovery-codes", own, status=201)["recovery_codes"]
    clock.turn(minutes=1)
    for path, code in (("totp", app.code()), ("recovery-code", codes[0])):
        token = browser.log_in(status=202)["token"]
        browser.call("POST", f"/session/{path}", {"token": token, "code": "x"}, status=401)
        browser.call("POST", f"/session/{path}", {"token": "x", "code": code}, status=401)
        browser.call("POST", f"/session/{path}", {"token": token, "code": code}, status=201)
    browser.call("POST", "/account/totp/disable", own, status=201)
    browser.call("POST", "/account/totp/disable", own, status=409)
    begun = browser.call("POST", "/account/passkeys/options", own, status=201)
    new = {"name": "laptop", "ceremony": begun["ceremony"], "credential": key.make(begun["options"])}
    browser.call("POST", "/account/passkeys", new, status=201)
    browser.call("POST", "/account/passkeys", new, status=422)
    for token in (None, browser.log_in(status=202)["token"]):
        begun = browser.call("POST", "/session/passkey/options", {"token": token})
        body = {"token": token, "ceremony": begun["ceremony"], "credential": key.sign(begun["options"])}
        browser.call("POST", "/session/passkey", body, status=201)
        browser.call("POST", "/session/passkey", body, status=401)
    (entry,) = browser.call("GET", "/account/passkeys")["items"]
    browser.call("PATCH", f"/account/passkeys/{entry['id']}", {"name": "old"})
    browser.call("PATCH", f"/account/passkeys/{entry['id']}", {"name": ""}, status=422)
    browser.call("PATCH", "/account/passkeys/x", {"name": "old"}, status=404)
    browser.call("GET", "/account/factors")
    boss.call("GET", f"/users/{mia}/factors")
    boss.call("GET", "/users/x/factors", status=404)
    browser.call("POST", f"/account/passkeys/{entry['id']}/remove", own, status=201)
    boss.call("DELETE", f"/users/{mia}/factors", status=204)
    assert OURS - browser.done == set()
