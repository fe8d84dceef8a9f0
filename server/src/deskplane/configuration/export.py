"""The desk as a document that makes the same desk of an empty one, and what differs from what was declared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from deskplane.configuration import history, store
from deskplane.configuration.differences import differs
from deskplane.configuration.models import Claim, Manager
from deskplane.configuration.ownership import plain, value_at
from deskplane.configuration.plans import reference_to
from deskplane.configuration.store import Stored, key_of, sortable
from deskplane.kernel.compound import AnyJson, Group, TextMap
from deskplane.kernel.fields import Described
from deskplane.kernel.kind import Kind, State
from deskplane.kernel.secrets import secret_shown
from deskplane.kernel.work import Work


def export(work: Work, *, manager: str | None, full: bool) -> dict[str, Any]:
    """Kinds with objects, objects by key, fields in the schema's order; what is as every desk has it is left out.

    With a manager: the objects and fields that it declared. `full`: also fields that have their defaults.
    """
    claimed = _declared_paths(work, manager) if manager is not None else None
    found: dict[str, Any] = {}
    for kind in work.registry:
        if claimed is None:
            objects = store.load_all(work, kind)
            if kind.as_shipped is not None and not full:
                objects = [stored for stored in objects if not kind.as_shipped(stored.state)]
            items = [_item(kind, stored, None, full) for stored in objects]
        else:
            ids = list(claimed.get(kind.name, ()))
            objects = store.load_by_ids(work, kind, ids) if ids else []
            objects.sort(key=lambda stored: sortable(key_of(kind, stored.state)))
            items = [_item(kind, stored, claimed[kind.name][stored.id], full) for stored in objects]
        if items:
            found[kind.plural] = items
    return found


def _declared_paths(work: Work, manager: str) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = defaultdict(dict)
    statement = select(Claim.kind, Claim.object_id, Claim.declared).where(Claim.manager == manager)
    for row in work.session.execute(statement):
        found[row.kind][row.object_id] = set(row.declared)
    return found


def _item(kind: Kind, stored: Stored, declared: set[str] | None, full: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, part in kind.written.items():
        value = stored.state.get(name)
        if name in kind.key:
            if value is not None:
                found[name] = value
        elif isinstance(part, Group):
            inner = {
                inner_name: _value(
                    kind, stored.state, f"{name}.{inner_name}", inner_part, (value or {}).get(inner_name)
                )
                for inner_name, inner_part in part.parts.items()
                if _told(inner_part, (value or {}).get(inner_name), f"{name}.{inner_name}", declared, full)
            }
            if inner:
                found[name] = inner
        elif _told(part, value, name, declared, full):
            found[name] = _value(kind, stored.state, name, part, value)
    return found


def _told(part: Described, value: Any, path: str, declared: set[str] | None, full: bool) -> bool:
    if part.secret and value is None:
        return False
    if declared is not None:
        return path in declared or part.must_have
    return full or part.must_have or differs(value, part.initial())


def _value(kind: Kind, state: State, path: str, part: Described, value: Any) -> Any:
    if value is None:
        return None
    if part.secret:
        return {"$secret": reference_to(kind, state, path)}
    shown = part.output(value)
    return _ordered(shown) if isinstance(part, (AnyJson, TextMap)) else shown


def _ordered(value: Any) -> Any:
    """Free maps in the order of their names: databases have orders of their own."""
    if isinstance(value, Mapping):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def drift(work: Work, *, manager: str | None) -> list[dict[str, Any]]:
    """Each field that differs from what a manager declared last: declared and now, who changed it, and when."""
    statement = select(Claim, Manager.revision).join(Manager, Manager.name == Claim.manager)
    if manager is not None:
        statement = statement.where(Claim.manager == manager)
    by_kind: dict[str, list[tuple[Claim, str | None]]] = defaultdict(list)
    for claim, revision in work.session.execute(statement):
        by_kind[claim.kind].append((claim, revision))
    found: list[dict[str, Any]] = []
    for kind in work.registry:
        claims = sorted(by_kind.get(kind.name, ()), key=lambda pair: (sortable(tuple(pair[0].key)), pair[0].manager))
        found += _drifted(work, kind, claims)
    return found


def _drifted(work: Work, kind: Kind, claims: list[tuple[Claim, str | None]]) -> list[dict[str, Any]]:
    ids = sorted({claim.object_id for claim, _revision in claims})
    there = {stored.id: stored for stored in store.load_by_ids(work, kind, ids)} if ids else {}
    found: list[dict[str, Any]] = []
    for claim, revision in claims:
        stored = there.get(claim.object_id)
        key = dict(zip(kind.key, claim.key, strict=True))
        about = {
            "kind": kind.name,
            "key": key,
            "label": kind.label(key),
            "id": claim.object_id,
            "manager": claim.manager,
            "revision": revision,
        }
        if stored is None:
            found.append({**about, "change": "deleted", "field": None, "before": None, "after": None})
            continue
        differing = [
            (path, _shown(kind, path, declared), _shown(kind, path, value_at(stored.state, path)))
            for path, declared in sorted(claim.declared.items())
            if not _by_reference(kind, path, declared)
            and differs(declared, plain(value_at(stored.state, path)))
            and not (path in kind.secrets and work.vault.are_one(declared, value_at(stored.state, path)))
        ]
        if claim.owns:
            differing += [(name, key[name], stored.state[name]) for name in kind.key if key[name] != stored.state[name]]
        found += [
            {**about, "change": "field", "field": path, "before": before, "after": after}
            for path, before, after in differing
        ]
    touched = history.latest(work, kind.name, sorted({item["id"] for item in found})) if found else {}
    for item in found:
        who, when = touched.get((item["id"], item["field"]), (None, None))
        item |= {"who": who, "when": when}
    return found


def _by_reference(kind: Kind, path: str, declared: Any) -> bool:
    return path in kind.secrets and isinstance(declared, dict)


def _shown(kind: Kind, path: str, value: Any) -> Any:
    if path in kind.secrets:
        return secret_shown(value)
    return plain(value)
