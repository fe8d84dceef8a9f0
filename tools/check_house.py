"""Rules of the house that no linter knows: length of files, licence headers, locks, and no trace of one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import toolchain
from toolchain import ROOT

LINES = 500
HEADER = (
    "# Copyright: Contributors to the Deskplane project",
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
)
# In two parts, so that this file does not find itself.
MACHINE = re.compile(r"(?<![\w.}])/(?:" + "work|root|home" + r")/[\w.-]+")
_THEN = r"""["']?,? +["']?"""
INSTALLS = re.compile(
    rf"\b(?:pip3?|uv){_THEN}(?:pip{_THEN})?install\b|ansible\.builtin\.pip:|\bnpm{_THEN}install\b", re.IGNORECASE
)
"""What installs a package."""
PINNED = re.compile(r"--require-hashes|--no-deps|--package-lock-only")
"""What keeps to a lock, installs nothing but what lies there, or only writes a lock."""
WITHOUT_LOCK = {
    "tools/toolchain.py",  # Environment.pip, whose callers name locks
    "tools/gates.py",  # the pip that ansible-test asks for
    "tools/tests/test_check_house.py",
}
GENERATED = re.compile(r"generated (?:by|from)", re.IGNORECASE)


def tracked() -> list[Path]:
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise toolchain.ToolError(f"git cannot list the files: {done.stderr.strip()}")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def findings(path: Path, text: str) -> Iterator[str]:
    relative = path.relative_to(ROOT)
    lines = text.splitlines()
    is_lock = relative.parts[:2] == ("server", "requirements")
    is_code = path.suffix in {".py", ".sh", ".yml", ".yaml", ".js", ".html", ".j2"}
    if is_code and len(lines) > LINES and not GENERATED.search("\n".join(lines[:10])):
        yield f"{relative}: {len(lines)} lines, more than {LINES}: split it by meaning"
    for number, line in enumerate(lines, 1):
        if found := MACHINE.search(line):
            yield f"{relative}:{number}: the path of one machine: {found[0]}"
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            yield f"{relative}:{number}: a merge was left half done"
        if is_lock and ("://" in line or line.startswith("--")):
            yield f"{relative}:{number}: a lock names no package index"
        if path.name == "package-lock.json" and '"resolved":' in line:
            yield f"{relative}:{number}: a lock names no package registry: make lock"
    if is_lock and path.suffix == ".txt":
        for requirement in re.finditer(r"^\w[^\n]*==[^\n]*$(?!\n +--hash)", text, re.MULTILINE):
            yield f"{relative}: no hash: {requirement[0]}"
    if is_lock and path.suffix == ".txt":
        for line in text.splitlines():
            if line and not line[0].isspace() and not line.startswith("#") and not PIN.match(line):
                yield f"{relative}: not pinned: {line}"
    if relative.parts[0] in {"tools", "roles", "playbooks", "Makefile"} and str(relative) not in WITHOUT_LOCK:
        for number, line in enumerate(lines, 1):
            if INSTALLS.search(line) and not PINNED.search(" ".join(lines[number - 1 : number + 2])):
                yield f"{relative}:{number}: installs what no lock pins: {line.strip()}"
    if relative.parts[0] == "plugins" and path.suffix == ".py" and text.strip():
        head = [line for line in lines[:6] if not line.startswith("#!")]
        if not set(HEADER) <= set(head):
            yield f"{relative}: the licence header is missing"


PIN = re.compile(r"^(?P<name>[\w.-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)", re.MULTILINE)
# One environment has all of these, so they have to agree.
TOGETHER = ("build", "runtime", "ansible", "test")


def lock_findings(folder: Path) -> Iterator[str]:
    seen: dict[str, tuple[str, str]] = {}
    for source in sorted(folder.glob("*.in")):
        lock = source.with_suffix(".txt")
        text = lock.read_text() if lock.exists() else ""
        pins = {pin["name"].lower().replace("_", "-"): pin["version"] for pin in PIN.finditer(text)}
        lines = [line.split("#")[0].strip() for line in source.read_text().splitlines()]
        asked = {found[0].lower().replace("_", "-") for line in lines if (found := re.match(r"\w[\w.-]*", line))}
        blocks = re.split(r"\n(?=\S)", text)
        given = {
            found["name"].lower().replace("_", "-")
            for block in blocks
            if (found := PIN.match(block)) and re.search(rf"-r \S*\b{re.escape(source.name)}\b", block)
        }
        for name in sorted(asked ^ given):
            yield f"{lock.name} is not what {source.name} asks for ({name}): make lock"
        if source.stem in TOGETHER:
            for name, version in pins.items():
                other, earlier = seen.setdefault(name, (lock.name, version))
                if earlier != version:
                    yield f"{name} is {earlier} in {other} and {version} in {lock.name}: make lock"


def target_findings(root: Path) -> Iterator[str]:
    """ansible-test runs the collection's role instead of a target that has its name."""
    for role in sorted((root / "roles").iterdir()):
        if (root / "tests" / "integration" / "targets" / role.name).is_dir():
            yield f"tests/integration/targets/{role.name}: has the name of a role, which runs instead of it: rename it"


NAMED_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
"""A test, by its file below server/tests, as the documentation names those that show what it promises."""


def named_test_findings(page: str, text: str, tests: Path) -> Iterator[str]:
    """A promise whose test was renamed or is gone."""
    for number, line in enumerate(text.splitlines(), 1):
        for file, name in NAMED_TEST.findall(line):
            source = tests / file
            if not source.is_file() or not re.search(rf"^def {name}\(", source.read_text(), re.MULTILINE):
                yield f"{page}:{number}: there is no test {file}::{name}"


def main() -> int:
    try:
        found = [*lock_findings(toolchain.LOCKS), *target_findings(toolchain.ROOT)]
        for page in ("docs/security.md", "docs/asvs.md"):
            found += named_test_findings(page, (ROOT / page).read_text(), ROOT / "server" / "tests")
        found += [
            finding
            for path in tracked()
            if not path.is_symlink() and (text := text_of(path)) is not None
            for finding in findings(path, text)
        ]
    except toolchain.ToolError as error:
        found = [str(error)]
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
