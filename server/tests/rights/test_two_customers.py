"""Two customers: whatever is found in one's answers and not in the other's, the other tries everywhere, and is answered
to the letter as if it were not there.

The crawler in `test_canary_crawler.py` looks for what may not be shown; this one finds out whether somebody can tell
that a thing is there: by a status, a message, a header, or a hint.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest

from conftest import Api
from login_help import set_up_mail

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
NUMBER = re.compile(r"[A-Z]{3}-\d{6}")
PARAMETER = re.compile(r"([\w-]+)/\{(\w+)\}|\{(\w+)\}")
FOREIGN = {"customer": "plumbago", "asset": "verdigris", "contact": "marjoram@flax.example", "project": "spindrift"}
NOWHERE = {"customer": "quagmire", "asset": "wolframit", "contact": "cardamom@reed.example", "project": "hornbeams"}
"""Natural keys of what is another's, and some that there are not: of the same length and shape, and no more like what
is one's own, of which a refusal may remind."""
FIELDS = {
    **{name: name for name in FOREIGN},
    **{"customers": "customer", "assets": "asset", "email": "contact", "customer_id": "customer", "q": "asset"},
}
"""Field or parameter → what one could name in it."""
OWN_WORDS = {"name", "title", "correlation_key", "body", "body_html", "description", "comment", "notes"}
"""Fields that name nothing of others."""
ANSWERED = ("Content-Type", "ETag", "Location", "Retry-After", "Content-Disposition", "Link")


SENT = "\x02"
"""Stands in a request for what is tried."""


_NEXT = itertools.count(1)


def like(value: str) -> str:
    """Something of the same shape that there is not, and that nobody named yet."""
    if UUID.fullmatch(value):
        return f"019a9d3c-8a52-7c1e-b1f0-{next(_NEXT):012x}"
    return f"TKT-{999999 - next(_NEXT)}" if NUMBER.fullmatch(value) else str(999999 - next(_NEXT))


def furnish(api: Api, person: str, names: dict[str, str], roles: list[str], membership: str) -> Api:
    """A customer with one thing of every sort, and somebody of it."""
    customer, department = names["customer"], f"desk of {names['customer']}"
    api.apply("customers", name=customer, features={"public_api": True})
    api.apply("departments", name=department)
    api.apply("contacts", email=names["contact"], customer=customer, last_name=f"Person {customer}")
    api.apply("assets", name=names["asset"], customer=customer)
    api.apply("projects", name=names["project"], customer=customer)
    found = api.as_user(person, roles=roles, memberships=[{"customer": customer, "role": membership}])
    api.apply("departments", name=department, members=[person])
    where = {"customer": customer, "department": department, "contact": names["contact"], "assets": [names["asset"]]}
    first, second = (
        api.call("POST", "/tickets", {"title": f"{customer} {number}", **where}, status=201)["number"]
        for number in (1, 2)
    )
    for direction in ("outbound", "internal"):
        api.call("POST", f"/tickets/{first}/messages", {"body": customer, "direction": direction}, status=201)
    api.request("POST", f"/tickets/{first}/attachments?name={customer}.txt", data=b"hello")
    api.call("PUT", f"/tickets/{first}/links/relates_to/{second}", status=204)
    reference = {"type": "url", "title": customer, "url": f"https://{customer}.example"}
    api.call("POST", f"/tickets/{first}/references", reference, status=201)
    found.call("POST", "/views", {"name": f"view of {customer}"}, status=201)
    return found


class Explorer:
    """What one can find: ids by the part of the address that they belong behind."""

    def __init__(self, api: Api, document: dict[str, Any]) -> None:
        self.api = api
        self.paths = document["paths"]
        self.rooms: dict[str, set[str]] = {}
        self.seen: set[str] = set()

    def explore(self) -> None:
        """Follows everything until nothing new turns up."""
        asked: set[str] = set()
        before = -1
        while before != (before := sum(map(len, self.rooms.values()))):
            for path, methods in self.paths.items():
                if "get" not in methods or path.endswith(("/openapi.json", "/docs", "/backup", "schema.json")):
                    continue
                for concrete in self.filled(path):
                    if concrete not in asked:
                        asked.add(concrete)
                        self._read(concrete, path)

    def filled(self, path: str) -> Iterator[str]:
        """The address with all that is known in it."""
        parts = list(PARAMETER.finditer(path))
        choices = [sorted(self.rooms.get(part[1] or "tickets", ())) for part in parts]
        for values in product(*choices):
            yield fill(path, values)

    def _read(self, concrete: str, path: str) -> None:
        answer = self.api.request("GET", concrete)
        if answer.status_code != 200 or not answer.is_json:
            return
        self._gather(answer.get_json())
        room = path.rstrip("/").rpartition("/")[2]
        items = answer.get_json().get("items")
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict) and (known := item.get("number") or item.get("id")):
                self.rooms.setdefault(room, set()).add(str(known))

    def _gather(self, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, (str, int)) and (name in ("id", "number") or name.endswith("_id")):
                    self.seen.add(str(inner))
                self._gather(inner)
        elif isinstance(value, list):
            for inner in value:
                self._gather(inner)


def fill(path: str, values: tuple[str, ...]) -> str:
    """The address with these in the place of its parameters; what is no id stays one word that fits."""
    given = iter(values)
    return re.sub(r"\{\w+\}", lambda _found: next(given), path)


class Other:
    """Somebody of another customer, who tries what he was told."""

    def __init__(self, api: Api, own: Explorer, foreign: Explorer, told_of: set[str]) -> None:
        self.api = api
        self.told_of = told_of
        self.own, self.foreign = own, foreign
        self.told: list[str] = []
        self.tried = 0
        self.reached: set[str] = set()

    def compare(self, method: str, path: str, body: Any, there: str, nowhere: str) -> None:
        """Sends it with what is there, and with what is not; notes where the answers differ."""
        first, second = (self._answer(method, path, json.dumps(body), value) for value in (there, nowhere))
        self.tried += 1
        if first[0] not in (401, 403):
            self.reached.add(method)
        if first != second:
            self.told.append(f"{method} {path} {body} with {there}: {first} and not {second}")

    def _answer(self, method: str, path: str, body: str, value: str) -> tuple[Any, ...]:
        sent = json.loads(body.replace(json.dumps(SENT)[1:-1], value))
        answer = self.api.request(method, path.replace(SENT, quote(value)), sent)
        headers = [answer.headers.get(name, "") for name in ANSWERED]
        found = [answer.get_data(as_text=True), *headers]
        if method != "GET" and answer.status_code < 300:
            return (answer.status_code,)  # it was written, and what is there now is another thing each time
        return answer.status_code, *(self._alike(text, value) for text in found)

    def _alike(self, text: str, value: str) -> str:
        """Without what was sent, and without what is another one each time."""
        text = text.replace(value, "?").replace(quote(value), "?")
        return re.sub(r'"request_id":"[^"]*"', "", text)

    def try_paths(self) -> None:
        """Every address with parameters: a foreign id in each place, the others his own or foreign."""
        for path, methods in self.own.paths.items():
            parts = list(PARAMETER.finditer(path))
            for place, part in enumerate(parts):
                room = part[1] or "tickets"
                for value in self._foreign(room):
                    others = [self._any(one[1] or "tickets", value, room) for one in parts]
                    for owner in sorted({0, 1} if len(parts) > 1 else {0}):
                        values = [pair[owner] for pair in others]
                        values[place] = SENT
                        for method, operation in methods.items():
                            body: Any = {} if "requestBody" in operation else None
                            self.compare(method.upper(), fill(path, tuple(values)), body, value, like(value))

    def _foreign(self, room: str) -> list[str]:
        """Foreign ids for a part of an address: its own sort of things, else a few of any sort."""
        found = self.foreign.rooms.get(room, set()) - self.own.seen - self.own.rooms.get(room, set())
        return sorted(found)[:2] or sorted(self.foreign.seen - self.own.seen)[:2]

    def _any(self, room: str, value: str, about: str) -> tuple[str, str]:
        """For another parameter of the address: something of his own, and something foreign."""
        if room == "links":
            return "relates_to", "relates_to"
        own = sorted(self.own.rooms.get(room, {"1"}))[0]
        return own, sorted(self.foreign.rooms.get(room, {"1"}))[0] if room != about else value

    def try_queries(self) -> None:
        """Every parameter of every list with ids and with names."""
        for path, methods in self.own.paths.items():
            for concrete in list(self.own.filled(path))[:1]:
                for method, operation in methods.items():
                    for parameter in operation["parameters"]:
                        if parameter["in"] == "query" and parameter["name"] not in ("sort", "dry_run", "limit"):
                            for there, nowhere in self._values(parameter["name"]):
                                address = f"{concrete}?{parameter['name']}={SENT}"
                                self.compare(method.upper(), address, None, there, nowhere)

    def try_bodies(self) -> None:
        """Every field of every body with ids and with names, alone and beside what is required."""
        for path, methods in self.own.paths.items():
            for concrete in list(self.own.filled(path))[:1]:
                for method, operation in methods.items():
                    content = operation.get("requestBody", {}).get("content", {})
                    if "application/json" not in content:
                        continue
                    schema = content["application/json"]["schema"]
                    needed = {name: _plain(schema["properties"][name]) for name in schema.get("required", ())}
                    dry = "?dry_run=true" if any(one["name"] == "dry_run" for one in operation["parameters"]) else ""
                    for name, part in schema.get("properties", {}).items():
                        for there, nowhere in self._values(name):
                            body = {**needed, name: _typed(part, SENT)}
                            self.compare(method.upper(), concrete + dry, body, there, nowhere)

    def _values(self, name: str) -> Iterator[tuple[str, str]]:
        if name in FIELDS and name not in self.told_of:
            yield FOREIGN[FIELDS[name]], NOWHERE[FIELDS[name]]
        if name not in OWN_WORDS:
            for value in (min(self.foreign.rooms["tickets"]), min(filter(UUID.fullmatch, self.foreign.seen))):
                yield value, like(value)


def _plain(schema: dict[str, Any]) -> Any:
    """Something that a required field takes."""
    if "enum" in schema:
        return schema["enum"][0]
    return {"array": [], "integer": 1, "boolean": True, "object": {}}.get(str(schema.get("type")), "something")


def _typed(schema: dict[str, Any], text: str) -> Any:
    return [_typed(schema.get("items", {}), text)] if "array" in str(schema.get("type", "string")) else text


@pytest.mark.feature("F001")
@pytest.mark.parametrize(
    ("role", "membership"),
    [
        pytest.param("agent", "owner", marks=pytest.mark.only_on("sqlite")),
        pytest.param("agent", "owner", marks=pytest.mark.soak),
        pytest.param("agent", "member", marks=pytest.mark.soak),
        pytest.param("user", "member", marks=pytest.mark.soak),
        pytest.param("requester", "viewer", marks=pytest.mark.soak),
    ],
)
def test_nobody_can_tell_that_something_of_another_customer_is_there(api: Api, role: str, membership: str) -> None:
    """With `tickets.queries.visible` letting all tickets through, or with a refusal that names what it refuses, this
    fails at hundreds of addresses."""
    set_up_mail(api)
    api.apply("settings", key="public_api.requests_per_minute", value=100_000)
    ann = furnish(api, "ann", FOREIGN, ["agent"], "owner")
    mine = {"customer": "ownfirm", "asset": "ownthing", "contact": "own@own.example", "project": "ownproject"}
    bob = furnish(api, "bob", mine, [role], membership)
    document = api.call("GET", "/openapi.json")
    hers, his = Explorer(ann, document), Explorer(bob, document)
    for explorer in (hers, his):
        explorer.explore()
    rooms = {"tickets", "messages", "attachments", "contacts", "assets", "projects", "customers", "views", "references"}
    assert rooms <= {room for room, ids in hers.rooms.items() if ids - his.rooms.get(room, set())}
    before = _state(ann, hers)
    # an address is one contact of the whole desk, and who opens tickets for others learns that it is one already
    other = Other(bob, his, hers, {"contact", "email"} if role == "agent" else set())
    other.try_paths()
    other.try_queries()
    other.try_bodies()
    assert other.told == [], "\n".join(other.told[:20])
    assert other.tried > 500
    assert other.reached == {"GET", "POST", "PATCH", "PUT", "DELETE"}
    assert _state(ann, hers) == before


def _state(api: Api, explorer: Explorer) -> list[str]:
    """All that somebody sees of what is his."""
    found = []
    for path, methods in explorer.paths.items():
        if "get" in methods and "{" in path:
            found += [api.request("GET", concrete).get_data(as_text=True) for concrete in explorer.filled(path)]
    return [re.sub(r'"request_id":"[^"]*"', "", text) for text in found]
