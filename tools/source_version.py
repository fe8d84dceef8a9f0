"""Which version a tree of sources is: what its tags say, as PEP 440 writes it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from toolchain import ToolError

PLACE = Path("server", "src", "deskplane", "__init__.py")
LINE = re.compile(r'^__version__ = "(?P<version>[^"]+)"$', re.MULTILINE)
TAG = re.compile(
    r"v(?P<version>(?P<release>\d+\.\d+\.\d+)(?:(?P<candidate>a|b|rc)(?P<number>\d+))?)"
    r"-(?P<distance>\d+)-g(?P<commit>[0-9a-f]+)"
)
# Fixed, or else each clone would choose a length of its own.
COMMIT_LENGTH = 12
BEFORE_ALL_TIMES = 315_532_800
"""1980-01-01, the first moment that a zip file can say."""


def git(root: Path, *arguments: str) -> str | None:
    """What git says, or None where there is no git, or no repository of this tree."""
    try:
        done = subprocess.run(
            ["git", "-c", f"safe.directory={root}", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def is_repository(root: Path) -> bool:
    """Whether the tree is a repository by itself: one that was unpacked below another's has nothing to do with it."""
    top = git(root, "rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == root.resolve()


def declared(root: Path) -> str:
    """The version that the sources name: the next release, or the one that they are."""
    found = LINE.search((root / PLACE).read_text())
    if found is None:
        raise ToolError(f"{PLACE} names no __version__")
    return found["version"]


def numbers(version: str) -> tuple[int, ...]:
    """The release that a version belongs to."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def version_of(root: Path) -> str:
    """The version of a tree.

    A commit with the tag v1.2.3 is 1.2.3, and the fifth one after it 1.2.4.dev5+g<commit>, or 1.3.0.dev5+g<commit> if
    the sources name 1.3.0 already. Without a tag all commits count; without git it is what the sources name. What was
    changed and not committed adds `.dirty`.
    """
    named = declared(root)
    if not is_repository(root):
        return named
    changed = ".dirty" if git(root, "status", "--porcelain", "--untracked-files=no") else ""
    described = git(root, "describe", "--tags", "--long", f"--abbrev={COMMIT_LENGTH}", "--match", "v[0-9]*")
    found = TAG.fullmatch(described) if described else None
    if found is None:
        count = git(root, "rev-list", "--count", "HEAD")
        commit = git(root, "rev-parse", f"--short={COMMIT_LENGTH}", "HEAD")
        return f"{named}.dev{count}+g{commit}{changed}" if count and commit else named
    if found["distance"] == "0" and not changed:
        return found["version"]
    major, minor, patch = numbers(found["release"])
    following = f"{major}.{minor}.{patch + 1}"
    if found["candidate"]:
        following = f"{found['release']}{found['candidate']}{int(found['number']) + 1}"
    if numbers(named) > numbers(following):
        following = named
    return f"{following}.dev{found['distance']}+g{found['commit']}{changed}"


def epoch_of(root: Path) -> int:
    """The time of the last commit, in seconds since 1970: the only time that anything built from it may have."""
    found = git(root, "log", "-1", "--format=%ct") if is_repository(root) else None
    return int(found) if found else BEFORE_ALL_TIMES
