"""What is unwise about an installation, and keeps nothing from starting: `deskplane check` prints it as warnings."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from deskplane.audit import triggers
from deskplane.desks.models import Setting
from deskplane.outbox import service as outbox
from deskplane.people.models import Role, User, user_roles
from deskplane.people.rules import ADMIN
from deskplane.settings import Finding, Settings

MOUNTS = Path("/proc/self/mounts")
NETWORKED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre"}
NETWORKED_BY_FUSE = {"sshfs", "glusterfs", "cephfs", "s3fs", "rclone"}
FAR_OFF = timedelta(seconds=30)
_EVERYONE = stat.S_IRWXO


def of_settings(settings: Settings) -> Iterator[Finding]:
    """What can be said without the database."""
    if settings.environment == "production":
        if settings.public_address.startswith("http://"):
            yield Finding(
                "public_address",
                "is not https, so that keys and passwords travel readable",
                "put a proxy with TLS before",
            )
        if settings.public_address.startswith("https://") and not settings.trusted_proxies:
            yield Finding(
                "trusted_proxies",
                "is 0, while public_address says that a proxy stands in front: callers' addresses are not known",
                "set it to the number of proxies",
            )
        for origin in settings.allowed_origins:
            if origin.startswith("http://"):
                yield Finding(
                    "allowed_origins",
                    f"{origin} is not https: whoever is on the way can put a page of his own in its place",
                    "name it with https://, once it has that",
                )
    yield from _file(
        "configuration file", os.environ.get("DESKPLANE_CONFIG"), stat.S_IWGRP | stat.S_IWOTH, "changed", "go-w"
    )
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        yield from _file("database_url", url.database, _EVERYONE, "read", "o=")
        system = file_system(Path(url.database).absolute())
        if system in NETWORKED or (system.startswith("fuse.") and system[5:] in NETWORKED_BY_FUSE):
            yield Finding(
                "database_url",
                f"SQLite lies on a network file system ({system}), whose locks it cannot rely on",
                "move it to a local disk, or use PostgreSQL",
            )
    yield from _file("backup_directory", settings.backup_directory, _EVERYONE, "read", "o=")
    yield from _file("backup_passphrase_file", settings.backup_passphrase_file, _EVERYONE, "read", "o=")


def _file(setting: str, path: str | Path | None, bits: int, can_be: str, mode: str) -> Iterator[Finding]:
    if path and os.path.exists(path) and os.stat(path).st_mode & bits:
        who = "everyone" if bits == _EVERYONE else "others than its owner"
        yield Finding(setting, f"{path} can be {can_be} by {who}", f"run: chmod {mode} {path}")


def file_system(path: Path) -> str:
    """The sort of file system that a path lies on, empty where that is not known."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    best, found = -1, ""
    for fields in (line.split() for line in lines):
        place = Path(fields[1].replace("\\040", " "))
        if len(place.parts) >= best and (place == path or place in path.parents):
            best, found = len(place.parts), fields[2]
    return found


def of_database(session: Session) -> Iterator[Finding]:
    """What a database of this version says."""
    connection = session.connection()
    administrators = (
        select(User.id, User.password)
        .join(user_roles, user_roles.c.user_id == User.id)
        .join(Role, Role.id == user_roles.c.role_id)
        .where(Role.name == ADMIN, User.enabled, User.deleted_at.is_(None))
    )
    found = session.execute(administrators).all()
    if not found:
        yield Finding("administrator", "there is none", "run: deskplane user create-admin NAME")
    required = select(Setting.value).where(Setting.key.in_(("mfa.required_for_admins", "mfa.required_for_everyone")))
    if not any(session.execute(required).scalars()) and any(user.password for user in found):
        yield Finding(
            "mfa.required_for_admins",
            "is off, so that a password alone makes somebody an administrator",
            "set it, once they have set up a second factor",
        )
    here = datetime.now(UTC)
    if connection.dialect.name == "postgresql":
        apart = abs(session.execute(select(func.clock_timestamp())).scalar_one() - here)
        if apart > FAR_OFF:
            yield Finding(
                "clock",
                f"differs by {apart.total_seconds():.0f} s from the database's",
                "let both machines ask a time server",
            )
    if not outbox.workers_alive(session, here):
        yield Finding(
            "worker", "none was seen lately, so that no mail and no webhook goes out", "run: deskplane worker"
        )
    for name in triggers.missing(connection):
        yield Finding("audit log", f"is not protected: the trigger {name} is missing", "run: deskplane migrate")
