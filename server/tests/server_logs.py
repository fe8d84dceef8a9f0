"""What the servers of a test said of themselves: an answer of 5xx, or an error in a log, fails the test that caused it.

The application in this process is heard line by line, whatever level and form its log has; servers and workers that a
test starts write to files, which are read when the test ends. A test that provokes something says what:

    @pytest.mark.provokes(503, "worker could not work")

allows answers of 503 and lines with these words. Nothing else is allowed anywhere.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deskplane.kernel.logging import logger

LEVELS = ("debug", "info", "warning", "error", "critical", "exception")
SERIOUS = {"error", "critical", "exception"}
PLAIN = re.compile(r"Traceback \(most recent call last\)|\[(?:error|critical) *\]|\bstatus=5\d\d\b")
"""What tells of a fault in a log that is made for people."""

_lock = threading.Lock()
_heard: list[str] = []
_files: set[Path] = set()


def listen() -> None:
    """From now on hears what the application in this process logs, before its level is looked at."""

    def heard_first(level: str) -> Any:
        def log(event: str, *args: Any, **values: Any) -> Any:
            fault = fault_of({"level": level, "event": event, **values})
            if fault is not None:
                with _lock:
                    _heard.append(fault)
            return getattr(logger.bind(), level)(event, *args, **values)

        return log

    for level in LEVELS:
        setattr(logger, level, heard_first(level))


def watched(file: Path) -> None:
    """Reads this file, too, when the test ends: the log of a process."""
    with _lock:
        _files.add(file)


def fault_of(entry: dict[str, Any]) -> str | None:
    """What is wrong about a line of the log, as text, or null."""
    status = entry.get("status")
    if entry.get("event") == "request" and isinstance(status, int) and status >= 500:
        return f"answered {status}: {entry.get('method')} {entry.get('path')}"
    if entry.get("level") in SERIOUS:
        return " ".join(f"{name}={value}" for name, value in entry.items() if name != "timestamp")
    return None


def _in_file(file: Path) -> Iterator[str]:
    for line in file.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            if PLAIN.search(line):
                yield f"{file.name}: {line}"
            continue
        fault = fault_of(entry) if isinstance(entry, dict) else None
        if fault is not None:
            yield f"{file.name}: {fault}"


def faults() -> list[str]:
    """All that was found since the last time."""
    with _lock:
        found, files = _heard[:], sorted(_files)
        _heard.clear()
        _files.clear()
    return [*found, *(fault for file in files if file.exists() for fault in _in_file(file))]


def beyond(found: list[str], allowed: tuple[int | str, ...] = ()) -> list[str]:
    """Those that are not allowed, by the status of an answer or by words of the line."""
    words = tuple(f"answered {part}:" if isinstance(part, int) else part for part in allowed)
    return [fault for fault in found if not any(part in fault for part in words)]


def require_none(allowed: tuple[int | str, ...] = ()) -> None:
    """Fails where something was found since the last time but what is allowed."""
    found = beyond(faults(), allowed)
    assert not found, "the server's log has faults:\n" + "\n".join(fault[:1000] for fault in found[:20])
