"""The smaller tasks of the Makefile: binary, format, generate, docs, bench, bench-scale, soak, fuzz, lock, clean."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import toolchain
from toolchain import BINARY, DOCS, LOCKS, ROOT, RUN, TEST, Environment, ToolError, say

LOCK = Environment(".venv-lock", ("lock",))
# The server under atheris, which has wheels for Python 3.11 to 3.13 on Linux.
FUZZ = Environment(".venv-fuzz", ("build", "runtime", "fuzz"), project=True)


def call(command: list[str], **variables: str) -> None:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def prepare() -> None:
    RUN.ensure()
    TEST.ensure()


def format_code(_options: argparse.Namespace) -> None:
    prepare()
    for folder in ("server", "tools"):
        call([RUN.command("ruff"), "check", "--fix", folder])
        call([RUN.command("ruff"), "format", folder])


def generate(_options: argparse.Namespace) -> None:
    prepare()
    copy_client = [RUN.command("python"), str(ROOT / "tools" / "generate_client.py")]
    # Before, because the command that describes the kinds imports the copy; after, because the kinds are in it.
    call(copy_client)
    kinds = toolchain.CACHE / "kinds.json"
    with kinds.open("wb") as target:
        done = subprocess.run([RUN.command("deskplane"), "describe-kinds"], stdout=target, cwd=ROOT, check=False)
    if done.returncode:
        raise ToolError("deskplane describe-kinds failed; what it said stands above")
    call([RUN.command("python"), str(ROOT / "tools" / "generate_modules.py"), str(kinds)])
    call(copy_client)
    call([RUN.command("python"), str(ROOT / "tools" / "generate_reference.py")])
    call([RUN.command("python"), str(ROOT / "tools" / "licences.py")])


def docs(options: argparse.Namespace) -> None:
    RUN.ensure()
    DOCS.ensure()
    shown = ["--serve", "--port", str(options.port)] if options.serve else []
    call([RUN.command("python"), str(ROOT / "tools" / "docs.py"), *shown])


def binary(options: argparse.Namespace) -> None:
    BINARY.ensure()
    named = ["--version", options.version] if options.version else []
    call([BINARY.command("python"), str(ROOT / "tools" / "build_binary.py"), *named])


def bench(_options: argparse.Namespace) -> None:
    prepare()
    call([RUN.command("python"), str(ROOT / "server" / "benchmarks" / "run.py")])


def bench_scale(options: argparse.Namespace) -> None:
    prepare()
    script = ROOT / "server" / "benchmarks" / "scale.py"
    call([RUN.command("python"), str(script), "--tickets", str(options.tickets)])


def soak(options: argparse.Namespace) -> None:
    prepare()
    call([RUN.command("pytest"), "-m", "soak", "--rootdir", str(ROOT / "server"), str(ROOT / "server" / "tests")])
    call(
        [
            RUN.command("python"),
            str(ROOT / "tools" / "try_api.py"),
            "--examples",
            str(options.examples),
            "--least",
            "10000",
        ]
    )
    call([RUN.command("python"), str(ROOT / "tools" / "without_defences.py")])
    BINARY.ensure()
    call([BINARY.command("python"), str(ROOT / "tools" / "try_binary.py"), "--every-python"])
    # Upgrades that are killed before each of their tasks, and in the middle of each.
    for seconds in ("0", "1"):
        killed = [sys.executable, str(ROOT / "tools" / "molecule.py"), "killed"]
        call(killed, KILLED_MATCH=".", KILLED_SECONDS=seconds)


def fuzz(options: argparse.Namespace) -> None:
    FUZZ.ensure()
    for target in options.targets:
        program = [FUZZ.command("python"), str(ROOT / "server" / "tests" / "fuzzing" / "run.py"), target]
        call([*program, "--seconds", str(options.seconds), "--home", str(toolchain.CACHE / "fuzz")])


def lock(_options: argparse.Namespace) -> None:
    LOCK.ensure()
    compile_one = [
        *(LOCK.command("uv"), "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes"),
        *("--no-header", "--no-emit-index-url", "--no-emit-find-links"),
    ]
    # In this order: the later ones take the earlier ones as constraints.
    for name in (
        "runtime",
        "build",
        "ansible",
        "test",
        "lint",
        "docs",
        "galaxy",
        "molecule",
        "eda",
        "binary",
        "fuzz",
        "ansible-newest",
        "lock",
    ):
        source = (LOCKS / f"{name}.in").relative_to(ROOT)
        python = "3.12" if name == "ansible-newest" else "3.11"
        call([*compile_one, "--python-version", python, str(source), "-o", str(source.with_suffix(".txt"))])
        say(f"{source.with_suffix('.txt')}")
    for folder in (ROOT / "tools" / "editor", ROOT / "server" / "tests" / "oidc" / "real_provider"):
        lock_node(folder)


def lock_node(folder: Path) -> None:
    """What is tried with programs from npm. The lock names hashes and no registry: that is everybody's own."""
    toolchain.require_program("npm", "npm")
    (folder / "package-lock.json").unlink(missing_ok=True)
    quiet = ("--no-audit", "--no-fund", "--loglevel", "error")
    call(
        ["npm", "install", "--package-lock-only", "--omit-lockfile-registry-resolved", *quiet, "--prefix", str(folder)]
    )
    say(str(folder / "package-lock.json"))


def clean(_options: argparse.Namespace) -> None:
    places = [*ROOT.glob(".venv*"), toolchain.CACHE, ROOT / "server" / "build", ROOT / "dist" / "docs"]
    places += [*ROOT.glob("**/.mypy_cache"), *ROOT.glob("**/.ruff_cache"), *ROOT.glob("**/.pytest_cache")]
    places += [*ROOT.glob("server/**/__pycache__"), *ROOT.glob("server/src/*.egg-info"), ROOT / "tests" / "output"]
    for place in places:
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = parser.add_subparsers(required=True, metavar="TASK")
    for name, work in (("format", format_code), ("generate", generate), ("bench", bench), ("lock", lock)):
        tasks.add_parser(name).set_defaults(work=work)
    tasks.add_parser("clean").set_defaults(work=clean)
    showing = tasks.add_parser("docs")
    showing.add_argument("--serve", action="store_true")
    showing.add_argument("--port", type=int, default=8000)
    showing.set_defaults(work=docs)
    packing = tasks.add_parser("binary")
    packing.add_argument("--version", default="")
    packing.set_defaults(work=binary)
    scaling = tasks.add_parser("bench-scale")
    scaling.add_argument("--tickets", type=int, default=1_000_000)
    scaling.set_defaults(work=bench_scale)
    soaking = tasks.add_parser("soak")
    soaking.add_argument("--examples", type=int, default=100)
    soaking.set_defaults(work=soak)
    fuzzing = tasks.add_parser("fuzz")
    fuzzing.add_argument("--seconds", type=int, default=300)
    fuzzing.add_argument("targets", nargs="*", default=["mails", "documents"])
    fuzzing.set_defaults(work=fuzz)
    options = parser.parse_args()
    try:
        options.work(options)
    except ToolError as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
