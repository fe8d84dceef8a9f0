"""What stands in the place of a stored secret, in what is read and in what is declared."""

from __future__ import annotations

from dataclasses import dataclass

SECRET_SHOWN = "(secret)"  # noqa: S105 - what is shown in a secret's place
SECRET_WANTED = ""
"""Stored in a secret's place: one was declared by reference, and nobody gave it yet."""
SECRET_WANTED_SHOWN = "(needs secret)"  # noqa: S105 - and what is shown of that


@dataclass(frozen=True)
class SecretReference:
    """`{"$secret": "department/support/imap.password"}`: the secret that is stored, whatever it is."""

    text: str


def secret_shown(value: str | None) -> str | None:
    """What is shown in the place of a stored secret."""
    if value is None:
        return None
    return SECRET_WANTED_SHOWN if value == SECRET_WANTED else SECRET_SHOWN
