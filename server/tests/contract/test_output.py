"""What is answered is compiled for speed; the marshmallow schema stays the contract (architecture, rule 5)."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conftest import Api
from deskplane.app import make_registry
from deskplane.configuration import store
from deskplane.kernel.compound import Group
from deskplane.kernel.kind import Kind
from deskplane.kernel.secrets import SECRET_SHOWN
from deskplane.tickets.schemas import TicketAnswer
from values import documents, fresh_key

NAMES = {
    "customer": ["ACME", "Zweite GmbH/Süd"],
    "role": ["agent", "viewer"],
    "sla_policy": ["gold"],
    "user": ["ann", "bob"],
    "department": ["Desk"],
    "workflow": ["free", "itil"],
    "calendar": ["office"],
    "contact": ["kim@acme.example"],
}


def _dumped(kind: Kind, stored: store.Stored) -> dict[str, Any]:
    """What marshmallow makes of the stored values, secrets masked as the schema says."""
    state = dict(stored.state)
    for name, part in kind.fields.items():
        if part.secret and state[name] is not None:
            state[name] = SECRET_SHOWN
        if isinstance(part, Group) and state[name] is not None:
            hidden = [inner for inner, inner_part in part.parts.items() if inner_part.secret and state[name].get(inner)]
            state[name] = {inner: state[name].get(inner) for inner in part.parts} | dict.fromkeys(hidden, SECRET_SHOWN)
    found: dict[str, Any] = kind.schema().dump(state)
    return found


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_what_is_answered_is_what_the_schema_dumps(api: Api, data: st.DataObject) -> None:
    for name in NAMES["customer"]:
        api.apply("customers", name=name)
    api.apply("calendars", name="office")
    api.apply("sla-policies", name="gold", response_minutes=5)
    api.apply("departments", name="Desk")
    for name in NAMES["user"]:
        api.apply("users", username=name)
    api.apply("contacts", email="kim@acme.example", customer="ACME")
    for kind in make_registry():
        document = data.draw(documents(kind, NAMES))
        document = fresh_key(kind, document)
        made = api.apply(kind.path, **document)
        with api.desk.database.transaction(write=False) as session:
            stored = store.load_by_id(api.desk.command_line(session), kind, made["after"]["id"])
        assert stored is not None
        expected = orjson.loads(orjson.dumps(_dumped(kind, stored)))
        shown = api.call("GET", f"/{kind.path}/{stored.id}")
        assert {name: shown[name] for name in expected} == expected, kind.name
        assert set(shown) == {*expected, "id", "created_at", "updated_at"}


def test_a_ticket_is_answered_as_its_schema_dumps_it(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("sla-policies", name="gold", response_minutes="1h", resolution_minutes="4h")
    api.apply("labels", name="outage")
    body = {"title": "Zürich", "description": "**x**", "customer": "ACME", "tags": ["b", "a"], "labels": ["outage"]}
    made = api.call("POST", "/tickets", body | {"assignee": "root", "correlation_key": "k", "type": "incident"}, 201)
    listed = api.call("GET", "/tickets")["items"][0]
    got = api.call("GET", f"/tickets/{made['number']}")
    fields = TicketAnswer().fields
    assert got == made
    assert set(got) == set(fields)
    assert got == {name: got[name] for name in ("description_html", "contact_assets")} | listed
    assert not {"description_html", "contact_assets"} & set(listed)
    # read as the schema reads, and dumped as it dumps, it is the same again
    canonical = {
        name: None if got[name] is None or part.json_type == "dict" else part.deserialize(got[name])
        for name, part in fields.items()
        if not (part.read_only and part.json_type in {"str"} and part.json_format != "datetime")
        and not hasattr(part, "parts")
    }
    dumped = TicketAnswer(only=sorted(canonical)).dump(canonical)
    assert orjson.loads(orjson.dumps(dumped)) == {name: got[name] for name in canonical}
