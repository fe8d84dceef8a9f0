"""What a run over a whole desk answers: each object that changes, what is adopted and released, and a digest of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from deskplane.configuration.entries import Entry
from deskplane.configuration.ownership import paths, value_at
from deskplane.configuration.service import Reconciliation
from deskplane.configuration.store import Stored, key_of, sortable
from deskplane.kernel.kind import Kind, State
from deskplane.kernel.problem import pointer
from deskplane.kernel.secrets import SECRET_WANTED

ACTIONS = ("create", "update", "delete", "none")


def reference_to(kind: Kind, state: State, path: str) -> str:
    """How a document refers to a stored secret: `department/support/imap.password`. A slash in a name is written as in
    a JSON pointer: two secrets of one reference would get the same value from whoever gives them."""
    names = [str(part).replace("~", "~0").replace("/", "~1") for part in key_of(kind, state) if part is not None]
    return "/".join([kind.name, *names, path])


def plan(run: Reconciliation, entries: Sequence[Entry]) -> dict[str, Any]:
    """The answer to a plan and to an apply alike."""
    order = {kind.name: position for position, kind in enumerate(run.work.registry)}

    def place(entry: Entry) -> Any:
        return (order[entry.kind.name], sortable(entry.key))

    everything = [*entries, *run.released]
    summary = dict.fromkeys((*ACTIONS, "adopt", "release"), 0)
    for entry in entries:
        summary[entry.outcome.action] += 1
    for entry in everything:
        summary["adopt"] += entry.outcome.adopted
        summary["release"] += len(entry.outcome.released)
    told = sorted(filter(_has_something_to_tell, everything), key=place)
    needs_secret = sorted(((entry, path) for entry in everything for path in _wanted(entry)), key=lambda f: place(f[0]))
    changes = [_change(entry, dry_run=run.work.dry_run) for entry in told]
    return {
        "changed": any(entry.outcome.action != "none" for entry in told),
        "manager": run.declaration.manager,
        "revision": run.declaration.revision,
        "digest": _digest(run, told, changes),
        "summary": summary,
        "changes": changes,
        "needs_secret": [_needs_secret(entry, path) for entry, path in needs_secret],
        "unresolved": [
            {
                "pointer": pointer(*entry.document.place, *missing["field"].split(".")),
                "kind": missing["kind"],
                "name": missing["name"],
            }
            for entry in sorted((entry for entry in everything if entry.outcome.unresolved), key=place)
            for missing in entry.outcome.unresolved
        ],
        "not_declared": [_named(kind, stored) for kind, stored in _sorted(run.not_declared, order)],
        "warnings": [],
    }


def _has_something_to_tell(entry: Entry) -> bool:
    outcome = entry.outcome
    return outcome.action != "none" or outcome.adopted or bool(outcome.released) or bool(outcome.warnings)


def _sorted(objects: Iterable[tuple[Kind, Stored]], order: dict[str, int]) -> list[tuple[Kind, Stored]]:
    return sorted(objects, key=lambda found: (order[found[0].name], sortable(key_of(found[0], found[1].state))))


def _named(kind: Kind, stored: Stored) -> dict[str, Any]:
    return {
        "kind": kind.name,
        "key": dict(zip(kind.key, key_of(kind, stored.state), strict=True)),
        "label": kind.label(stored.state),
    }


def _change(entry: Entry, *, dry_run: bool) -> dict[str, Any]:
    outcome, document = entry.outcome, entry.document
    made = outcome.action == "create" and dry_run
    return {
        "kind": entry.kind.name,
        "key": dict(zip(entry.kind.key, entry.key, strict=True)),
        "label": entry.label,
        "action": outcome.action,
        "id": None if made and entry.stored is None else entry.id,
        "renamed_from": entry.renamed[-1] if entry.renamed is not None else None,
        "changes": outcome.changes,
        "adopted": outcome.adopted,
        "released": outcome.released,
        "pruned": document.pruned and not outcome.disabled,
        "disabled": outcome.disabled,
        "pointer": pointer(*document.place) if document.place else None,
        "warnings": outcome.warnings,
    }


def _wanted(entry: Entry) -> Sequence[str]:
    """The secrets that are declared by reference where none is stored."""
    after = entry.outcome.after
    return [path for path in entry.kind.secrets if value_at(after, path) == SECRET_WANTED] if after is not None else ()


def _needs_secret(entry: Entry, path: str) -> dict[str, Any]:
    return {
        "kind": entry.kind.name,
        "key": dict(zip(entry.kind.key, entry.key, strict=True)),
        "field": path,
        "secret": reference_to(entry.kind, entry.state, path),
    }


def _digest(run: Reconciliation, told: Sequence[Entry], changes: Sequence[dict[str, Any]]) -> str:
    """The same for the same changes, whoever looks. Secrets count by a keyed hash of them, which tells nobody else
    what they are; ids and places do not count, nor does the revision that the changes come from."""
    counted = []
    for entry, change in zip(told, changes, strict=True):
        left_out = {"id", "pointer", "warnings"}
        found = {name: value for name, value in change.items() if name not in left_out}
        found["secrets"] = {
            path: run.work.vault.signature(str(value_at(entry.document.given, path)).encode())
            for path in entry.kind.secrets
            if path in paths(entry.kind, entry.document.given)
            and any(changed["field"] == path for changed in entry.outcome.changes)
        }
        counted.append(found)
    text = orjson.dumps([run.declaration.manager, counted], option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    return f"sha256:{hashlib.sha256(text).hexdigest()}"
