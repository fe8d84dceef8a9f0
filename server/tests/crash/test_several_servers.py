"""Two servers and two workers on one PostgreSQL: whoever is asked, the answer is the same."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from crash_servers import Server, together

from conftest import Api, TurnedClock
from deskplane.app import Desk
from instances import ask, machines, workers
from receivers import NETWORK, Script
from webhook_help import receivers
from worker_help import wait_for

pytestmark = [
    pytest.mark.feature("F272"),
    pytest.mark.only_on("postgresql"),  # SQLite is for one machine
]


@pytest.mark.feature("F208")
def test_what_one_server_did_the_other_knows_at_once(api: Api, desk: Desk, database_url: str, tmp_path: Path) -> None:
    with machines(database_url, tmp_path, workers=1) as (one, other):
        key = str(api.key)

        def call(
            port: int, method: str, path: str, body: object = None, status: int = 200, **headers: str
        ) -> dict[str, Any]:
            answered, _headers, found = ask(port, method, f"/api/v1{path}", body, key, **headers)
            assert answered == status, found
            return dict(found)

        a, b = one.port, other.port
        # what a process found to change nothing does change something, once the other changed it
        label = {"name": "vpn", "color": "#112233"}
        call(a, "POST", "/labels/apply", label, 201)
        assert call(a, "POST", "/labels/apply", label)["changed"] is False
        assert call(b, "POST", "/labels/apply", {**label, "color": "#445566"})["changed"] is True
        assert call(a, "POST", "/labels/apply", label)["changed"] is True
        # settings, rights and keys act at the next request
        call(a, "POST", "/settings/apply", {"key": "numbering.prefix", "value": "OPS"})
        made = call(b, "POST", "/tickets", {"title": "t"}, 201, Idempotency_Key="k1")
        assert made["number"] == "OPS-000001"
        assert call(a, "POST", "/tickets", {"title": "t"}, 201, Idempotency_Key="k1") == made
        agent = {"username": "mia", "roles": ["agent"], "api_keys": [{"name": "k", "regenerate": True}]}
        hers = call(a, "POST", "/users/apply", agent, 201)["api_keys"][0]["key"]
        assert ask(b, "GET", "/api/v1/tickets", key=hers)[0] == 200
        call(a, "POST", "/users/apply", {"username": "mia", "enabled": False})
        assert ask(b, "GET", "/api/v1/tickets", key=hers)[0] == 401
        # pages go on, tags hold, files are there
        for number in range(3):
            call(a, "POST", "/tickets", {"title": f"t{number}"}, 201)
        page = call(a, "GET", "/tickets?limit=2")
        rest = call(b, "GET", f"/tickets?limit=2&cursor={page['next_cursor']}")
        assert len({ticket["number"] for ticket in page["items"] + rest["items"]}) == 4
        tag = ask(a, "GET", "/api/v1/tickets/OPS-000001", key=key)[1]["ETag"]
        call(b, "PATCH", "/tickets/OPS-000001", {"priority": "high"}, 200, If_Match=tag)
        call(a, "PATCH", "/tickets/OPS-000001", {"priority": "low"}, 412, If_Match=tag)
        # one limit, whoever is asked, and however many ask at once
        call(a, "POST", "/customers/apply", {"name": "ACME", "features": {"public_api": True}}, 201)
        call(b, "POST", "/settings/apply", {"key": "public_api.requests_per_minute", "value": 12})
        time.sleep(max(0.0, 3 - 60 + time.time() % 60))  # a minute that ends meanwhile would begin a new count
        answers = together(24, lambda index: ask((a, b)[index % 2], "GET", "/public/v1/tickets", key=key)[0])
        assert sorted(answers) == [200] * 12 + [429] * 12


def test_two_workers_do_everything_once(
    api: Api, desk: Desk, clock: TurnedClock, database_url: str, tmp_path: Path
) -> None:
    clock.time = datetime.now(UTC)
    places = [Server(database_url, tmp_path / name, webhook_networks=str(NETWORK)) for name in ("one", "other")]
    script = Script()
    count = 20
    with receivers(desk, api, clock) as hooks:
        for number in range(3):
            hooks.hook(f"hook{number}", script, events=["ticket_created"])
        with workers(places):
            wait_for(lambda: api.call("GET", "/readyz")["workers"] == 2, 60)
            for _ in range(count):
                hooks.ticket()
            wait_for(lambda: len(script.got) >= 3 * count, 60)
            wait_for(lambda: api.call("GET", "/readyz")["outbox"] == 0, 60)
    assert len({got.headers["webhook-id"] for got in script.got}) == len(script.got) == 3 * count
