"""The whole desk from a test: the calls, desks that are emptied between examples, and how two desks are compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from conftest import Api, TurnedClock
from conftest import settings as desk_settings
from deskplane.app import Desk, create_app, make_desk, make_registry
from deskplane.audit import triggers
from deskplane.configuration import store
from deskplane.kernel.compound import Group
from deskplane.kernel.revision import raise_revision
from deskplane.migrations.tables import metadata
from deskplane.people import keys, service

KINDS = list(make_registry())
Configuration = dict[str, list[dict[str, Any]]]

_SEALED = re.compile(r"gAAAAA[\w-]{60,}=*")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIMES = ("_at", "last_used_at", "available_at")


def law(few: int, many: int) -> Callable[[Any], Any]:
    """A property of emptied desks. Every run tries the same few examples; a soak many, other ones each time. Nothing is
    made smaller: over a database that takes minutes."""

    def wrap(test: Any) -> Any:
        @pytest.mark.parametrize("soaking", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["few", "many"])
        def run(api: Api, soaking: bool) -> None:
            blank = Blank(api)

            def example(data: st.DataObject) -> None:
                if not data.draw(st.integers(0, 2**32), label="any but the plainest of all"):
                    return  # Hypothesis begins with that one, and of a few every one should tell something
                blank.empty()
                test(blank, data)

            example.__name__ = test.__name__  # derandomized examples follow from it
            configured = settings(
                max_examples=many if soaking else few,
                deadline=None,
                derandomize=not soaking,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            )
            configured(given(data=st.data())(example))()

        run.__name__ = test.__name__
        run.__doc__ = test.__doc__
        return run

    return wrap


def post(api: Api, what: str, configuration: Configuration, **more: Any) -> tuple[int, dict[str, Any]]:
    """POST /configuration/<what>, a second after what was before, so that a row that is written anew is another one:
    the status, and the answer without the request's own id."""
    assert isinstance(api.desk.clock, TurnedClock)
    api.desk.clock.turn(seconds=1)
    answer = api.request("POST", f"/configuration/{what}", {"configuration": configuration, **more})
    found = answer.get_json()
    found.pop("request_id", None)
    return answer.status_code, found


def plan(api: Api, configuration: Configuration, status: int = 200, **more: Any) -> dict[str, Any]:
    """POST /configuration/plan"""
    code, found = post(api, "plan", configuration, **more)
    assert code == status, found
    return found


def apply(api: Api, configuration: Configuration, status: int = 200, **more: Any) -> dict[str, Any]:
    """POST /configuration/apply"""
    code, found = post(api, "apply", configuration, **more)
    assert code == status, found
    return found


def assert_nothing_new(answer: dict[str, Any]) -> None:
    """The answer of a run that found everything as it should be. Warnings may be in it."""
    assert answer["changed"] is False
    assert [change for change in answer["changes"] if not change["warnings"]] == []
    assert {change["action"] for change in answer["changes"]} <= {"none"}
    assert (answer["summary"]["adopt"], answer["summary"]["release"]) == (0, 0)


def without_ids(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer to a plan or an apply, as far as both know it."""
    if "plan" in answer:
        return {**answer, "plan": without_ids(answer["plan"])}
    if "changes" not in answer:
        return answer
    return {**answer, "changes": [{**change, "id": None} for change in answer["changes"]]}


def exported(api: Api, query: str = "") -> bytes:
    """GET /configuration"""
    answer = api.request("GET", f"/configuration{query}")
    assert answer.status_code == 200, answer.data
    return answer.data


def drift(api: Api) -> list[dict[str, Any]]:
    """GET /configuration/drift"""
    items: list[dict[str, Any]] = api.call("GET", "/configuration/drift")["items"]
    return items


def ids(desk: Desk) -> dict[tuple[str, tuple[Any, ...]], str]:
    """The id of every object, by kind and key."""
    with desk.database.transaction(write=False) as session:
        work = desk.command_line(session)
        return {
            (kind.name, store.key_of(kind, found.state)): found.id
            for kind in desk.registry
            for found in store.load_all(work, kind)
        }


def states(desk: Desk) -> dict[tuple[str, tuple[Any, ...]], dict[str, Any]]:
    """Every field of every object that a caller may set, by kind and key: objects part by part, secrets sealed."""
    found: dict[tuple[str, tuple[Any, ...]], dict[str, Any]] = {}
    with desk.database.transaction(write=False) as session:
        work = desk.command_line(session)
        for kind in desk.registry:
            for stored in store.load_all(work, kind):
                flat: dict[str, Any] = {}
                for name, part in kind.written.items():
                    value = stored.state[name]
                    if isinstance(part, Group):
                        flat |= {f"{name}.{inner}": (value or {}).get(inner) for inner in part.parts}
                    else:
                        flat[name] = value
                found[kind.name, store.key_of(kind, stored.state)] = flat
    return found


def portrait(desk: Desk) -> dict[str, list[str]]:
    """Every row of every table, as two desks can be compared by it: names instead of ids, secrets opened, no times,
    no numbers of rows."""
    known = {object_id: f"<{kind} {'/'.join(map(str, key))}>" for (kind, key), object_id in ids(desk).items()}

    def told(value: Any) -> Any:
        if isinstance(value, str):
            opened = _SEALED.sub(lambda found: f"<{desk.vault.open(found.group())}>", value)
            opened = re.sub(r"\$argon2id\$[^\"]*", "<a password>", opened)
            return _ID.sub(lambda found: known.get(found.group(), "<id>"), opened)
        if isinstance(value, dict):
            return {told(name): told(inner) for name, inner in value.items()}
        return [told(inner) for inner in value] if isinstance(value, list) else value

    found: dict[str, list[str]] = {}
    with desk.database.transaction(write=False) as session:
        for table in metadata.sorted_tables:
            columns = [
                column
                for column in table.columns
                if not column.name.endswith(_TIMES)
                # an audit entry's hash is made of times and ids, too
                and column.name not in {"at", "request_id", "hash"}
                # a number that the database gives tells only the order
                and not (column.primary_key and column.type.python_type is int)
            ]
            if table.name in {"revisions", "api_keys"} or not columns:
                continue
            rows = session.execute(table.select().with_only_columns(*columns)).all()
            found[table.name] = sorted(
                json.dumps([told(value) for value in row], sort_keys=True, default=repr) for row in rows
            )
    return found


class Blank:
    """A desk that is emptied for each example: making one takes longer than most examples."""

    def __init__(self, api: Api) -> None:
        self.api = api
        with api.desk.database.transaction(write=False) as session:
            self._rows = {
                table: [dict(row) for row in session.execute(table.select()).mappings()]
                for table in metadata.sorted_tables
                if table.name != "revisions"
            }

    def empty(self) -> None:
        """Brings every table back to what it was. The revision goes on, so that nothing that is kept of it stays."""
        with self.api.desk.database.transaction(write=True) as session:
            # tables refer to each other in circles, and the audit log refuses to be emptied; on PostgreSQL a deletion
            # takes a fifth of a truncation's time
            unbound = ["SET LOCAL session_replication_role = replica"]
            if self.api.desk.database.is_sqlite:
                unbound = ["PRAGMA defer_foreign_keys = ON", *(f"DROP TRIGGER {name}" for name in triggers.SQLITE)]
            for statement in unbound:
                session.execute(text(statement))
            for table in self._rows:
                session.execute(table.delete())
            for table, rows in self._rows.items():
                if rows:
                    session.execute(table.insert(), rows)
            triggers.install(session.connection())
            raise_revision(session)


@contextmanager
def opened(url: str) -> Iterator[Api]:
    """A desk on a migrated database, with an administrator's client."""
    desk = make_desk(desk_settings(url), TurnedClock())

    def make(session: Session) -> str:
        service.create_admin(desk.command_line(session), "root", None)
        user = service.find_user(session, "root")
        return keys.make(desk.command_line(session), user.id, {"name": "test"})

    key = desk.database.run(make, write=True)
    yield Api(create_app(desk).test_client(), key, desk)
    desk.database.dispose()
