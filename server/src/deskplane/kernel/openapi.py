"""The OpenAPI 3.1 document, from the operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from deskplane import __version__
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.cookies import CSRF_HEADER, HOST_PREFIX, SAFE_METHODS, SESSION
from deskplane.kernel.operation import Operation

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "allowed": {},
                },
            },
        },
    },
}


def _problem(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content}


def _statuses(operation: Operation) -> dict[int, str]:
    found = {404: "There is nothing, or it is not yours to see."} if "{" in operation.path else {}
    if operation.session:
        found |= {401: "Nobody is logged in.", 403: "A page of another site sent it, or an API key was sent."}
    elif not operation.public:
        found |= {401: "No key, or not a valid one.", 403: "A permission is missing."}
    if operation.body:
        found |= {
            400: "The body cannot be read.",
            408: "The body comes too slowly.",
            413: "The body is too large.",
            415: "The body is not JSON in UTF-8.",
            409: "It conflicts with something else.",
        }
    if operation.upload:
        found |= {400: "The body cannot be read.", 408: "The file comes too slowly.", 413: "The file is too large."}
    if operation.query:
        found[400] = "A cursor or a body cannot be read."
    found[422] = "Parameters or fields are invalid; all of them are named."
    if operation.write:
        found |= {409: "It conflicts with something else.", 507: "The disk is full."}
    if operation.etag and operation.write:
        found[412] = "The thing was changed since it was read."
    if operation.idempotency:
        found[400] = "The body or the Idempotency-Key cannot be read."
    found[429] = "Too many requests of this address, key or session, or too many tries; Retry-After says when to go on."
    found[503] = "The database is busy or out of reach."
    return found | dict(operation.refusals)


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.query:
        for name, part in described(operation.query()).items():
            schema = part._json_schema(False)
            if "enum" in schema and part.initial() is not None:
                schema["default"] = part.initial()
            found.append(
                {
                    "name": name,
                    "in": "query",
                    "required": False,
                    "description": part.description,
                    "schema": schema,
                    **({"style": "form", "explode": True} if part.json_type == "list" else {}),
                }
            )
    headers: list[tuple[str, str, dict[str, Any]]] = []
    if operation.session and operation.method not in SAFE_METHODS:
        headers.append((CSRF_HEADER, "The csrf_token of the session.", {}))
    if operation.idempotency:
        headers.append(
            ("Idempotency-Key", "The same key gives the same answer for a day.", {"pattern": "^[!-~]{1,200}$"})
        )
    if operation.etag:
        name = "If-Match" if operation.write else "If-None-Match"
        headers.append((name, "An entity tag that was answered before.", {}))
    if operation.upload:
        text = "The file's name, as in C(attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.txt) (RFC 6266)."
        headers.append(("Content-Disposition", text, {}))
    for name, text, extra in headers:
        found.append(
            {
                "name": name,
                "in": "header",
                "required": False,
                "description": text,
                "schema": {"type": "string", **extra},
            }
        )
    return found


def document(operations: Iterable[Operation], *, public_address: str = "") -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        entry: dict[str, Any] = {
            "operationId": operation.name,
            "summary": operation.summary,
            "tags": [operation.tag],
            "parameters": _parameters(operation),
            "responses": {},
        }
        if operation.description:
            entry["description"] = operation.description
        if operation.public:
            entry["security"] = []
        if operation.session:
            entry["security"] = [{"session": []}]
        if operation.permission:
            entry["x-permission"] = list(operation.permission)
            if operation.dry_permission:
                entry["x-permission-dry-run"] = list(operation.dry_permission)
        if operation.body:
            schema = operation.body()
            parts = described(schema)
            must = list(getattr(schema, "always", ()))
            entry["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": object_schema(parts, answer=False, required=must)}},
            }
        if operation.upload:
            kinds = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
            text = "The file. Its media type is kept, whatever it is."
            entry["requestBody"] = {"required": True, "description": text, "content": kinds}
        for status, (text, answer) in operation.answers.items():
            entry["responses"][str(status)] = {"description": text}
            if answer is not None:
                kind = answer.get("x-content-type", "application/json")
                entry["responses"][str(status)]["content"] = {kind: {"schema": answer}}
        for status, text in sorted(_statuses(operation).items()):
            entry["responses"].setdefault(str(status), _problem(text))
        if operation.query:
            entry["responses"]["414"] = {"description": "The address is too long; the HTTP server itself says so."}
        paths.setdefault(operation.path, {})[operation.method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Deskplane",
            "version": __version__,
            "description": "The management API. Every change of configuration goes through `apply`: say what should "
            "be, and the server answers what changed, or with `dry_run` what would.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": public_address or "/"}],
        "security": [{"bearer": []}, {"apiKey": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM_SCHEMA},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": f"{HOST_PREFIX}{SESSION}",
                    "description": f"Made by logging in. What changes something also sends `{CSRF_HEADER}`.",
                },
            },
        },
    }
