"""`make binary`: the whole server as one executable file, with its checksum and its bill of materials.

The file runs with Python 3.11, 3.12 or 3.13 on Linux (x86_64, glibc 2.28 or newer) and has in it: the server, every
package that it needs in the versions of server/requirements/runtime.txt and with the hashes named there, migrations,
and an example configuration (`deskplane config-example`). The same sources make the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version as installed
from pathlib import Path

from packaging.markers import Marker
from packaging.tags import compatible_tags, cpython_tags
from packaging.version import InvalidVersion, Version

import toolchain
from lock_file import Pin, read_lock
from sbom import bill_of_materials
from source_version import LINE, PLACE, epoch_of, version_of
from toolchain import ROOT, ToolError, say

PYTHONS = ((3, 11), (3, 12), (3, 13))
# Every Linux since 2018: glibc 2.28 and older symbols.
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)), "manylinux2014_x86_64", "linux_x86_64")
LOCK = toolchain.LOCKS / "runtime.txt"


def marker_environment(python: tuple[int, int]) -> dict[str, str]:
    version = f"{python[0]}.{python[1]}"
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{version}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{version}.0",
        "python_version": version,
        "sys_platform": "linux",
    }


def fits(pin: Pin, python: tuple[int, int]) -> bool:
    """Whether the package is needed with this interpreter at all."""
    return not pin.marker or Marker(pin.marker).evaluate(marker_environment(python))


def complete_platform(python: tuple[int, int]) -> dict[str, object]:
    """What pex asks of an interpreter, told of one that need not be on this machine."""
    tags = [str(tag) for tag in cpython_tags(python, platforms=PLATFORMS)]
    tags += [str(tag) for tag in compatible_tags(python, f"cp{python[0]}{python[1]}", PLATFORMS)]
    return {"marker_environment": marker_environment(python), "compatible_tags": list(dict.fromkeys(tags))}


def call(command: list[str], what: str, **variables: str) -> None:
    """Runs a program; what it said is shown only where it failed. Raises ToolError."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PEX_", "PYTHON"))}
    done = subprocess.run(
        command,
        env={**kept, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # A wheel keeps the modes of files, and whoever builds it has an umask of his own.
        umask=0o022,
        check=False,
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise ToolError(f"{what}: {toolchain.explain_pip(done.stdout)}")


def wheels(pins: list[Pin], store: Path) -> list[Path]:
    """The wheels of all packages for all interpreters, downloaded once; each has one of the hashes of the lock."""
    digest = hashlib.sha256(repr((pins, PYTHONS, PLATFORMS)).encode()).hexdigest()[:16]
    folder, done = store / digest, store / f"{digest}.complete"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for python in PYTHONS:
            download([pin for pin in pins if fits(pin, python)], python, folder)
        done.touch()
    known = {digest for pin in pins for digest in pin.hashes}
    found = sorted(folder.glob("*.whl"))
    for wheel in found:
        if sha256(wheel) not in known:
            raise ToolError(f"{wheel} does not have a hash that the lock names; delete {folder}")
    return found


def download(pins: list[Pin], python: tuple[int, int], folder: Path) -> None:
    version = f"{python[0]}{python[1]}"
    wanted = folder / f"requirements-{version}.txt"
    wanted.write_text(
        "".join(f"{pin.name}=={pin.version} {' '.join(f'--hash=sha256:{one}' for one in pin.hashes)}\n" for pin in pins)
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", f"{python[0]}.{python[1]}"]
    command += [word for abi in (f"cp{version}", "abi3", "none") for word in ("--abi", abi)]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    call([*command, "--dest", str(folder), "-r", str(wanted)], f"cannot download the packages for Python {python}")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sources() -> Iterator[Path]:
    """What the server's own package is made of, below server/."""
    server = ROOT / "server"
    yield from (server / "pyproject.toml", server / "requirements" / "runtime.in")
    for path in sorted((server / "src" / "deskplane").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def own_wheel(version: str, epoch: int, work: Path) -> Path:
    """The server's own package. It is built from a copy, so that nothing that an earlier build left gets into it."""
    tree, target = work / "server", work / "wheel"
    for source in sources():
        copy = tree / source.relative_to(ROOT / "server")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod(0o644)
    stamped = work / PLACE
    stamped.write_text(LINE.sub(f'__version__ = "{version}"', stamped.read_text()))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-index", "--no-build-isolation", "--no-cache-dir", "--wheel-dir", str(target), str(tree)]
    call(command, "cannot build the server's own package", SOURCE_DATE_EPOCH=str(epoch))
    (wheel,) = target.glob("*.whl")
    return wheel


def pack(parts: list[Path], version: str, epoch: int, work: Path, cache: Path) -> Path:
    """One file of all wheels."""
    folder, target = work / "parts", work / f"deskplane-{version}.pyz"
    folder.mkdir()
    for part in parts:
        shutil.copyfile(part, folder / part.name)
    command = [sys.executable, "-m", "pex", f"deskplane=={version}", "--pre-resolved-dists", str(folder)]
    for python in PYTHONS:
        platform = work / f"platform-{python[0]}.{python[1]}.json"
        platform.write_text(json.dumps(complete_platform(python)))
        command += ["--complete-platform", str(platform)]
    command += ["--interpreter-constraint", f"CPython>=3.{PYTHONS[0][1]},<3.{PYTHONS[-1][1] + 1}"]
    # The command is run from a virtual environment that is made at the first start; sh finds an interpreter for it.
    command += ["--venv", "--sh-boot", "--script", "deskplane", "--no-compile", "--output-file", str(target)]
    call([*command, "--pex-root", str(cache)], "pex cannot pack them", SOURCE_DATE_EPOCH=str(epoch))
    return target


def require_valid(bill: str) -> None:
    """Raises ToolError for a bill of materials that is none by CycloneDX' own schema."""
    from cyclonedx.schema import SchemaVersion  # type: ignore[import-not-found]
    from cyclonedx.validation.json import JsonStrictValidator  # type: ignore[import-not-found]

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill):
        raise ToolError(f"the bill of materials is not valid: {str(error)[:300]}")


def build(into: Path, version: str, epoch: int, store: Path) -> Path:
    """Builds everything into a folder, and answers the executable file."""
    pins = read_lock(LOCK.read_text())
    toolchain.require_disk(ROOT)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="deskplane-binary-") as folder:
        work = Path(folder)
        parts = wheels(pins, store / "wheels")
        made = pack([*parts, own_wheel(version, epoch, work)], version, epoch, work, store / "pex")
        made.chmod(0o755)
        digest = sha256(made)
        found = bill_of_materials(version, epoch, digest, pins, parts, installed("pex"))
        bill = json.dumps(found, indent=2, ensure_ascii=False)
        require_valid(bill)
        for name, text in ((f"{made.name}.sha256", f"{digest}  {made.name}\n"), (f"{made.name}.cdx.json", bill + "\n")):
            (into / name).write_text(text)
        # Last, and in one step: where the file is there, it is whole, and so is what belongs to it.
        shutil.move(made, into / f".{made.name}")
        os.replace(into / f".{made.name}", into / made.name)
    return into / made.name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--into", type=Path, default=ROOT / "dist", metavar="DIR", help="where to put it (default: dist)"
    )
    parser.add_argument("--version", help="another version than the one that the tags say")
    parser.add_argument(
        "--store", type=Path, default=toolchain.CACHE / "binary", metavar="DIR", help="downloaded packages"
    )
    parser.add_argument("--print-version", action="store_true", help="print the version of these sources and end")
    options = parser.parse_args()
    try:
        version = str(Version(options.version or version_of(ROOT)))
        if options.print_version:
            say(version)
            return 0
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or epoch_of(ROOT))
        made = build(options.into.resolve(), version, epoch, options.store.resolve())
    except InvalidVersion:
        print(f"make binary: {options.version!r} is no version as PEP 440 has them, such as 1.2.3", file=sys.stderr)
        return 1
    except (ToolError, OSError) as error:
        print(f"make binary: {error}", file=sys.stderr)
        return 1
    say(f"{made} ({made.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
