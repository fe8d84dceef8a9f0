"""Whether the log is as it was written, and where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import orjson
from sqlalchemy.orm import Session

from deskplane.audit import chain, reading, triggers
from deskplane.audit.reading import Stored
from deskplane.audit.service import Head

MOST_NAMED = 20
_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


@dataclass
class Report:
    """What was found: how many entries from which to which, the head, and a line for each trouble."""

    count: int = 0
    first: int = 0
    head: Head = field(default_factory=lambda: Head(0, chain.BEGINNING))
    troubles: list[str] = field(default_factory=list)


def parsed_head(text: str) -> Head:
    """A head as it was printed. Raises ValueError."""
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no head; it looks like 1234:<64 hexadecimal digits>, as verify prints it")
    return Head(int(found[1]), found[2])


def verify(session: Session, kept: Head | None = None) -> Report:
    """The log of a database, in the session's one snapshot; `kept` is a head that was kept elsewhere."""
    purged, first = reading.last_purge(session), reading.first_of(session)
    begin = Head(0, chain.BEGINNING)
    if purged is not None and first != 1:  # where a purge was broken off, what it took counts as gone
        begin = Head(purged.through, purged.hash)
    report = _walk(lambda: reading.stored(session, begin.sequence), begin, kept)
    for name in triggers.missing(session.connection()):
        report.troubles.append(
            f"the database's own protection is gone: the trigger {name} is missing; run: deskplane migrate"
        )
    return report


def verify_export(file: IO[bytes], kept: Head | None = None) -> Report:
    """The log in a file that was exported; it may begin in the middle. Raises ValueError for what is none."""
    lines = list(_lines(file))
    if not lines:
        return _walk(lambda: iter(()), Head(0, chain.BEGINNING), kept)
    first, previous = lines[0][0], lines[0][1]
    return _walk(lambda: (entry for entry, _previous in lines), Head(first.sequence - 1, previous), kept)


def _lines(file: IO[bytes]) -> Iterator[tuple[Stored, str]]:
    for number, line in enumerate(file, 1):
        try:
            content = orjson.loads(line)
            sequence, hash_, previous = (content.pop(name) for name in ("sequence", "hash", "previous"))
            yield Stored(int(sequence), content, str(hash_)), str(previous)
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(
                f"line {number} is no entry of an audit log, as `deskplane audit export` writes it"
            ) from None


def _walk(entries: Callable[[], Iterator[Stored]], begin: Head, kept: Head | None) -> Report:
    report = Report(first=begin.sequence + 1, head=begin)
    suspects: list[Stored] = []
    known = {begin.sequence: begin.hash} if kept is not None and kept.sequence == begin.sequence else {}
    for entry in entries():
        report.count += 1
        before = report.head
        if entry.sequence > before.sequence + 1:
            report.troubles.append(_missing(before.sequence + 1, entry.sequence - 1))
        elif entry.sequence <= before.sequence:
            report.troubles.append(f"entry {entry.sequence} stands behind entry {before.sequence}")
            suspects.append(entry)
        elif chain.digest(before.hash, entry.content) != entry.hash:
            suspects.append(entry)
        if kept is not None and kept.sequence == entry.sequence:
            known[entry.sequence] = entry.hash
        report.head = Head(entry.sequence, entry.hash)
    report.troubles += _explained(entries, begin, suspects)
    if kept is not None:
        report.troubles += _against(kept, known.get(kept.sequence), begin, report.head)
    return report


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _explained(entries: Callable[[], Iterable[Stored]], begin: Head, suspects: list[Stored]) -> Iterator[str]:
    """Each entry that does not follow the one before it: it follows another one, or was changed."""
    named = suspects[:MOST_NAMED]
    follows: dict[int, int] = {}
    if named:
        places = [(begin.sequence, begin.hash), *((entry.sequence, entry.hash) for entry in entries())]
        for suspect in named:
            for place, hash_ in places:
                if chain.digest(hash_, suspect.content) == suspect.hash:
                    follows[suspect.sequence] = place
                    break
    for suspect in named:
        if suspect.sequence in follows:
            yield (
                f"entry {suspect.sequence} was moved: it was written right behind what is now entry "
                f"{follows[suspect.sequence]}; {_told(suspect)}"
            )
        else:
            yield f"entry {suspect.sequence} was changed, or what stood before it was taken away; {_told(suspect)}"
    if len(suspects) > len(named):
        yield f"and {len(suspects) - len(named)} more entries do not follow the one before them"


def _told(entry: Stored) -> str:
    content: dict[str, Any] = entry.content
    return f"it says: {content.get('at')} {content.get('username')} {content.get('action')} {content.get('kind')}"


def _against(kept: Head, found: str | None, begin: Head, last: Head) -> Iterator[str]:
    if found == kept.hash:
        return
    if found is not None:
        yield f"entry {kept.sequence} is not the one whose head was kept: all up to it may have been written anew"
    elif kept.sequence > last.sequence:
        yield f"entry {kept.sequence}, whose head was kept, is missing: the log ends at entry {last.sequence}"
    else:
        yield (
            f"entry {kept.sequence}, whose head was kept, is not in it any more: it begins behind entry "
            f"{begin.sequence}; compare with an export of before"
        )
