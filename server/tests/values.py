"""Values for any field of any kind, made from the field's own description (Hypothesis).

`value_of` makes what a caller may send; `respelled` says the same in another way.
"""

from __future__ import annotations

import base64
import itertools
import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from deskplane.customers.contracts import Days, Slots
from deskplane.customers.currencies import Currency
from deskplane.desks.rules import NAMING
from deskplane.desks.schedule import Schedule
from deskplane.desks.settings import SETTINGS
from deskplane.kernel.compound import AnyJson, Group, Items, ListOf, RefSet, SetOf, TextMap
from deskplane.kernel.exact import Amount, Date, TimeOfDay
from deskplane.kernel.fields import (
    Choice,
    Color,
    Described,
    Email,
    Flag,
    Minutes,
    Moment,
    Ref,
    Text,
    TimeZone,
    Url,
    Whole,
)
from deskplane.kernel.kind import Kind
from deskplane.kernel.placeholders import Templated
from deskplane.kernel.words import ENDED
from deskplane.oidc.schemas import Issuer
from deskplane.service_levels.calendars import Country, Subdivision, Windows
from deskplane.webhooks.headers import SecretHeaders
from deskplane.webhooks.schemas import PLACEHOLDERS, WebhookSecret

Names = Mapping[str, Sequence[str]]
"""What there is of each kind, for references."""

LETTERS = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"), exclude_characters="\u200b"
)
LINE = st.text(LETTERS, max_size=20).map(str.strip)
BLOCK = st.text(LETTERS | st.sampled_from("\n\t"), max_size=30)
LEAVES = (
    st.booleans()
    | st.none()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e6, 1e6, width=32)
    | LINE.filter(lambda text: "{" not in text)
    | st.sampled_from([f"${{{name}}}" for name in PLACEHOLDERS])
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LINE, inner, max_size=3))
BODIES = st.dictionaries(LINE, TREES, max_size=3) | st.lists(TREES, max_size=3)


def _text(part: Text) -> st.SearchStrategy[Any]:
    if isinstance(part, SecretHeaders):
        return _headers().filter(bool).map(lambda found: {f"X-Secret-{name}": value for name, value in found.items()})
    if isinstance(part, WebhookSecret):
        return st.binary(min_size=24, max_size=64).map(lambda raw: "whsec_" + base64.b64encode(raw).decode())
    if isinstance(part, Email):
        return st.from_regex(r"[a-z][a-z0-9.+-]{0,8}[a-z]@([a-z]{1,8}\.){1,2}[a-z]{2,5}", fullmatch=True).filter(
            lambda text: ".." not in text
        )
    if isinstance(part, Issuer):
        return st.from_regex(r"https://[a-z]{1,10}\.example(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9]{0,8})?", fullmatch=True)
    if isinstance(part, Url):
        return st.from_regex(r"https?://[a-z]{1,10}\.example(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9]{0,8})?", fullmatch=True)
    if isinstance(part, Date):
        return st.dates().map(lambda day: day.isoformat())
    if isinstance(part, TimeOfDay):
        return st.integers(0, part.latest).map(_time)
    if isinstance(part, Amount):
        return st.integers(0, 10 ** (part.whole_digits + 2) - 1).map(lambda cents: f"{cents // 100}.{cents % 100:02}")
    if isinstance(part, Currency):
        return st.sampled_from(["EUR", "usd", "JPY"])
    if isinstance(part, Templated):
        plain = st.text(LETTERS, min_size=1, max_size=20).filter(lambda text: text.strip() and "{" not in text)
        return plain.map(lambda text: text + "${ticket_number}")
    if isinstance(part, Country):
        return st.sampled_from(["DE", "fr", "JP"])
    if isinstance(part, Subdivision):
        return st.nothing()  # it needs its country, so that its tests give both
    if isinstance(part, Schedule):
        return st.sampled_from(["30 2 * * *", "*/15 0-6,22 1 jan,JUL Mon-Fri"])
    if isinstance(part, TimeZone):
        return st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"])
    if isinstance(part, Choice):
        return st.sampled_from(list(part.choices))
    if part.pattern:
        return st.from_regex(part.pattern, fullmatch=True).filter(
            lambda text: text.isascii() and len(text) <= part.longest
        )
    if part.secret:
        return st.text(LETTERS, min_size=12, max_size=20)
    drawn = BLOCK if part.block else LINE
    return drawn.filter(lambda text: len(unicodedata.normalize("NFC", text).strip()) >= part.shortest)


def _time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _windows() -> st.SearchStrategy[Any]:
    """Windows that follow one another, in any order."""
    return (
        st.lists(st.integers(0, 24 * 60), max_size=6, unique=True)
        .map(lambda found: sorted(found[: len(found) // 2 * 2]))
        .map(lambda found: [{"from": _time(a), "to": _time(b)} for a, b in zip(found[::2], found[1::2], strict=True)])
        .flatmap(st.permutations)
    )


def _headers() -> st.SearchStrategy[Any]:
    token = st.from_regex(r"X-[A-Za-z0-9]{1,8}", fullmatch=True)
    return st.dictionaries(token, st.from_regex(r"[!-~]{0,12}", fullmatch=True), max_size=3).filter(
        lambda found: len({name.lower() for name in found}) == len(found)
    )


def _items(part: Items, names: Names) -> st.SearchStrategy[Any]:
    must = {name: value_of(inner, names) for name, inner in part.parts.items() if inner.must_have}
    may = {name: anything(inner, names) for name, inner in part.parts.items() if not inner.must_have}
    item = st.fixed_dictionaries(must, optional=may)
    if isinstance(part, Slots):  # one that ends a few days later ends after it begins
        item = item.map(lambda slot: slot | {"ends_after_days": 3})
    if part.named_by == ("from", "to"):  # a step of a workflow, that goes with whatever is final
        item = item.filter(lambda step: step["from"] != step["to"] and step["from"] not in ENDED)
    return st.lists(item, max_size=3, unique_by=lambda item: str([item[name] for name in part.named_by]))


def value_of(part: Described, names: Names) -> st.SearchStrategy[Any]:
    """What may be sent for a field, null left out."""
    if isinstance(part, Ref):
        return st.sampled_from(list(names[part.kind]))
    if isinstance(part, RefSet):
        return st.lists(st.sampled_from(list(names[part.kind])), max_size=3)
    if isinstance(part, Windows):
        return _windows()
    if isinstance(part, Days):
        return st.lists(st.sampled_from(["all", "weekends", "monday", "friday"]), min_size=1, max_size=3)
    if isinstance(part, Items):
        return _items(part, names)
    if isinstance(part, ListOf):
        inner = value_of(part.inner, names)
        if isinstance(part.inner, Group):  # a list of objects names each object once
            first = next(iter(part.inner.parts))
            return st.lists(
                inner.filter(lambda item: item.get(first) is not None),
                max_size=3,
                unique_by=lambda item: str(item[first]),
            )
        return st.lists(inner, max_size=4)
    if isinstance(part, Group):
        return st.fixed_dictionaries({}, optional={name: anything(inner, names) for name, inner in part.parts.items()})
    if isinstance(part, TextMap):
        return _headers()
    if isinstance(part, AnyJson):
        return BODIES
    if isinstance(part, Flag):
        return st.booleans()
    if isinstance(part, Minutes):
        numbers = st.integers(part.least, min(part.most, 100_000))
        return numbers | numbers.map(lambda minutes: f"{minutes}m")
    if isinstance(part, Whole):
        return st.integers(part.least, part.most)
    if isinstance(part, Moment):
        return st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z")
    assert isinstance(part, Text), f"make values for {type(part).__name__} too"
    return _text(part)


def anything(part: Described, names: Names) -> st.SearchStrategy[Any]:
    """What may be sent for a field, null too where the field has a default."""
    return value_of(part, names) if part.must_have else value_of(part, names) | st.none()


def documents(kind: Kind, names: Names, *, secrets: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Some fields of a kind, the key left out."""
    if kind.name == "setting":
        keys = [key for key, part in sorted(SETTINGS.items()) if secrets or not part.secret]
        return st.sampled_from(keys).flatmap(
            lambda key: st.fixed_dictionaries(
                {"key": st.just(key), "secret" if SETTINGS[key].secret else "value": _setting(key, names)}
            )
        )
    parts = {name: part for name, part in kind.written.items() if name not in kind.key and (secrets or not part.secret)}
    must = {name: value_of(part, names) for name, part in parts.items() if part.must_have}
    may = {name: anything(part, names) for name, part in parts.items() if not part.must_have}
    return st.fixed_dictionaries(must, optional=may).map(lambda found: _consistent(kind, found))


def _setting(key: str, names: Names) -> st.SearchStrategy[Any]:
    if key in NAMING:
        return st.sampled_from(list(names[NAMING[key]])) | st.none()
    if key == "password.min_length":
        return st.integers(8, 12) | st.none()  # what the passwords above have
    return anything(SETTINGS[key], names)


def _consistent(kind: Kind, found: dict[str, Any]) -> dict[str, Any]:
    if kind.name == "webhook" and found.get("method") == "GET":
        return found | {"body": None}
    if kind.name == "webhook" and found.get("body") is not None:
        return {"method": "POST"} | found  # the one that is there may be a GET
    return found


_counter = itertools.count(1)


def fresh_key(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    """The document with a name that nothing has yet, of the first customer where it needs one; settings have theirs
    already."""
    if kind.fixed:
        return document
    number = next(_counter)
    last = kind.fields[kind.key[-1]]
    if isinstance(last, Choice):  # there are as many as there are words, for each customer and for all of them
        customer = (None, "ACME", "Zweite GmbH/Süd")[number // len(last.choices) % 3]
        return {**document, kind.key[0]: customer, kind.key[-1]: last.choices[number % len(last.choices)]}
    name = f"made{number}@example.org" if isinstance(last, Email) else f"made{number}"
    others = {part: "ACME" for part in kind.key[:-1] if kind.fields[part].must_have}
    return {**others, **document, kind.key[-1]: name}


def respelled(part: Described, value: Any) -> Any:
    """The same value in another spelling and order."""
    if value is None:
        return None
    if isinstance(part, SetOf):
        return [respelled(part.inner, item) for item in [*reversed(value), *value]]
    if isinstance(part, ListOf):
        return [respelled(part.inner, item) for item in reversed(value)]
    if isinstance(part, Group):
        return {name: respelled(part.parts[name], inner) for name, inner in reversed(value.items())}
    if isinstance(part, SecretHeaders):
        return json.dumps(dict(reversed(value.items())), indent=1)
    if isinstance(part, (TextMap, AnyJson)) and isinstance(value, dict):
        return dict(reversed(value.items()))
    if isinstance(part, TimeOfDay):
        return value.removeprefix("0") if value < "10" else value
    if isinstance(part, Amount):
        return f"00{value}0"
    if isinstance(part, Minutes):
        minutes = int(value.removesuffix("m")) if isinstance(value, str) else value
        return f"{minutes // 60}h{minutes % 60}m"
    if isinstance(part, Color):
        return value.upper()
    if isinstance(part, Email):
        local, _, domain = value.rpartition("@")
        return f"{local}@{domain.upper()}"
    if isinstance(part, Url):
        scheme, _, rest = value.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme.upper()}://{host.upper()}{slash}{path}"
    if isinstance(part, Text) and not isinstance(part, Choice) and not part.pattern:
        decomposed = unicodedata.normalize("NFD", value)
        return decomposed if part.block or part.secret else f" {decomposed}\u00a0"
    return value
