"""Rules of settings, those that they lay upon lower rooms' kinds, and what becomes of those that name an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import select, update

from deskplane.desks.models import Setting
from deskplane.desks.settings import SETTINGS, setting
from deskplane.kernel.kind import Check, Registry, Written
from deskplane.kernel.work import Work

NAMING = {"workflow.default": "workflow", "department.default": "department"}
"""Settings that name an object, and of which kind."""


def check_password(found: Check) -> None:
    """A new password is one that the desk takes."""
    password, kept = found.given.get("password"), found.after.get("password")
    if not isinstance(password, str) or not kept or kept == (found.before or {}).get("password"):
        return  # the stored one stays, also where the desk has come to ask for more, or it is still wanted
    for code, detail, allowed in password_troubles(found.work, password):
        found.refuse("password", code, detail, allowed)


def password_troubles(work: Work, password: str) -> list[tuple[str, str, Any]]:
    """What is wrong with a new password: code, words, and what is allowed."""
    least = setting(work, "password.min_length")
    if len(password) < least:
        return [("too_short", f"must have at least {least} characters", least)]
    if password in work.breached:
        return [("breached", "is known to everyone who guesses passwords; choose another", None)]
    return []


def check_department(found: Check) -> None:
    """A clean-up that can close nothing was not meant so."""
    cleanup = found.after["cleanup"]
    if cleanup["close_after_days"] is not None and not cleanup["close_statuses"]:
        found.warnings.append(
            f"the clean-up of the department {found.after['name']} closes nothing: cleanup.close_statuses is empty"
        )


def check_setting(found: Check) -> None:
    """The value must be one of the setting's own type, and name what there is; a secret is no value."""
    key = found.after["key"]
    part = SETTINGS.get(key)
    if part is None:
        return
    if part.secret:
        if found.after["value"] is not None:
            found.refuse("value", "not_allowed", f"{key} is a secret: give it as secret, which is never shown")
        return
    if found.after["secret"] is not None:
        found.refuse("secret", "not_allowed", f"{key} is no secret: give it as value")
    value = found.after["value"]
    if value is None:
        found.after["value"] = part.initial()
        return
    try:
        found.after["value"] = part.output(part.deserialize(value))
    except ValidationError as error:
        for message in _messages(error.messages):
            code, allowed = getattr(message, "code", "invalid"), getattr(message, "allowed", None)
            found.refuse("value", code, f"{key} {message}", allowed)
        return
    kind, name = NAMING.get(key), found.after["value"]
    if kind is not None and not found.exists(kind, name):
        found.unknown("value", kind, name)


def _messages(found: object) -> list[object]:
    """The messages of an error: of a list, those of all its items."""
    if isinstance(found, dict):
        return [message for inner in found.values() for message in _messages(inner)]
    return list(found) if isinstance(found, list) else [found]


def follow_names(written: Sequence[Written]) -> None:
    """A setting that names an object goes on naming it when that is renamed; one that is declared together with it
    names what it declares."""
    naming: dict[str, list[str]] | None = None
    for one in written:
        if one.before is None or one.after is None:
            continue
        old, new = (state[one.kind.key[0]] for state in (one.before, one.after))
        if old != new:
            naming = _naming(one.work, one.kind.name) if naming is None else naming
            for key in naming.get(old, ()):
                if ("setting", (key,)) not in one.declared:
                    _set(one.work, key, new)
                    one.warnings.append(f"the setting {key} names it, and follows")


def _naming(work: Work, kind: str) -> dict[str, list[str]]:
    """By the names of objects, the keys of the settings that name them."""
    found: dict[str, list[str]] = {}
    for key, target in NAMING.items():
        if target == kind:
            found.setdefault(setting(work, key), []).append(key)
    return found


def _set(work: Work, key: str, value: object) -> None:
    work.session.execute(
        update(Setting)
        .where(Setting.key == key)
        .values(value=value, version=Setting.version + 1, updated_at=work.clock.now())
    )


def _named(work: Work, kind: str, ids: Sequence[str]) -> dict[str, list[str]]:
    """By the ids of objects, the keys of the settings that name them."""
    target, naming = work.registry[kind], _naming(work, kind)
    rows = work.session.execute(select(target.model.id, target.key_column).where(target.model.id.in_(ids)))
    return {object_id: naming[name] for object_id, name in rows if name in naming}


def register(registry: Registry) -> None:
    """Hooks the rules into the kinds that settings are about."""
    registry.checks["user"].append(check_password)
    for kind in set(NAMING.values()):

        def settings_of(work: Work, ids: Sequence[str], kind: str = kind) -> dict[str, list[str]]:
            found = _named(work, kind, ids)
            return {object_id: [f"setting {key}" for key in keys] for object_id, keys in found.items()}

        def forget(work: Work, ids: Sequence[str], kind: str = kind) -> None:
            # only where a cascade takes the object along; else the settings stand in the way
            for keys in _named(work, kind, ids).values():
                for key in keys:
                    _set(work, key, SETTINGS[key].initial())

        registry.on_written[kind].append(follow_names)
        registry.dependants[kind].append(settings_of)
        registry.deleting[kind].append(forget)
