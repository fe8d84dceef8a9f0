"""Another version of the server out of a binary that is there, for trying upgrades: made in a second, and real.

It calls itself by another number, knows more migrations than the binary that it is made of, or is broken on purpose:
`exits` ends as it starts, `unready` answers requests and never says that it is ready, `worker` has a server that
works and a worker that does not, `migration` fails halfway through its migration.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

PACKAGE = "/deskplane/"
BROKEN = {
    "exits": ("serving.py", "\n\ndef run(settings):\n    raise SystemExit('made up to end at once')\n"),
    "unready": (
        "system.py",
        "\n\ndef readyz(call):\n    raise Problem(503, 'made_up', 'made up to be never ready')\n",
    ),
    "worker": ("outbox/worker.py", "\n\nraise SystemExit('made up to have no worker')\n"),
    "migration": ("", ""),
}
MIGRATION = '''\
"""Made up, for trying upgrades."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("made_up_{revision}", sa.Column("id", sa.Integer, primary_key=True))
{more}'''
TABLE = """

from sqlalchemy import Column, Integer, Table

Table("made_up_{revision}", metadata, Column("id", Integer, primary_key=True))
"""
FAILING = "    raise RuntimeError('made up to fail halfway')\n"
# As one that takes something away that the version before still needs.
CONTRACTING = "    op.execute(sa.text(\"UPDATE schema_floor SET migration = '{revision}'\"))\n"


def prefix_of(archive: bytes) -> bytes:
    """What stands before the first file of the archive: a shell script that knows where the file is unpacked to."""
    return archive[: archive.index(b"PK\x03\x04")]


def make(source: Path, target: Path, version: str, migrations: int, broken: str, *, contracting: bool = False) -> None:
    """Writes the binary `target`. Raises ValueError for a source that is none of ours."""
    archive = source.read_bytes()
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        files = {item.filename: (item, old.read(item)) for item in old.infolist()}
    first = next((name for name in files if name.endswith(f"{PACKAGE}__init__.py") and name.count("/") <= 3), None)
    if first is None or "PEX-INFO" not in files:
        raise ValueError(f"{source} is no binary of Deskplane")
    package = first.removesuffix("__init__.py")

    def change(name: str, text: str) -> None:
        item = files.get(name, files[first])[0]
        fresh = zipfile.ZipInfo(name, item.date_time)
        fresh.compress_type, fresh.external_attr = item.compress_type, item.external_attr
        files[name] = (fresh, text.encode())

    lines = files[first][1].decode().splitlines()
    changed = [f'__version__ = "{version}"' if line.startswith("__version__") else line for line in lines]
    change(first, "\n".join(changed) + "\n")
    folder = f"{package}migrations/versions/"
    numbers = sorted(name.removeprefix(folder)[:4] for name in files if name.startswith(f"{folder}0"))
    for number in range(int(numbers[-1]) + 1, int(numbers[-1]) + 1 + migrations):
        more = FAILING if broken == "migration" else CONTRACTING.format(revision=f"{number:04}") if contracting else ""
        text = MIGRATION.format(revision=f"{number:04}", before=f"{number - 1:04}", more=more)
        change(f"{folder}{number:04}_made_up.py", text)
        models = f"{package}migrations/tables.py"
        change(models, files[models][1].decode() + TABLE.format(revision=f"{number:04}"))
    if broken and BROKEN[broken][0]:
        file, addition = BROKEN[broken]
        change(package + file, files[package + file][1].decode() + addition)

    # What is unpacked is found by these hashes: with those of the source, its files would be taken for ours.
    information = json.loads(files["PEX-INFO"][1])
    was = information["pex_hash"]
    information["pex_hash"] = hashlib.sha1(
        f"{was} {version} {migrations} {broken} {contracting}".encode(), usedforsecurity=False
    ).hexdigest()
    for name, digest in information["distributions"].items():
        if name.startswith("deskplane-"):
            information["distributions"][name] = hashlib.sha256(
                f"{digest} {information['pex_hash']}".encode()
            ).hexdigest()
    change("PEX-INFO", json.dumps(information))
    change("__main__.py", files["__main__.py"][1].decode().replace(was, information["pex_hash"]))
    with target.open("wb") as out:
        out.write(prefix_of(archive).replace(was.encode(), information["pex_hash"].encode()))
        with zipfile.ZipFile(out, "a") as new:
            for item, data in files.values():
                new.writestr(item, data)
    target.chmod(0o755)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the binary that it is made of")
    parser.add_argument("target", type=Path, help="where to put it")
    parser.add_argument("--version", required=True, help="what it calls itself")
    parser.add_argument("--migrations", type=int, default=0, help="how many migrations it adds")
    parser.add_argument("--broken", choices=sorted(BROKEN), default="", help="how it is broken")
    parser.add_argument("--contracting", action="store_true", help="no older version can work on its database")
    options = parser.parse_args()
    how = options.version, options.migrations, options.broken
    try:
        make(options.source, options.target, *how, contracting=options.contracting)
    except (OSError, ValueError) as error:
        print(f"made_up_version: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
