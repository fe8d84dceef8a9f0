"""The global settings that there are: key, field, and what they govern. A change acts at the next request."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from deskplane.desks.models import Setting
from deskplane.desks.schedule import Schedule
from deskplane.kernel.compound import SetOf
from deskplane.kernel.fields import Choice, Described, Email, Flag, Minutes, Text, TimeZone, Url, Whole
from deskplane.kernel.revision import Kept
from deskplane.kernel.work import Work

HOST: dict[str, Any] = {
    "longest": 253,
    "pattern": r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[?[0-9A-Fa-f:]+\]?",
    "pattern_hint": "must be a host name or an IP address",
}
TLS = ("tls", "starttls", "none")
EXECUTABLE = (
    "bat cmd com cpl dll exe hta iso jar js jse lnk msi msp pif ps1 reg scr vbe vbs wsf wsh"  # run on a double click
)


class Extension(Text):
    """The end of a file's name: in lower case, with its dot."""

    def canonical(self, text: str) -> str:
        return "." + text.removeprefix(".").casefold()


SETTINGS: dict[str, Described] = {
    "public_url": Url("Address under which people reach the desk; links to tickets begin with it."),
    "numbering.prefix": Text(
        "Prefix of the numbers of tickets whose customer has none of its own.",
        default="TKT",
        longest=10,
        pattern="[A-Z][A-Z0-9]{0,9}",
        pattern_hint="must be 1 to 10 capital letters and digits, beginning with a letter, such as TKT",
    ),
    "attachments.max_bytes": Whole(
        "Largest size of an attachment, in bytes.", least=1024, most=2**30, default=25 * 1024 * 1024
    ),
    "attachments.blocked_extensions": SetOf(
        "Ends of names of files that are not taken as attachments; case and the dot in front do not matter.",
        Extension(
            "An end.", longest=20, pattern=r"\.?[\w+-]{1,19}", pattern_hint="must be an end of a file's name: exe"
        ),
        default=[f".{word}" for word in EXECUTABLE.split()],
    ),
    "public_api.requests_per_minute": Whole(
        "How many requests a minute an API key may make to the public API.", least=1, most=100_000, default=120
    ),
    "workflow.default": Text(
        "Name of the workflow of tickets whose department names none.", shortest=1, longest=120, default="free"
    ),
    "department.default": Text(
        "Name of the department of tickets that name none, where their creator has no default either.", longest=120
    ),
    "smtp.host": Text("Host of the SMTP server that the desk itself sends through; null for none.", **HOST),
    "smtp.port": Whole("Port of the SMTP server.", least=1, most=65535, default=587),
    "smtp.username": Text("Login name at the SMTP server; null for no login.", longest=254),
    "smtp.password": Text("Password at the SMTP server.", longest=1024, secret=True),
    "smtp.from": Email("Address that the desk's own mail comes from."),
    "smtp.tls": Choice("How the connection to the SMTP server is protected.", TLS, default="starttls"),
    "mail.unprotected_servers": SetOf(
        "Mail servers, besides this machine, that may be spoken to without TLS.", Text("A host.", **HOST)
    ),
    "registration.enabled": Flag("Whether people may make accounts by themselves.", default=False),
    "session.idle_minutes": Minutes(
        "Minutes without a request after which a person must log in again; 0 for never.", most=366 * 24 * 60, default=60
    ),
    "password.min_length": Whole("The least number of characters of a new password.", least=8, most=128, default=8),
    "password.max_age_days": Whole("Days after which a password must be changed; 0 for never.", most=3650, default=0),
    "mfa.required_for_admins": Flag("Whether administrators need a second factor to log in.", default=False),
    "mfa.required_for_everyone": Flag(
        "Whether everybody who logs in with a password needs a second factor.", default=False
    ),
    "alerts.recipients": SetOf("Mail addresses that are told when the desk needs help.", Email("An address.")),
    "backup.schedule": Schedule("When backups are made; null for never."),
    "backup.keep": Whole("How many backups are kept.", least=1, most=10_000, default=7),
    "backup.offsite_url": Url("Address below which a copy of each backup is put, with PUT; null for nowhere."),
    "branding.company_name": Text("The company's name, as people see it.", longest=120),
    "branding.logo": Url("Address of the company's logo, as people see it."),
    "locale.default": Text(
        "Language of people who chose none, as a BCP 47 tag.",
        longest=35,
        default="en",
        pattern="[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*",
        pattern_hint="must be a language tag such as en-GB",
    ),
    "time_zone.default": TimeZone("Time zone of people who chose none.", default="UTC"),
    "date_format.default": Text("How dates are shown to people who chose no way.", longest=40, default="YYYY-MM-DD"),
    "retention.deliveries_days": Whole(
        "Days for which deliveries of webhooks are remembered.", least=1, most=3650, default=30
    ),
    "retention.login_history_days": Whole("Days for which logins are remembered.", least=1, most=3650, default=365),
    "ai.enabled": Flag("Whether people may have tickets summed up and asked about.", default=False),
    "ai.url": Url("Address of the service that does it."),
    "ai.model": Text("Name of the model there.", longest=200),
    "ai.api_key": Text("Key for that service.", longest=1024, secret=True),
}
"""A setting whose field is secret keeps what it holds in the column `secret`, sealed, and has no value."""


def setting(work: Work, key: str) -> Any:
    """The value of a setting, as of this transaction; null for one that holds a secret."""

    return settings_at(work.session, work.kept, work.revision).get(key)


def settings_at(session: Session, kept: Kept, revision: int | None) -> dict[str, Any]:
    """The values of all settings at a revision, for who has no work yet."""
    return kept.get(revision, "settings", lambda: dict(session.execute(select(Setting.key, Setting.value)).all()))
