"""`make molecule`: try the roles on machines with a booted systemd, which are containers of a local image.

Needs root on Debian or Ubuntu, and no Docker: podman runs the machines, and Molecule reaches them over SSH, as an
operator does. Scenarios are in extensions/molecule; without a name all of them run, one after another.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import machine_image
import toolchain
from toolchain import BINARY, CACHE, LOCKS, ROOT, Environment, ToolError, say

MOLECULE = Environment(".venv-molecule", ("molecule",))
SCENARIOS = ROOT / "extensions" / "molecule"
WORK = CACHE / "molecule"
PROGRAMS = {
    "podman": "podman",
    "crun": "crun",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "ssh-keygen": "openssh-client",
}
# What the server calls itself here, whatever the sources say: versions before and after it are made of it.
VERSION = "1.0.0"
# Helpers of podman's, which are no programs on the path.
NETWORK = {"netavark": "netavark", "aardvark-dns": "aardvark-dns"}

# Outside of the checkout: a mount namespace belongs to the machine, and paths of sockets must be short.
RUN = Path("/run/deskplane-molecule")
NAMESPACE = RUN / "namespace"
INSIDE = "DESKPLANE_MOLECULE_INSIDE"

CONTAINERS = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
pids_limit = 0

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"

[network]
network_backend = "netavark"
"""


def scenarios() -> list[str]:
    return sorted(path.parent.name for path in SCENARIOS.glob("*/molecule.yml"))


def require_programs() -> None:
    if os.geteuid() != 0:
        raise ToolError("machines with a systemd of their own need root: sudo make molecule")
    helpers = [Path("/usr/lib/podman", name) for name in NETWORK]
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    missing += [NETWORK[helper.name] for helper in helpers if not helper.exists()]
    if missing:
        toolchain.install_system_packages(missing, "containers with a systemd need more programs")


def is_pure_cgroup2(folder: str = "/sys/fs/cgroup") -> bool:
    return Path(folder, "cgroup.controllers").exists()


def enter_namespace() -> None:
    """Go on in a mount namespace with cgroup v2 alone, where this machine mounts v1 beside it.

    One namespace for all calls, kept by a file: a machine that was started in one is out of reach from another.
    """
    if is_pure_cgroup2():
        return
    if os.environ.get(INSIDE):
        raise ToolError("cgroup v2 cannot be mounted here, and a systemd in a container needs it")
    with toolchain.lock(CACHE / "molecule-namespace.lock"):
        test = ["nsenter", f"--mount={NAMESPACE}", "test", "-e", "/sys/fs/cgroup/cgroup.controllers"]
        if not NAMESPACE.exists() or subprocess.run(test, capture_output=True, check=False).returncode:
            make_namespace()
    command = ["nsenter", f"--mount={NAMESPACE}", "--", "env", "-C", os.getcwd(), sys.executable, *sys.argv]
    raise SystemExit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)


def make_namespace() -> None:
    """The file of a namespace can only lie on a mount that hands nothing on to it."""
    if not os.path.ismount(RUN):
        machine_image.output_of(["mount", "--bind", str(RUN), str(RUN)])
    machine_image.output_of(["mount", "--make-private", str(RUN)])
    NAMESPACE.touch()
    mount = ["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]
    machine_image.output_of(["unshare", f"--mount={NAMESPACE}", "--propagation", "private", *mount])


def prepare_files() -> None:
    """The collection as Ansible looks for it, a key to the machines, and podman's settings."""
    shutil.rmtree(WORK / "collections", ignore_errors=True)
    collection = WORK / "collections" / "ansible_collections" / "deskplane" / "helpdesk"
    collection.parent.mkdir(parents=True)
    collection.symlink_to(ROOT)
    (WORK / "containers.conf").write_text(CONTAINERS)
    key = WORK / "key"
    if not key.exists():
        machine_image.output_of(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "molecule", "-f", str(key)])


def container_variables() -> dict[str, str]:
    return {**os.environ, "CONTAINERS_CONF": str(WORK / "containers.conf")}


def variables(image: str, binary: Path) -> dict[str, str]:
    home = WORK / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        **toolchain.tool_environment(MOLECULE, home),
        "CONTAINERS_CONF": str(WORK / "containers.conf"),
        "ANSIBLE_COLLECTIONS_PATH": str(WORK / "collections"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(RUN / "ssh"),
        "MOLECULE_IMAGE": image,
        "MOLECULE_KEY": str(WORK / "key"),
        # Two checkouts on one machine do not take each other's machines away.
        "MOLECULE_PREFIX": f"deskplane-{hashlib.sha256(bytes(ROOT)).hexdigest()[:6]}",
        "MOLECULE_BINARY": str(binary),
    }


def run(scenario: str, task: str, given: dict[str, str]) -> int:
    command = [MOLECULE.command("molecule"), "--base-config", str(SCENARIOS / "base.yml"), task]
    command += ["--scenario-name", scenario]
    say(f"molecule {task}: {scenario}")
    return subprocess.run(command, cwd=SCENARIOS.parent, env=given, check=False).returncode


def ensure_binary(given: Path | None) -> Path:
    """The server to install: the given file, or one made of these sources, once for as long as they are the same."""
    if given is not None:
        if not given.is_file():
            raise ToolError(f"there is no file {given}")
        return given.resolve()
    sources = [ROOT / "tools" / "build_binary.py", LOCKS / "runtime.txt", ROOT / "server" / "pyproject.toml"]
    sources += sorted(path for path in (ROOT / "server" / "src").rglob("*") if path.suffix != ".pyc" and path.is_file())
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    made = WORK / "binary" / digest.hexdigest()[:16] / f"deskplane-{VERSION}.pyz"
    with toolchain.lock(CACHE / "molecule-binary.lock"):
        if not made.exists():
            say("building the server")
            shutil.rmtree(WORK / "binary", ignore_errors=True)
            BINARY.ensure()
            build = [BINARY.command("python"), str(ROOT / "tools" / "build_binary.py")]
            machine_image.output_of([*build, "--version", VERSION, "--into", str(made.parent)])
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"which scenarios (default: all of {', '.join(scenarios())})")
    parser.add_argument(
        "--task",
        default="test",
        help="what Molecule does: test (default), converge, idempotence, verify, login, destroy …",
    )
    parser.add_argument("--binary", type=Path, metavar="FILE", help="the server to install (default: of these sources)")
    parser.add_argument("--prepare", action="store_true", help="only make what all scenarios need, and end")
    options = parser.parse_args()
    try:
        chosen = options.scenario or scenarios()
        if unknown := sorted(set(chosen) - set(scenarios())):
            raise ToolError(f"no scenario {', '.join(unknown)}; there are: {', '.join(scenarios())}")
        require_programs()
        (RUN / "ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
        enter_namespace()
        MOLECULE.ensure()
        WORK.mkdir(parents=True, exist_ok=True)
        prepare_files()
        image = machine_image.ensure(container_variables(), WORK)
        if options.prepare:
            return 0
        given = variables(image, ensure_binary(options.binary))
        failed = [scenario for scenario in chosen if run(scenario, options.task, given)]
    except ToolError as error:
        print(f"make molecule: {error}", file=sys.stderr)
        return 1
    if failed:
        print(f"make molecule: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
