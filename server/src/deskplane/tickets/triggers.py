"""What the database does by itself as tickets change: counting them by status, and on SQLite the full-text index.

Done by triggers, so that no way of writing a ticket can forget it. Installed after migrations, since SQLite loses a
table's triggers whenever a migration makes the table anew.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

SLOTS = 16

_COUNT_SQLITE = """
INSERT INTO ticket_counts (customer, department, status, slot, number)
VALUES (coalesce({row}.customer_id, ''), coalesce({row}.department_id, ''), {row}.status, 0, {by})
ON CONFLICT (customer, department, status, slot) DO UPDATE SET number = number + excluded.number;
"""
_IN, _OUT = _COUNT_SQLITE.format(row="new", by=1), _COUNT_SQLITE.format(row="old", by=-1)
_MOVED = """old.status <> new.status OR old.customer_id IS {0} new.customer_id
OR old.department_id IS {0} new.department_id"""
_ADD = "INSERT INTO ticket_search (rowid, head, talk) VALUES (new.ticket_id, new.head, new.talk);"
_TAKE = (
    "INSERT INTO ticket_search (ticket_search, rowid, head, talk) VALUES ('delete', old.ticket_id, old.head, old.talk);"
)

SQLITE = {
    "tickets_entered": f"AFTER INSERT ON tickets BEGIN {_IN} END",
    "tickets_left": f"AFTER DELETE ON tickets BEGIN {_OUT} END",
    "tickets_moved": f"AFTER UPDATE OF status, customer_id, department_id ON tickets WHEN {_MOVED.format('NOT')} "
    f"BEGIN {_OUT} {_IN} END",
    "ticket_words_entered": f"AFTER INSERT ON ticket_words BEGIN {_ADD} END",
    "ticket_words_left": f"AFTER DELETE ON ticket_words BEGIN {_TAKE} END",
    "ticket_words_moved": f"AFTER UPDATE ON ticket_words BEGIN {_TAKE} {_ADD} END",
}

_COUNT_POSTGRESQL = """
INSERT INTO ticket_counts (customer, department, status, slot, number)
SELECT customer, department, status, mod(pg_backend_pid(), {slots}), sum(number) FROM (
{rows}
) AS rows GROUP BY 1, 2, 3 HAVING sum(number) <> 0 ORDER BY 1, 2, 3
ON CONFLICT (customer, department, status, slot) DO UPDATE SET number = ticket_counts.number + excluded.number;
"""
_ROWS = (
    "SELECT coalesce(customer_id, '') AS customer, coalesce(department_id, '') AS department, status, {by} AS number "
    "FROM {rows}"
)
_ENTERED, _LEFT = _ROWS.format(by=1, rows="new_rows"), _ROWS.format(by=-1, rows="old_rows")
_OLD_AND_NEW = """
SELECT coalesce(old.customer_id, '') AS customer, coalesce(old.department_id, '') AS department, old.status AS status,
-1 AS number UNION ALL SELECT coalesce(new.customer_id, ''), coalesce(new.department_id, ''), new.status, 1
"""


def _function(name: str, rows: str) -> str:
    counting = _COUNT_POSTGRESQL.format(slots=SLOTS, rows=rows)
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {counting} RETURN NULL; END $$"
    )


POSTGRESQL = {
    "tickets_entered": (
        _ENTERED,
        "AFTER INSERT ON tickets REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
    ),
    "tickets_left": (_LEFT, "AFTER DELETE ON tickets REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT"),
    # by row: a statement cannot say of which columns it wants to be told, and most changes are of other ones
    "tickets_moved": (
        _OLD_AND_NEW,
        "AFTER UPDATE OF status, customer_id, department_id ON tickets FOR EACH ROW WHEN "
        f"({_MOVED.format('DISTINCT FROM')})",
    ),
}


def install(connection: Connection) -> None:
    """Makes the triggers, in place of those that are there."""
    if connection.dialect.name == "sqlite":
        for name, definition in SQLITE.items():
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
            connection.exec_driver_sql(f"CREATE TRIGGER {name} {definition}")
        return
    for name, (rows, when) in POSTGRESQL.items():
        connection.exec_driver_sql(_function(name, rows))
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON tickets")
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}()")
