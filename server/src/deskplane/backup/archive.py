"""The file of a backup: a tar archive, compressed, that says of itself what it holds.

Its members, in this order: `header.json` (version, migration, tables with their columns), `tables/<table>/<n>.jsonl`
(rows as JSON arrays, a line each), `manifest.json` (of each member before it size, SHA-256 and rows). It is written
and read as a stream. A reader believes nothing: names, sizes and hashes are all compared.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

import orjson

from deskplane.backup.files import HashedFile
from deskplane.backup.sealing import MAGIC, BadSeal, OpeningReader, SealingWriter
from deskplane.backup.trailer import BadTrailer, TrailedReader, trailer

FORMAT = 1
HEADER, MANIFEST = "header.json", "manifest.json"
LARGEST = 256 * 1024 * 1024
"""Bytes of one member: more is no backup of ours, but a bomb."""
_PART = re.compile(r"tables/([a-z_]{1,60})/(\d{6})\.jsonl")
_GZIP = b"\x1f\x8b\x08\0\0\0\0\0"
_BLOCK = 64 * 1024


class BadBackup(ValueError):
    """The file is no backup, a damaged one, or one that this version cannot read. Its text is one line."""


@dataclass(frozen=True)
class Part:
    """Some rows of a table, as they stand in the archive."""

    table: str
    lines: bytes

    def rows(self) -> list[list[Any]]:
        """Raises BadBackup."""
        try:
            return [orjson.loads(line) for line in self.lines.splitlines()]
        except orjson.JSONDecodeError:
            raise BadBackup(f"the rows of {self.table} cannot be read") from None


class ArchiveWriter:
    """Writes one archive. What is not closed by `finish` is refused by whoever reads it."""

    def __init__(self, file: IO[bytes], header: dict[str, Any], passphrase: str | None = None) -> None:
        self._file = file
        self._hashed = HashedFile(file)
        self._sealed = SealingWriter(file, passphrase) if passphrase is not None else None
        self._gzip = gzip.GzipFile("", "wb", 6, cast(IO[bytes], self._sealed or self._hashed), mtime=0)
        self._tar = tarfile.TarFile(fileobj=self._gzip, mode="w", format=tarfile.USTAR_FORMAT)
        self._members: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}
        self._add(HEADER, orjson.dumps({"format": FORMAT, **header}, option=orjson.OPT_INDENT_2), 0)

    def part(self, table: str, lines: bytes, rows: int) -> None:
        """Adds so many rows of a table."""
        number = self._numbers[table] = self._numbers.get(table, 0) + 1
        self._add(f"tables/{table}/{number:06d}.jsonl", lines, rows)

    def finish(self) -> None:
        """Adds the manifest."""
        self._add(MANIFEST, orjson.dumps({"members": self._members}, option=orjson.OPT_INDENT_2), 0)
        self._tar.close()
        self._gzip.close()
        if self._sealed is not None:
            self._sealed.close()
        else:
            self._file.write(trailer(self._hashed.digest))

    def _add(self, name: str, data: bytes, rows: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o600
        self._tar.addfile(member, io.BytesIO(data))
        self._members.append(
            {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "rows": rows}
        )


class ArchiveReader:
    """Reads an archive from its beginning to its end: first `header`, then `parts`. Raises BadBackup as soon as
    something is not as it should be, at the latest at its end."""

    def __init__(self, tar: tarfile.TarFile, source: IO[bytes]) -> None:
        self._tar, self._source = tar, source
        self._seen: list[dict[str, Any]] = []
        self.header = self._header()
        self.rows: dict[str, int] = {}
        """How many rows of each table were read."""

    def _header(self) -> dict[str, Any]:
        member = self._tar.next()
        if member is None or member.name != HEADER:
            raise BadBackup("it is no backup of Deskplane")
        header = _json(self._read(member, 0))
        if header.get("format") != FORMAT:
            raise BadBackup(
                f"it has the format {header.get('format')}, and this version reads {FORMAT}; use the version of "
                f"Deskplane that made it ({header.get('version')}), or a newer one"
            )
        return header

    def parts(self) -> Iterator[Part]:
        """Everything that is in it; afterwards it is known to be whole."""
        while (member := self._tar.next()) is not None:
            if member.name == MANIFEST:
                self._compare(_json(self._read(member, None)))
                self._require_end()
                return
            found = _PART.fullmatch(member.name)
            if found is None or found[1] not in self.header["tables"]:
                raise BadBackup(f"it holds {member.name[:100]!r}, which is no part of a backup")
            data = self._read(member, None)
            rows = data.count(b"\n")
            self._seen[-1]["rows"] = rows
            self.rows[found[1]] = self.rows.get(found[1], 0) + rows
            yield Part(found[1], data)
        raise BadBackup("its end is missing")

    def _require_end(self) -> None:
        more = self._tar.next() is not None
        while block := self._source.read(_BLOCK):  # to the very end, where the checksum stands
            more = more or any(block)
        if more:
            raise BadBackup("something stands behind its manifest")

    def _read(self, member: tarfile.TarInfo, rows: int | None) -> bytes:
        if not member.isfile() or member.size > LARGEST:
            raise BadBackup(f"{member.name[:100]!r} in it is no part of a backup")
        file = self._tar.extractfile(member)
        assert file is not None
        data = file.read()
        if len(data) != member.size:
            raise BadBackup("its end is missing")
        digest = hashlib.sha256(data).hexdigest()
        self._seen.append({"name": member.name, "size": len(data), "sha256": digest, "rows": rows or 0})
        return data

    def _compare(self, manifest: dict[str, Any]) -> None:
        for told, found in zip(manifest.get("members", ()), self._seen[:-1], strict=False):
            if told != found:
                raise BadBackup(f"it is damaged: {found['name']} is not what the manifest says")
        if len(manifest.get("members", ())) != len(self._seen) - 1:
            raise BadBackup("it is damaged: parts that the manifest names are missing")


@contextmanager
def reading(file: IO[bytes], passphrase: str | None = None) -> Iterator[ArchiveReader]:
    """Reads the archive in `file`, which stands at its beginning. Raises BadBackup."""
    try:
        begin = file.read(len(MAGIC))
        source: IO[bytes]
        if begin == MAGIC:
            if passphrase is None:
                raise BadBackup("it is sealed with a passphrase; give it")
            source = io.BufferedReader(OpeningReader(file, passphrase))
        elif begin.startswith(_GZIP):  # with no name and no time in it, as it is written
            file.seek(0)
            source = io.BufferedReader(TrailedReader(file))
        else:
            raise BadBackup("it is no backup of Deskplane")
        with gzip.GzipFile(fileobj=source) as clear, tarfile.open(fileobj=clear, mode="r|") as tar:
            yield ArchiveReader(tar, cast(IO[bytes], clear))
    except (BadSeal, BadTrailer) as error:
        raise BadBackup(str(error)) from None
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadBackup("it is damaged, or its end is missing") from None


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise BadBackup("it is damaged: its header or manifest cannot be read")
    return found
