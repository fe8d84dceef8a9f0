"""The machine that the roles are tried on: an image of a bare system with a systemd that boots, made by mmdebstrap.

It is of the distribution that this machine runs, from the sources that this machine's own apt is set up with; so what
a closed network or a mirror needs is known already, and no address of one stands in this repository.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import toolchain
from toolchain import ToolError, say

NAME = "localhost/deskplane-machine"

# A server as it comes, what Ansible needs, and what the scenarios look with.
INSTALLED = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "python3", "python3-apt"),
    *("ca-certificates", "iproute2", "procps", "curl"),
)
# What the roles install: only downloaded, so that trying them neither waits for a mirror nor fails with it.
DOWNLOADED = ("nginx", "openssl", "postgresql", "redis-server")

# A container's systemd has no business with the host's devices, terminals and kernel; and apt's own timers would hold
# its lock while a role wants it.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "getty.target", "systemd-logind.service"),
    *(
        "systemd-modules-load.service",
        "systemd-sysctl.service",
        "systemd-udevd.service",
        "systemd-udev-trigger.service",
    ),
)
# As containers have it: an image that was broken off is made anew, so that nothing needs to be synced.
UNPACKING = ("force-unsafe-io", *(f"path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")))

# Where a machine is given the key of those who may come in.
KEYS = "/etc/ssh/authorized_keys"


@dataclass(frozen=True)
class System:
    """A distribution, and where its packages come from: lines of sources.list, and options of apt."""

    codename: str
    sources: tuple[str, ...]
    options: tuple[str, ...]

    def name(self) -> str:
        """The image's name: another one for each change of what it is made of, and anew every week."""
        made_of = (self, INSTALLED, DOWNLOADED, MASKED, UNPACKING, KEYS, time.strftime("%G-%V", time.gmtime()))
        return f"{NAME}:{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}"


def output_of(command: list[str]) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise ToolError(f"{' '.join(command[:3])}: {said[-1]}")
    return done.stdout


def this_system() -> System:
    """What this machine runs. Raises ToolError where that is neither Debian nor Ubuntu."""
    lines = Path("/etc/os-release").read_text().splitlines()
    release = {name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines) if value}
    distribution, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    if distribution not in ("debian", "ubuntu"):
        raise ToolError(
            f"this machine runs {distribution or 'an unknown system'}; the roles are tried on Debian or Ubuntu"
        )
    sources = sources_of(distribution)
    if not sources:
        toolchain.run_as_root(["apt-get", "update", "-qq"])
        sources = sources_of(distribution)
    if not sources:
        raise ToolError(f"apt here knows no packages of {distribution} itself; look at /etc/apt/sources.list.d")
    return System(codename, sources, options())


def sources_of(distribution: str) -> tuple[str, ...]:
    """The distribution's own repositories, as apt has them: other ones have nothing that the roles need."""
    fields = ("ORIGIN", "REPO_URI", "RELEASE", "COMPONENT")
    shown = "|".join(f"$({name})" for name in fields)
    found = output_of(["apt-get", "indextargets", "--format", shown, "Created-By: Packages"])
    lines = []
    for line in found.splitlines():
        origin, address, release, component = line.split("|")
        if origin.lower() == distribution:
            lines.append(f"deb {address} {release} {component}")
    return tuple(dict.fromkeys(lines))


def options() -> tuple[str, ...]:
    """How apt here fetches, such as by which proxy. Not what it fetches, which the image decides for itself."""
    ours = ("acquire::check-", "acquire::http", "acquire::https", "acquire::languages", "acquire::retries")
    found = output_of(["apt-config", "dump", "--no-empty", "--format", '%f "%v";%n'])
    return tuple(line for line in found.splitlines() if line.lower().startswith(ours))


def ensure(containers: dict[str, str], work: Path) -> str:
    """Make the image unless podman has it already; returns its name. `containers` are podman's variables."""
    system = this_system()
    name = system.name()
    with toolchain.lock(toolchain.CACHE / "machine-image.lock"):
        if subprocess.run(["podman", "image", "exists", name], env=containers, check=False).returncode == 0:
            return name
        say(f"making the image {name}, a bare {system.codename}")
        toolchain.require_disk(work, 2 << 30)
        archive = work / "machine.tar"
        try:
            make(system, archive)
            bring_in(name, archive, containers)
        finally:
            archive.unlink(missing_ok=True)
    return name


def make(system: System, archive: Path) -> None:
    download = ["apt-get", "install", "--yes", "--quiet", "--download-only", "--no-install-recommends", *DOWNLOADED]
    options_file = 'cat > "$1"/etc/apt/apt.conf.d/90machine <<"EOF"\n' + "\n".join(system.options) + "\nEOF"
    hooks = [
        options_file,
        'chroot "$1" apt-get clean',
        'chroot "$1" ' + shlex.join(download),
        'chroot "$1" ' + shlex.join(["systemctl", "mask", "--quiet", *MASKED]),
        f'echo AuthorizedKeysFile {KEYS} > "$1"/etc/ssh/sshd_config.d/keys.conf',
        # Each machine is a new one.
        'rm -f "$1"/etc/machine-id; : > "$1"/etc/machine-id',
    ]
    sources = archive.with_suffix(".list")
    sources.write_text("\n".join(system.sources) + "\n")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(INSTALLED)}"]
    # With its lists taken away, Ansible's module for apt believes an empty cache to be a fresh one.
    command += ["--skip=cleanup/apt"]
    command += [f"--aptopt={option}" for option in system.options]
    command += [f"--dpkgopt={option}" for option in UNPACKING]
    command += [f"--customize-hook={hook}" for hook in hooks]
    log = archive.with_suffix(".log")
    with log.open("w") as said:
        done = subprocess.run(
            [*command, system.codename, str(archive), str(sources)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        wrong = next((line for line in lines if line.startswith("E: ")), (lines or ["it said nothing"])[-1])
        raise ToolError(f"mmdebstrap: {wrong} (all of it: {log})")


def bring_in(name: str, archive: Path, containers: dict[str, str]) -> None:
    command = ["podman", "import", "--quiet", "--change", 'CMD ["/sbin/init"]', "--change", "STOPSIGNAL SIGRTMIN+3"]
    done = subprocess.run([*command, str(archive), name], env=containers, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"podman import: {done.stderr.strip()}")
    # Earlier ones are of no use any more; one that a machine still runs on stays.
    listed = ["podman", "images", "--format", "{{.Repository}}:{{.Tag}}", NAME]
    found = subprocess.run(listed, env=containers, capture_output=True, text=True, check=False).stdout.split()
    for earlier in found:
        if earlier != name:
            subprocess.run(["podman", "rmi", earlier], env=containers, capture_output=True, check=False)
