"""Secrets of a whole desk: a canary in every secret field of every kind, and nothing that the server says, logs or
stores has one of them in it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from whole import KINDS, Configuration, opened
from world import furnish, least

from conftest import Api
from crash.crash_servers import served
from deskplane.app import Desk
from deskplane.desks.settings import SETTINGS
from deskplane.kernel.kind import Kind
from dumps import dump, text_of

GIT = {"manager": "git:helpdesk"}
CANARY = re.compile("canary", re.IGNORECASE)
_SEALED = re.compile(r"gAAAAA[\w-]{60,}")


def canary(which: str) -> str:
    """A value that every secret field takes."""
    return f"whsec_Canary{which:x<26}"


def with_secret(kind: Kind, path: str, value: Any) -> dict[str, Any]:
    """An object of the kind with this secret, and what else it needs."""
    name, _, inner = path.partition(".")
    if name == "secret_headers" and isinstance(value, str):
        value = {"X-Token": value} if value.isprintable() and len(value) < 100 else json.dumps({"X-Token": value * 10})
    item = {**least(kind), name: {inner: value} if inner else value}
    return {**item, "update_password": "always"} if kind.name == "user" else item


def desk_of(which: str) -> Configuration:
    """An object for every secret field that there is, with a secret in it."""
    found: Configuration = {}
    for kind in KINDS:
        for path in kind.secrets:
            if kind.fixed:
                keys = [key for key, part in SETTINGS.items() if part.secret]
                items = [{"key": key, path: canary(which)} for key in keys]
            else:
                items = [with_secret(kind, path, canary(which))]
            found.setdefault(kind.plural, []).extend(items)
    return found


def changed(configuration: Configuration, which: str) -> Configuration:
    """The same objects with other secrets."""
    found: Configuration = json.loads(re.sub(r"whsec_Canary\w+", canary(which), json.dumps(configuration)))
    return found


class Listener:
    """Whatever the server says to a client."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.heard: list[str] = []

    def call(self, method: str, path: str, body: Any = None, status: int | tuple[int, ...] = 200, **more: Any) -> Any:
        """Sends, asserts the status, listens, and answers the JSON."""
        answer = self.api.request(method, path, body, **more)
        self.heard.append(f"{method} {path}: {answer.headers} {answer.get_data(as_text=True)}")
        allowed = status if isinstance(status, tuple) else (status,)
        assert answer.status_code in allowed, self.heard[-1]
        return answer.get_json() if answer.data and answer.is_json else None

    def apply(self, configuration: Any, status: int | tuple[int, ...] = 200, **more: Any) -> Any:
        """Plans, and then applies."""
        body = {"configuration": configuration, **more}
        headers = body.pop("headers", {})
        if "plan_digest" not in body:
            self.call("POST", "/configuration/plan", body, status)
        return self.call("POST", "/configuration/apply", body, status, headers=headers)

    def raw(self, body: bytes, status: int, **headers: str) -> Any:
        """Sends these bytes to be applied."""
        sent = {"Content-Type": "application/json", **headers}
        return self.call("POST", "/configuration/apply", None, status, data=body, headers=sent)


@pytest.fixture
def listener(
    database_url: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Listener]:
    """A desk that logs all that it can log. In the end nothing of what it said, logged or stored has a canary in it."""
    caplog.set_level(logging.DEBUG)
    with opened(database_url) as api:
        furnish(api)
        found = Listener(api)
        yield found
        kept = text_of(api.desk)
    assert len(found.heard) > 3
    assert_silent([*found.heard, caplog.text, *capfd.readouterr()], [kept])


def assert_silent(heard: Sequence[str], kept: Sequence[str]) -> None:
    """No secret in what was heard, not even a sealed one; and none in the open in what is kept."""
    for what in [*heard, *kept]:
        found = CANARY.search(what)
        assert found is None, f"{what[:80]} … {what[max(0, found.start() - 300) : found.end() + 100]}"
    for what in heard:
        assert not _SEALED.search(what), what


def test_there_is_a_secret_of_every_kind_that_has_some() -> None:
    paths = {(kind.plural, path.partition(".")[0]) for kind in KINDS for path in kind.secrets}
    assert (
        paths
        == {
            (plural, name)
            for plural, items in desk_of("one").items()
            for item in items
            for name in item
            if name != "key"
        }
        & paths
    )
    assert {plural for plural, _path in paths} >= {"users", "departments", "webhooks", "settings"}
    assert CANARY.search(json.dumps(desk_of("one")))


def test_what_is_said_of_a_desk_holds_no_secret_and_the_same_ones_are_no_change(listener: Listener) -> None:
    first = desk_of("one")
    second = changed(first, "two")
    secrets = sum(
        path in item or path.partition(".")[0] in item
        for kind in KINDS
        for path in kind.secrets
        for item in first.get(kind.plural, ())
    )
    made = listener.apply(first, **GIT, headers={"Idempotency-Key": "once"})
    assert (
        listener.call(
            "POST", "/configuration/apply", {"configuration": first, **GIT}, headers={"Idempotency-Key": "once"}
        )
        == made
    )
    told = [change for entry in made["changes"] for change in entry["changes"] if change["after"] == "(secret)"]
    assert len(told) == secrets
    before = dump(listener.api.desk)
    assert listener.apply(first, **GIT)["changes"] == []
    assert dump(listener.api.desk) == before
    for query in ("", "?full=true", f"?manager={GIT['manager']}"):
        exported = listener.call("GET", f"/configuration{query}")["configuration"]
        assert listener.apply(exported)["changed"] is False
    assert dump(listener.api.desk) == before
    for kind in KINDS:
        for item in listener.call("GET", f"/{kind.path}?limit=200")["items"]:
            listener.call("GET", f"/{kind.path}/{item['id']}")
    assert listener.apply(second)["summary"]["update"] == sum(map(len, first.values()))
    drifted = listener.call("GET", "/configuration/drift")["items"]
    assert [(item["before"], item["after"]) for item in drifted] == [("(secret)", "(secret)")] * secrets
    back = listener.apply(first, **GIT)
    assert len(back["changes"]) == sum(map(len, first.values()))
    assert {(one["before"], one["after"]) for entry in back["changes"] for one in entry["changes"]} == {
        ("(secret)", "(secret)")
    }
    listener.call("GET", "/configuration/history?limit=200")
    listener.call("GET", "/configuration/schema.json")
    listener.call("GET", "/metrics")


def test_what_is_said_of_a_refused_document_holds_no_secret(listener: Listener) -> None:
    before = dump(listener.api.desk)
    for wrong in (
        [canary("a")],
        {canary("a"): canary("b")},
        {"$secret": [canary("a")]},
        {"value": canary("a")},
        4711,
        canary("a") * 10_000,
        f"{canary('a')}\x07",
        f"\u202e{canary('a')}",
        f"{canary('a')}\n",
    ):
        document = {
            kind.plural: [with_secret(kind, path, wrong) for path in kind.secrets] for kind in KINDS if kind.secrets
        }
        refused = listener.apply(document, 422)
        # objects are headers that a webhook may have
        assert len(refused["errors"]) >= sum(len(kind.secrets) for kind in KINDS) - isinstance(wrong, dict)
    for kind in KINDS:
        for path in kind.secrets:
            name, _, inner = path.partition(".")
            misspelt = {inner + "x": canary("a")} if inner else canary("a")
            item = {**least(kind), name if inner else name + "x": misspelt}
            listener.apply({kind.plural: [item]}, 422)
            good = with_secret(kind, path, canary("a"))
            listener.apply({kind.plural: [good, good]}, 422)
            listener.apply({kind.plural: {"0": good}}, 422)
            listener.apply({kind.plural: [canary("a"), good]}, 422)
            listener.apply({kind.plural[:-1] + "z": [good]}, 422)
            listener.apply({kind.plural: [{**good, "no_such_field": canary("b")}]}, 422)
            listener.apply({kind.plural: [{**good, name: [canary("b")]}]}, 422)
            listener.call("POST", f"/{kind.path}/apply", {**good, "no_such_field": canary("b")}, 422)
    for key, part in SETTINGS.items():
        listener.apply({"settings": [{"key": key, "value" if part.secret else "secret": canary("a")}]}, 422)
    listener.apply({"webhooks": [{**least(KINDS[-1]), "secret": "Canary"}]}, 422)
    listener.apply({"users": [{"username": "short", "password": "Canary"}]}, 422)
    listener.apply(canary("a"), 422)
    listener.apply(desk_of("a"), 422, prune=True)
    listener.apply(desk_of("a"), 422, **GIT, max_deletions="many")
    assert dump(listener.api.desk) == before


def test_what_is_said_of_a_conflict_holds_no_secret(listener: Listener) -> None:
    first = desk_of("one")
    listener.apply(first, **GIT)
    second = changed(first, "two")
    assert listener.apply(second, 409, manager="other")["owner"] == "git:helpdesk"
    planned = listener.call("POST", "/configuration/plan", {"configuration": second, **GIT})
    refused = listener.apply(changed(first, "three"), 409, **GIT, plan_digest=planned["digest"])
    assert refused["type"].endswith("plan_changed")
    assert {one["after"] for entry in refused["plan"]["changes"] for one in entry["changes"]} == {"(secret)"}
    for plural, items in second.items():
        if plural == "settings":
            continue
        listener.apply({plural: [{**item, "state": "absent"} for item in items]}, (200, 409), manager="other")
        (key,) = {"name", "username", "email"} & set(items[0])
        both = [{**items[0], "renamed_from": "nobody"}, {**items[0], key: "fresh", "renamed_from": items[0][key]}]
        listener.apply({plural: both}, (200, 409, 422), manager="other")
    listener.api.apply("webhooks", name="by hand", department="Night shift", url="https://x.example/")
    gone = [{"name": "Night shift", "state": "absent"}]
    assert "dependants" in listener.apply({**second, "departments": [*second["departments"], *gone]}, 409, **GIT)


def test_what_is_said_of_a_request_that_cannot_be_read_or_is_not_allowed_holds_no_secret(listener: Listener) -> None:
    good = json.dumps({"configuration": desk_of("one")}).encode()
    secret = canary("one").encode()
    for body in (
        good[:-2],
        good + b'"Canary"',
        good.replace(b'"' + secret + b'"', b'"' + secret + b'\\q"'),
        good.replace(secret, secret + b"\xff"),
        good.replace(secret, secret + b"\n"),
        good.replace(secret, secret + b"\\ud800"),
        good.replace(b'"' + secret + b'"', secret),
        good.replace(b'"' + secret + b'"', b'NaN, "x": "Canary"'),
        good.replace(b'"password": "' + secret, b'"password": "Canary", "password": "' + secret),
        b'"' + secret + b'"',
        b"Canary",
    ):
        assert body != good
        listener.raw(body, 400)
    listener.raw(good, 415, **{"Content-Type": "text/plain"})
    listener.raw(good, 401, Authorization="Bearer dpk_nobody")
    nobody = Listener(listener.api.as_user("nobody"))
    nobody.raw(good, 403)
    listener.heard += nobody.heard
    listener.raw(good, 200, **{"Idempotency-Key": "once"})
    listener.raw(good.replace(b"Canary", b"Cabary").replace(b"Cabary", b"CANARY"), 422, **{"Idempotency-Key": "once"})
    listener.call("POST", "/configuration/aply", {"configuration": desk_of("one")}, 404)
    listener.call("PUT", "/configuration/apply", {"configuration": desk_of("one")}, 405)


@pytest.mark.provokes(500, "unexpected error", "Traceback", "status=500")
def test_a_server_that_logs_all_that_it_can_logs_no_secret(database_url: str, tmp_path: Path) -> None:
    """Also where it fails in a way of which nobody has thought, with a statement that has secrets in it, sealed."""
    first = desk_of("one")
    body = {"configuration": first, **GIT}
    with opened(database_url) as api, served(database_url, tmp_path, workers=1, log_level="debug") as server:
        furnish(api)
        assert api.key is not None

        def send(what: str, body: Any, **headers: str) -> tuple[int, Any]:
            status, *answer = server.request("POST", f"/api/v1/configuration/{what}", body, api.key or "", **headers)
            heard.append(repr(answer))
            return status, answer[1]

        heard: list[str] = []
        with failing(api.desk, "departments"):
            assert send("apply", body)[0] == 500
        assert send("plan", body)[0] == 200
        assert send("apply", body, Idempotency_Key="once")[0] == 200
        assert send("apply", body)[1]["changed"] is False
        assert send("apply", {**body, "configuration": changed(first, "two")})[0] == 200
        assert send("apply", {**body, "configuration": {"users": [canary("one")]}})[0] == 422
        assert send("apply", body, Content_Type="text/plain")[0] == 415
        logged = (tmp_path / "server.log").read_text()
        assert '"level":"debug"' in logged
        assert "INSERT INTO departments" in logged
        assert '"status":422' in logged
        assert_silent([*heard, logged], [text_of(api.desk)])


@contextmanager
def failing(desk: Desk, table: str) -> Iterator[None]:
    """Meanwhile the database refuses new rows of a table."""
    sqlite = f"CREATE TRIGGER refused BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'refused'); END"
    postgres = (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''refused''; END'",
        f"CREATE TRIGGER refused BEFORE INSERT ON {table} EXECUTE FUNCTION refuse()",
    )
    is_sqlite = desk.database.is_sqlite
    _execute(desk, sqlite) if is_sqlite else _execute(desk, *postgres)
    try:
        yield
    finally:
        _execute(desk, "DROP TRIGGER refused" if is_sqlite else "DROP FUNCTION refuse CASCADE")


def _execute(desk: Desk, *statements: str) -> None:
    with desk.database.transaction(write=True) as session:
        for statement in statements:
            session.execute(text(statement))
