"""Laws of who owns what: prune, conflicts, drift, release; and of what several managers do to one desk."""

from __future__ import annotations

from typing import Any

from hypothesis import event
from hypothesis import strategies as st
from whole import Blank, apply, assert_nothing_new, drift, ids, law, plan, post, states

from conftest import Api
from deskplane.kernel.secrets import SECRET_SHOWN
from desks import BY_KIND, BY_PLURAL, Configuration, canonical, declared, desks, without_declared, worlds
from dumps import dump
from values import anything

GIT = {"manager": "git:helpdesk", "revision": "one"}
OTHER = {"manager": "other"}
SIZES = st.sampled_from([25, 40])
SHARES = st.sampled_from([0.3, 0.7, 1.0])
RANDOM = st.randoms(use_true_random=True)


def objects(configuration: Configuration) -> set[tuple[str, tuple[Any, ...]]]:
    """Kind and key of everything in a document."""
    return {
        (BY_PLURAL[plural].name, canonical(BY_PLURAL[plural], item))
        for plural, items in configuration.items()
        for item in items
    }


@law(7, 80)
def test_prune_deletes_what_the_manager_made_and_declares_no_more_and_nothing_else(
    blank: Blank, data: st.DataObject
) -> None:
    api = blank.api
    world = data.draw(worlds(data.draw(SIZES)))
    by_hand = data.draw(desks(world, share=0.3))
    apply(api, by_hand)
    shipped = set(ids(api.desk)) - objects(by_hand)
    mine = data.draw(desks(world))
    apply(api, mine, **GIT)
    made = set(ids(api.desk)) - shipped - objects(by_hand)
    paths = declared(mine)
    others = without_declared(data.draw(desks(world, share=0.5)), paths)
    apply(api, others, **OTHER)
    left = data.draw(desks(world, share=data.draw(SHARES)))
    left = without_declared(left, declared(others))
    owned = {key for key in made - objects(left) if BY_KIND[key[0]].plural in left}
    before, were = ids(api.desk), dump(api.desk)
    more = {**GIT, "prune": True, "max_deletions": 500, "on_blocked": data.draw(st.sampled_from(["refuse", "disable"]))}
    told = post(api, "plan", left, **{**more, "prune": False})
    if told[0] == 200:
        listed = {(entry["kind"], tuple(entry["key"].values())) for entry in told[1]["not_declared"]}
        assert listed == owned
    status, answer = post(api, "apply", left, **more)
    event(f"{status} {answer.get('type', '')}")
    if status != 200:
        assert dump(api.desk) == were
        return
    disabled = {(change["kind"], tuple(change["key"].values())) for change in answer["changes"] if change["disabled"]}
    pruned = {(change["kind"], tuple(change["key"].values())) for change in answer["changes"] if change["pruned"]}
    assert pruned | disabled == owned
    assert not pruned & disabled
    after = ids(api.desk)
    assert set(before) - set(after) == pruned
    assert all(states(api.desk)[key]["enabled"] is False for key in disabled)
    assert all(after[key] == before[key] for key in after.keys() & before.keys())
    assert_nothing_new(apply(api, left, **more))


@law(6, 60)
def test_a_second_manager_is_refused_with_the_name_of_the_first_until_it_takes_over(
    blank: Blank, data: st.DataObject
) -> None:
    api = blank.api
    world = data.draw(worlds(data.draw(SIZES)))
    first = data.draw(desks(world))
    apply(api, first, **GIT)
    second = data.draw(desks(world, share=data.draw(SHARES)))
    mine, theirs = declared(first), declared(second)
    both = {key: mine[key] & fields for key, fields in theirs.items() if mine.get(key, set()) & fields}
    before = dump(api.desk)
    status, answer = post(api, "apply", second, **OTHER)
    event(f"{len(both)} objects in common")
    if not both:
        assert status == 200, answer
        return
    assert (status, answer["owner"]) == (409, "git:helpdesk"), answer
    assert dump(api.desk) == before
    places = {
        f"#/{plural}/{index}"
        for plural, items in second.items()
        for index, item in enumerate(items)
        if (BY_PLURAL[plural].name, canonical(BY_PLURAL[plural], item)) in both
    }
    assert {error["pointer"] for error in answer["errors"]} == places
    assert all("git:helpdesk" in error["detail"] for error in answer["errors"])
    apply(api, second, **OTHER, force=True)
    assert drift(api) == []
    status, answer = post(api, "apply", first, **GIT)
    assert (status, answer["owner"]) == (409, "other"), answer
    # what is nobody else's stays the first one's, and goes on being so
    assert_nothing_new(apply(api, second, **OTHER))
    apply(api, without_declared(first, theirs), **GIT)
    assert_nothing_new(apply(api, without_declared(first, theirs), **GIT))


def changed_by_hand(api: Api, data: st.DataObject, world: Any) -> None:
    """Some fields of some objects, by a request about each."""
    random = data.draw(RANDOM)
    names = {kind: ["nobody"] for kind in BY_KIND}
    found = api.call("GET", "/customers")["items"]
    names["customer"] = [item["name"] for item in found]
    for _ in range(data.draw(st.integers(0, 4), label="changes by hand")):
        kind = BY_KIND[random.choice(sorted(world.keys))]
        fields = [
            name
            for name, part in kind.written.items()
            if name not in kind.key and not hasattr(part, "kind") and not part.must_have
        ]
        if not fields:
            continue
        name = random.choice(fields)
        value = data.draw(anything(kind.fields[name], {**names, "customer": names["customer"] or ["nobody"]}))
        keys = random.choice(world.keys[kind.name])
        answer = api.request("POST", f"/{kind.path}/apply", {**keys, name: value})
        event(f"by hand: {answer.status_code}")


@law(6, 80)
def test_drift_lists_the_declared_fields_that_were_changed_and_nothing_else(blank: Blank, data: st.DataObject) -> None:
    api = blank.api
    world = data.draw(worlds(data.draw(SIZES)))
    apply(api, data.draw(desks(world)))
    configuration = data.draw(desks(world, by_reference=False))
    apply(api, configuration, **GIT)
    assert drift(api) == []
    before = states(api.desk)
    mia = api.as_user("mia", roles=["admin"])
    changed_by_hand(mia, data, world)
    after = states(api.desk)
    expected = {
        (*key, path): (_shown(key[0], path, before[key][path]), _shown(key[0], path, after[key][path]))
        for key, paths in declared(configuration).items()
        for path in paths
        if key in before and before[key][path] != after[key][path]
    }
    found = drift(api)
    told = {
        (item["kind"], tuple(item["key"].values()), item["field"]): (item["before"], item["after"]) for item in found
    }
    assert told == expected
    assert len(found) == len(told)
    for item in found:
        assert (item["change"], item["who"], item["manager"], item["revision"]) == ("field", "mia", *GIT.values())
    planned = plan(api, configuration, **GIT)
    answer = apply(api, configuration, **GIT)
    for done in (planned, answer):
        assert {
            (change["kind"], tuple(change["key"].values()), one["field"])
            for change in done["changes"]
            for one in change["changes"]
        } == _put_right(expected, configuration)
    left = {(item["kind"], tuple(item["key"].values()), item["field"]) for item in drift(api)}
    assert left == set(expected) - _put_right(expected, configuration)


def _put_right(expected: Any, configuration: Configuration) -> set[Any]:
    """Users' passwords are set on creation only, unless the document says otherwise."""
    always = {("user", (item["username"],)) for item in configuration.get("users", ()) if item.get("update_password")}
    return {key for key in expected if key[2] != "password" or key[:2] in always}


def _shown(kind: str, path: str, value: Any) -> Any:
    if path in BY_KIND[kind].secrets:
        return None if value is None else SECRET_SHOWN
    return value


@law(4, 60)
def test_what_is_deleted_by_hand_is_drift_until_it_is_made_again(blank: Blank, data: st.DataObject) -> None:
    api, random = blank.api, data.draw(RANDOM)
    world = data.draw(worlds(data.draw(SIZES)))
    configuration = data.draw(desks(world, by_reference=False))
    apply(api, configuration, **GIT)
    before = set(ids(api.desk))
    chosen = [(kind, keys) for kind, found in world.keys.items() for keys in found]
    for kind, keys in random.sample(chosen, min(len(chosen), 4)):
        answer = api.request("POST", f"/{BY_KIND[kind].path}/apply", {**keys, "state": "absent"})
        event(f"{kind}: {answer.status_code}")
    gone = before - set(ids(api.desk))
    items = drift(api)
    assert {(item["kind"], tuple(item["key"].values())) for item in items if item["change"] == "deleted"} == gone
    assert all(item["who"] == "root" for item in items)
    apply(api, configuration, **GIT)
    assert set(ids(api.desk)) == before
    assert drift(api) == []
    assert_nothing_new(apply(api, configuration, **GIT))
