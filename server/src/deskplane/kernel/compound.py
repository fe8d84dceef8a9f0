"""Fields that hold others, and what is done with a schema's fields together: their JSON Schema, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import Schema, ValidationError

from deskplane.kernel.fields import CONTROL_LINE, Coded, Described, Ref, refuse, type_name
from deskplane.kernel.problem import FieldError, pointer
from deskplane.kernel.secrets import secret_shown
from deskplane.kernel.words import did_you_mean

MAX_TEXT = 65_536
EXACT = 2**53
"""Up to here every whole number has a double of its own (RFC 8259, 6)."""


class ListOf(Described):
    """A list in its order."""

    json_type = "list"

    def __init__(self, description: str, inner: Described, *, most: int = 1000, **common: Any) -> None:
        common.setdefault("default", [])
        super().__init__(description, **common)
        self.inner = inner
        self.most = most

    def initial(self) -> Any:
        return list(self.default) if self.default is not None else None

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise refuse("wrong_type", f"must be a list, got {type_name(value)}")
        if len(value) > self.most:
            raise refuse("too_long", f"must have at most {self.most} items, got {len(value)}", self.most)
        found, errors = [], {}
        for index, item in enumerate(value):
            try:
                if item is None:
                    raise refuse("required", "must not be null")
                found.append(self.inner.deserialize(item))
            except ValidationError as error:
                errors[index] = error.messages
        if errors:
            raise ValidationError(errors)
        return self.collect(found)

    def collect(self, items: list[Any]) -> list[Any]:
        """The canonical list."""
        return items

    def output(self, value: Any) -> Any:
        return [self.inner.output(item) for item in value]

    def describe(self, name: str) -> dict[str, Any]:
        inner = self.inner.describe(name)
        found = {**super().describe(name), "elements": inner["type"]}
        for part in ("choices", "options", "reference", "format"):
            if part in inner:
                found[part] = inner[part]
        return found

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        items = self.inner._json_schema(answer)
        return {"type": "array", "items": items, "maxItems": self.most}


class SetOf(ListOf):
    """A list that means a set: compared and shown without regard to order and repetition."""

    def collect(self, items: list[Any]) -> list[Any]:
        return sorted(set(items))

    def describe(self, name: str) -> dict[str, Any]:
        return {**super().describe(name), "set": True}


class RefSet(SetOf):
    """A set of references."""

    def __init__(self, description: str, kind: str, **common: Any) -> None:
        super().__init__(description, Ref(description, kind), **common)
        self.kind = kind


class Group(Described):
    """An object with named parts, merged part by part. Secrets in it are treated one by one."""

    json_type = "dict"

    def __init__(self, description: str, schema: type[Schema], **common: Any) -> None:
        super().__init__(description, **common)
        self.schema_class = schema
        self._reader = schema()
        self.parts: dict[str, Described] = described(self._reader)

    def initial(self) -> Any:
        return {name: part.initial() for name, part in self.parts.items()}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise refuse("wrong_type", f"must be an object, got {type_name(value)}")
        return load_given(self._reader, value)

    def output(self, value: Any) -> Any:
        return {
            name: secret_shown(value.get(name)) if part.secret else _shown(part, value.get(name))
            for name, part in self.parts.items()
        }

    def describe(self, name: str) -> dict[str, Any]:
        options = [part.describe(inner) for inner, part in self.parts.items()]
        return {**super().describe(name), "default": None, "options": options}

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return object_schema(self.parts, answer=answer)


def _shown(part: Described, value: Any) -> Any:
    return None if value is None else part.output(value)


class Items(ListOf):
    """Objects, each complete with the defaults of its parts, in one order whatever the order they come in.

    `named_by` are the parts that tell one from another: no two objects may have the same.
    """

    def __init__(
        self, description: str, schema: type[Schema], *, named_by: Sequence[str], most: int = 1000, **common: Any
    ) -> None:
        super().__init__(description, Group(description, schema), most=most, **common)
        self.parts: dict[str, Described] = described(schema())
        self.named_by = tuple(named_by)

    def collect(self, items: list[Any]) -> list[Any]:
        found: dict[tuple[Any, ...], Any] = {}
        errors: dict[int, dict[str, list[Coded]]] = {}
        for index, given in enumerate(items):
            item = {
                name: part.initial() if given.get(name) is None else given[name] for name, part in self.parts.items()
            }
            missing = [name for name, part in self.parts.items() if part.must_have and item[name] is None]
            name = tuple(item[part] for part in self.named_by)
            if missing:
                errors[index] = {part: [Coded("is required", "required")] for part in missing}
            elif name in found:
                words = ", ".join(f"{part} {item[part]}" for part in self.named_by)
                errors[index] = {self.named_by[0]: [Coded(f"stands there twice: {words}", "repeated")]}
            found[name] = item
        if errors:
            raise ValidationError(errors)
        return sorted(found.values(), key=self.order)

    def order(self, item: Mapping[str, Any]) -> Any:
        """What objects are sorted by."""
        return [item[part] for part in self.named_by]

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        required = [] if answer else [name for name, part in self.parts.items() if part.must_have]
        items = object_schema(self.parts, answer=answer, required=required)
        return {"type": "array", "items": items, "maxItems": self.most}


class TextMap(Described):
    """A free map from text to text, replaced whole."""

    json_type = "dict"

    def __init__(self, description: str, *, most: int = 50, **common: Any) -> None:
        super().__init__(description, **common)
        self.most = most

    def initial(self) -> Any:
        return dict(self.default or {})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise refuse("wrong_type", f"must be an object, got {type_name(value)}")
        if len(value) > self.most:
            raise refuse("too_long", f"must have at most {self.most} entries", self.most)
        errors = {}
        for name, item in value.items():
            if not isinstance(item, str):
                errors[name] = [Coded(f"must be text, got {type_name(item)}", "wrong_type")]
            elif CONTROL_LINE.search(name + item):
                errors[name] = [Coded("must not hold control characters or line breaks", "control_character")]
            elif not name or len(name) > 200 or len(item) > 4000:
                errors[name] = [Coded("must have a name of 1 to 200 and a value of up to 4000 characters", "too_long")]
        if errors:
            raise ValidationError(errors)
        return dict(sorted(value.items()))

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        value = {"type": "string", "maxLength": 4000}
        return {"type": "object", "additionalProperties": value, "maxProperties": self.most}


class AnyJson(Described):
    """Any JSON value. `exact` keeps 1.0 as it is, for who looks at the type of a number."""

    json_type = "raw"

    def __init__(
        self, description: str, *, check: Callable[[Any], None] | None = None, exact: bool = False, **common: Any
    ) -> None:
        super().__init__(description, **common)
        self.check = check
        self.exact = exact

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        _storable(value)
        if self.check is not None:
            self.check(value)
        return value if self.exact else plain_numbers(value)

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {}


def plain_numbers(value: Any) -> Any:
    """The value with 1.0 as 1, which JSON takes for the same and databases give back one way or the other."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: plain_numbers(item) for name, item in value.items()}
    return [plain_numbers(item) for item in value] if isinstance(value, list) else value


def _storable(value: Any) -> None:
    """PostgreSQL's jsonb holds no NUL, and gives a large 1e300 back as an integer of as many digits."""
    if isinstance(value, str):
        if "\x00" in value or len(value) > MAX_TEXT:
            raise refuse("control_character", f"must not hold NUL, nor text longer than {MAX_TEXT} characters")
    elif isinstance(value, float):
        if abs(value) >= EXACT:
            raise refuse("out_of_range", f"must not hold a number with a fraction or exponent beyond {EXACT}")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _storable(name)
            _storable(item)
    elif isinstance(value, list):
        for item in value:
            _storable(item)


MOST_UNKNOWN = 100
"""Unknown fields of one object that are told: the nearest known one is looked for, for each."""


def load_given(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """What marshmallow's `load(given, partial=True, unknown=RAISE)` answers and raises, looking only at what is given:
    of most objects that is a small part of the fields. For schemas whose rules are their fields' own."""
    found: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    fields = schema.load_fields
    for name, value in given.items():
        field = fields.get(name)
        if field is None:
            if len(errors) < MOST_UNKNOWN:
                errors[name] = ["Unknown field."]
            continue
        try:
            found[name] = field.deserialize(value)
        except ValidationError as error:
            errors[name] = error.messages
    if errors:
        raise ValidationError(errors, data=given, valid_data=found)
    return found


def described(schema: Schema) -> dict[str, Described]:
    """The fields of a schema by name."""
    return {name: field for name, field in schema.fields.items() if isinstance(field, Described)}


def object_schema(
    parts: Mapping[str, Described],
    *,
    answer: bool,
    required: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """JSON Schema of an object with these fields."""
    properties = {name: part.json_schema(answer=answer) for name, part in parts.items() if answer or not part.read_only}
    properties.update(extra or {})
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = list(required)
    return found


def field_errors(messages: Any, schema: Schema | None, *path: str | int) -> list[FieldError]:
    """Marshmallow's messages as field errors, unknown fields with the nearest known one."""
    if isinstance(messages, Mapping):
        found = []
        for name, inner in messages.items():
            field = schema.fields.get(name) if schema is not None else None
            if inner == ["Unknown field."] and schema is not None:
                found.append(_unknown(name, schema, path))
                continue
            below = field.schema_class() if isinstance(field, Group) else None
            if isinstance(field, ListOf) and isinstance(field.inner, Group) and isinstance(inner, Mapping):
                for index, item in inner.items():
                    found += field_errors(item, field.inner.schema_class(), *path, name, index)
                continue
            here = path if name == "_schema" else (*path, name)
            found += field_errors(inner, below, *here)
        return found
    return [
        FieldError(pointer(*path), getattr(message, "code", "invalid"), str(message), getattr(message, "allowed", None))
        for message in (messages if isinstance(messages, list) else [messages])
    ]


def _unknown(name: str, schema: Schema, path: tuple[str | int, ...]) -> FieldError:
    known = sorted(other for other, field in schema.fields.items() if not field.dump_only)
    if name in schema.fields:
        return FieldError(pointer(*path, name), "read_only", "is set by the server only")
    hint = did_you_mean(str(name), known)
    return FieldError(pointer(*path, str(name)[:200]), "unknown_field", f"there is no such field{hint}", known)
