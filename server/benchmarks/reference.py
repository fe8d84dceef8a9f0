"""The ceiling that Python leaves: bare Flask and raw SQL, the statements of the product and nothing else.

It has what each request costs whoever writes it: the WSGI server, Flask's routing, one look-up of the key,
one select with the joins that turn ids into names, one durable transaction for a creation, orjson. It has none
of what makes a product: rights, validation, policies, idempotency, request ids, logs, metrics, error documents.
Run by run.py:  REFERENCE_DB=/path/file.db gunicorn reference:app
"""

# ruff: noqa: SIM905
# one screen, so that anybody can see that nothing was left out or put in
# fmt: off
import fcntl
import hashlib
import hmac
import os
import sqlite3
import threading
from datetime import UTC, datetime

import orjson
from flask import Flask, Response, request

DATABASE = os.environ["REFERENCE_DB"]
PLAIN = ("title description priority effective_priority status remind_at source correlation_key "
         "occurrences last_occurred_at reopened_count created_at updated_at resolved_at closed_at").split()
CLOCKED, CLOCK = ("response", "resolution"), ("state", "due_at", "warn_at", "critical_at", "met_at")
JOINED = {"type": ("ticket_type", "type_id"), "customer": ("customer", "customer_id"),
          "department": ("department", "department_id"), "reporter": ("user", "reporter_id"),
          "assignee": ("user", "assignee_id"), "owner": ("user", "owner_id"), "created_by": ("user", "created_by_id"),
          "policy": ("sla_policy", "policy_id")}
CLOCKS = [f"{which}_{part}" for which in CLOCKED for part in CLOCK]
SELECT = (f"SELECT t.prefix, t.serial, t.tags, t.labels, {', '.join(f'{a}_.name' for a in JOINED)}, "
          f"{', '.join('t.' + c for c in PLAIN + CLOCKS)}, t.id, %s FROM ticket t "
          + " ".join(f"LEFT JOIN {table} {a}_ ON {a}_.id = t.{column}" for a, (table, column) in JOINED.items()))
ONE, MANY = SELECT % "t.description_html", SELECT % "NULL"  # a list has no HTML
PLACES = {name: f"r[{4 + n}]" for n, name in enumerate([*JOINED, *PLAIN, *CLOCKS])}
FLAT = ", ".join(f"{n!r}: {PLACES[n]}" for n in [*JOINED, *PLAIN] if n != "policy")
SLA = ", ".join(f"{w!r}: {{" + ", ".join(f"{p!r}: {PLACES[f'{w}_{p}']}" for p in CLOCK) + "}" for w in CLOCKED)
as_ticket = eval(  # one dict display: what a careful hand would write, and over twice as fast as zip()
    f"lambda r: {{'number': f'{{r[0]}}-{{r[1]:06d}}', {FLAT}, 'tags': json(r[2]), 'labels': json(r[3]), 'sla': {{"
    f"'policy': {PLACES['policy']}, 'state': {PLACES['resolution_state']}, {SLA}}}, "
    "'url': f'/tickets/{r[0]}-{r[1]:06d}'}", {"json": orjson.Fragment})
INSERT = ("INSERT INTO ticket (prefix, serial, title, description, description_html, priority, effective_priority, "
          "status, reporter_id, source, created_at, created_by_id, updated_at) "
          "VALUES ('TKT', ?, ?, ?, ?, ?, ?, 'open', ?, 'api', ?, ?, ?)")
KEY = "SELECT k.digest, u.id, u.name FROM api_key k JOIN user u ON u.id = k.user_id WHERE k.id = ?"
NUMBER = ("INSERT INTO counter VALUES ('TKT', 1) ON CONFLICT (prefix) DO UPDATE SET value = value + 1 RETURNING value")
HISTORY = "INSERT INTO history (ticket_id, at, by_id, field, new, cause) VALUES (?, ?, ?, 'created', ?, 'key')"
OUTBOX = "INSERT INTO outbox (event, body, created_at, next_at) VALUES ('ticket_created', ?, ?, ?)"
app = Flask(__name__)
local, turn = threading.local(), threading.Lock()


def connection() -> sqlite3.Connection:
    if not hasattr(local, "db"):
        local.db = sqlite3.connect(DATABASE, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
            local.db.execute(f"PRAGMA {pragma}")
        local.gate = os.open(DATABASE + ".gate", os.O_RDWR | os.O_CREAT)
    return local.db  # type: ignore[no-any-return]


def answer(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, mimetype="application/json")


def caller(db: sqlite3.Connection) -> tuple[int, str]:
    _, key, secret = request.headers["Authorization"].removeprefix("Bearer ").split("_", 2)
    digest, *user = db.execute(KEY, (key,)).fetchone()
    if not hmac.compare_digest(hashlib.sha256(secret.encode()).hexdigest(), digest):
        raise PermissionError
    return tuple(user)


@app.get("/healthz")
def ping() -> Response:
    return answer({"status": "ok"})


@app.get("/api/v1/tickets/<number>")
def get(number: str) -> Response:
    db, (prefix, serial) = connection(), number.split("-")
    caller(db)
    row = db.execute(ONE + " WHERE t.prefix = ? AND t.serial = ?", (prefix, int(serial))).fetchone()
    return answer({**as_ticket(row), "description_html": row[-1]})


@app.get("/api/v1/tickets")
def list_() -> Response:
    db, limit = connection(), int(request.args["limit"])
    caller(db)
    rows = db.execute(MANY + " WHERE t.status = ? ORDER BY t.updated_at DESC, t.id DESC LIMIT ?",
                      (request.args["status"], limit + 1)).fetchall()
    more = str(rows[limit - 1][-2]) if len(rows) > limit else None
    return answer({"items": [as_ticket(row) for row in rows[:limit]], "next_cursor": more})


@app.post("/api/v1/tickets")
def create() -> Response:
    db, given, now = connection(), orjson.loads(request.get_data()), datetime.now(UTC).isoformat()
    title, text, priority = given["title"], given["description"], given["priority"]
    html = f"<p>{text}</p>"
    with turn:  # writers queue here instead of polling SQLite's lock, as the product's do: polling is slower
        fcntl.flock(local.gate, fcntl.LOCK_EX)
        db.execute("BEGIN IMMEDIATE")
        user, name = caller(db)
        serial = db.execute(NUMBER).fetchone()[0]
        ticket = db.execute(INSERT, (serial, title, text, html, priority, priority, user, now, user, now)).lastrowid
        made = as_ticket(("TKT", serial, "[]", "[]", None, None, None, name, None, None, name, None, title, text,
                          priority, priority, "open", None, "api", None, 1, None, 0, now, now, *[None] * 12))
        made["description_html"] = html
        snapshot = orjson.dumps(made).decode()
        db.execute(HISTORY, (ticket, now, user, snapshot))
        db.execute(OUTBOX, (snapshot, now, now))
        db.execute("COMMIT")
        fcntl.flock(local.gate, fcntl.LOCK_UN)
    return answer(made, 201)
