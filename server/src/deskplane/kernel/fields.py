"""The fields of schemas: marshmallow fields that validate strictly, bring values into one canonical form, and
describe themselves once for everything that follows from a schema (OpenAPI, Ansible modules, documentation).

`deserialize` gives the canonical value: sets sorted and without repetition, durations in minutes, colours in lower
case, text in NFC. Two values that mean the same are equal afterwards, so that spelling never causes a change.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from marshmallow import ValidationError, fields, missing

from deskplane.kernel.clock import rfc3339
from deskplane.kernel.secrets import SecretReference
from deskplane.kernel.words import did_you_mean


class Coded(str):
    """A message of a validation error that carries a stable code and what would be allowed."""

    code: str
    allowed: Any

    def __new__(cls, detail: str, code: str, allowed: Any = None) -> Coded:
        found = super().__new__(cls, detail)
        found.code = code
        found.allowed = allowed
        return found


def refuse(code: str, detail: str, allowed: Any = None) -> ValidationError:
    """The error for one value."""
    return ValidationError([Coded(detail, code, allowed)])


class Described(fields.Field[Any]):
    """A field that knows its description, default and history.

    Args:
        description: one sentence, for people.
        default: what an explicit null, or creation without the field, sets.
        added: the first version that has the field.
        read_only: set by the server.
        secret: write-only; shown as `(secret)`.
    """

    json_type = "str"
    json_format: str | None = None

    def __init__(
        self,
        description: str,
        *,
        default: Any = None,
        required: bool = False,
        added: str = "0.1.0",
        read_only: bool = False,
        secret: bool = False,
        entitled: bool = False,
        shown_as: str | None = None,
    ) -> None:
        super().__init__(allow_none=not required, dump_only=read_only)
        self.description = description
        self.default = default
        self.must_have = required
        self.added = added
        self.read_only = read_only
        self.secret = secret
        self.shown_as = shown_as
        self.error_messages = {
            **self.error_messages,
            "null": Coded("must not be null", "required"),
            "required": Coded("is required", "required"),
        }

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """The canonical value. Our fields have no validators besides themselves, so that there is less to ask than
        marshmallow does."""
        if value is None or value is missing:
            return super().deserialize(value, attr, data, **kwargs)
        return self._deserialize(value, attr, data, **kwargs)

    @property
    def choices(self) -> Sequence[Any] | None:
        """The values that are allowed, where there is a list of them."""
        return None

    def initial(self) -> Any:
        """A fresh default."""
        return self.default

    def output(self, value: Any) -> Any:
        """The JSON value of a canonical one. Never called with None."""
        return value

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return None if value is None else self.output(value)

    def describe(self, name: str) -> dict[str, Any]:
        """What generators need to know."""
        found: dict[str, Any] = {
            "name": name,
            "type": self.json_type,
            "description": [self.description],
            "required": self.must_have,
            "default": self.initial(),
            "secret": self.secret,
            "read_only": self.read_only,
            "version_added": self.added,
        }
        if self.choices is not None:
            found["choices"] = list(self.choices)
        if self.json_format is not None:
            found["format"] = self.json_format
        return found

    def json_schema(self, *, answer: bool = False) -> dict[str, Any]:
        """JSON Schema 2020-12 of the field's value: what may be sent, or, with `answer`, what is answered."""
        found = self._json_schema(answer)
        found["description"] = self.description
        if not self.must_have or answer:
            found = _nullable(found)
        if self.read_only:
            found["readOnly"] = True
        if self.secret and not answer:  # an answer shows that there is one
            found["writeOnly"] = True
        return found

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "string"}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*kinds, "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    elif "anyOf" in schema:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema


_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = re.compile("[\u00ad\u180e\u200b\u2060\ufeff]")
CONTROL_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BLOCK = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Text(Described):
    """Text in NFC (Unicode Annex 15), of bounded length, without control characters; a line, or with `block` many.

    A line has no white space around it, and no bidirectional overrides, which make names look like others. A secret
    may be given by reference, unless `by_reference` says no: then what is stored stays.
    """

    def __init__(
        self,
        description: str,
        *,
        longest: int = 200,
        shortest: int = 0,
        block: bool = False,
        pattern: str | None = None,
        pattern_hint: str = "",
        by_reference: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(description, **common)
        self.by_reference = self.secret and by_reference
        self.longest = longest
        self.shortest = shortest
        self.block = block
        self.pattern = re.compile(pattern) if pattern else None
        self.pattern_hint = pattern_hint

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if self.by_reference and isinstance(value, dict):
            return _secret_reference(value)
        if not isinstance(value, str):
            raise refuse("wrong_type", f"must be text, got {type_name(value)}")
        plain = value.isascii()
        text = value if plain else unicodedata.normalize("NFC", value)
        if plain and text.isprintable():  # has none of what is looked for below
            if not self.block and not self.secret:
                text = text.strip()
        elif self.block:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            if _CONTROL_BLOCK.search(text):
                raise refuse("control_character", "must not hold control characters")
        else:
            if CONTROL_LINE.search(text):
                raise refuse("control_character", "must not hold control characters or line breaks")
            if _BIDI.search(text):
                raise refuse("control_character", "must not hold characters that change the direction of writing")
            if not self.secret:
                text = text.strip()
        if len(text) < self.shortest:
            detail = "must not be empty" if self.shortest == 1 else f"must have at least {self.shortest} characters"
            raise refuse("too_short", detail, self.shortest)
        if len(text) > self.longest:
            raise refuse("too_long", f"must have at most {self.longest} characters, got {len(text)}", self.longest)
        if self.pattern and not self.pattern.fullmatch(text):
            raise refuse("bad_format", self.pattern_hint, self.pattern.pattern)
        return self.canonical(text)

    def canonical(self, text: str) -> Any:
        """Further checks and the one spelling, for kinds of text."""
        return text

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "string"}
        if not answer:
            found["maxLength"] = self.longest
            if self.shortest:
                found["minLength"] = self.shortest
            if self.pattern:
                found["pattern"] = f"^(?:{self.pattern.pattern})$"
        if self.json_format and not answer:
            found["format"] = self.json_format
        return {"anyOf": [found, _REFERENCE]} if self.by_reference and not answer else found


_REFERENCE = {
    "type": "object",
    "description": "The secret that is stored already.",
    "required": ["$secret"],
    "properties": {"$secret": {"type": "string", "maxLength": 1000}},
    "additionalProperties": False,
}


def _secret_reference(value: dict[str, Any]) -> SecretReference:
    text = value.get("$secret")
    if len(value) != 1 or not isinstance(text, str) or not 0 < len(text) <= 1000 or CONTROL_LINE.search(text):
        raise refuse(
            "wrong_type", 'must be text, or a reference such as {"$secret": "department/support/imap.password"}'
        )
    return SecretReference(text)


class Name(Text):
    """The name that an object is known by."""

    def __init__(self, description: str, **common: Any) -> None:
        common.setdefault("longest", 120)
        super().__init__(description, shortest=1, required=True, **common)

    def canonical(self, text: str) -> Any:
        # two names that differ in these only would look the same
        if _INVISIBLE.search(text):
            raise refuse("control_character", "must not hold characters that cannot be seen")
        return text


class Email(Text):
    """A mail address (RFC 5321 within what every server takes); the domain in lower case."""

    json_format = "email"
    _address = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}")

    def __init__(self, description: str, **common: Any) -> None:
        super().__init__(description, longest=254, **common)

    def canonical(self, text: str) -> str:
        local, _, domain = text.rpartition("@")
        bad_dots = ".." in text or local.startswith(".") or local.endswith(".")
        if not self._address.fullmatch(text) or bad_dots:
            raise refuse("bad_format", "must be a mail address such as name@example.org")
        return f"{local}@{domain.lower()}"

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "string"} if answer else {"type": "string", "maxLength": 254, "format": "email"}


class Url(Text):
    """An absolute address without credentials, of http or https unless other schemes are named."""

    json_format = "uri"

    def __init__(self, description: str, *, schemes: Sequence[str] = ("https", "http"), **common: Any) -> None:
        super().__init__(description, longest=2000, **common)
        self.schemes = tuple(schemes)

    def canonical(self, text: str) -> str:
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise refuse("bad_format", "must be an address such as https://example.org/path") from None
        if parts.scheme not in self.schemes:
            words = " or ".join(f"{scheme}://" for scheme in self.schemes)
            raise refuse("bad_format", f"must begin with {words}", list(self.schemes))
        if not parts.hostname or re.search(r"[\s\\<>\"]", text) or port == 0:
            raise refuse("bad_format", "must be an address such as https://example.org/path")
        if parts.username is not None or parts.password is not None:
            raise refuse("credentials", "must not hold a user name or password; use a header for them")
        # scheme and host mean the same in any case (RFC 3986, 6.2.2.1)
        authority = len(parts.scheme) + len("://") + len(parts.netloc)
        return text[:authority].lower() + text[authority:]


class Color(Text):
    """A colour as `#rrggbb`."""

    json_format = "color"

    def __init__(self, description: str, **common: Any) -> None:
        super().__init__(
            description,
            longest=7,
            pattern="#[0-9a-fA-F]{6}",
            pattern_hint="must be a colour such as #1f6feb",
            **common,
        )

    def canonical(self, text: str) -> str:
        return text.lower()

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"}


@cache
def _time_zones() -> frozenset[str]:
    """Looked for in the file system, which takes a moment: once a process."""
    return frozenset(available_timezones())


class TimeZone(Text):
    """A time zone of the IANA database."""

    def canonical(self, text: str) -> str:
        if text not in _time_zones():
            hint = did_you_mean(text, _time_zones())
            raise refuse("unknown_time_zone", f"must be a time zone of the IANA database, such as Europe/Berlin{hint}")
        return text


class Choice(Text):
    """One of a fixed list of words."""

    def __init__(self, description: str, choices: Iterable[str], **common: Any) -> None:
        super().__init__(description, **common)
        self._choices = tuple(choices)

    @property
    def choices(self) -> Sequence[str]:
        return self._choices

    def canonical(self, text: str) -> str:
        if text not in self._choices:
            raise refuse("not_allowed", f"must be one of {', '.join(self._choices)}, got {text!r}", list(self._choices))
        return text

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "string", "enum": list(self._choices)}


class Whole(Described):
    """A whole number within bounds; true and 1.0 are none."""

    json_type = "int"

    def __init__(self, description: str, *, least: int = 0, most: int = 2_147_483_647, **common: Any) -> None:
        super().__init__(description, **common)
        self.least = least
        self.most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise refuse("wrong_type", f"must be a whole number, got {type_name(value)}")
        if not self.least <= value <= self.most:
            raise refuse(
                "out_of_range", f"must be between {self.least} and {self.most}, got {value}", [self.least, self.most]
            )
        return value

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


_DURATION = re.compile(r"(?:([0-9]{1,6})w)?(?:([0-9]{1,6})d)?(?:([0-9]{1,7})h)?(?:([0-9]{1,9})m)?")


def duration_minutes(text: str) -> int | None:
    """`90m`, `1h30m`, `2d`, `1w` in minutes; None for other text. A day has 24 hours."""
    found = _DURATION.fullmatch(text.replace(" ", ""))
    if not found or not any(found.groups()):
        return None
    weeks, days, hours, minutes = (int(part or 0) for part in found.groups())
    return ((weeks * 7 + days) * 24 + hours) * 60 + minutes


class Minutes(Whole):
    """A duration in minutes; `30m`, `4h`, `2d`, `1w` and their sums are accepted."""

    json_type = "raw"
    json_format = "duration"

    def __init__(self, description: str, **common: Any) -> None:
        common.setdefault("most", 10 * 366 * 24 * 60)
        super().__init__(description, **common)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            minutes = duration_minutes(value)
            if minutes is None:
                raise refuse("bad_format", f"must be minutes, or a duration such as 30m, 4h or 2d, got {value[:40]!r}")
            value = minutes
        return super()._deserialize(value, attr, data, **kwargs)

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        found = super()._json_schema(answer)
        if not answer:
            found["type"] = ["integer", "string"]
            found["pattern"] = r"^(?=.)([0-9]{1,6}w ?)?([0-9]{1,6}d ?)?([0-9]{1,7}h ?)?([0-9]{1,9}m)?$"
        return found


class Flag(Described):
    """True or false, and nothing that merely looks like it."""

    json_type = "bool"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise refuse("wrong_type", f"must be true or false, got {type_name(value)}", [True, False])
        return value

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "boolean"}


class Moment(Described):
    """An instant with an offset (RFC 3339)."""

    json_format = "datetime"
    _form = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) or not self._form.fullmatch(value):
            raise refuse("bad_format", "must be a time with its offset, such as 2026-03-01T08:30:00Z (RFC 3339)")
        try:
            return datetime.fromisoformat(value.upper().replace("Z", "+00:00")).astimezone(UTC)
        except (ValueError, OverflowError):
            raise refuse("bad_format", "is a time that does not exist") from None

    def output(self, value: Any) -> Any:
        return rfc3339(value)

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


class Ref(Text):
    """The natural key of an object of another kind. The kind is named, never imported.

    `on_delete` says what becomes of this object when that one is deleted: `refuse` the deletion, `clear` the field,
    or `cascade` (deleted too).
    """

    def __init__(self, description: str, kind: str, *, on_delete: str = "refuse", **common: Any) -> None:
        common.setdefault("longest", 254)
        super().__init__(description, shortest=1, **common)
        self.kind = kind
        self.on_delete = on_delete

    def describe(self, name: str) -> dict[str, Any]:
        return {**super().describe(name), "reference": self.kind}


def type_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
