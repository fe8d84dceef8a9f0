"""What a migration takes away from the versions before, read from its source (CONTRIBUTING.md, "Add a migration")."""

from __future__ import annotations

import ast
import re
import subprocess
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
VERSIONS = "server/src/deskplane/migrations/versions"
FIRST_HELD = "0026"
"""The migration with which databases began to know what versions can work on them."""

_TAKING = {"drop_column", "drop_table", "rename_table"}
_DEMANDING = {"create_unique_constraint", "create_check_constraint", "create_foreign_key", "create_primary_key"}
_RAW = re.compile(r"\b(DROP|RENAME|ALTER|TRUNCATE|SET\s+NOT\s+NULL)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Contraction:
    """What a migration does that versions before it cannot live with, each with its line; and the floor it raises."""

    deeds: list[str]
    floor: str | None


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _given(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _is(expression: ast.expr | None, value: object) -> bool:
    return isinstance(expression, ast.Constant) and expression.value is value


def _texts(call: ast.Call) -> str:
    return " ".join(
        part.value for part in ast.walk(call) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def _table(call: ast.Call, position: int = 0) -> str | None:
    found = call.args[position] if len(call.args) > position else None
    return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else None


def _deed(call: ast.Call, made: set[str | None]) -> str | None:
    """What is wrong with one call; null for nothing. `made` are the tables that the migration itself makes."""
    name = _name(call)
    if name in _TAKING:
        return f"{name}: the versions before still use it"
    if name in _DEMANDING and _table(call, 1) not in made:
        return f"{name}: what the versions before write may not fit"
    if name == "create_index" and _is(_given(call, "unique"), True) and _table(call, 1) not in made:
        return "create_index with unique: what the versions before write may not fit"
    if name == "alter_column":
        named = [word for word in ("new_column_name", "type_") if _given(call, word) is not None]
        if _is(_given(call, "nullable"), False):
            named.append("nullable=False")
        return f"alter_column with {', '.join(named)}" if named else None
    if name == "add_column":
        columns = [part for part in ast.walk(call) if isinstance(part, ast.Call) and _name(part) == "Column"]
        if any(_is(_given(one, "nullable"), False) and _given(one, "server_default") is None for one in columns):
            return "add_column with nullable=False and no server_default: the versions before do not fill it"
    if name in ("execute", "exec_driver_sql") and _RAW.search(_texts(call)):
        return f"{name} of SQL that changes tables: say it with alembic's op"
    return None


def contraction(source: str) -> Contraction:
    """What a migration takes away."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    made = {_table(call) for call in calls if _name(call) == "create_table"}
    deeds = [f"line {call.lineno}: {deed}" for call in calls if (deed := _deed(call, made)) is not None]
    raised = [_table(call, 1) for call in calls if _name(call) == "raise_floor"]
    return Contraction(deeds, raised[0] if raised else None)


def findings(revision: str, source: str, released: set[str]) -> list[str]:
    """What keeps a migration from being taken, if anything. `released` are the migrations of the last release."""
    found = contraction(source)
    if revision < FIRST_HELD or revision in released:
        return []
    if found.floor is None:
        return [f"{revision}, {deed}; see CONTRIBUTING.md, Add a migration" for deed in found.deeds]
    if released and found.floor not in released:  # before the first release there is nobody to be left behind
        return [f"{revision}: raises the floor to {found.floor}, which the last release has not: wait for the next one"]
    return []


def git(*arguments: str) -> bytes:
    """What git answers in this clone. Raises CalledProcessError."""
    command = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def last_release() -> str | None:
    """The tag of the last release before this commit; null where there was none yet."""
    tags = git("tag", "--list", "v*", "--merged", "HEAD", "--no-contains", "HEAD", "--sort=-v:refname").decode().split()
    return tags[0] if tags else None


def released() -> set[str]:
    """The migrations of the last release."""
    tag = last_release()
    if tag is None:
        return set()
    files = git("ls-tree", "--name-only", f"{tag}:{VERSIONS}").decode().split()
    return {file[:4] for file in files if file[:4].isdigit()}


def code_before(newest: str) -> str:
    """The commit of the version before: the last release, or, where it has the newest migration too or there was none,
    the commit before that migration came."""
    tag = last_release()
    if tag is not None and newest not in released():
        return tag
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        git("fetch", "--quiet", "--unshallow")
    (file,) = (ROOT / VERSIONS).glob(f"{newest}_*.py")
    came = git("log", "-1", "--no-renames", "--diff-filter=A", "--format=%H", "--", str(file)).decode().strip()
    return f"{came}^" if came else "HEAD"


def unpacked(commit: str, directory: Path) -> Path:
    """The server's code as it was at a commit: a folder for PYTHONPATH."""
    with zipfile.ZipFile(BytesIO(git("archive", "--format=zip", commit, "server/src"))) as archive:
        archive.extractall(directory)
    return directory / "server" / "src"
