"""What the database itself refuses: to change an entry, or to delete one that no purge tells of.

A purge (`purging.py`) first appends an entry whose `object_id` is the number of the last one that goes, and whose
changes hold its hash. So nothing goes without a trace, whoever deletes it. Installed after migrations, as the tickets'
triggers are.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

REFUSAL = "the audit log only grows"
# by CASE, since PostgreSQL may cast before it looks at the kind, and other ids are no numbers
_PURGED = (
    "SELECT 1 FROM audit_entries WHERE kind = 'audit' AND "
    "CASE WHEN action = 'purge' THEN CAST(object_id AS {0}) END >= old.id"
)
_BEHIND = "new.id <= (SELECT max(id) FROM audit_entries)"
_RAISE = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"

SQLITE = {
    "audit_entries_stay": f"BEFORE UPDATE ON audit_entries {_RAISE}",
    "audit_entries_kept": f"BEFORE DELETE ON audit_entries WHEN NOT EXISTS ({_PURGED.format('INTEGER')}) {_RAISE}",
    # INSERT OR REPLACE deletes without telling triggers
    "audit_entries_follow": f"BEFORE INSERT ON audit_entries WHEN {_BEHIND} {_RAISE}",
}
POSTGRESQL = {
    "audit_entries_stay": "BEFORE UPDATE ON audit_entries FOR EACH ROW",
    "audit_entries_kept": "BEFORE DELETE ON audit_entries FOR EACH ROW",
    "audit_entries_whole": "BEFORE TRUNCATE ON audit_entries FOR EACH STATEMENT",
}
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION audit_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF TG_OP = 'DELETE' THEN IF EXISTS ({_PURGED.format("bigint")}) THEN RETURN old; END IF; END IF;
RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$
"""


def install(connection: Connection) -> None:
    """Makes the triggers, in place of those that are there."""
    if connection.dialect.name == "sqlite":
        for name, definition in SQLITE.items():
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
            connection.exec_driver_sql(f"CREATE TRIGGER {name} {definition}")
        return
    connection.exec_driver_sql(_FUNCTION)
    for name, when in POSTGRESQL.items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON audit_entries")
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION audit_entries_refuse()")


def missing(connection: Connection) -> list[str]:
    """The triggers that are not there, or out of use."""
    if connection.dialect.name == "sqlite":
        there = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_entries'"
        wanted = SQLITE.keys()
    else:
        there = (
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'audit_entries'::regclass AND NOT tgisinternal "
            "AND tgenabled <> 'D'"
        )
        wanted = POSTGRESQL.keys()
    return sorted(wanted - set(connection.execute(text(there)).scalars()))
