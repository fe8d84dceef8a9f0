"""Build the binary twice, in different places, and use it as its users do: from an empty home, without the checkout.

Both builds have to be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import toolchain
from build_binary import PYTHONS
from check_house import tracked
from desk import OPENER, free_port
from source_version import epoch_of, version_of
from toolchain import ROOT, ToolError, say

SETTINGS = """\
database_url: sqlite:///{home}/deskplane.db
secret_key_file: {home}/secret_key
bind: 127.0.0.1:{port}
workers: 1
"""


class Machine:
    """A machine that has a Python and the binary, and nothing else of ours: an empty home, and few variables."""

    def __init__(self, home: Path, binary: Path, python: str) -> None:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "bin").mkdir()
        # Nothing else on the path: it is this one that the binary is to find.
        (home / "bin" / "python3").symlink_to(python)
        self.home, self.port = home, free_port()
        self.binary = shutil.copy(binary, home / "deskplane")
        (home / "secret_key").write_text("7Qv9ZkT2xLw4Rb8Nc5Hd1Gf6Js3Kp0Ym-Xe\n")
        (home / "secret_key").chmod(0o600)
        self.config = home / "deskplane.yml"
        self.config.write_text(SETTINGS.format(home=home, port=self.port))
        self.variables = {
            "HOME": str(home),
            "PATH": str(home / "bin"),
            "DESKPLANE_CONFIG": str(self.config),
        }

    def run(self, *arguments: str, allowed: int = 0, **variables: str) -> str:
        """What a command prints. Raises ToolError where it ends with another exit code."""
        done = subprocess.run(
            [self.binary, *arguments],
            env={**self.variables, **variables},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != allowed:
            raise ToolError(
                f"deskplane {' '.join(arguments)} ended with exit code {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done.stdout

    def timed(self) -> float:
        started = time.monotonic()
        self.run("--version")
        return time.monotonic() - started

    def serve(self, version: str) -> None:
        """Starts the server, asks it who it is, and ends it."""
        with (self.home / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [self.binary, "serve"],
                env=self.variables,
                cwd=self.home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.wait_ready(process)
            with OPENER.open(f"http://127.0.0.1:{self.port}/api/v1/version", timeout=10) as answer:
                require("its header's version", answer.headers["Deskplane-Version"], version)
                require("its answer's version", json.load(answer)["version"], version)
        finally:
            process.terminate()
            code = process.wait(30)
        require("the server's exit code", code, 0)

    def wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with OPENER.open(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                    if json.load(answer)["status"] == "ok":
                        return
            except OSError:
                time.sleep(0.1)
        raise ToolError(f"the server is not ready: {(self.home / 'server.log').read_text(errors='replace')[-2000:]}")


def require(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ToolError(f"{what} is {found!r}, and should be {wanted!r}")


def build(tree: Path, into: Path, store: Path, version: str, **variables: str) -> Path:
    """Builds from the sources of a tree, and answers the file."""
    command = [sys.executable, str(tree / "tools" / "build_binary.py"), "--into", str(into), "--store", str(store)]
    done = subprocess.run(
        [*command, "--version", version],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch_of(ROOT)), **variables},
        cwd=tree,
        umask=0o077 if variables else 0o022,
        check=False,
    )
    if done.returncode:
        raise ToolError("it cannot be built; what it said stands above")
    return into / f"deskplane-{version}.pyz"


def require_reproducible(binary: Path, work: Path, store: Path, version: str) -> None:
    """Builds it again: elsewhere, without git, by somebody with another umask, language and time zone."""
    tree, again = work / "elsewhere", work / "again"
    shutil.rmtree(tree, ignore_errors=True)
    for file in tracked():
        if not file.is_symlink():
            copy = tree / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    build(tree, again, store, version, TZ="Asia/Tokyo", LC_ALL="C.UTF-8", PYTHONHASHSEED="7")
    for suffix in ("", ".sha256", ".cdx.json"):
        one, other = (folder / f"{binary.name}{suffix}" for folder in (binary.parent, again))
        if one.read_bytes() != other.read_bytes():
            raise ToolError(f"built elsewhere, {one.name} is another file ({other})")


def use(machine: Machine, version: str) -> None:
    """What a first day with it is."""
    require("--version", machine.run("--version"), f"deskplane, version {version}\n")
    if "database_url" not in machine.run("config-example"):
        raise ToolError("config-example has no database_url")
    found = json.loads(machine.run("check", "--json", allowed=3))
    require("what check says of the version", found["version"], version)
    require("what check says of the settings", found["findings"], [])
    machine.run("migrate")
    require("check", machine.run("check"), "nothing else is wrong\n")
    machine.run("user", "create-admin", "root")
    if not machine.run("key", "create", "--user", "root", "--name", "first").startswith("dpk_"):
        raise ToolError("key create prints no key")
    machine.serve(version)
    machine.run("backup", "desk.tar.gz")
    if not machine.run("verify", "desk.tar.gz").startswith("whole: "):
        raise ToolError("verify does not say that the backup is whole")
    machine.run("restore", "desk.tar.gz", DESKPLANE_DATABASE_URL=f"sqlite:///{machine.home}/copy.db")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=toolchain.CACHE / "try-binary", metavar="DIR")
    parser.add_argument("--store", type=Path, default=toolchain.CACHE / "binary", metavar="DIR")
    parser.add_argument(
        "--every-python", action="store_true", help="try it with every Python of its range, not only with the oldest"
    )
    options = parser.parse_args()
    work, store = options.work.resolve(), options.store.resolve()
    try:
        shutil.rmtree(work, ignore_errors=True)
        version = version_of(ROOT)
        binary = build(ROOT, work / "dist", store, version)
        require_reproducible(binary, work, store, version)
        tried = []
        for major, minor in PYTHONS:
            python = toolchain.find_python((f"{major}.{minor}",))
            if python is None:
                say(f"no Python {major}.{minor} here: not tried with it")
                continue
            machine = Machine(work / f"machine-{major}.{minor}", binary, python)
            first, later = machine.timed(), min(machine.timed() for _ in range(2))
            used = machine.run("-c", "import sys; print(*sys.version_info[:2])", PEX_INTERPRETER="1")
            require("the Python that it runs with", used, f"{major} {minor}\n")
            use(machine, version)
            say(f"Python {major}.{minor}: works; first start {first:.1f} s, later ones {later:.2f} s")
            tried.append(python)
            shutil.rmtree(machine.home)
            if not options.every_python:
                break
        if not tried:
            raise ToolError("there is no Python here to try it with")
    except (ToolError, OSError) as error:
        print(f"try_binary: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
