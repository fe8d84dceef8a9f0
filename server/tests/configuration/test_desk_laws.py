"""The laws of the whole desk, on desks made from the kinds' own descriptions."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from whole import (
    Blank,
    apply,
    assert_nothing_new,
    exported,
    ids,
    law,
    opened,
    plan,
    portrait,
    post,
    states,
    without_ids,
)

from conftest import DATABASES
from desks import BY_KIND, Configuration, declared, desks, names_in, otherwise, worlds
from dumps import dump

GIT = {"manager": "git:helpdesk", "revision": "one"}
SIZES = st.sampled_from([25, 40])
SOME_LARGE = st.sampled_from([40, 200])
SHARES = st.sampled_from([0.3, 0.7, 1.0])
RANDOM = st.randoms(use_true_random=True)


def manager(data: st.DataObject) -> dict[str, Any]:
    """Somebody who declares, or nobody."""
    found: dict[str, Any] = data.draw(st.sampled_from([{}, GIT]), label="manager")
    return found


@law(4, 60)
def test_the_second_of_two_equal_applies_changes_no_row(blank: Blank, data: st.DataObject) -> None:
    api = blank.api
    configuration = data.draw(desks(data.draw(worlds(data.draw(SOME_LARGE)))))
    more = manager(data)
    apply(api, configuration, **more)
    before = dump(api.desk)
    assert_nothing_new(apply(api, configuration, **more))
    assert dump(api.desk) == before


def _without_places(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "changes": [{**change, "pointer": None} for change in answer["changes"]]}


@law(4, 60)
def test_order_and_spelling_make_no_difference(blank: Blank, data: st.DataObject) -> None:
    api = blank.api
    configuration = data.draw(desks(data.draw(worlds(data.draw(SIZES)))))
    other = otherwise(configuration, data.draw(RANDOM))
    more = manager(data)
    planned, other_plan = plan(api, configuration, **more), plan(api, other, **more)
    assert _without_places(other_plan) == _without_places(planned)
    apply(api, configuration, **more)
    first, before = portrait(api.desk), dump(api.desk)
    assert_nothing_new(apply(api, other, **more))
    assert dump(api.desk) == before
    blank.empty()
    apply(api, other, **more)
    assert portrait(api.desk) == first


@law(10, 150)
def test_a_plan_answers_what_the_apply_does_and_writes_nothing(blank: Blank, data: st.DataObject) -> None:
    """Also where the apply is refused, which documents that delete, rename and contradict each other often are."""
    api = blank.api
    world = data.draw(worlds(data.draw(SIZES)))
    apply(api, data.draw(desks(world, share=data.draw(SHARES))), **manager(data))
    second = unruly(
        data.draw(desks(world, share=data.draw(SHARES))), data.draw(RANDOM), data.draw(st.sampled_from([0, 1, 6]))
    )
    more = data.draw(
        st.fixed_dictionaries(
            {
                "manager": st.sampled_from(["git:helpdesk", "two"]),
                "prune": st.booleans(),
                "max_deletions": st.sampled_from([0, 100]),
                "on_blocked": st.sampled_from(["refuse", "disable"]),
                "adopt": st.booleans(),
                "force": st.booleans(),
            }
        )
    )
    before = dump(api.desk)
    planned, plan_answer = post(api, "plan", second, **more)
    assert dump(api.desk) == before
    if planned == 200:
        more = {**more, "plan_digest": plan_answer["digest"]}
    done, answer = post(api, "apply", second, **more)
    event(f"{done} {answer.get('type', '')}")
    assert (planned, without_ids(plan_answer)) == (done, without_ids(answer))
    if done != 200:
        assert dump(api.desk) == before


def unruly(configuration: Configuration, random: Any, times: int) -> Configuration:
    """The document with some objects deleted and some renamed by it."""
    found = {plural: [dict(item) for item in items] for plural, items in configuration.items()}
    for _ in range(times):
        plural = random.choice([plural for plural, items in sorted(found.items()) if items] or ["labels"])
        for item in random.sample(found.get(plural, []), min(2, len(found.get(plural, [])))):
            if random.random() < 0.4:
                item["state"] = "absent"
            elif random.random() < 0.5:
                other = random.choice(found[plural])
                key = BY_KIND[next(name for name, kind in BY_KIND.items() if kind.plural == plural)].key[-1]
                item["renamed_from"] = other[key]
    return found


@law(4, 60)
def test_an_export_makes_the_same_desk_of_an_empty_one_and_changes_nothing_on_its_own(
    blank: Blank, data: st.DataObject
) -> None:
    api = blank.api
    world = data.draw(worlds(data.draw(SOME_LARGE)))
    apply(api, data.draw(desks(world)), **manager(data))
    query = data.draw(st.sampled_from(["", "?full=true"]))
    first = exported(api, query)
    document = api.call("GET", f"/configuration{query}")["configuration"]
    before = dump(api.desk)
    assert_nothing_new(apply(api, document))
    assert dump(api.desk) == before
    blank.empty()
    apply(api, document)
    assert exported(api, query) == first


def test_an_export_goes_from_one_sort_of_database_to_the_other_and_back(
    request: pytest.FixtureRequest,
    sqlite_template: Path,
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        blanks = []
        for number, name in enumerate([*DATABASES, DATABASES[0]]):
            if name == "sqlite":
                path = tmp_path / f"desk{number}.db"
                shutil.copy(sqlite_template, path)
                url = f"sqlite:///{path}"
            else:
                # ends all connections, those of a desk before it among them
                url = request.getfixturevalue("postgres").emptied()
                for earlier in blanks:
                    earlier.api.desk.database.dispose()
            blanks.append(Blank(stack.enter_context(opened(url))))

        @settings(max_examples=3, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
        @given(data=st.data())
        def example(data: st.DataObject) -> None:
            configuration = data.draw(desks(data.draw(worlds(data.draw(SOME_LARGE)))))
            first = None
            for blank in blanks:
                blank.empty()
                apply(blank.api, configuration)
                found = exported(blank.api, "?full=true"), exported(blank.api)
                first = first or found
                assert found == first
                configuration = blank.api.call("GET", "/configuration")["configuration"]

        example()


@law(4, 60)
def test_a_failed_apply_leaves_nothing(blank: Blank, data: st.DataObject) -> None:
    api = blank.api
    api.apply("departments", name="In use")
    api.apply("webhooks", name="by hand", department="In use", url="https://x.example/")
    world = data.draw(worlds(data.draw(SIZES)))
    apply(api, data.draw(desks(world, share=0.5)), **GIT)
    configuration = data.draw(desks(world))
    before = dump(api.desk)
    broken: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("labels", {"name": "broken", "color": "no colour"}, {}),
        ("users", {"username": "broken", "roles": ["no such role"]}, {}),
        # what is found out only when everything else is written
        ("departments", {"name": "In use", "state": "absent"}, {}),
        ("labels", {"name": "whole"}, {"plan_digest": "sha256:of another plan"}),
    ]
    for plural, item, more in broken:
        items = list(configuration.get(plural, ()))
        items.insert(data.draw(st.integers(0, len(items))), item)
        status, answer = post(api, "apply", {**configuration, plural: items}, **GIT, **more)
        assert status in {409, 422}, answer
        assert dump(api.desk) == before
    both = [*configuration.get("users", ()), {"username": "root", "roles": []}]
    status, answer = post(api, "apply", {**configuration, "users": both}, **GIT)
    event(f"without root: {status}")
    assert status == 200 or dump(api.desk) == before


@law(6, 60)
def test_fields_that_nobody_declares_survive(blank: Blank, data: st.DataObject) -> None:
    api = blank.api
    world = data.draw(worlds(data.draw(SIZES)))
    apply(api, data.draw(desks(world, by_reference=False)))
    before = states(api.desk)
    configuration = data.draw(desks(world, share=data.draw(SHARES)))
    apply(api, configuration, **manager(data))
    after, paths = states(api.desk), declared(configuration)
    assert before.keys() <= after.keys()
    for key, fields in before.items():
        for path, value in fields.items():
            if path not in paths.get(key, ()):
                assert after[key][path] == value, (key, path)


@law(4, 60)
def test_a_rename_keeps_every_id_whatever_is_swapped(blank: Blank, data: st.DataObject) -> None:
    api, random = blank.api, data.draw(RANDOM)
    world = data.draw(worlds(data.draw(st.sampled_from([30, 60]))))
    apply(api, data.draw(desks(world)), **manager(data))
    was, old_states = ids(api.desk), states(api.desk)
    configuration: Configuration = {}
    becomes: dict[tuple[str, Any], tuple[str, Any]] = {}
    for kind in BY_KIND.values():
        if kind.fixed or random.random() < 0.3:
            continue
        last = kind.key[-1]
        by_first: dict[Any, list[Any]] = {}
        for name, key in was:
            if name == kind.name and key not in {("root",), *((role,) for role in names_in({})[name])}:
                by_first.setdefault(key[:-1], []).append(key[-1])
        for first, names in by_first.items():
            renamed = random.sample(names, random.randint(0, len(names)))
            fresh = [f"fresh{number}" for number in range(2)] if kind.fields[last].choices is None else []
            free = [*renamed, *fresh] if kind.name != "contact" else renamed
            items = configuration.setdefault(kind.plural, [])
            for old, new in zip(renamed, random.sample(free, len(renamed)), strict=True):
                keys = dict(zip(kind.key, (*first, new), strict=True))
                items.append({**keys, "renamed_from": old})
                becomes[kind.name, (*first, old)] = (kind.name, (*first, new))
    # what a key names is called by its new name
    for items_kind in BY_KIND.values():
        for item in configuration.get(items_kind.plural, []):
            for name in items_kind.key[:-1]:
                target = items_kind.fields[name].kind  # type: ignore[attr-defined]
                item[name] = becomes.get((target, (item[name],)), (target, (item[name],)))[1][0]
    answer = apply(api, configuration)
    event(f"{answer['summary']['update'] // 5 * 5} renamed")
    now = ids(api.desk)
    assert sorted(now.values()) == sorted(was.values())
    for (kind_name, key), object_id in was.items():
        kind = BY_KIND[kind_name]
        _, new_key = becomes.get((kind_name, key), (kind_name, key))
        first = [
            becomes.get((part.kind, (value,)), (part.kind, (value,)))[1][0]  # type: ignore[attr-defined]
            for part, value in zip((kind.fields[name] for name in kind.key[:-1]), new_key[:-1], strict=True)
        ]
        assert now[kind_name, (*first, new_key[-1])] == object_id
    assert {len(fields) for fields in states(api.desk).values()} == {len(fields) for fields in old_states.values()}
    before = dump(api.desk)
    assert_nothing_new(apply(api, configuration))
    assert dump(api.desk) == before


@law(5, 60)
def test_absent_deletes_once(blank: Blank, data: st.DataObject) -> None:
    api = blank.api
    world = data.draw(worlds(data.draw(SIZES)))
    apply(api, data.draw(desks(world)))
    share = data.draw(st.sampled_from([0.5, 1.0]))
    random = data.draw(RANDOM)
    configuration: Configuration = {
        BY_KIND[name].plural: [{**keys, "state": "absent"} for keys in found if random.random() < share]
        for name, found in world.keys.items()
    }
    expected = sum(map(len, configuration.values()))
    before = dump(api.desk)
    planned, plan_answer = post(api, "plan", configuration)
    status, answer = post(api, "apply", configuration)
    event(f"{status}")
    assert (planned, plan_answer) == (status, answer)
    if status != 200:
        assert dump(api.desk) == before
        assert share < 1, answer
        return
    assert answer["summary"]["delete"] == expected
    gone = dump(api.desk)
    assert_nothing_new(apply(api, configuration))
    assert dump(api.desk) == gone
