"""What a service is given: a session in an open transaction, who asks, and the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.orm import Session

from deskplane.kernel.actor import Actor
from deskplane.kernel.breached import BreachedPasswords
from deskplane.kernel.clock import Clock
from deskplane.kernel.crypto import Vault
from deskplane.kernel.revision import Kept, raise_revision
from deskplane.kernel.safe_http import Client

if TYPE_CHECKING:
    from deskplane.kernel.kind import Registry

T = TypeVar("T")


@dataclass
class Work:
    """One piece of work in one transaction. Services never commit it, and never leave the database with it.

    `dry_run` says that it will be rolled back; `revision` is the configuration's as the transaction began, null once
    it changes here. `outside` calls addresses, once the transaction is over. `silent` says that nobody is to be told of
    what happens to tickets: it was made up. `address` is where the caller is, and `client` what he calls his program;
    `manager` for whom configuration is declared, at which revision: for the audit log. `breached` are passwords that
    everyone knows.
    """

    session: Session
    actor: Actor
    clock: Clock
    vault: Vault
    registry: Registry
    kept: Kept = field(default_factory=Kept)
    revision: int | None = None
    dry_run: bool = False
    request_id: str | None = None
    address: str | None = None
    client: str | None = None
    manager: str | None = None
    manager_revision: str | None = None
    public_address: str = ""
    outside: Client = field(default_factory=Client)
    silent: bool = False
    breached: BreachedPasswords = field(default_factory=BreachedPasswords)

    def keep(self, name: Any, load: Callable[[], T]) -> T:
        """What `load` derives from configuration alone, kept until the configuration changes."""
        return self.kept.get(self.revision, name, load)

    def change_configuration(self) -> None:
        """Must be called by whoever writes configuration or rights, before the first write: from here on nothing is
        kept, since it may be rolled back."""
        if self.revision is not None:
            raise_revision(self.session)
            self.revision = None

    @property
    def is_sqlite(self) -> bool:
        """Whether statements may be SQLite's own."""
        return self.session.get_bind().dialect.name == "sqlite"
