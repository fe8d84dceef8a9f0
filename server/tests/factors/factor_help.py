"""People with second factors, for tests."""

from __future__ import annotations

from typing import Any

from conftest import Api
from deskplane.factors import totp
from login_help import WORD, Browser


class App:
    """An app that shows codes, as somebody has it on his phone."""

    def __init__(self, api: Api, secret: str) -> None:
        self.desk = api.desk
        self.secret = secret

    def code(self, steps: int = 0) -> str:
        """The code of now, or so many steps later."""
        return totp.code_at(self.secret, totp.step_at(self.desk.clock.now()) + steps)

    def wrong_code(self) -> str:
        """One that is none of those around now."""
        near = {self.code(steps) for steps in range(-2, 3)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code not in near)


def set_up(browser: Browser, api: Api) -> tuple[App, list[str]]:
    """Sets an app up within a session; answers it, and the recovery codes."""
    app = App(api, browser.call("POST", "/account/totp", {"password": WORD}, status=201)["secret"])
    found = browser.call("POST", "/account/totp/confirm", {"code": app.code()}, status=201)
    browser.csrf = found["csrf_token"]
    return app, found["recovery_codes"]


def half_in(browser: Browser, username: str = "mia") -> str:
    """Shows the password; answers the token that the second factor is sent with."""
    return str(browser.log_in(username, status=202)["token"])


def show(browser: Browser, path: str, token: str, code: str, status: int = 201) -> Any:
    """Shows a second factor; keeps what changes need."""
    found = browser.call("POST", f"/session/{path}", {"token": token, "code": code}, status=status)
    browser.csrf = found.get("csrf_token", browser.csrf)
    return found


def code_of(answer: Any) -> str:
    """The last part of a problem's type."""
    return str(answer["type"].rpartition(":")[2])
