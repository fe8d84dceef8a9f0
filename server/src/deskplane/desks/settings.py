"""The global settings that there are: key, field, and what they govern. A change acts at the next request."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from deskplane.desks.models import Setting
from deskplane.desks.workflows import WORKFLOWS
from deskplane.kernel.fields import Choice, Described, Text, TimeZone, Url, Whole
from deskplane.kernel.work import Work

SETTINGS: dict[str, Described] = {
    "public_url": Url("Address under which people reach the desk; links to tickets begin with it."),
    "numbering.prefix": Text(
        "Prefix of the numbers of tickets whose customer has none of its own.",
        default="TKT",
        longest=10,
        pattern="[A-Z][A-Z0-9]{0,9}",
        pattern_hint="must be 1 to 10 capital letters and digits, beginning with a letter, such as TKT",
    ),
    "workflow.default": Choice("Workflow of tickets whose department names none.", tuple(WORKFLOWS), default="free"),
    "department.default": Text(
        "Name of the department of tickets that name none, where their creator has no default either.", longest=120
    ),
    "password.min_length": Whole("The least number of characters of a new password.", least=8, most=128, default=8),
    "branding.company_name": Text("The company's name, as people see it.", longest=120),
    "locale.default": Text(
        "Language of people who chose none, as a BCP 47 tag.",
        longest=35,
        default="en",
        pattern="[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*",
        pattern_hint="must be a language tag such as en-GB",
    ),
    "time_zone.default": TimeZone("Time zone of people who chose none.", default="UTC"),
    "date_format.default": Text("How dates are shown to people who chose no way.", longest=40, default="YYYY-MM-DD"),
}


def setting(work: Work, key: str) -> Any:
    """The value of a setting, as of this transaction."""

    def load() -> dict[str, Any]:
        rows = work.session.execute(select(Setting.key, Setting.value))
        return dict(rows.all())

    return work.keep("settings", load).get(key)
