"""The endpoints of the whole desk: plan, apply, export, drift, and the JSON Schema of its document."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from marshmallow import Schema

from deskplane.configuration import history_api, simulation, unchanged
from deskplane.configuration.documents import DeskDocuments
from deskplane.configuration.entries import Document
from deskplane.configuration.export import drift, export
from deskplane.configuration.ownership import DISABLE, REFUSE, Declaration
from deskplane.configuration.plans import plan
from deskplane.configuration.service import Reconciliation
from deskplane.configuration.troubles import Troubles
from deskplane.kernel.db import Database
from deskplane.kernel.fields import Choice, Described, Flag, Text, Whole, refuse, type_name
from deskplane.kernel.http import planning
from deskplane.kernel.kind import Kind, Registry
from deskplane.kernel.operation import Between, Call, Operation, Reply
from deskplane.kernel.problem import Problem

PLANNING = "configuration:plan"
TAG = "configuration"
MANAGER: dict[str, Any] = {
    "longest": 200,
    "pattern": "[A-Za-z0-9][A-Za-z0-9:._/@+-]*",
    "pattern_hint": "must be letters, digits and : . _ / @ + - and begin with a letter or digit, such as git:helpdesk",
}


def manager_fields() -> dict[str, Described]:
    """Who declares, and how it is meant where others have declared before."""
    return {
        "manager": Text("Who declares this, such as C(git:helpdesk); it owns the fields that are given.", **MANAGER),
        "revision": Text("What of the manager's this is, such as a commit.", longest=200),
        "adopt": Flag("Become the owner of what has none.", default=False),
        "force": Flag("Take over what another manager owns.", default=False),
    }


TOO_MANY_TRIES = {429: "A password was compared with the stored one too often; Retry-After says when it may be again."}
"""What operations answer besides that may be used to find out a password."""
Read = tuple[list[Document], tuple[Kind, ...], Troubles]
"""What a document says, the kinds that it lists, and what is wrong with it."""


class DeskDocument(Described):
    """A whole desk's document. It is read when it is known who asks; here only that it is one."""

    json_type = "dict"

    def __init__(self, description: str, documents: DeskDocuments) -> None:
        super().__init__(description, required=True)
        self.documents = documents

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise refuse("wrong_type", f"must be an object of lists, got {type_name(value)}")
        return value

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        objects = {"type": "array", "items": {"type": "object"}}
        return {
            "type": "object",
            "properties": dict.fromkeys(self.documents.items, objects),
            "additionalProperties": False,
        }


class ExportQuery(Schema):
    """What to export."""

    manager = Text("Only what this manager declared.", longest=200)
    full = Flag("Also fields that have their defaults, and what is as every desk has it.", default=False)


class DriftQuery(Schema):
    """Whose declarations to compare with."""

    manager = Text("Only what this manager declared.", longest=200)


class DeskOperations:
    """The views of the whole desk."""

    def __init__(self, registry: Registry) -> None:
        self.documents = DeskDocuments(registry)
        self.schema = self.documents.json_schema()
        common: dict[str, Any] = {
            "configuration": DeskDocument("Every kind's objects, as lists under its plural.", self.documents),
            **manager_fields(),
            "prune": Flag(
                "Delete what this manager owns, of the kinds that are listed, and declares no more.", default=False
            ),
            "max_deletions": Whole("More deletions by prune than this are refused.", default=10),
            "on_blocked": Choice(
                "What becomes of a pruned object that something depends on.", (REFUSE, DISABLE), default=REFUSE
            ),
        }
        unresolved = Flag("Report references to what is not there, instead of refusing them.", default=False)
        digest = Text("Digest of the plan that was reviewed; another plan is refused.", shortest=1, longest=100)
        always = {"always": ("configuration",)}
        self.plan_schema = type("DeskPlan", (Schema,), {**common, "allow_unresolved": unresolved, **always})
        self.apply_schema = type("DeskApply", (Schema,), {**common, "plan_digest": digest, **always})

    def prepare(self, call: Call) -> Between | None:
        """Reads the document, and hashes what is hashed, before the write lock is taken. Null for one that is known to
        change nothing."""
        if unchanged.known(call, unchanged.name_of(call)) is not None:
            return None
        with _uncollected():
            read = self._read(call)

        def run(database: Database) -> Read:
            for kind in call.registry:
                if kind.work_out is not None:
                    kind.work_out(call, database, [each.prepared for each in read[0] if each.kind is kind])
            return read

        return Between(run)

    def _read(self, call: Call) -> Read:
        troubles = Troubles()
        documents, kinds = self.documents.read(call.body["configuration"], troubles)
        _may(call, kinds)
        hashed: dict[str, list[Document]] = defaultdict(list)
        for document in documents:
            if document.kind.prepare is not None:
                hashed[document.kind.name].append(document)
        for name, found in hashed.items():
            prepare = call.registry[name].prepare
            assert prepare is not None
            for document, prepared in zip(
                found, prepare(call, [(each.given, each.options) for each in found]), strict=True
            ):
                document.prepared = prepared
        return documents, kinds, troubles

    def plan(self, call: Call) -> Reply:
        """POST /configuration/plan"""
        return Reply(self._run(call))

    def apply(self, call: Call) -> Reply:
        """POST /configuration/apply"""
        found = self._run(call)
        wanted = call.body.get("plan_digest")
        if wanted is not None and wanted != found["digest"]:
            raise Problem(
                409,
                "plan_changed",
                "the desk or the document is not what the plan was made of; look at the new plan",
                extra={"plan": found},
            )
        return Reply(found)

    def _run(self, call: Call) -> dict[str, Any]:
        name = unchanged.name_of(call)
        found = unchanged.known(call, name)
        if found is None:
            with _uncollected():
                found = self._reconcile(call)
            unchanged.remember(call, name, found)
        return found

    def _reconcile(self, call: Call) -> dict[str, Any]:
        # what was known to change nothing may do so now, if somebody was quicker
        documents, kinds, troubles = call.prepared or self._read(call)
        # a transaction that lost a race is run anew, with what the first run knew nothing of
        troubles = Troubles(list(troubles.errors), list(troubles.conflicts))
        _may(call, kinds)
        body = call.body
        manager = body.get("manager")
        for name in ("prune", "adopt", "force"):
            if body.get(name) and manager is None:
                troubles.bad((), (name,), "needs_manager", "needs a manager, in whose name it is done")
        most = body.get("max_deletions")
        declaration = Declaration(
            manager=manager,
            revision=body.get("revision"),
            prune=bool(body.get("prune")),
            max_deletions=10 if most is None else most,
            on_blocked=body.get("on_blocked") or REFUSE,
            adopt=bool(body.get("adopt")),
            force=bool(body.get("force")),
            kinds=kinds,
        )
        run = Reconciliation(call, declaration, allow_unresolved=bool(body.get("allow_unresolved")), troubles=troubles)
        return plan(run, run.apply(documents))

    def export(self, call: Call) -> Reply:
        """GET /configuration"""
        manager = call.query["manager"]
        found = {"configuration": export(call, manager=manager, full=call.query["full"])}
        return Reply({"manager": manager, **found} if manager is not None else found)

    def drift(self, call: Call) -> Reply:
        """GET /configuration/drift"""
        items = drift(call, manager=call.query["manager"])
        return Reply({"drifted": bool(items), "items": items})

    def json_schema(self, call: Call) -> Reply:
        """GET /configuration/schema.json"""
        return Reply(self.schema)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: everything that a run makes stays until its end, and looking through it again and
    again took a quarter of its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _may(call: Call, kinds: Iterable[Kind]) -> None:
    """Who plans needs `configuration:plan`, and sees what someone with every right would do; who applies, or plans
    without it, needs the permission of every kind that the document lists. Raises 403."""
    if call.dry_run and call.actor.may(PLANNING):
        call.actor = planning(call.actor)
        return
    for kind in kinds:
        call.actor.need(kind.permission)


def _answer() -> dict[str, Any]:
    objects = {"type": "array", "items": {"type": "object"}}
    text: dict[str, Any] = {"type": ["string", "null"]}
    properties = {
        "changed": {"type": "boolean"},
        "manager": text,
        "revision": text,
        "digest": {"type": "string"},
        "summary": {"type": "object", "additionalProperties": {"type": "integer"}},
        "changes": objects,
        "needs_secret": objects,
        "unresolved": objects,
        "not_declared": objects,
        "warnings": {"type": "array", "items": {"type": "string"}},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def operations(registry: Registry) -> Iterable[Operation]:
    """Plan, apply, export, drift, schema."""
    views = DeskOperations(registry)
    base = "/api/v1/configuration"
    permissions = tuple(dict.fromkeys(kind.permission for kind in registry))
    document = {"type": "object", "required": ["configuration"], "properties": {"configuration": {"type": "object"}}}
    drifted = {
        "type": "object",
        "required": ["drifted", "items"],
        "properties": {"drifted": {"type": "boolean"}, "items": {"type": "array", "items": {"type": "object"}}},
    }
    yield Operation(
        "plan_configuration",
        "POST",
        f"{base}/plan",
        views.plan,
        "Say what an apply of a desk's document would do",
        TAG,
        permission=(PLANNING, *permissions),
        dry=True,
        large=True,
        body=views.plan_schema,
        partial=True,
        write=True,
        prepare=views.prepare,
        refusals=TOO_MANY_TRIES,
        answers={200: ("What would change.", _answer())},
        description=(
            f"Needs {PLANNING}, or the permission of each kind that is listed. It is the apply itself, rolled back."
        ),
    )
    yield Operation(
        "apply_configuration",
        "POST",
        f"{base}/apply",
        views.apply,
        "Bring the desk to what a document says",
        TAG,
        permission=permissions,
        large=True,
        body=views.apply_schema,
        partial=True,
        write=True,
        idempotency=True,
        prepare=views.prepare,
        refusals=TOO_MANY_TRIES,
        answers={200: ("What changed.", _answer())},
        description="All or nothing, in one transaction. Needs the permission of each kind that is listed.",
    )
    yield Operation(
        "export_configuration",
        "GET",
        base,
        views.export,
        "Export the desk as a document that makes the same desk of an empty one",
        TAG,
        permission=(PLANNING,),
        query=ExportQuery,
        answers={200: ("The document.", document)},
    )
    yield Operation(
        "configuration_drift",
        "GET",
        f"{base}/drift",
        views.drift,
        "Say what differs from what was declared, who changed it, and when",
        TAG,
        permission=(PLANNING,),
        query=DriftQuery,
        answers={200: ("What differs.", drifted)},
    )
    yield history_api.operation(registry)
    yield from simulation.operation(registry)
    yield Operation(
        "configuration_schema",
        "GET",
        f"{base}/schema.json",
        views.json_schema,
        "JSON Schema of a desk's document, for editors",
        TAG,
        public=True,
        answers={200: ("The schema.", {"type": "object"})},
    )
