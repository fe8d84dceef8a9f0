"""Texts with placeholders, `{{name}}` or `${name}`: the second form is one that Jinja leaves alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from deskplane.kernel.fields import Text, refuse

PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}|\$\{\s*([^{}]*?)\s*\}")


def check_placeholders(text: str, known: Collection[str]) -> None:
    """Raises ValidationError for a placeholder that is none of the known ones."""
    for found in PLACEHOLDER.finditer(text):
        name = found.group(1) or found.group(2) or ""
        if name not in known:
            raise refuse("unknown_placeholder", f"there is no placeholder {name!r}", list(known))


def fill(text: str, values: Mapping[str, str], written: Callable[[str], str] = str) -> str:
    """The text with its placeholders filled in, each value once and as it is; `written` makes a value fit for what the
    text is. Raises ValidationError for a placeholder that is none of the known ones."""
    check_placeholders(text, values)
    return PLACEHOLDER.sub(lambda found: written(values[found.group(1) or found.group(2) or ""]), text)


class Templated(Text):
    """Text in which placeholders are filled in."""

    def __init__(self, description: str, *, placeholders: Collection[str], **common: Any) -> None:
        super().__init__(description, **common)
        self.placeholders = tuple(placeholders)

    def canonical(self, text: str) -> str:
        check_placeholders(text, self.placeholders)
        return text
