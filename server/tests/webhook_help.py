"""Desks whose webhooks may call the test network, and whose names are those that a test says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.kernel.safe_http import Client, Resolve
from receivers import NETWORK, Script, receiver


def no_names(name: str, port: int) -> list[str]:
    """Knows no name."""
    raise OSError("Name or service not known")


class Receivers:
    """Webhooks of a desk and their receivers; `SECRET` signs."""

    def __init__(self, desk: Desk, api: Api, clock: TurnedClock, stack: ExitStack) -> None:
        self.desk = desk
        self.api = api
        self.clock = clock
        self._stack = stack
        self.outside()

    def outside(self, *, seconds: float = 2.0, resolve: Resolve = no_names) -> None:
        """How this desk calls from now on."""
        self.desk.outside = Client([NETWORK], resolve=resolve, seconds=seconds)
        self.api.client.application.extensions["deskplane"].outside = self.desk.outside

    def drain(self) -> None:
        """Lets a worker do all that is due."""
        worker = make_worker(self.desk)
        while worker.drain_once():
            pass

    def hook(self, name: str = "hook", script: Script | None = None, url: str | None = None, **fields: Any) -> str:
        """A webhook, whose id is answered, and its receiver, if there is a script."""
        if script is not None:
            address, port = self._stack.enter_context(receiver(script))
            url = f"http://{address}:{port}/{name}"
        found: str = self.api.apply("webhooks", name=name, url=url, **fields)["after"]["id"]
        return found

    def ticket(self, **fields: Any) -> dict[str, Any]:
        """A ticket that somebody opened."""
        found: dict[str, Any] = self.api.call("POST", "/tickets", {"title": "t", **fields}, status=201)
        return found

    def deliveries(self, webhook_id: str, query: str = "") -> list[dict[str, Any]]:
        """What a webhook sent, the oldest first."""
        found: list[dict[str, Any]] = self.api.call("GET", f"/webhooks/{webhook_id}/deliveries{query}")["items"]
        return found[::-1]

    def one(self, webhook_id: str) -> dict[str, Any]:
        """All that is known of a webhook's only delivery."""
        (found,) = self.deliveries(webhook_id)
        whole: dict[str, Any] = self.api.call("GET", f"/webhooks/{webhook_id}/deliveries/{found['id']}")
        return whole

    def turn_to(self, moment: str) -> None:
        """Turns the clock to a moment that is still to come."""
        self.clock.time = max(self.clock.time, datetime.fromisoformat(moment))

    def through(self, webhook_id: str, most: int = 40) -> list[float]:
        """Turns the clock from attempt to attempt until none is left; the seconds between them."""
        waits: list[float] = []
        for _ in range(most):
            self.drain()
            found = [entry["next_at"] for entry in self.deliveries(webhook_id, "?state=pending")]
            if not found:
                return waits
            following = min(datetime.fromisoformat(text) for text in found)
            waits.append((following - self.clock.time).total_seconds())
            self.clock.time = following
        raise AssertionError("it never ends")


@contextmanager
def receivers(desk: Desk, api: Api, clock: TurnedClock) -> Iterator[Receivers]:
    """Webhooks of this desk, for the length of a test."""
    with ExitStack() as stack:
        yield Receivers(desk, api, clock, stack)
