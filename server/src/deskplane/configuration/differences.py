"""From what is declared and what is there to what should be, and what of it is new. No database here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from operator import is_
from typing import Any

from deskplane.kernel.compound import Group
from deskplane.kernel.crypto import Vault
from deskplane.kernel.fields import Described
from deskplane.kernel.kind import Kind, State
from deskplane.kernel.problem import FieldError, pointer
from deskplane.kernel.secrets import SECRET_SHOWN, SECRET_WANTED, SECRET_WANTED_SHOWN, SecretReference, secret_shown

Change = dict[str, Any]


def defaults(kind: Kind) -> State:
    """A new object of which nothing is declared."""
    return {name: part.initial() for name, part in kind.fields.items()}


def merged(
    kind: Kind,
    before: State | None,
    given: Mapping[str, Any],
    prepared: Mapping[str, Any],
    vault: Vault,
    errors: list[FieldError],
    *,
    made: bool,
) -> State:
    """What should be: the declared fields over what is there, or over the defaults. `made` says that the object is
    made, or brought back, by this.

    An explicit null is the default. Objects merge part by part. A secret that is the same as the stored one keeps
    the stored form, so that it is no change; `(secret)`, as it is shown, and a reference keep it too.
    """
    after = dict(before) if before is not None else defaults(kind)
    for name, value in given.items():
        part = kind.written.get(name)
        if part is None:
            continue
        current = before.get(name) if before is not None else None
        if part.secret and kind.prepare is not None:
            if name in prepared:
                anew = made and not isinstance(value, SecretReference)
                after[name] = prepared[name](None if anew else current)
            elif value == SECRET_SHOWN and not current:
                errors.append(_nothing_to_keep(name))
        else:
            new = _value(part, current, value, vault, (name,), errors)
            # the very same value stays in place, so that nobody has to compare it again
            after[name] = new if differs(current, new) else current
    return after


def _value(
    part: Described, current: Any, value: Any, vault: Vault, path: tuple[str, ...], errors: list[FieldError]
) -> Any:
    if value is None:
        return part.initial()
    if part.secret:
        return _sealed(current, value, vault, path, errors)
    if isinstance(part, Group):
        whole = dict(part.initial()) | dict(current or {})
        for name, inner in value.items():
            whole[name] = _value(part.parts[name], whole.get(name), inner, vault, (*path, name), errors)
        return whole
    return value


def _sealed(
    current: Any, value: str | SecretReference, vault: Vault, path: tuple[str, ...], errors: list[FieldError]
) -> Any:
    if isinstance(value, SecretReference) or value == SECRET_WANTED_SHOWN:
        return SECRET_WANTED if current is None else current
    if value == SECRET_SHOWN:
        if not current:
            errors.append(_nothing_to_keep(*path))
        return current
    if current:
        try:
            if vault.open(current) == value:
                return current
        except ValueError:
            pass  # sealed with a key that is gone: the declared secret takes its place
    return vault.seal(value)


def _nothing_to_keep(*path: str) -> FieldError:
    return FieldError(pointer(*path), "no_secret", "there is no stored secret to keep; give it")


def missing(kind: Kind, state: State) -> list[FieldError]:
    """Fields without which an object cannot be."""
    return [
        FieldError(pointer(name), "required", "is required")
        for name, part in kind.written.items()
        if part.must_have and state.get(name) is None
    ]


def changes(kind: Kind, before: State | None, after: State) -> list[Change]:
    """Each field that differs, objects part by part, secrets masked. For a new object, what is not the default."""
    found: list[Change] = []
    for name, part in kind.written.items():
        old = before.get(name) if before is not None else None
        new = after.get(name)
        if before is not None and old is new:
            continue  # of what is not declared, the very same values stand in both
        if before is None and name not in kind.key and not differs(new, part.initial()):
            continue
        if isinstance(part, Group):
            for inner, inner_part in part.parts.items():
                inner_old = (old or {}).get(inner)
                inner_new = (new or {}).get(inner)
                if before is None and not differs(inner_new, inner_part.initial()):
                    continue
                if differs(inner_old, inner_new):
                    found.append(_change(f"{name}.{inner}", inner_part, inner_old, inner_new))
        elif differs(old, new):
            found.append(_change(name, part, old, new))
    return found


def _change(name: str, part: Described, old: Any, new: Any) -> Change:
    def show(value: Any) -> Any:
        if value is None:
            return None
        return secret_shown(value) if part.secret else part.output(value)

    return {"field": name, "before": show(old), "after": show(new)}


def fields_changed(before: State, after: State) -> State:
    """The fields that differ, with their new values."""
    # as a rule nothing is new, and then every value is the very one that was there (see `merged`)
    if len(before) == len(after) and all(map(is_, before, after)) and all(map(is_, before.values(), after.values())):
        return {}
    found: State = {}
    for name, value in after.items():
        old = before.get(name)
        if old is not value and differs(old, value):
            found[name] = value
    return found


def differs(old: Any, new: Any) -> bool:
    """Whether two values are two. To Python true is 1, in JSON it is not."""
    if old is new:
        return False
    if old != new:
        return True
    if isinstance(old, (str, datetime)) or old is None:
        return False
    if isinstance(old, dict):
        # equal text is the same text
        return any(value.__class__ is not str and differs(value, new[name]) for name, value in old.items())
    if isinstance(old, list):
        return any(map(differs, old, new))
    return isinstance(old, bool) is not isinstance(new, bool)
