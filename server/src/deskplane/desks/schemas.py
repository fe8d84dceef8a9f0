"""The kinds `department`, `label`, `ticket_type` and `setting`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema
from sqlalchemy import ColumnElement

from deskplane.desks.models import Department, Label, Setting, TicketType, department_members
from deskplane.desks.rules import check_department, check_setting
from deskplane.desks.settings import HOST, SETTINGS, TLS
from deskplane.kernel.actor import Actor
from deskplane.kernel.compound import AnyJson, Group, RefSet, SetOf
from deskplane.kernel.fields import Choice, Color, Described, Email, Flag, Name, Ref, Text, Whole
from deskplane.kernel.kind import Kind, Links
from deskplane.kernel.words import EVENTS

HTML: dict[str, Any] = {"longest": 60_000, "block": True, "default": ""}


class Imap(Schema):
    """The mailbox that is read."""

    server = Text("Host of the IMAP server; null for no mail in.", **HOST)
    port = Whole("Port of the IMAP server.", least=1, most=65535, default=993)
    username = Text("Login name.", longest=254)
    password = Text("Password, or OAuth 2 access token.", longest=4096, secret=True)
    authentication = Choice(
        "How to log in: with the password, or by V(oauth2) (SASL XOAUTH2), where O(imap.password) is an access token.",
        ("password", "oauth2"),
        default="password",
    )
    tls = Choice(
        "How the connection is protected; V(none) only for a server on the same machine, or one that the setting "
        "C(mail.unprotected_servers) names.",
        TLS,
        default="tls",
    )
    folder = Text("Folder that is read.", longest=200, default="INBOX")


class Smtp(Schema):
    """How mail is sent."""

    server = Text("Host of the SMTP server; null for the desk's own.", **HOST)
    port = Whole("Port of the SMTP server.", least=1, most=65535, default=587)
    username = Text("Login name; null for no login.", longest=254)
    password = Text("Password.", longest=1024, secret=True)
    tls = Choice("How the connection is protected.", TLS, default="starttls")
    from_address = Email("Address that mail comes from.")
    from_name = Text("Name that mail comes from.", longest=120)


class AutoReply(Schema):
    """The answer to a mail that opened a ticket."""

    enabled = Flag("Whether it is sent.", default=False)
    subject = Text("Subject; V(${ticket_number}) and V(${subject}) are filled in.", longest=500, default="")
    body_html = Text("Body as HTML; the same placeholders.", **HTML)


class FollowUp(Schema):
    """The reminder to a customer who fell silent."""

    enabled = Flag("Whether it is sent.", default=False)
    after_days = Whole("After how many days of silence.", least=1, most=3650, default=7)
    subject = Text("Subject; the placeholders of the automatic answer.", longest=500, default="")
    body_html = Text("Body as HTML; the same placeholders.", **HTML)


class TimeTracking(Schema):
    """The automatic timer."""

    enabled = Flag("Whether opening a ticket starts a timer.", default=False)
    idle_timeout_minutes = Whole("Minutes without an action after which it pauses.", least=1, most=1440, default=15)
    confirm_timeout_minutes = Whole("Minutes after which it asks whether work goes on.", least=1, most=1440, default=60)
    rounding_minutes = Whole("Step that booked time is rounded to; 0 for none.", most=1440, default=0)


class Cleanup(Schema):
    """What becomes of tickets that nobody touches."""

    close_after_days = Whole(
        "Days without a change after which a ticket is closed, unless it has a reminder to come; null for never.",
        least=1,
        most=3650,
    )
    close_statuses = SetOf(
        "Statuses in which a ticket is closed so.", Choice("A status.", ("open", "in_progress", "waiting", "resolved"))
    )
    note = Text("Internal message on a ticket that was closed so.", longest=4000, block=True, default="")
    delete_closed_after_days = Whole(
        "Days after which a ticket that is closed, and that nobody touched since, is deleted; null for never.",
        least=1,
        most=36500,
    )
    delete_files = Flag(
        "Whether a ticket is deleted with its files. If not, tickets that have files stay, since nobody would find a "
        "file whose ticket is gone.",
        default=True,
    )


class Notifications(Schema):
    """Who is told of what by mail."""

    recipients = SetOf("Mail addresses.", Email("An address."))
    events = SetOf("Events that they are told of.", Choice("An event.", EVENTS))


class DepartmentSchema(Schema):
    """A support team."""

    name = Name("Name of the department; it identifies the department.")
    description = Text("What the department is for.", longest=4000, block=True, default="")
    enabled = Flag("Whether it takes new tickets and reads mail; old tickets stay.", default=True)
    customer = Ref("The one customer that the department works for; null for all.", "customer", on_delete="cascade")
    members = RefSet("Usernames of the department's members.", "user")
    workflow = Ref("Workflow of its tickets; null for the setting C(workflow.default).", "workflow")
    auto_assign_on_open = Flag("Whether the first member who opens an unassigned ticket is assigned it.", default=False)
    imap = Group("The mailbox that is read.", Imap)
    smtp = Group("How the department's mail is sent.", Smtp)
    auto_reply = Group("The answer to a mail that opened a ticket.", AutoReply)
    follow_up = Group("The reminder to a customer who fell silent.", FollowUp)
    time_tracking = Group("The automatic timer.", TimeTracking)
    cleanup = Group("What becomes of tickets that nobody touches.", Cleanup)
    notifications = Group("Who is told of what by mail.", Notifications)


def visible(actor: Actor) -> ColumnElement[bool] | None:
    """Everyone sees his own departments; who sees all of their tickets, or manages them, sees them all."""
    allowed = ("departments:manage", "tickets:view_all_departments", "configuration:plan")
    if any(actor.may(permission) for permission in allowed):
        return None
    return Department.id.in_(sorted(actor.departments))


DEPARTMENT = Kind(
    name="department",
    plural="departments",
    title="department",
    model=Department,
    schema=DepartmentSchema,
    key=("name",),
    permission="departments:manage",
    check=check_department,
    parts={"members": Links("user", department_members, "department_id", "user_id")},
    visible=visible,
    short_description="Manage departments",
    description=["A department is a support team, with its members, mailbox, notifications and habits."],
    examples=[
        {
            "name": "The service desk and its mailbox",
            "options": {
                "name": "Service Desk",
                "members": ["mia"],
                "imap": {
                    "server": "imap.example.org",
                    "username": "desk@example.org",
                    "password": "{{ vault_imap_password }}",
                },
                "notifications": {"recipients": ["leads@example.org"], "events": ["sla_breached"]},
                "state": "present",
            },
        }
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a15",
        "name": "Service Desk",
        "description": "",
        "enabled": True,
        "customer": None,
        "members": ["mia"],
        "workflow": None,
        "auto_assign_on_open": False,
        "imap": {
            "server": "imap.example.org",
            "port": 993,
            "username": "desk@example.org",
            "password": "(secret)",
            "authentication": "password",
            "tls": "tls",
            "folder": "INBOX",
        },
        "smtp": {
            "server": None,
            "port": 587,
            "username": None,
            "password": None,
            "tls": "starttls",
            "from_address": None,
            "from_name": None,
        },
        "auto_reply": {"enabled": False, "subject": "", "body_html": ""},
        "follow_up": {"enabled": False, "after_days": 7, "subject": "", "body_html": ""},
        "time_tracking": {
            "enabled": False,
            "idle_timeout_minutes": 15,
            "confirm_timeout_minutes": 60,
            "rounding_minutes": 0,
        },
        "cleanup": {
            "close_after_days": None,
            "close_statuses": [],
            "note": "",
            "delete_closed_after_days": None,
            "delete_files": True,
        },
        "notifications": {"recipients": ["leads@example.org"], "events": ["sla_breached"]},
    },
)


class LabelSchema(Schema):
    """A coloured tag."""

    name = Name("Name of the label; it identifies the label.")
    color = Color("Colour as C(#rrggbb).", default="#6e7781")


LABEL = Kind(
    name="label",
    plural="labels",
    title="label",
    model=Label,
    schema=LabelSchema,
    key=("name",),
    permission="labels:manage",
    short_description="Manage labels",
    description=["A label is a coloured tag on tickets. It changes neither routing nor service level."],
    notes=["A deleted label is taken off the tickets that bear it; their history says so."],
    examples=[{"name": "A label for outages", "options": {"name": "outage", "color": "#d73a4a", "state": "present"}}],
    sample={"id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a16", "name": "outage", "color": "#d73a4a"},
)


SHIPPED_TYPES = {
    "incident": "Something is broken, or worse than it should be.",
    "problem": "The cause behind incidents.",
    "service_request": "Something that is asked for and provided by routine.",
    "change_request": "A change that is planned and reviewed.",
}


class TicketTypeSchema(Schema):
    """What sort of thing a ticket is."""

    name = Name("Name of the type; it identifies the type.")
    description = Text("What the type is for.", longest=4000, block=True, default="")


TICKET_TYPE = Kind(
    name="ticket_type",
    plural="ticket_types",
    title="ticket type",
    model=TicketType,
    schema=TicketTypeSchema,
    key=("name",),
    permission="labels:manage",
    as_shipped=lambda state: SHIPPED_TYPES.get(state["name"]) == state["description"],
    short_description="Manage ticket types",
    description=[
        "A ticket has at most one type. C(incident), C(problem), C(service_request) and C(change_request) "
        "come with Deskplane."
    ],
    notes=["Tickets lose a type that is deleted; their history says so."],
    examples=[
        {
            "name": "A type for access requests",
            "options": {
                "name": "access_request",
                "description": "Someone needs access to something.",
                "state": "present",
            },
        }
    ],
    sample={"id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a17", "name": "incident", "description": "Something is broken."},
)


class SettingSchema(Schema):
    """One global setting."""

    key = Name("Key of the setting.", longest=80)
    value = AnyJson("Value, of the setting's own type; null for its default.", exact=True)
    secret = Text("What a setting that is a secret holds, such as C(smtp.password).", longest=1024, secret=True)


def _note(key: str, part: Described) -> str:
    default = part.initial()
    if part.secret:
        return f"Setting C({key}): {part.description} It is given as O(secret)."
    return f"Setting C({key}): {part.description}" + ("" if default in (None, []) else f" Default: C({default}).")


def _is_default(state: Mapping[str, Any]) -> bool:
    """Whether an export leaves it out. What a newer version has shipped meanwhile is none of this one's."""
    part = SETTINGS.get(state["key"])
    return part is None or bool(state["value"] == part.initial())


SETTING = Kind(
    name="setting",
    plural="settings",
    title="setting",
    model=Setting,
    schema=SettingSchema,
    key=("key",),
    permission="settings:manage",
    readers=(),
    check=check_setting,
    as_shipped=_is_default,
    fixed=True,
    short_description="Manage global settings",
    description=[
        "Sets a global setting; it acts at the next request in every process. "
        "O(state=absent) sets it back to its default."
    ],
    notes=[
        "Settings of what this version does not do yet, such as sessions and branding, are kept and checked.",
        *[_note(key, part) for key, part in SETTINGS.items()],
    ],
    examples=[
        {
            "name": "Ticket numbers begin with OPS",
            "options": {"key": "numbering.prefix", "value": "OPS", "state": "present"},
        },
        {
            "name": "The password for the desk's own mail",
            "options": {"key": "smtp.password", "secret": "{{ vault_smtp_password }}", "state": "present"},
        },
    ],
    sample={"id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a18", "key": "numbering.prefix", "value": "OPS", "secret": None},
)
