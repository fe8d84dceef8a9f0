"""Filling both databases with the same desk: so many tickets, the same mix of states, people and customers."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from pathlib import Path
from typing import Any

from servers import HERE, Server

TICKETS = "/api/v1/tickets"
STATUSES = ("open", "in_progress", "waiting", "resolved")
PRIORITIES = ("low", "medium", "high", "critical")
CUSTOMERS = 20
DEPARTMENTS = 5
USERS = 10
DESCRIPTION = (
    "Deployment of release 4.2 stopped on host web-{n:04d}.\n\n- step: migrate\n- exit code: 1\n\n"
    "See the pipeline's log for the whole output; nothing was rolled back."
)


def ticket(n: int) -> dict[str, Any]:
    """What is asked for when ticket n is seeded; one in two has a customer and a department, as a real desk's have."""
    given: dict[str, Any] = {
        "title": f"Deployment failed on web-{n:04d}",
        "description": DESCRIPTION.format(n=n),
        "priority": PRIORITIES[n % 4],
        "tags": ["deployment", f"release-{n % 7}"],
    }
    if n % 2:
        given |= {"customer": f"customer-{n % CUSTOMERS}", "department": f"department-{n % DEPARTMENTS}"}
    return given


def created(n: int) -> dict[str, Any]:
    """The body of the measured creations: no references, so that both servers run the same statements."""
    asked = ticket(n)
    return {name: asked[name] for name in ("title", "description", "priority")}


def seed_reference(path: Path, count: int) -> str:
    secret = secrets.token_hex(32)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript((HERE / "reference.sql").read_text())
        for table, count_of in (
            ("user", USERS),
            ("customer", CUSTOMERS),
            ("department", DEPARTMENTS),
            ("sla_policy", 1),
        ):
            names = [(n + 1, f"{table}-{n}") for n in range(count_of)]
            db.executemany(f'INSERT INTO "{table}" (id, name) VALUES (?, ?)', names)
        db.execute("INSERT INTO ticket_type VALUES (1, 'incident')")
        db.execute("INSERT INTO api_key VALUES ('bench', ?, 1)", (hashlib.sha256(secret.encode()).hexdigest(),))
        db.execute("INSERT INTO counter VALUES ('TKT', ?)", (count,))
        now = "2026-11-01T08:00:00.000000+00:00"
        rows = []
        for n in range(1, count + 1):
            given = ticket(n)
            policy = 1 if n % 4 == 3 else None
            rows.append(
                (n, "TKT", n, given["title"], given["description"], f"<p>{given['description']}</p>", 1)
                + (given["priority"], given["priority"], STATUSES[n % 4])
                + ((n % CUSTOMERS + 1, n % DEPARTMENTS + 1) if n % 2 else (None, None))
                + (1, n % USERS + 1 if n % 3 else None, '["deployment","release-1"]', "api", now, 1, now, policy)
                + (("ok", now, now, now) if policy else (None,) * 4) * 2
            )
        db.executemany(
            "INSERT INTO ticket (id, prefix, serial, title, description, description_html, type_id, priority, "
            "effective_priority, status, customer_id, department_id, reporter_id, assignee_id, tags, source, "
            "created_at, created_by_id, updated_at, policy_id, response_state, response_due_at, response_warn_at, "
            "response_critical_at, resolution_state, resolution_due_at, resolution_warn_at, resolution_critical_at) "
            f"VALUES ({', '.join('?' * 28)})",
            rows,
        )
    db.close()
    return f"dpk_bench_{secret}"


# Filters by which a page of 50 is listed on both desks; the last one finds the same 50 tickets on either.
LISTINGS = {
    "list, by status": f"{TICKETS}?status=open&limit=50",
    "list, by customer and priority": f"{TICKETS}?customer=customer-1&priority=medium&limit=50",
    "list, by department, not assigned": f"{TICKETS}?department=department-1&assignee=none&limit=50",
    "list, the 50 tickets of one customer": f"{TICKETS}?customer=rare&limit=50",
}
RARE = 50


def seed_desk(server: Server, count: int) -> None:
    """Makes customers, departments, people, a policy and the tickets, all through the API."""
    for n in range(CUSTOMERS):
        server.ask("POST", "/api/v1/customers/apply", {"name": f"customer-{n}"})
    server.ask("POST", "/api/v1/customers/apply", {"name": "rare"})
    for n in range(DEPARTMENTS):
        server.ask("POST", "/api/v1/departments/apply", {"name": f"department-{n}"})
    policy = {"name": "critical", "priorities": ["critical"], "response_minutes": 30, "resolution_minutes": 240}
    server.ask("POST", "/api/v1/sla-policies/apply", policy)
    for n in range(1, count + 1):
        given = ticket(n) | {"status": STATUSES[n % 4]}
        if n <= RARE:
            given["customer"] = "rare"
        server.ask("POST", TICKETS, given)
