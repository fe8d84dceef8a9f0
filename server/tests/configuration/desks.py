"""Whole desks' documents of any size, made from the kinds' own descriptions (Hypothesis).

A few documents of each kind are drawn field by field; a large desk repeats them under other names and with other
references, since what Hypothesis can draw for one example is bounded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import event
from hypothesis import strategies as st
from whole import KINDS, Configuration

from deskplane.desks.settings import SETTINGS
from deskplane.kernel.compound import Group, ListOf, RefSet
from deskplane.kernel.fields import Choice, Described, Email, Ref, Text
from deskplane.kernel.kind import Kind
from values import Names, documents, respelled, value_of

KeyFields = dict[str, Any]
"""The fields that name an object."""

SHIPPED: Names = {"role": ["admin", "agent", "viewer"], "workflow": ["free", "itil"]}
"""What every desk has, for references; only of kinds that there are."""
ODD_NAMES = [
    "a/b",
    "Zoe\u0308/Süd",
    "%2F..",
    "İstanbul",
    "日本語 部署",
    "'; --",
    "null",
    "{{ x }}",
    "a  b",
    "ﬁ",
    "😀",
    "#~/0",
]
BY_KIND = {kind.name: kind for kind in KINDS}
BY_PLURAL = {kind.plural: kind for kind in KINDS}
SOMEONE: Names = {kind.name: ["someone", "someone else", "a third"] for kind in KINDS}
"""What is drawn for references, before they are pointed at what there is."""
DRAWN = {(kind.name, secrets): documents(kind, SOMEONE, secrets=secrets) for kind in KINDS for secrets in (True, False)}
LAST_PARTS: dict[str, st.SearchStrategy[list[str]]] = {}
"""Names of objects, some odd ones among them."""


@dataclass(frozen=True)
class World:
    """The objects that there may be, by kind: their keys. Documents over one world overlap.

    `homes`: the customer of each contact, the same in all documents, since assets have contacts of their own customer.
    """

    keys: Mapping[str, Sequence[KeyFields]]
    homes: Mapping[str, str | None]

    def count(self) -> int:
        return sum(map(len, self.keys.values()))


def canonical(kind: Kind, keys: KeyFields) -> tuple[Any, ...]:
    """The key as the server keeps it."""
    return tuple(None if keys.get(name) is None else kind.fields[name].deserialize(keys[name]) for name in kind.key)


for _kind in KINDS:
    _part = _kind.fields[_kind.key[-1]]
    _drawn = value_of(_part, SOMEONE)
    if isinstance(_part, Text) and not _part.pattern and not isinstance(_part, (Choice, Email)):
        _drawn = st.sampled_from(ODD_NAMES) | _drawn
    LAST_PARTS[_kind.name] = st.lists(_drawn, min_size=1, max_size=4)


def numbered(part: Described, text: str, number: int) -> str:
    """Another name that goes with the field."""
    if isinstance(part, Choice):
        return text
    if isinstance(part, Email):
        return f"n{number}.{text}"
    return f"{text}{number}" if isinstance(part, Text) and part.pattern else f"{text} {number}"


@st.composite
def worlds(draw: st.DrawFn, objects: int) -> World:
    """Keys for about so many objects, spread over all kinds."""
    event(f"{objects} objects")
    random = draw(st.randoms(use_true_random=True))
    kinds = [kind for kind in KINDS if not kind.fixed]
    last_parts = {kind.name: draw(LAST_PARTS[kind.name]) for kind in kinds}
    found: dict[str, list[KeyFields]] = defaultdict(list)
    taken = {("user", ("root",)), *((kind, (name,)) for kind, names in SHIPPED.items() for name in names)}
    for number in range(objects):
        # first one of each, then any: something can be referred to
        kind = kinds[number] if number < len(kinds) else random.choice(kinds)
        part = kind.fields[kind.key[-1]]
        text = random.choice(last_parts[kind.name])
        keys: KeyFields = {}
        for name in kind.key[:-1]:
            target = kind.fields[name]
            assert isinstance(target, Ref)
            names = [other[BY_KIND[target.kind].key[0]] for other in found[target.kind]]
            keys[name] = random.choice(names) if names and (target.must_have or random.random() < 0.7) else None
        for spelled in (text, numbered(part, text, number)):
            key = canonical(kind, {**keys, kind.key[-1]: spelled})
            if (kind.name, key) not in taken and not (key[0] is None and kind.fields[kind.key[0]].must_have):
                taken.add((kind.name, key))
                found[kind.name].append({**keys, kind.key[-1]: spelled})
                break
    customers = [None, *(keys["name"] for keys in found["customer"])]
    return World(dict(found), {keys["email"]: random.choice(customers) for keys in found["contact"]})


def names_in(keys: Mapping[str, Sequence[KeyFields]]) -> dict[str, list[str]]:
    """What can be referred to among these objects, and on every desk."""
    found: dict[str, list[str]] = {kind.name: list(SHIPPED.get(kind.name, ())) for kind in KINDS}
    for name, objects in keys.items():
        if len(BY_KIND[name].key) == 1:
            found[name] += [each[BY_KIND[name].key[0]] for each in objects]
    return found


@st.composite
def desks(
    draw: st.DrawFn,
    world: World,
    *,
    there: World | None = None,
    share: float = 1.0,
    secrets: bool = True,
    passwords: bool = True,
    by_reference: bool = True,
) -> Configuration:
    """A document over (a share of) a world's objects. They refer to each other, in circles too, and to what is
    `there` already; fields, order and kinds are random."""
    random = draw(st.randoms(use_true_random=True))
    homes = {**world.homes, **(there.homes if there is not None else {})}
    chosen = _chosen(world, there, share, random, homes)
    names = names_in(chosen)
    for kind, more in names_in(there.keys if there is not None else {}).items():
        names[kind] = sorted({*names[kind], *more})
    found: Configuration = {}
    for kind in random.sample(KINDS, len(KINDS)):
        count = len(chosen.get(kind.name, ())) if not kind.fixed else draw(st.integers(0, 3))
        if not count and random.random() < 0.5:
            continue
        pool = [draw(DRAWN[kind.name, secrets]) for _ in range(min(count, 2 if world.count() < 60 else 3))]
        items = []
        if kind.fixed:
            items = list({item[kind.key[0]]: _somebody(item, names, random) for item in pool}.values())
        for keys in chosen.get(kind.name, ()):
            fields = dict(random.choice(pool))
            if not passwords:
                fields.pop("password", None)
            pointed = {
                name: repointed(kind.fields[name], value, names, random, by_reference) for name, value in fields.items()
            }
            if kind.name == "contact":
                pointed["customer"] = homes[keys["email"]]
            if kind.name == "asset" and pointed.get("contacts"):
                pointed["contacts"] = [name for name in pointed["contacts"] if homes[name] == keys["customer"]]
            if kind.name == "user" and pointed.get("password") is not None and random.random() < 0.5:
                pointed["update_password"] = "always"
            given = [*keys.items(), *pointed.items()]
            items.append(dict(random.sample(given, len(given))))
        random.shuffle(items)
        found[kind.plural] = items
    return found


def _chosen(
    world: World, there: World | None, share: float, random: Random, homes: Mapping[str, str | None]
) -> dict[str, list[KeyFields]]:
    """A share of the objects, with what their keys and homes refer to."""
    found: dict[str, list[KeyFields]] = {}
    for kind in KINDS:  # in any order: what a key names is asked of the world that is left
        found[kind.name] = [keys for keys in world.keys.get(kind.name, ()) if random.random() < share]
    known = names_in(found)
    more = names_in(there.keys) if there is not None else {}
    for kind in KINDS:
        for name in kind.key[:-1]:
            part = kind.fields[name]
            assert isinstance(part, Ref)
            reachable = {None, *known[part.kind], *more.get(part.kind, ())}
            found[kind.name] = [keys for keys in found[kind.name] if keys[name] in reachable]
    customers = {None, *known["customer"], *more.get("customer", ())}
    found["contact"] = [keys for keys in found["contact"] if homes[keys["email"]] in customers]
    return found


def _somebody(item: dict[str, Any], names: Names, random: Random) -> dict[str, Any]:
    """A setting that names an object, such as `department.default`, names one that there is."""
    if item.get("value") not in SOMEONE["user"]:
        return item
    there = names[item["key"].partition(".")[0]]
    return {**item, "value": random.choice(there) if there else None}


def repointed(part: Described, value: Any, names: Names, random: Random, by_reference: bool) -> Any:
    """The value with references to what there is, and some secrets given by reference."""
    if value is None:
        return None
    if isinstance(part, Ref):
        return random.choice(names[part.kind]) if names[part.kind] else None
    if isinstance(part, RefSet):
        return random.sample(names[part.kind], random.randint(0, min(4, len(names[part.kind]))))
    if isinstance(part, ListOf):
        inner = getattr(part.inner, "parts", {})
        columns = {
            name: random.sample(names[each.kind], len(names[each.kind]))
            for name, each in inner.items()
            if isinstance(each, Ref)
        }
        if columns:  # each of them once
            size = min(len(value), *map(len, columns.values()))
            return [
                {**item, **{name: column[at] for name, column in columns.items() if item.get(name) is not None}}
                for at, item in enumerate(value[:size])
            ]
        return value
    if isinstance(part, Group):
        return {name: repointed(part.parts[name], each, names, random, by_reference) for name, each in value.items()}
    if part.secret and by_reference and getattr(part, "by_reference", False) and random.random() < 0.15:
        return {"$secret": "somewhere/else"}
    return value


def multiplied(configuration: Configuration, times: int) -> Configuration:
    """The document so many times over: each copy under names of its own, and referring to the same copy of the rest."""
    found: Configuration = {plural: list(items) for plural, items in configuration.items()}
    for copy in range(1, times):
        names = {
            (kind.name, item[name]): numbered(kind.fields[name], item[name], copy * 10_000)
            for kind, name in ((BY_PLURAL[plural], BY_PLURAL[plural].key[-1]) for plural in configuration)
            for item in configuration[kind.plural]
            if not kind.fixed
        }
        for plural, items in configuration.items():
            kind = BY_PLURAL[plural]
            for item in items:
                if kind.fixed or names[kind.name, item[kind.key[-1]]] == item[kind.key[-1]]:
                    continue
                more = {
                    name: _called(kind.written[name], value, names) if name in kind.written else value
                    for name, value in item.items()
                }
                found[plural].append({**more, kind.key[-1]: names[kind.name, item[kind.key[-1]]]})
    return found


def _called(part: Described, value: Any, names: Mapping[tuple[str, str], str]) -> Any:
    """The value with what it refers to called by its name among `names`."""
    if isinstance(part, Ref):
        return names.get((part.kind, value), value)
    if isinstance(part, Group) and value is not None:
        return {name: _called(part.parts[name], each, names) for name, each in value.items()}
    if isinstance(part, ListOf) and value is not None:
        return [_called(part.inner, each, names) for each in value]
    return value


def otherwise(configuration: Configuration, random: Random) -> Configuration:
    """The same document in another order and spelling."""
    found: Configuration = {}
    for plural in random.sample(list(configuration), len(configuration)):
        kind = BY_PLURAL[plural]
        items = [_item_otherwise(kind, item) for item in configuration[plural]]
        found[plural] = random.sample(items, len(items))
    return found


def _item_otherwise(kind: Kind, item: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in reversed(item.items()):
        part = kind.written.get(name)
        if kind.fixed:
            naming = item["key"].partition(".")[0] in BY_KIND  # the name of an object, as it stands
            part = SETTINGS[item["key"]] if name not in kind.key and not naming else None
        found[name] = value if part is None else _value_otherwise(part, value)
    return found


def _value_otherwise(part: Described, value: Any) -> Any:
    if isinstance(part, Group) and value is not None:
        return {name: _value_otherwise(part.parts[name], inner) for name, inner in reversed(value.items())}
    if part.secret and isinstance(value, dict):
        return value  # by reference
    return respelled(part, value)


def declared(configuration: Configuration) -> dict[tuple[str, tuple[Any, ...]], set[str]]:
    """The paths that a document declares, by kind and key: objects part by part, a key not."""
    found = {}
    for plural, items in configuration.items():
        kind = BY_PLURAL[plural]
        for item in items:
            paths = found[kind.name, canonical(kind, item)] = set()
            for name, value in item.items():
                part = kind.written.get(name)
                if isinstance(part, Group):
                    paths |= {f"{name}.{inner}" for inner in (part.parts if value is None else value)}
                elif part is not None and name not in kind.key:
                    paths.add(name)
    return found


def without_declared(configuration: Configuration, taken: Mapping[Any, set[str]]) -> Configuration:
    """The document without the fields that somebody else declared."""
    found: Configuration = {}
    for plural, items in configuration.items():
        kind = BY_PLURAL[plural]
        found[plural] = []
        for item in items:
            fields = {path.partition(".")[0] for path in taken.get((kind.name, canonical(kind, item)), ())}
            found[plural].append({name: value for name, value in item.items() if name not in fields})
    return found
