"""From a request to an answer: the one place where a transaction meets HTTP.

For each operation: read the body, open the transaction, know the caller, check his rights, look for a stored answer,
run the view, turn its answer into bytes, commit, and only then send. Whatever is raised on the way rolls back and
becomes a problem document.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import structlog
from flask import Flask, Request, Response, request
from marshmallow import RAISE, Schema, ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from deskplane import __version__
from deskplane.kernel import cookies, cors, headers, idempotency, jsonbody, throttle, uploads
from deskplane.kernel.actor import Actor
from deskplane.kernel.breached import BreachedPasswords
from deskplane.kernel.clock import Clock
from deskplane.kernel.compound import ListOf, described, field_errors
from deskplane.kernel.crypto import Vault
from deskplane.kernel.db import Database, translated
from deskplane.kernel.fields import Described
from deskplane.kernel.ids import new_short_id
from deskplane.kernel.kind import Registry
from deskplane.kernel.logging import logger
from deskplane.kernel.metrics import ANSWERS, REQUESTS
from deskplane.kernel.operation import Afterwards, Between, Call, Operation, Reply, Stream, Upload
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.problem import FieldError, Problem, forbidden, invalid, invalid_field, not_found, pointer
from deskplane.kernel.revision import Kept
from deskplane.kernel.safe_http import Client
from deskplane.kernel.throttle import Throttle

PROBLEM_JSON = "application/problem+json"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS

Authenticate = Callable[[Session, str, str | None, Clock], tuple[Actor, int]]
"""Session, API key, address of the caller, clock → who it is, and the configuration's revision. Raises 401."""
AuthenticateSession = Callable[[Session, str, Clock], tuple[Actor, int]]
"""Session of the database, token of the caller's own, clock → the same."""
LONGEST_CLIENT = 200
"""Characters that are kept of what a caller's program calls itself."""


@dataclass
class Server:
    """What all requests of a process share."""

    database: Database
    registry: Registry
    vault: Vault
    clock: Clock
    authenticate: Authenticate
    authenticate_session: AuthenticateSession
    public_address: str = ""
    max_document_bytes: int = 0
    kept: Kept = field(default_factory=Kept)
    outside: Client = field(default_factory=Client)
    breached: BreachedPasswords = field(default_factory=BreachedPasswords)
    throttle: Throttle = field(default_factory=Throttle)
    allowed_origins: frozenset[str] = frozenset()
    transport: str | None = None
    operations: list[Operation] = field(default_factory=list)


@dataclass(frozen=True)
class Credential:
    """What a caller shows: an API key, or the token of a session."""

    key: str | None = None
    token: str | None = None


NOBODY = Credential()


def credential(incoming: Request) -> str | None:
    """The API key of a request, from whichever of the three headers it came in."""
    header = incoming.headers.get("Authorization", "")
    if header:
        scheme, _, value = header.partition(" ")
        if scheme.lower() in {"bearer", "apikey"} and value.strip():
            return value.strip()
        return None
    return incoming.headers.get("X-API-Key")


def unauthenticated(detail: str) -> Problem:
    """401 (RFC 6750)."""
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="deskplane"'})


def encode(value: Any) -> bytes:
    """JSON bytes."""
    return orjson.dumps(value, option=_OPTIONS)


def _raw_body() -> bytes:
    most = request.max_content_length
    if most is not None:
        # one more: of a body that does not say how long it is, the stream would answer the beginning as if it were all
        request.max_content_length = most + 1
    raw = request.get_data(cache=False)
    if most is not None and len(raw) > most:
        raise RequestEntityTooLarge
    return raw


def _read_body(operation: Operation, schema: Schema | None, raw: bytes) -> dict[str, Any]:
    if schema is None:
        return {}
    kind = request.mimetype
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Problem(415, "not_json", "send the body as application/json")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in {"utf-8", "utf8"}:
        raise Problem(415, "not_utf8", "send the body as UTF-8")
    found = jsonbody.parse(raw)
    errors = [
        FieldError(pointer(name), "required", "is required")
        for name in getattr(schema, "always", ())
        if name not in found
    ]
    try:
        loaded: dict[str, Any] = schema.load(found, partial=operation.partial or None)
    except ValidationError as error:
        errors += field_errors(error.messages, schema)
    if errors:
        raise invalid(errors)
    return loaded


def _from_text(part: Described, text: str) -> Any:
    if part.json_type == "bool" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if part.json_type == "int" and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return text


def _read_query(schema: Schema | None, parts: Mapping[str, Described], others: bool = False) -> dict[str, Any]:
    defaults = {name: part.initial() for name, part in parts.items()}
    if not request.args:
        return defaults
    given: dict[str, Any] = {}
    for name, values in request.args.lists():
        part = parts.get(name)
        if part is None:
            if others:
                continue
            given[name] = values[0]  # the schema refuses it, and says what there is
        elif isinstance(part, ListOf):
            given[name] = [_from_text(part.inner, item) for text in values for item in text.split(",") if item]
        elif len(values) > 1:
            raise invalid_field(name, "repeated", "must be given once")
        else:
            given[name] = _from_text(part, values[0])
    if schema is None:
        raise invalid_field(next(iter(given)), "unknown_field", "this operation takes no query parameters")
    try:
        return {**defaults, **schema.load(given)}
    except ValidationError as error:
        raise invalid(field_errors(error.messages, schema)) from None


class Endpoint:
    """The view function of one operation."""

    def __init__(self, server: Server, operation: Operation) -> None:
        self.server = server
        self.operation = operation
        self.body_schema = operation.body(unknown=RAISE) if operation.body else None
        self.query_schema = operation.query(unknown=RAISE) if operation.query else None
        self.query_parts = described(self.query_schema) if self.query_schema else {}
        self.latency = REQUESTS.labels(operation.name)

    def __call__(self, **path: str) -> Response:
        begun = time.perf_counter()
        upload = uploads.announced(request) if self.operation.upload else None
        try:
            answer = self._answer(path, upload)
        except Problem as problem:
            answer = problem_response(problem)
        except DBAPIError as error:
            problem_or_error = translated(error)
            if not isinstance(problem_or_error, Problem):
                raise
            answer = problem_response(problem_or_error)
        finally:
            if upload is not None and upload.file is not None:
                upload.file.close()
            self.latency.observe(time.perf_counter() - begun)
        ANSWERS.labels(self.operation.name, str(answer.status_code)).inc()
        if self.operation.answered is not None:
            self.operation.answered(answer.status_code, self.server.clock.now())
        return answer

    def _answer(self, path: dict[str, str], upload: Upload | None) -> Response:
        operation, server = self.operation, self.server
        shown = self._shown()
        if operation.large:
            request.max_content_length = server.max_document_bytes
        raw = _raw_body() if self.body_schema is not None else b""
        # a caller learns that his body is bad only once he is known and allowed
        body: dict[str, Any] | Problem
        query: dict[str, Any] | Problem
        try:
            body = _read_body(operation, self.body_schema, raw)
        except Problem as problem:
            body = problem
        try:
            query = _read_query(self.query_schema, self.query_parts, operation.other_query)
        except Problem as problem:
            query = problem
        dry_run = operation.dry or (isinstance(query, dict) and bool(query.get("dry_run")))
        repeat = request.headers.get("Idempotency-Key") if operation.idempotency else None
        tokens = cookies.read_all(request)

        def call_for(session: Session) -> Call:
            actor, revision = self._caller(session, shown, dry_run)
            for part in (query, body):
                if isinstance(part, Problem):
                    raise part
            if repeat is not None:
                idempotency.checked(repeat)
            if any("\x00" in part for part in path.values()):
                raise not_found()  # PostgreSQL has no text that could hold it
            return Call(
                session=session,
                actor=actor,
                clock=server.clock,
                vault=server.vault,
                registry=server.registry,
                kept=server.kept,
                revision=revision,
                dry_run=dry_run,
                request_id=structlog.contextvars.get_contextvars().get("request_id"),
                address=request.remote_addr,
                client=request.headers.get("User-Agent", "")[:LONGEST_CLIENT] or None,
                outside=server.outside,
                breached=server.breached,
                public_address=server.public_address or f"{request.scheme}://{request.host}",
                path=path,
                query=query if isinstance(query, dict) else {},
                body=body.copy() if isinstance(body, dict) else {},
                if_match=request.headers.get("If-Match"),
                if_none_match=request.headers.get("If-None-Match"),
                upload=upload,
                cookies=tokens,
            )

        if upload is not None and operation.upload is not None:
            most = operation.upload
            uploads.receive(request, upload, server.database.run(lambda session: most(call_for(session)), write=False))
            raw = f"{upload.content_type}\n{upload.name}\n{upload.sha256}".encode()
        if operation.beforehand is not None and isinstance(body, dict):
            operation.beforehand(body)
        prepared: Any = None
        if operation.prepare is not None:
            prepare = operation.prepare
            prepared = server.database.run(lambda session: prepare(call_for(session)), write=operation.prepare_writes)
            if isinstance(prepared, Between):
                prepared = prepared.run(server.database)

        def work(session: Session) -> tuple[Reply, bytes]:
            call = call_for(session)
            call.prepared = prepared
            if repeat is None or dry_run:
                return _encoded(operation.view(call))
            return self._once(call, repeat, raw)

        if operation.without_database:
            reply, payload = work(Session())
        else:
            reply, payload = server.database.run(work, write=operation.write, keep=not dry_run)
        if isinstance(reply.body, Afterwards):
            payload = encode(reply.body.run())
        if isinstance(reply.body, Stream):
            response = Response(uploads.pieces(server.database, reply.body), reply.status)
            response.content_type = reply.content_type
            if reply.body.size is not None:
                response.content_length = reply.body.size
        else:
            response = Response(payload, status=reply.status, content_type=reply.content_type)
        response.headers.extend(dict(reply.headers))
        for cookie in reply.cookies:
            cookies.write(request, response, cookie)
        return response

    def _shown(self) -> Credential:
        """What the caller shows; a session only where there is no key. Raises 401, and 403 for what a browser may have
        been made to send."""
        server, changes = self.server, request.method not in cookies.SAFE_METHODS
        if self.operation.public:
            if changes:
                cookies.require_same_origin(request, server.public_address)
            return NOBODY
        if "Authorization" in request.headers or "X-API-Key" in request.headers:
            key = credential(request)
            if key is not None:
                return Credential(key=key)
        elif (token := cookies.read(request, cookies.SESSION)) is not None:
            if changes:
                cookies.require_own_page(request, server.vault, token, server.public_address)
            return Credential(token=token)
        raise unauthenticated("send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>', or log in")

    def _once(self, call: Call, key: str, raw: bytes) -> tuple[Reply, bytes]:
        """Runs the view, unless the same caller sent the same request with the same key before."""
        now = call.clock.now()
        caller = call.actor.user_id or ""
        # keyed, since a body may hold a password, which a plain hash would let someone guess at his leisure
        fingerprint = idempotency.fingerprint(request.method, request.full_path, raw).encode()
        stored = idempotency.find(call.session, caller, key, lambda kept: call.vault.is_signed(fingerprint, kept), now)
        if stored is not None:
            return Reply(status=stored.status, headers={"Idempotent-Replayed": "true", **stored.headers}), stored.body
        reply, payload = _encoded(self.operation.view(call))
        idempotency.store(
            call.session,
            caller=caller,
            key=key,
            request=call.vault.signature(fingerprint),
            status=reply.status,
            body=payload,
            headers=reply.headers,
            now=now,
        )
        return reply, payload

    def _caller(self, session: Session, shown: Credential, dry_run: bool) -> tuple[Actor, int | None]:
        operation, server = self.operation, self.server
        if shown.key is not None:
            actor, revision = server.authenticate(session, shown.key, request.remote_addr, server.clock)
            if operation.session:
                raise Problem(403, "session_needed", "this is done by who logs in; an API key does not do")
        elif shown.token is not None:
            actor, revision = server.authenticate_session(session, shown.token, server.clock)
            if actor.password_expired and not operation.despite_expiry:
                detail = "the password is older than this desk allows; choose a new one: PUT /api/v1/account/password"
                raise Problem(403, "password_expired", detail)
            if actor.factor_missing and not (operation.despite_expiry or operation.despite_factor):
                detail = "this desk asks you for a second factor; set one up: POST /api/v1/account/totp"
                raise Problem(403, "second_factor_needed", detail)
        else:
            return Actor(None, "", frozenset()), None
        request.environ["deskplane.user"] = actor.username
        throttle.known(request, server.throttle, server.clock, actor)
        if not operation.permission or any(map(actor.may, operation.permission)):
            return actor, revision
        if operation.owners and actor.owner_of:
            return actor, revision
        if dry_run and any(map(actor.may, operation.dry_permission)):
            return planning(actor), revision
        raise forbidden(*operation.permission)


def planning(actor: Actor) -> Actor:
    """Who may only plan sees what someone with every right would do: nothing of it stays."""
    return replace(actor, permissions=frozenset(PERMISSIONS))


def _encoded(reply: Reply) -> tuple[Reply, bytes]:
    if isinstance(reply.body, bytes):
        return reply, reply.body
    return reply, b"" if reply.body is None or isinstance(reply.body, (Stream, Afterwards)) else encode(reply.body)


def problem_response(problem: Problem) -> Response:
    """The answer for a problem."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    response = Response(encode(problem.to_dict(request_id)), status=problem.status, content_type=PROBLEM_JSON)
    response.headers.extend(problem.headers)
    return response


def _allowed(operations: Iterable[Operation], path: str) -> str:
    """The methods of an address, as the document has them: `/labels/apply` is no label."""
    path = path.rstrip("/") or "/"
    exact = {operation.method for operation in operations if operation.path == path}
    found = exact or {
        operation.method
        for operation in operations
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(operation.path)), path)
    }
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))


def _of_http_exception(error: HTTPException, operations: Iterable[Operation]) -> Problem:
    code = error.code or 500
    if isinstance(error, RequestEntityTooLarge):
        return Problem(413, "too_large", "the request's body is larger than this server takes")
    if isinstance(error, ClientDisconnected) and isinstance(error.__context__, TimeoutError):
        return Problem(408, "too_slow", "the request's body comes too slowly, or no more")
    headers = {}
    if code == 405:
        headers["Allow"] = _allowed(operations, request.path)
    details = {404: "there is nothing at this address", 405: "this address does not know that method"}
    return Problem(
        code,
        {404: "not_found", 405: "method_not_allowed"}.get(code, "http_error"),
        details.get(code, error.description or "the request cannot be served"),
        headers=headers,
    )


def mount(app: Flask, server: Server, *, max_body_bytes: int) -> None:
    """Gives the application a route for every operation, and one way to fail for all of them."""
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.url_map.strict_slashes = False
    for operation in server.operations:
        rule = re.sub(r"\{(\w+)\}", r"<\1>", operation.path)
        app.add_url_rule(
            rule,
            endpoint=operation.name,
            view_func=Endpoint(server, operation),
            methods=[operation.method],
            provide_automatic_options=False,
        )

    apart = {operation.name for operation in server.operations if operation.apart}

    @app.before_request
    def begin() -> Response | None:
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_short_id()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        request.environ["deskplane.begun"] = time.perf_counter()
        throttle.enter(request, server.throttle, server.clock, apart=request.endpoint in apart)
        return cors.preflight(request, server.allowed_origins, lambda: _allowed(server.operations, request.path))

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-Id"] = structlog.contextvars.get_contextvars().get("request_id", "")
        response.headers["Deskplane-Version"] = __version__
        headers.tell(response.headers, request, server.public_address, server.transport)
        throttle.tell(request, response.headers)
        cors.share(response.headers, request, server.allowed_origins)
        duration = time.perf_counter() - request.environ.get("deskplane.begun", time.perf_counter())
        log = logger.warning if response.status_code >= 500 else logger.info
        log(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            user=request.environ.get("deskplane.user"),
            address=request.remote_addr,
            milliseconds=round(duration * 1000, 1),
        )
        return response

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return problem_response(error)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return problem_response(_of_http_exception(error, server.operations))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        logger.error("unexpected error", exc_info=error)
        return problem_response(
            Problem(
                500, "internal", "the server met an error of its own; its log has the details under this request_id"
            )
        )
