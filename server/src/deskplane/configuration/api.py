"""The endpoints that every kind has, made from its declaration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema

from deskplane.configuration import desk_api, memberships_api, owners, store
from deskplane.configuration.desk_api import PLANNING, TOO_MANY_TRIES, manager_fields
from deskplane.configuration.documents import declaring_options
from deskplane.configuration.entries import Document, Outcome
from deskplane.configuration.ownership import Declaration
from deskplane.configuration.purging import purge
from deskplane.configuration.service import Reconciliation, lock_configuration
from deskplane.kernel import pagination
from deskplane.kernel.compound import object_schema
from deskplane.kernel.db import Database
from deskplane.kernel.etag import etag, not_modified, require_match
from deskplane.kernel.fields import Choice, Described, Flag, Text, Whole
from deskplane.kernel.kind import Kind, Registry
from deskplane.kernel.operation import Between, Call, Operation, Reply
from deskplane.kernel.outcome import outcome_schema
from deskplane.kernel.problem import not_found


def _schema(name: str, parts: dict[str, Any], *bases: type[Schema], **attributes: Any) -> type[Schema]:
    return type(name, (*bases, Schema), {**parts, **attributes})


def dry_run_fields() -> dict[str, Described]:
    """The query parameters of every apply."""
    return {
        "dry_run": Flag("Answer what the call would do, and do nothing.", default=False),
        "allow_unresolved": Flag(
            "In a dry run: report references to what is not there yet under unresolved, instead of refusing them.",
            default=False,
        ),
    }


class Deletion(Schema):
    """How to delete."""

    cascade = Flag("Delete along what depends on it.", default=False)


class SoftDeletion(Schema):
    """How to delete what is otherwise kept, to be brought back."""

    purge = Flag("Delete it for good, now or after it was deleted; nothing brings it back.", default=False)


class KindOperations:
    """The views of one kind."""

    def __init__(self, kind: Kind, registry: Registry) -> None:
        self.kind = kind
        self.word = "".join(part.title() for part in kind.name.split("_"))
        options: dict[str, Any] = {**declaring_options(kind), **manager_fields()}
        bases = (kind.schema,) + ((kind.options,) if kind.options else ())
        self.option_names = {*options, *(kind.options().fields if kind.options else ())}
        required = kind.key[-1]
        self.apply_schema = _schema(f"{self.word}Apply", options, *bases, always=kind.naming)
        self.patch_schema = _schema(f"{self.word}Patch", {}, kind.schema, always=())
        filters: dict[str, Any] = {
            "limit": Whole("How many objects a page has.", least=1, most=pagination.MAX_LIMIT, default=50),
            "cursor": Text("The next_cursor of the page before.", longest=2000),
            "sort": Choice("Order.", (required, f"-{required}", "created_at", "-created_at"), default=required),
        }
        for name in (*kind.key, *kind.filters):
            filters[name] = Text(f"Only objects with this {name}.", longest=254)
        self.list_schema = _schema(f"{self.word}List", filters)
        model = kind.model
        key_column = getattr(model, required)
        self.orders = {
            required: pagination.Order(
                ((key_column, False), (model.id, False)), lambda stored: (stored.state[required], stored.id)
            ),
            f"-{required}": pagination.Order(
                ((key_column, True), (model.id, True)), lambda stored: (stored.state[required], stored.id)
            ),
            "created_at": pagination.Order(
                ((model.created_at, False), (model.id, False)), lambda stored: (stored.created_at, stored.id)
            ),
            "-created_at": pagination.Order(
                ((model.created_at, True), (model.id, True)), lambda stored: (stored.created_at, stored.id)
            ),
        }

    def apply(self, call: Call) -> Reply:
        """POST /<kind>/apply"""
        document = self._document(call)
        if owners.only_owns(call, self.kind):
            lock_configuration(call)
            stored = store.load_by_keys(call, self.kind, [document.key]).get(document.key)
            owners.require_own(call, self.kind, stored, document.given)
        outcome = self._reconcile(call, document)
        answer = outcome_document(self.kind, outcome, dry_run=call.dry_run)
        headers = {"ETag": etag(outcome.version)} if outcome.version and outcome.action != "delete" else {}
        created = outcome.action == "create" and not call.dry_run
        return Reply(answer, 201 if created else 200, headers)

    def prepare(self, call: Call) -> Between:
        """What must be worked out before the write lock is taken."""
        prepared = self._prepared(call)

        def run(database: Database) -> dict[str, Any]:
            if self.kind.work_out is not None:
                self.kind.work_out(call, database, [prepared])
            return prepared

        return Between(run)

    def _prepared(self, call: Call) -> dict[str, Any]:
        assert self.kind.prepare is not None
        given = {name: value for name, value in call.body.items() if name in self.kind.written}
        if "id" not in call.path:
            return self.kind.prepare(call, [(given, call.body)])[0]
        stored = store.load_by_id(call, self.kind, call.path["id"])
        keys = {name: stored.state[name] for name in self.kind.key} if stored else {}
        # a change of one object says what it wants: here a password is always set
        return self.kind.prepare(call, [({**given, **keys}, {"update_password": "always"})])[0]

    def _document(self, call: Call) -> Document:
        body = call.body
        return Document(
            self.kind,
            given={name: value for name, value in body.items() if name in self.kind.written},
            absent=body.get("state") == "absent",
            renamed_from=body.get("renamed_from"),
            options={name: value for name, value in body.items() if name in self.option_names},
            prepared=call.prepared or {},
            if_match=call.if_match,
        )

    def _reconcile(self, call: Call, document: Document) -> Outcome:
        body = call.body
        declaration = Declaration(
            manager=body.get("manager"),
            revision=body.get("revision"),
            adopt=bool(body.get("adopt")),
            force=bool(body.get("force")),
        )
        work = Reconciliation(call, declaration, allow_unresolved=bool(call.query.get("allow_unresolved")))
        return work.apply([document])[0].outcome

    def list(self, call: Call) -> Reply:
        """GET /<kind>"""
        kind, query = self.kind, call.query
        chosen = store.selection(call, kind)
        statement = chosen.statement.where(*kind.alive())
        condition = kind.visible(call.actor) if kind.visible else None
        if condition is not None:
            statement = statement.where(condition)
        for name in (*kind.key, *kind.filters):
            if query[name] is not None:
                statement = statement.where(chosen.key_columns[name] == kind.spelled(name, query[name]))
        order = pagination.choose(self.orders, query["sort"])
        scope = f"{kind.name} {query['sort']}"
        statement = pagination.page(
            statement, order, scope=scope, cursor=query["cursor"], limit=query["limit"], vault=call.vault
        )
        rows, following = pagination.cut(
            chosen.fetch(call, statement), order, scope=scope, limit=query["limit"], vault=call.vault
        )
        return Reply({"items": [store.document(kind, row) for row in rows], "next_cursor": following})

    def get(self, call: Call) -> Reply:
        """GET /<kind>/{id}"""
        stored = self._stored(call)
        found = store.document(self.kind, stored)
        tag = etag(stored.version, found)
        if not_modified(call.if_none_match, tag):
            return Reply(None, 304, {"ETag": tag})
        return Reply(found, 200, {"ETag": tag})

    def patch(self, call: Call) -> Reply:
        """PATCH /<kind>/{id}"""
        lock_configuration(call)
        stored = self._stored(call)
        require_match(call.if_match, stored.version)
        given = {name: value for name, value in call.body.items() if name in self.kind.written}
        if owners.only_owns(call, self.kind):
            owners.require_own(call, self.kind, stored, given)
        keys = {name: stored.state[name] for name in self.kind.key}
        document = Document(self.kind, {**keys, **given}, prepared=call.prepared or {}, subject=stored)
        Reconciliation(call).apply([document])
        found = store.load_by_id(call, self.kind, stored.id)
        assert found is not None
        shown = store.document(self.kind, found)
        return Reply(shown, 200, {"ETag": etag(found.version, shown)})

    def delete(self, call: Call) -> Reply:
        """DELETE /<kind>/{id}"""
        lock_configuration(call)
        for_good = bool(call.query.get("purge"))
        stored = self._stored(call, deleted=for_good)
        if owners.only_owns(call, self.kind):
            owners.require_own(call, self.kind, stored, {})
        require_match(call.if_match, stored.version)
        keys = {name: stored.state[name] for name in self.kind.key}
        Reconciliation(call).apply([Document(self.kind, keys, absent=True, options=call.query, subject=stored)])
        if for_good:
            purge(call, self.kind, stored)
        return Reply(None, 204)

    def _stored(self, call: Call, *, deleted: bool = False) -> store.Stored:
        stored = store.load_by_id(call, self.kind, call.path["id"], deleted=deleted)
        if stored is None:
            raise not_found()
        return stored


def outcome_document(kind: Kind, outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """What an apply answers. What only the server assigns is null in a dry run of a creation."""
    after = store.shown(kind, outcome.after)
    if after is not None:
        after = {"id": None if dry_run and outcome.action == "create" else outcome.id, **after}
    before = store.shown(kind, outcome.before)
    if before is not None:
        before = {"id": outcome.id, **before}
    return {
        "changed": outcome.action != "none",
        "action": outcome.action,
        "changes": outcome.changes,
        "before": before,
        "after": after,
        "unresolved": outcome.unresolved,
        "warnings": outcome.warnings,
        "adopted": outcome.adopted,
        "released": outcome.released,
        **outcome.extra,
    }


def operations(registry: Registry) -> Iterable[Operation]:
    """Every operation on the whole desk, and of every kind."""
    yield from desk_api.operations(registry)
    yield from memberships_api.operations()
    for kind in registry:
        yield from kind_operations(kind, registry)


def kind_operations(kind: Kind, registry: Registry) -> Iterable[Operation]:
    """The operations of one kind."""
    views = KindOperations(kind, registry)
    owned = kind.owned_by is not None
    theirs = " Owners of a customer may do it to what is theirs, without a permission." if owned else ""
    base = f"/api/v1/{kind.path}"
    moments: dict[str, Any] = {"type": ["string", "null"], "format": "date-time"}
    thing = object_schema(
        kind.fields,
        answer=True,
        extra={"id": {"type": ["string", "null"]}, "created_at": moments, "updated_at": moments},
    )
    listed = pagination.page_schema(thing)
    query = _schema(f"{views.word}ApplyQuery", dry_run_fields())
    outcome = outcome_schema(thing)
    reading = (kind.permission, *kind.readers, PLANNING)
    prepare = views.prepare if kind.prepare else None
    refusals = TOO_MANY_TRIES if kind.work_out else {}
    yield Operation(
        f"apply_{kind.name}",
        "POST",
        f"{base}/apply",
        views.apply,
        f"Say what a {kind.title} should be",
        kind.plural,
        permission=(kind.permission,),
        dry_permission=(PLANNING,),
        query=query,
        body=views.apply_schema,
        partial=True,
        write=True,
        # an answer that shows a new key once is not kept for a second time; a key's secret may come from the caller
        idempotency=kind.beside is None,
        prepare=prepare,
        refusals=refusals,
        answers={200: ("What changed, or would.", outcome), 201: ("It was made.", outcome)},
        owners=owned,
        description="Changes only the fields that are given; answers `none` and writes nothing where nothing differs."
        + theirs,
    )
    yield Operation(
        f"list_{kind.plural}",
        "GET",
        base,
        views.list,
        f"List the {kind.plural.replace('_', ' ')}",
        kind.plural,
        permission=reading,
        owners=owned,
        query=views.list_schema,
        answers={200: ("A page.", listed)},
    )
    yield Operation(
        f"get_{kind.name}",
        "GET",
        f"{base}/{{id}}",
        views.get,
        f"Read a {kind.title}",
        kind.plural,
        permission=reading,
        owners=owned,
        etag=True,
        answers={200: ("The object.", thing), 304: ("It is as it was.", None)},
    )
    yield Operation(
        f"update_{kind.name}",
        "PATCH",
        f"{base}/{{id}}",
        views.patch,
        f"Change fields of a {kind.title}",
        kind.plural,
        permission=(kind.permission,),
        body=views.patch_schema,
        partial=True,
        write=True,
        etag=True,
        prepare=prepare,
        refusals=refusals,
        owners=owned,
        description=theirs.strip(),
        answers={200: ("The object.", thing)},
    )
    if not kind.fixed:
        yield Operation(
            f"delete_{kind.name}",
            "DELETE",
            f"{base}/{{id}}",
            views.delete,
            f"Delete a {kind.title}",
            kind.plural,
            permission=(kind.permission,),
            query=Deletion if kind.cascades else SoftDeletion if kind.soft_delete else None,
            write=True,
            etag=True,
            owners=owned,
            description=theirs.strip(),
            answers={204: ("It is gone.", None)},
        )
