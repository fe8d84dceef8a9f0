"""The endpoints about the server itself: health, version, metrics, and its own description."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from html import escape
from typing import Any

from sqlalchemy import text

from deskplane import __version__, gauges, migrations
from deskplane.kernel import metrics, openapi
from deskplane.kernel.headers import CSP, page_with
from deskplane.kernel.leaving import leaving
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import Problem
from deskplane.outbox import schedules
from deskplane.outbox import service as outbox

LATE = timedelta(minutes=10)
"""For how long a periodic job may be due before it is worth a warning."""
HEALTH = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}


def healthz(call: Call) -> Reply:
    """The process answers."""
    return Reply({"status": "ok"})


def readyz(call: Call) -> Reply:
    """Database, migrations, worker. Without a worker requests are served all the same, so that it only tells."""
    if leaving.is_set():
        raise Problem(503, "stopping", "this server was asked to stop; ask another one", headers={"Retry-After": "1"})
    call.session.execute(text("SELECT 1"))
    try:
        found = migrations.require_fit(call.session.connection())
    except ValueError as error:
        raise Problem(503, "not_migrated", str(error), headers={"Retry-After": "5"}) from None
    now = call.clock.now()
    alive = outbox.workers_alive(call.session, now)
    waits = outbox.backlogs(call.session, now)
    warnings = [] if alive else ["no worker was seen lately; start one with: deskplane worker"]
    for job in schedules.readings(call.session, now):
        if job.is_failing:
            warnings.append(f"the periodic job {job.name!r} failed; the alerts and the worker's log say why")
        elif job.late_seconds > LATE.total_seconds():
            warnings.append(f"the periodic job {job.name!r} has been due for {job.late_seconds // 60:.0f} minutes")
    return Reply(
        {
            "status": "ok",
            "database": "ok",
            "migrations": found,
            "workers": alive,
            "outbox": sum(backlog.messages for backlog in waits),
            "outbox_failing": sum(backlog.failing for backlog in waits),
            "outbox_oldest_seconds": gauges.oldest_seconds(waits, now),
            "warnings": warnings,
        }
    )


def version(call: Call) -> Reply:
    """Which server this is."""
    return Reply({"version": __version__, "api": "v1"})


def read_metrics(call: Call) -> Reply:
    """GET /api/v1/metrics"""
    return Reply(metrics.exposition(lambda: gauges.readings(call)), content_type=metrics.CONTENT_TYPE)


DOCS_STYLE = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto}"
    "code{background:#eee;padding:.1em .3em;border-radius:.2em}summary{cursor:pointer;padding:.3rem 0}"
    "td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}b{display:inline-block;width:4.5rem}"
)


def docs_page(document: dict[str, Any]) -> bytes:
    """The document for people: one page without scripts."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Deskplane API</title><style>{DOCS_STYLE}</style><h1>Deskplane API</h1>"
        "<p>The same as <a href='openapi.json'>openapi.json</a>.</p>"
    ]
    tags: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, entry in methods.items():
            tags.setdefault(entry["tags"][0], []).append(_docs_entry(path, method, entry))
    for tag, entries in tags.items():
        parts.append(f"<h2>{escape(tag.replace('_', ' '))}</h2>{''.join(entries)}")
    return "".join(parts).encode()


def _docs_entry(path: str, method: str, entry: dict[str, Any]) -> str:
    rows = [(f"{item['name']} ({item['in']})", item.get("description", "")) for item in entry.get("parameters", [])]
    body = entry.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    rows += [(name, part.get("description", "")) for name, part in body.get("properties", {}).items()]
    rows += [(status, answer["description"]) for status, answer in entry["responses"].items()]
    table = "".join(f"<tr><td><code>{escape(name)}</code><td>{escape(text)}" for name, text in rows)
    rights = ", ".join(entry.get("x-permission", [])) or _without_permission(entry)
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> {escape(entry['summary'])}</summary>"
        f"<p>{escape(entry.get('description', ''))} Needs: {escape(rights)}.</p><table>{table}</table></details>"
    )


def _without_permission(entry: dict[str, Any]) -> str:
    security = entry.get("security")
    return "any key" if security is None else "a session" if security else "no key"


def operations(all_operations: Callable[[], Iterable[Operation]]) -> Iterable[Operation]:
    """The operations of the server itself."""

    def document(call: Call) -> Reply:
        return Reply(openapi.document(all_operations(), public_address=call.public_address))

    def page(call: Call) -> Reply:
        shown = docs_page(openapi.document(all_operations()))
        return Reply(shown, headers={CSP: page_with(DOCS_STYLE)}, content_type="text/html; charset=utf-8")

    text_answer = {"type": "string", "x-content-type": "text/plain"}
    yield Operation(
        "healthz",
        "GET",
        "/healthz",
        healthz,
        "Whether the process lives",
        "server",
        public=True,
        apart=True,
        without_database=True,
        answers={200: ("It does.", HEALTH)},
    )
    yield Operation(
        "readyz",
        "GET",
        "/readyz",
        readyz,
        "Whether requests can be served",
        "server",
        public=True,
        apart=True,
        answers={200: ("They can.", HEALTH)},
    )
    yield Operation(
        "version",
        "GET",
        "/api/v1/version",
        version,
        "Which server this is",
        "server",
        public=True,
        without_database=True,
        answers={
            200: (
                "Version of the server and of the API.",
                {
                    "type": "object",
                    "required": ["version", "api"],
                    "properties": {"version": {"type": "string"}, "api": {"type": "string"}},
                },
            )
        },
    )
    yield Operation(
        "metrics",
        "GET",
        "/api/v1/metrics",
        read_metrics,
        "Metrics for Prometheus",
        "server",
        permission=("metrics:read",),
        apart=True,
        answered=lambda status, at: metrics.note_scrape(status == 200, at),
        answers={200: ("Text exposition format.", text_answer)},
    )
    yield Operation(
        "openapi",
        "GET",
        "/api/v1/openapi.json",
        document,
        "This document",
        "server",
        public=True,
        without_database=True,
        answers={200: ("OpenAPI 3.1.", {"type": "object"})},
    )
    yield Operation(
        "docs",
        "GET",
        "/api/v1/docs",
        page,
        "This document for people",
        "server",
        public=True,
        without_database=True,
        answers={200: ("A page.", {"type": "string", "x-content-type": "text/html"})},
    )
