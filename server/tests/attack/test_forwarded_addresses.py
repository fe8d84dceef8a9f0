"""Callers who lie about where they come from: what limits, keys' networks, the audit log and the login history see is
the address that the nearest trusted proxy saw, whatever a caller wrote into his headers.

Shown by taking the defence out: with `ProxyFix` told of one proxy more than there are the first two fail; with
gunicorn's own belief in `X-Forwarded-Proto` and `SCRIPT_NAME` (`serving.py`) the last one does.
"""

from __future__ import annotations

import http.client
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import Api, TurnedClock, settings
from crash.crash_servers import served
from deskplane.app import create_app, make_desk
from deskplane.kernel.throttle import Throttle
from instances import ask, nginx

REAL, FORGED, INNER = "203.0.113.5", "192.0.2.7", "198.51.100.2"
LIES = {
    "Forwarded": f"for={FORGED};proto=https;host=evil.example",
    "X-Real-IP": FORGED,
    "True-Client-IP": FORGED,
    "CF-Connecting-IP": FORGED,
    "X-Client-IP": FORGED,
    "X-Forwarded-Server": FORGED,
    "Client-IP": FORGED,
}

SEEN = [
    (0, REAL, None, REAL),
    (0, REAL, FORGED, REAL),
    (0, REAL, f"{FORGED}, {FORGED}", REAL),
    (1, INNER, REAL, REAL),
    (1, INNER, f"{FORGED}, {REAL}", REAL),
    (1, INNER, f"{FORGED}, 127.0.0.1, unknown, {REAL}", REAL),
    (1, INNER, f'"{FORGED}, x", {REAL}', REAL),
    (1, INNER, None, INNER),
    (2, "198.51.100.3", f"{REAL}, {INNER}", REAL),
    (2, "198.51.100.3", f"{FORGED}, {FORGED}, {REAL}, {INNER}", REAL),
    (2, "198.51.100.3", f"{FORGED}", "198.51.100.3"),
]


def _send(
    client: FlaskClient, lies: dict[str, str], peer: str, method: str, path: str, body: Any = None, key: Any = None
) -> TestResponse:
    sent = {**lies, **({"Authorization": f"Bearer {key}"} if key else {})}
    return client.open(f"/api/v1{path}", method=method, json=body, headers=sent, environ_base={"REMOTE_ADDR": peer})


@pytest.mark.only_on("sqlite")
def test_what_a_caller_writes_changes_nothing_of_where_he_is_seen(
    api: Api, mia: str, database_url: str, clock: TurnedClock
) -> None:
    bound = {"name": "bound", "regenerate": True, "allowed_ips": [FORGED]}
    key = api.apply("users", username="mia", api_keys=[bound])["api_keys"][0]["key"]
    for number, (proxies, peer, forwarded, expected) in enumerate(SEEN):
        desk = make_desk(settings(database_url, trusted_proxies=proxies), clock)
        app = create_app(desk)
        server = app.extensions["deskplane"]
        server.throttle = Throttle(per_address=2)
        lies = {**LIES, **({"X-Forwarded-For": forwarded} if forwarded else {})}
        send = partial(_send, app.test_client(), lies, peer)
        why = (proxies, peer, forwarded)
        assert send("GET", "/labels", key=key).status_code == 401, why
        assert send("POST", "/labels/apply", {"name": f"label {number}"}, key=api.key).status_code == 201, why
        assert send("GET", "/labels", key=api.key).status_code == 429, why
        assert list(server.throttle._counts) == [f"requests from {expected}"], why
        server.throttle = Throttle()
        assert send("POST", "/session", {"username": "mia", "password": "wrong password"}).status_code == 401, why
        desk.database.dispose()
        entry = api.call("GET", "/audit?kind=label&limit=1")["items"][0]
        assert (entry["key"], entry["address"]) == ({"name": f"label {number}"}, expected), why
        assert api.call("GET", "/logins?limit=1")["items"][0]["address"] == expected, why
        clock.turn(minutes=16)


def test_behind_a_real_nginx_that_only_adds_to_what_it_was_sent(
    api: Api, mia: str, database_url: str, tmp_path: Path
) -> None:
    key = str(api.key)
    more = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto https;"
    options: dict[str, Any] = {"workers": 1, "trusted_proxies": "1"}
    with served(database_url, tmp_path, **options) as server, nginx(tmp_path, [server], more) as port:
        lies = {name.replace("-", "_"): value for name, value in LIES.items()}
        for number, forged in enumerate((FORGED, f"{FORGED}, 10.0.0.1", "::1, ,", "x" * 500)):
            headers = {**lies, "X_Forwarded_For": forged}
            status, _, found = ask(port, "POST", "/api/v1/labels/apply", {"name": f"l{number}"}, key, **headers)
            assert status == 201, found
            body = {"username": "mia", "password": "wrong password"}
            assert ask(port, "POST", "/api/v1/session", body, **headers)[0] == 401
    entries = api.call("GET", "/audit?kind=label")["items"]
    assert [entry["address"] for entry in entries] == ["127.0.0.1"] * 4
    assert {entry["address"] for entry in api.call("GET", "/logins?username=mia")["items"]} == {"127.0.0.1"}


@pytest.mark.only_on("sqlite")
def test_without_a_trusted_proxy_nobody_says_how_he_came(database_url: str, tmp_path: Path) -> None:
    """Gunicorn itself would believe these headers of everybody who is on the server's own machine."""
    with served(database_url, tmp_path, workers=1) as server:
        for header in ("X_Forwarded_Proto", "X_Forwarded_Ssl", "X_Forwarded_Protocol"):
            value = {"X_Forwarded_Proto": "https", "X_Forwarded_Ssl": "on", "X_Forwarded_Protocol": "ssl"}[header]
            status, _, document = ask(server.port, "GET", "/api/v1/openapi.json", **{header: value})
            assert (status, document["servers"]) == (200, [{"url": f"http://127.0.0.1:{server.port}"}]), header
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/api/v1/version", headers={"SCRIPT_NAME": "/api", "PATH_INFO": "/healthz"})
        assert b'"api"' in connection.getresponse().read()
        connection.close()
