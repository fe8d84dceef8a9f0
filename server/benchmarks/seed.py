"""Filling both databases with the same desk: so many tickets, the same mix of states, people and customers."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from load import COUNTED
from servers import HERE, Server

TICKETS = "/api/v1/tickets"
STATUSES = ("open", "in_progress", "waiting", "resolved")
PRIORITIES = ("low", "medium", "high", "critical")
CUSTOMERS, DEPARTMENTS, USERS = 10, 5, 10
RARE = 50  # the tickets of one customer whose number does not grow with the desk
DESCRIPTION = (
    "Deployment of release 4.2 stopped on host web-{n:04d}.\n\n- step: migrate\n- exit code: 1\n\n"
    "See the pipeline's log for the whole output; nothing was rolled back."
)


def ticket(n: int) -> dict[str, Any]:
    """What is asked for when ticket n is seeded; half of them have a customer, the others an assignee."""
    given: dict[str, Any] = {
        "title": f"Deployment failed on web-{n:04d}",
        "description": DESCRIPTION.format(n=n),
        "status": STATUSES[n % 4],
        "priority": PRIORITIES[n // 4 % 4],
        "tags": ["deployment", f"release-{n % 7}"],
    }
    if n % 2:
        given |= {"customer": f"customer-{n % CUSTOMERS}", "department": f"department-{n % DEPARTMENTS}"}
    else:
        given["assignee"] = f"user-{n % USERS}"
    if n <= RARE:
        given["customer"] = "rare"
    return given


def created(n: int) -> dict[str, Any]:
    """The body of the measured creations: no references, so that both servers run the same statements; no two alike."""
    counted = COUNTED.decode()
    text = f"{DESCRIPTION.format(n=n)}\n\nReport {counted}."
    return {"title": f"Deployment failed, report {counted}", "description": text, "priority": PRIORITIES[n % 4]}


def seed_reference(path: Path, count: int) -> str:
    secret = secrets.token_hex(32)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript((HERE / "reference.sql").read_text())
        for table in ("user", "customer", "department", "sla_policy"):
            rows = [(n + 1, f"{table}-{n}") for n in range(USERS)]
            db.executemany(f'INSERT INTO "{table}" (id, name) VALUES (?, ?)', rows)
        db.execute("INSERT INTO ticket_type VALUES (1, 'incident')")
        db.execute("INSERT INTO api_key VALUES ('bench', ?, 1)", (hashlib.sha256(secret.encode()).hexdigest(),))
        db.execute("INSERT INTO counter VALUES ('TKT', ?)", (count,))
        names = {f"{table}-{n}": n + 1 for table in ("user", "customer", "department") for n in range(USERS)}
        names["rare"] = 1
        for n in range(1, count + 1):
            given = ticket(n)
            now = moment(n)
            text = given["description"]
            row: dict[str, Any] = {name: given[name] for name in ("title", "description", "priority", "status")}
            row |= {"id": n, "prefix": "TKT", "serial": n, "description_html": f"<p>{text}</p>", "type_id": 1}
            row |= {"effective_priority": given["priority"], "tags": json.dumps(given["tags"]), "source": "api"}
            row |= {f"{name}_id": names.get(given.get(name, "")) for name in ("customer", "department", "assignee")}
            row |= {"created_at": now, "updated_at": now, "created_by_id": 1, "reporter_id": 1}
            if given["priority"] == "critical":
                row["policy_id"] = 1
                for clock in ("response", "resolution"):
                    row |= {f"{clock}_state": "ok", f"{clock}_due_at": now, f"{clock}_warn_at": now}
            columns = ", ".join(row)
            db.execute(f"INSERT INTO ticket ({columns}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
    db.close()
    return f"dpk_bench_{secret}"


# Filters by which a page of 50 is listed on both desks; the last one finds the same 50 tickets on either.
LISTINGS = {
    "list by status": f"{TICKETS}?status=open&limit=50",
    "list by status and priority": f"{TICKETS}?status=open&priority=low&limit=50",
    "list by customer": f"{TICKETS}?customer=customer-1&limit=50",
    "list by department, not assigned": f"{TICKETS}?department=department-1&assignee=none&limit=50",
    "list by tag": f"{TICKETS}?tag=release-3&limit=50",
    "list of one small customer": f"{TICKETS}?customer=rare&limit=50",
}


def moment(n: int) -> str:
    """When the reference's ticket n was made; tickets lie minutes apart."""
    return (datetime(2026, 11, 1, tzinfo=UTC) - timedelta(minutes=7 * n)).isoformat(timespec="microseconds")


def seed_desk(server: Server, count: int) -> None:
    """Makes customers, departments, people, a policy and the tickets, all through the API."""
    for name in ["rare", *(f"customer-{n}" for n in range(CUSTOMERS))]:
        server.ask("POST", "/api/v1/customers/apply", {"name": name})
    for n in range(DEPARTMENTS):
        server.ask("POST", "/api/v1/departments/apply", {"name": f"department-{n}"})
    for n in range(USERS):
        server.ask("POST", "/api/v1/users/apply", {"username": f"user-{n}", "roles": ["admin"]})
    policy = {"name": "critical", "priorities": ["critical"], "response_minutes": 30, "resolution_minutes": 240}
    server.ask("POST", "/api/v1/sla-policies/apply", policy)
    for n in range(1, count + 1):
        server.ask("POST", TICKETS, ticket(n))


def grow(small: Path, large: Path, count: int) -> None:
    """Makes the large desk's database: the small one, its tickets copied (further back in time) until there are count.

    Everything that belongs to a ticket is copied with it, whatever tables that may be, so that the large desk differs
    from the small one in nothing but its size.
    """
    large.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(small)) as source, closing(sqlite3.connect(large)) as db:
        source.backup(db)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode=WAL")
        tickets = [dict(row) for row in db.execute("SELECT * FROM tickets WHERE sequence > ? ORDER BY id", (RARE,))]
        parts = {
            table: [dict(row) for row in db.execute(f'SELECT * FROM "{table}" WHERE ticket_id > ?', (RARE,))]
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            if any(column["name"] == "ticket_id" for column in db.execute(f'PRAGMA table_info("{table}")'))
        }
        there = db.execute("SELECT count(*) FROM tickets").fetchone()[0]
        step = max(row["id"] for row in tickets)
        turn = 0
        while there < count:
            turn += 1
            batch = tickets[: count - there]
            kept = {row["id"] for row in batch}
            earlier = timedelta(days=turn, seconds=turn)
            _insert(db, "tickets", [_moved(row, turn * step, earlier, there + n) for n, row in enumerate(batch, 1)])
            for table, rows in parts.items():
                copies = [_moved(row, turn * step, earlier) for row in rows if row["ticket_id"] in kept]
                _insert(db, table, copies)
            there += len(batch)
        db.execute("UPDATE ticket_counters SET last = ?", (count,))
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _moved(row: dict[str, Any], step: int, earlier: timedelta, sequence: int | None = None) -> dict[str, Any]:
    copy = dict(row)
    for name, value in row.items():
        if value is not None and (name == "at" or name.endswith("_at")):
            copy[name] = (datetime.fromisoformat(value) - earlier).isoformat(timespec="microseconds")
    if sequence is None:
        copy["ticket_id"] += step
        copy.pop("id", None)
    else:
        text = f"{row['description']}\n\nReport {sequence}."  # what a server may remember by its text is not the same
        copy |= {"id": row["id"] + step, "sequence": sequence, "description": text}
    return copy


def _insert(db: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        columns = ", ".join(f'"{name}"' for name in rows[0])
        marks = ", ".join("?" * len(rows[0]))
        db.executemany(f'INSERT INTO "{table}" ({columns}) VALUES ({marks})', [list(row.values()) for row in rows])
