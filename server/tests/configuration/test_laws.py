"""The laws of apply, for every kind, with documents made from the kinds' own descriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from world import NAMES, fresh_key, furnish, least, without

from conftest import Api
from deskplane.app import make_registry
from deskplane.desks.settings import SETTINGS
from deskplane.kernel.compound import AnyJson, Group
from deskplane.kernel.fields import Text
from deskplane.kernel.kind import Kind
from deskplane.kernel.secrets import SECRET_SHOWN
from dumps import dump, text_of
from values import anything, documents, respelled, value_of

KINDS = list(make_registry())
DATA = st.data()


def law(examples: int, kinds: Sequence[Kind] = KINDS) -> Callable[[Any], Any]:
    """A property of every kind, tried over one database, on which each example makes objects of its own."""

    def wrap(test: Any) -> Any:
        checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=checks,
        )
        @given(data=DATA)
        def run(desk_api: Api, data: st.DataObject) -> None:
            for kind in kinds:
                event(kind.name)
                test(desk_api, kind, data)

        run.__name__ = test.__name__
        return run

    return wrap


def each_kind(kinds: Sequence[Kind]) -> Callable[[Any], Any]:
    """One test over all kinds, since most of the time goes into making a desk."""

    def wrap(test: Any) -> Any:
        def run(desk_api: Api) -> None:
            for kind in kinds:
                test(desk_api, kind)

        run.__name__ = test.__name__
        return run

    return wrap


CHANGING = [kind for kind in KINDS if not kind.fixed]
GROUPED = [kind for kind in KINDS if any(isinstance(part, Group) for part in kind.fields.values())]


@pytest.fixture
def desk_api(api: Api) -> Api:
    furnish(api)
    return api


def _written_otherwise(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    if kind.name == "setting":
        part = SETTINGS[document["key"]]
        # the default department is looked up by its name as it stands
        held = "secret" if part.secret else "value"
        return {**document, held: respelled(part, document[held])}
    return {
        name: respelled(kind.fields[name], value) if name not in kind.key else value
        for name, value in reversed(document.items())
    }


@law(examples=3)
def test_a_repeated_apply_says_none_and_writes_no_row(desk_api: Api, kind: Kind, data: st.DataObject) -> None:
    document = fresh_key(kind, data.draw(documents(kind, NAMES)))
    first = desk_api.apply(kind.path, **document)
    before = dump(desk_api.desk)
    again = desk_api.apply(kind.path, **document)
    otherwise = desk_api.apply(kind.path, **_written_otherwise(kind, document))
    for answer in (again, otherwise):
        assert (answer["changed"], answer["action"], answer["changes"]) == (False, "none", [])
        assert without(answer)["after"] == without(first)["after"]
    assert dump(desk_api.desk) == before


@law(examples=3)
def test_a_dry_run_answers_what_the_real_run_does_and_touches_no_row(
    desk_api: Api, kind: Kind, data: st.DataObject
) -> None:
    document = fresh_key(kind, data.draw(documents(kind, NAMES)))
    if data.draw(st.booleans(), label="there already"):
        desk_api.apply(kind.path, **document)
        other = data.draw(documents(kind, NAMES))
        document |= {name: value for name, value in other.items() if name != "key"} if kind.fixed else other
        if kind.fixed:
            document = other
    before = dump(desk_api.desk)
    planned = desk_api.apply(kind.path, dry_run=True, **document)
    assert dump(desk_api.desk) == before
    done = desk_api.apply(kind.path, **document)
    assert without(planned) == without(done)
    assert (dump(desk_api.desk) != before) == done["changed"]


@law(examples=3)
def test_an_explicit_null_sets_the_default(desk_api: Api, kind: Kind, data: st.DataObject) -> None:
    document = fresh_key(kind, data.draw(documents(kind, NAMES)))
    desk_api.apply(kind.path, **document)
    nulls = {name: None for name, part in kind.written.items() if not part.must_have and name not in kind.key}
    if kind.name != "user":
        answer = desk_api.apply(kind.path, **{**document, **nulls})
    else:
        answer = desk_api.apply(kind.path, update_password="always", **{**document, **nulls})
    if kind.name == "setting":
        assert answer["after"]["value"] == SETTINGS[document["key"]].initial()
        return
    for name in nulls:
        initial = kind.fields[name].initial()
        assert answer["after"][name] == (None if initial is None else kind.fields[name].output(initial)), name


@law(3, CHANGING)
def test_fields_that_are_not_given_keep_their_values(desk_api: Api, kind: Kind, data: st.DataObject) -> None:
    document = fresh_key(kind, data.draw(documents(kind, NAMES)))
    first = desk_api.apply(kind.path, **document)
    names = [name for name in kind.written if name not in kind.key and not kind.fields[name].secret]
    name = data.draw(st.sampled_from(names))
    change = {name: data.draw(anything(kind.fields[name], NAMES))}
    if kind.name == "webhook" and {"method", "body"} & set(change):
        change |= {"method": "POST"}
    keys = {part: document.get(part) for part in kind.key}
    if kind.fields[name].must_have and change[name] is None:
        return
    second = desk_api.apply(kind.path, **keys, **change)
    kept = {part: value for part, value in first["after"].items() if part not in change}
    assert {part: second["after"][part] for part in kept} == kept
    assert {entry["field"].split(".")[0] for entry in second["changes"]} <= set(change)


@law(3, GROUPED)
def test_an_object_with_named_parts_merges_part_by_part(desk_api: Api, kind: Kind, data: st.DataObject) -> None:
    groups = [name for name, part in kind.fields.items() if isinstance(part, Group)]
    name = data.draw(st.sampled_from(groups))
    group = kind.fields[name]
    assert isinstance(group, Group)
    document = least(kind) | {name: data.draw(value_of(group, NAMES))}
    first = desk_api.apply(kind.path, **document)
    part = data.draw(st.sampled_from(sorted(group.parts)))
    value = data.draw(anything(group.parts[part], NAMES))
    second = desk_api.apply(kind.path, **{**document, name: {part: value}})
    for other in group.parts:
        if other != part:
            assert second["after"][name][other] == first["after"][name][other]
    assert {entry["field"] for entry in second["changes"]} <= {f"{name}.{part}"}


@law(examples=3)
def test_what_a_get_shows_can_be_applied_and_changes_nothing(desk_api: Api, kind: Kind, data: st.DataObject) -> None:
    document = fresh_key(kind, data.draw(documents(kind, NAMES)))
    made = desk_api.apply(kind.path, **document)
    shown = desk_api.call("GET", f"/{kind.path}/{made['after']['id']}")
    again = {name: value for name, value in shown.items() if name in kind.written}
    options = {"update_password": "always"} if kind.name == "user" else {}
    before = dump(desk_api.desk)
    assert desk_api.apply(kind.path, **again, **options)["action"] == "none"
    assert desk_api.call("PATCH", f"/{kind.path}/{made['after']['id']}", again) == shown
    assert dump(desk_api.desk) == before


@law(examples=3)
def test_a_change_back_and_forth_ends_where_it_began(desk_api: Api, kind: Kind, data: st.DataObject) -> None:
    one = fresh_key(kind, data.draw(documents(kind, NAMES, secrets=False)))
    if kind.fixed:
        other = {"key": one["key"], "value": None}
    else:
        other = data.draw(documents(kind, NAMES, secrets=False)) | {name: one.get(name) for name in kind.key}
    full: dict[str, Any] = {name: None for name, part in kind.written.items() if not part.must_have} | one
    for name, part in kind.fields.items():
        if isinstance(part, Group):  # of an object every part must be said, or it keeps what it has
            full[name] = dict.fromkeys(part.parts) | (one.get(name) or {})
    first = desk_api.apply(kind.path, **full)
    planned = desk_api.apply(kind.path, dry_run=True, **other)
    changed = desk_api.apply(kind.path, **other)
    assert planned["changes"] == changed["changes"]
    back = desk_api.apply(kind.path, **full)
    assert {entry["field"] for entry in back["changes"]} == {entry["field"] for entry in changed["changes"]}
    assert without(back)["after"] == without(first)["after"]


@each_kind(CHANGING)
def test_absent_deletes_once_and_then_says_none(desk_api: Api, kind: Kind) -> None:
    document = least(kind)
    desk_api.apply(kind.path, **document)
    keys = {name: document.get(name) for name in kind.key}
    planned = desk_api.apply(kind.path, dry_run=True, state="absent", **keys)
    gone = desk_api.apply(kind.path, state="absent", **keys)
    again = desk_api.apply(kind.path, state="absent", **keys)
    assert (gone["action"], gone["after"]) == ("delete", None)
    assert planned == gone
    assert (again["action"], again["changed"], again["changes"]) == ("none", False, [])
    assert desk_api.call("GET", f"/{kind.path}?{kind.key[-1]}={document[kind.key[-1]]}")["items"] == []


@each_kind(CHANGING)
def test_a_rename_keeps_the_id_and_is_no_change_the_second_time(desk_api: Api, kind: Kind) -> None:
    field = kind.key[-1]
    old = least(kind)
    first_parts = {name: old.get(name) for name in kind.key[:-1]}
    new, third = ({**least(kind), **first_parts} for _ in range(2))
    made = desk_api.apply(kind.path, **old)
    planned = desk_api.apply(kind.path, dry_run=True, renamed_from=old[field], **new)
    renamed = desk_api.apply(kind.path, renamed_from=old[field], **new)
    assert without(planned) == without(renamed)
    assert (renamed["action"], renamed["after"]["id"]) == ("update", made["after"]["id"])
    assert renamed["changes"] == [{"field": field, "before": old[field], "after": new[field]}]
    before = dump(desk_api.desk)
    again = desk_api.apply(kind.path, renamed_from=old[field], **new)
    assert (again["action"], dump(desk_api.desk)) == ("none", before)
    desk_api.apply(kind.path, **old)
    both = desk_api.apply(kind.path, status=409, renamed_from=old[field], **new)
    assert both["type"].endswith("rename_conflict")
    neither = desk_api.apply(kind.path, renamed_from="was never there", **third)
    assert neither["action"] == "create"


@each_kind(KINDS)
def test_every_bad_field_is_named_at_once_and_nothing_is_stored(desk_api: Api, kind: Kind) -> None:
    parts = {name: part for name, part in kind.written.items() if name not in kind.key and name != "value"}
    bad: dict[str, Any] = {
        name: ["not", {"this": None}] if part.json_type != "list" else "no list" for name, part in parts.items()
    }
    bad = {name: value for name, value in bad.items() if not isinstance(parts[name], AnyJson)}
    document = {**dict.fromkeys(kind.naming, "x" * 300), **bad, "no_such_field": 1}
    before = dump(desk_api.desk)
    answer = desk_api.apply(kind.path, status=422, **document)
    pointers = {entry["pointer"] for entry in answer["errors"]}
    assert pointers == {f"#/{name}" for name in document}
    assert all(entry["code"] and entry["detail"] for entry in answer["errors"])
    assert dump(desk_api.desk) == before


SECRETS = [
    (kind, name)
    for kind in KINDS
    for name, part in [
        *kind.fields.items(),
        *[
            (f"{group}.{inner}", inner_part)
            for group, outer in kind.fields.items()
            if isinstance(outer, Group)
            for inner, inner_part in outer.parts.items()
        ],
    ]
    if part.secret
]


@pytest.mark.parametrize(("kind", "name"), SECRETS, ids=[f"{kind.name}.{name}" for kind, name in SECRETS])
def test_a_secret_is_compared_but_never_shown(
    desk_api: Api, kind: Kind, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two = (
        ("whsec_Q2FuYXJ5T25lQ2FuYXJ5T25lQ2FuYXJ5T25l", "whsec_Q2FuYXJ5VHdvQ2FuYXJ5VHdvQ2FuYXJ5VHdv")
        if (kind.name, name) == ("webhook", "secret")
        else ("canary-one-7Qx", "canary-two-9Zk")
    )
    first, _, second = name.partition(".")

    def document(value: Any) -> dict[str, Any]:
        if name == "secret_headers" and value not in (None, SECRET_SHOWN):
            value = [*value] if isinstance(value, list) else {"X-Token": value}
        return {first: {second: value} if second else value}

    more = least(kind)
    always = {"update_password": "always"} if kind.name == "user" else {}
    texts: list[str] = []

    def apply(value: Any, status: int | None = None, **options: Any) -> Any:
        answer = desk_api.apply(kind.path, status=status, **more, **document(value), **always, **options)
        texts.append(repr(answer))
        return answer

    made = apply(one)
    assert {"field": name, "before": None, "after": SECRET_SHOWN} in made["changes"]
    assert apply(one)["action"] == "none"
    assert apply(SECRET_SHOWN)["action"] == "none"
    assert apply(one)["action"] == "none", "what is shown in its place must not have become the secret"
    changed = apply(two, dry_run=True)
    assert changed["changes"] == [{"field": name, "before": SECRET_SHOWN, "after": SECRET_SHOWN}]
    assert apply(two)["changes"] == changed["changes"]
    apply(one + two, status=422 if (kind.name, name) == ("webhook", "secret") else None)
    apply(one, status=422, no_such_field=two)
    apply([one, two], status=422)
    cleared = apply(None)
    assert cleared["changes"] == [{"field": name, "before": SECRET_SHOWN, "after": None}]
    if kind.name != "user":
        assert apply(SECRET_SHOWN, status=422)["errors"][0]["code"] == "no_secret"
    apply(one)
    texts.append(repr(desk_api.call("GET", f"/{kind.path}")))
    texts.append(repr(desk_api.call("GET", f"/{kind.path}/{made['after']['id']}")))
    texts.append(text_of(desk_api.desk))
    captured = capfd.readouterr()
    texts += [captured.out, captured.err]
    for text in texts:
        assert one not in text
        assert two not in text


def test_there_are_secrets_to_try() -> None:
    assert {f"{kind.name}.{name}" for kind, name in SECRETS} == {
        "user.password",
        "department.imap.password",
        "department.smtp.password",
        "webhook.secret",
        "webhook.secret_headers",
        "setting.secret",
        "oidc_provider.client_secret",
    }
    assert all(isinstance(kind.fields[name.split(".")[0]], (Group, Text)) for kind, name in SECRETS)
