"""Reading the locks of server/requirements."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolchain import ToolError


@dataclass(frozen=True)
class Pin:
    """One package of a lock. `needed_by` names packages, or the file that asks for it: `-r requirements/runtime.in`."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]


BLOCK = re.compile(r"^(?P<name>[\w.-]+)(?:\[[^]]*\])?==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+?))? \\$")


def read_lock(text: str) -> list[Pin]:
    """The packages of a lock file as `uv pip compile` writes it. Raises ToolError for one that has no hash."""
    pins = []
    for block in re.split(r"\n(?=\w)", text.strip()):
        lines = block.splitlines()
        head = BLOCK.match(lines[0])
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
        if head is None or not hashes:
            raise ToolError(f"the lock has no hash for: {lines[0]}")
        said = [line.strip(" #").removeprefix("via").strip() for line in lines if line.startswith("    #")]
        needed_by = tuple(word for word in said if word)
        pins.append(Pin(head["name"], head["version"], head["marker"] or "", hashes, needed_by))
    return pins
