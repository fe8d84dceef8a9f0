"""What a ticket is found by: one list of tokens for both databases, each a word or one of two marked sorts.

Words are folded by `kernel/folding.py` and hold letters and digits only, so that the marks cannot be typed: a word of
an internal message bears one, and whose the ticket is stands beside the words as tokens of its own. So rights are part
of the question that the index answers, and not looked up for each of a million matches.
"""

from __future__ import annotations

from collections.abc import Iterable

from deskplane.kernel.folding import words

INTERNAL = "¬"
"""Before a word of an internal message."""
_SCOPE = "§"
NO_TICKET = _SCOPE
"""A token that no ticket bears."""

MOST_TALK = 600_000
"""Bytes of a ticket's conversation that are searched: PostgreSQL's tsvector holds a megabyte with all else."""


def scope(field: str, object_id: str | None) -> str:
    """The token of tickets that refer to an object: `§c0199…`; without an id, of those that refer to none."""
    return f"{_SCOPE}{field[0]}{(object_id or '').replace('-', '')}"


SCOPES = ("customer", "department", "assignee", "reporter")
"""References whose tokens a ticket bears; their first letters tell them apart."""


def head(prefix: str, sequence: int, texts: Iterable[str], references: dict[str, str | None]) -> str:
    """The tokens of the ticket itself, in the form that is stored. `references` are ids by the names of `SCOPES`."""
    found = {token for text in texts for token in words(text)}
    found |= {str(sequence), *words(f"{prefix}-{sequence:06d}")}
    found |= {scope(field, references[field]) for field in SCOPES}
    return " ".join(sorted(found))


def talk(body: str, *, internal: bool) -> str:
    """The tokens of one message; begins with a space, so that it can be appended."""
    mark = INTERNAL if internal else ""
    return "".join(f" {mark}{word}" for word in sorted(set(words(body))))


def conversation(messages: Iterable[tuple[str, bool]]) -> str:
    """The tokens of messages (text, whether it is internal), as far as there is room for them."""
    found, size = "", 0
    for body, internal in messages:
        said = talk(body, internal=internal)
        if size + len(said.encode()) <= MOST_TALK:
            found += said
            size += len(said.encode())
    return found
