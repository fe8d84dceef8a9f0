"""What the project's tools share: its environments, built from the committed locks, and how they say what is wrong.

Only the standard library, and nothing newer than Python 3.11: this runs before anything is installed.
"""

from __future__ import annotations

import ast
import configparser
import contextlib
import fcntl
import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
LOCKS = ROOT / "server" / "requirements"
DISK_NEEDED = 500 * 1024 * 1024


class ToolError(Exception):
    """Something that the person in front of the screen can mend; its text is one line."""


def say(text: str) -> None:
    print(text, flush=True)


def main_python() -> str:
    """The interpreter itself, also when this runs inside an environment or behind a version manager's shim."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return os.path.realpath(base)


def run_as_root(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def install_system_packages(names: list[str], why: str) -> None:
    """Install Debian or Ubuntu packages, or say in one line what to install.

    Raises ToolError when this user may not, or the package manager cannot.
    """
    wanted = " ".join(names)
    advice = f"{why}; install it as root: apt-get install {wanted}"
    if not shutil.which("apt-get"):
        raise ToolError(f"{why}; install your system's package for it (Debian and Ubuntu call it {wanted})")
    if os.geteuid() != 0:
        raise ToolError(advice)
    say(f"{why}: installing {wanted} with apt-get")
    run_as_root(["apt-get", "update", "-qq"])
    if not run_as_root(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names]):
        raise ToolError(f"apt-get could not do it: {advice}")


def has_venv_module() -> bool:
    importlib.invalidate_caches()
    return bool(importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"))


def require_venv_module() -> None:
    # Under a lock, as two steps at once may both find it missing, and apt-get serves one at a time.
    with lock(CACHE / "system-packages.lock"):
        if has_venv_module():
            return
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        install_system_packages([f"python{version}-venv"], f"Python {version} here has no venv module")


def require_program(program: str, package: str) -> None:
    with lock(CACHE / "system-packages.lock"):
        if not shutil.which(program):
            install_system_packages([package], f"the program {program} is missing")


def node_packages(source: Path) -> Path:
    """The folder with the `node_modules` that a folder's package-lock.json names; installed where it is not. The other
    files of the folder lie in it, too.

    Raises ToolError.
    """
    require_program("npm", "npm")
    files = sorted(path for path in source.iterdir() if path.is_file())
    named = b"".join(path.read_bytes() for path in files)
    homes = CACHE / "node" / source.name
    home = homes / hashlib.sha256(named).hexdigest()[:16]
    with lock(CACHE / f"node-{source.name}.lock"):
        if not home.exists():
            shutil.rmtree(homes, ignore_errors=True)
            unfinished = homes / "unfinished"
            shutil.copytree(source, unfinished)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, check=False)
            if done.returncode:
                said = [line for line in done.stderr.splitlines() if line.startswith("npm error")] or ["no reason"]
                raise ToolError(f"npm cannot install {source.name}: {said[0].removeprefix('npm error ')}")
            unfinished.rename(home)
    return home


def require_writable(folder: Path) -> None:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ToolError(f"cannot write below {folder}: {error.strerror}") from None


def require_disk(folder: Path, needed: int = DISK_NEEDED) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ToolError(f"not enough disk space below {folder}: {free >> 20} MB are free, {needed >> 20} MB are needed")


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock between processes, so that two commands at once do not build one environment together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


PIP_COMPLAINTS = (
    (r"No space left on device|Disk quota exceeded", "the disk is full"),
    (r"Permission denied|Read-only file system", "this user may not write there"),
    (r"hashes are required|DO NOT MATCH THE HASHES", "a package does not have the hash that the lock file names"),
    (
        r"NewConnectionError|Name or service not known|Temporary failure in name resolution|Network is unreachable|"
        r"ConnectTimeout|Read timed out|ConnectionResetError|No matching distribution found|"
        r"CERTIFICATE_VERIFY_FAILED|ProxyError|Connection refused",
        "the Python package index cannot be reached; check the network and pip's index, proxy and certificate settings",
    ),
)


def explain_pip(output: str) -> str:
    for pattern, meaning in PIP_COMPLAINTS:
        if re.search(pattern, output):
            return meaning
    errors = [line for line in output.splitlines() if "ERROR" in line or "error:" in line]
    return (errors or output.strip().splitlines() or ["pip said nothing"])[-1].strip()


@dataclass(frozen=True)
class Environment:
    """A virtual environment and the lock files that it is made of; `project` adds the server's own package."""

    name: str
    locks: tuple[str, ...]
    project: bool = False
    python: str = ""

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    def command(self, name: str) -> str:
        return str(self.bin / name)

    @property
    def interpreter(self) -> str:
        return self.python or main_python()

    def fingerprint(self) -> str:
        """Changes with everything that the environment is made of; the place too, as environments cannot be moved."""
        digest = hashlib.sha256(f"{self.path}\n{self.interpreter}\n".encode())
        for name in self.locks:
            digest.update((LOCKS / f"{name}.txt").read_bytes())
        if self.project:
            digest.update((ROOT / "server" / "pyproject.toml").read_bytes())
        return digest.hexdigest()

    def ensure(self) -> bool:
        """Build or bring up to date; returns whether there was anything to do. Raises ToolError."""
        stamp = self.path / f".built-from-{'-'.join(self.locks)}"
        require_writable(ROOT)
        with lock(CACHE / f"{self.name}.lock"):
            print_of_now = self.fingerprint()
            if stamp.exists() and stamp.read_text() == print_of_now and self.works():
                return False
            require_disk(ROOT)
            self.build()
            stamp.write_text(print_of_now)
        return True

    def works(self) -> bool:
        python = self.bin / "python"
        if not python.exists():
            return False
        probe = [str(python), "-c", "import pip, sys; print(sys.prefix)"]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        return done.returncode == 0 and Path(done.stdout.strip()).resolve() == self.path.resolve()

    def build(self) -> None:
        if not self.works():
            if not self.python:
                require_venv_module()
            self.make()
        locks = [word for name in self.locks for word in ("-r", str(LOCKS / f"{name}.txt"))]
        self.pip(["--require-hashes", *locks])
        if self.project:
            # Everything it needs is in the locks: with no index and no build isolation, nothing unpinned can come in.
            self.pip(["--no-deps", "--no-index", "--no-build-isolation", "--editable", str(ROOT / "server")])

    def make(self) -> None:
        command = [self.interpreter, "-m", "venv", "--clear", str(self.path)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"cannot make the environment {self.name}: {explain_pip(done.stdout + done.stderr)}")

    def pip(self, arguments: list[str]) -> None:
        command = [self.command("python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        command += ["--quiet", *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            log = CACHE / f"pip{self.name}.log"
            with contextlib.suppress(OSError):
                log.write_text(done.stdout)
            raise ToolError(
                f"cannot install into {self.name}: {explain_pip(done.stdout)} (all of it: {log.relative_to(ROOT)})"
            )


# What `make run` needs; the tests add theirs to the same environment.
RUN = Environment(".venv", ("build", "runtime", "ansible"), project=True)
TEST = Environment(".venv", ("test",))
LINT = Environment(".venv-lint", ("lint",))
DOCS = Environment(".venv-docs", ("docs",))
GALAXY = Environment(".venv-galaxy", ("galaxy",))
EDA = Environment(".venv-eda", ("eda",))
BINARY = Environment(".venv-binary", ("build", "binary"))


def find_python(versions: tuple[str, ...]) -> str | None:
    """The first interpreter of one of these versions that really runs and can make environments."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    manager = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for version in versions:
        candidates = [Path(folder, f"python{version}") for folder in folders if folder]
        candidates += sorted(Path(manager, "versions").glob(f"{version}.*/bin/python{version}"), reverse=True)
        for candidate in candidates:
            if not candidate.is_file():
                continue
            probe = "import ensurepip, os, sys, venv; print(os.path.realpath(sys._base_executable))"
            done = subprocess.run([str(candidate), "-c", probe], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout.strip()
    return None


def newest_ansible() -> Environment | None:
    python = find_python(("3.13", "3.14", "3.12"))
    return Environment(".venv-ansible-newest", ("ansible-newest",), python=python) if python else None


def tool_environment(environment: Environment, home: Path) -> dict[str, str]:
    """Variables for the Ansible tools: a home of their own, no shims on the path, UTF-8 in whatever locale."""
    path = [str(environment.bin)]
    path += [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part and "shims" not in part]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "DESKPLANE_"))}
    return {
        **kept,
        "PATH": os.pathsep.join(dict.fromkeys(path)),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def write_pip_settings(home: Path, environment: Environment) -> None:
    """Repeat pip's settings in a file below `home`: ansible-test hands no variables on, and reads no other home."""
    done = subprocess.run(
        [environment.command("python"), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = configparser.RawConfigParser()
    settings.add_section("global")
    # A variable beats a file, so the variables come last here.
    for line in sorted(done.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        section = "global" if section == ":env:" else section
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, option, str(ast.literal_eval(value)))
    for option, variables in (
        ("cert", ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")),
        ("proxy", ("https_proxy", "HTTPS_PROXY")),
    ):
        found = next((os.environ[name] for name in variables if os.environ.get(name)), None)
        if found and not settings.has_option("global", option):
            settings.set("global", option, found)
    settings.set("global", "cache-dir", str(CACHE / "pip"))
    target = home / ".config" / "pip" / "pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w") as handle:
        settings.write(handle)
