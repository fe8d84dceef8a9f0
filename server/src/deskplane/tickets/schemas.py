"""The contract of tickets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema

from deskplane.customers.contacts import Address
from deskplane.kernel.compound import AnyJson, Group, Items, SetOf
from deskplane.kernel.fields import Choice, Described, Flag, Minutes, Moment, Text, Url, Whole, refuse
from deskplane.kernel.pagination import MAX_LIMIT
from deskplane.kernel.words import EVENTS, PRIORITIES, STATUSES

SOURCES = ("api", "console", "portal", "email", "ansible")
TITLE_LENGTH = 300
MOST_EACH = 50
"""Tags, labels and assets of one ticket."""
LINK_INVERSES = {
    "relates_to": "relates_to",
    "duplicates": "duplicated_by",
    "causes": "caused_by",
    "blocks": "blocked_by",
    "parent_of": "child_of",
}
"""Each type of link, as the first ticket shows it and as the second does."""
LINK_TYPES = tuple(dict.fromkeys([*LINK_INVERSES, *LINK_INVERSES.values()]))
REFERENCE_TYPES = ("board_card", "pull_request", "issue", "pipeline", "url")
MOST_REFERENCES = 200
SORTS = (
    *("-updated_at", "updated_at", "-created_at", "created_at", "number", "-number"),
    *("due_at", "-due_at", "priority", "-priority", "reminders", "relevance"),
)


class Reference(Text):
    """The name of something that a ticket refers to."""

    def __init__(self, description: str, kind: str) -> None:
        super().__init__(description, longest=254, shortest=1)
        self.kind = kind

    def describe(self, name: str) -> dict[str, Any]:
        return {**super().describe(name), "reference": self.kind}


class PointedMovement(Schema):
    """A movement of an asset, as a ticket points at it."""

    asset = Text("Name of the asset, which is one of the ticket's.", longest=120, shortest=1)
    at = Moment("When it was moved, as the asset says.")


class TicketFields(Schema):
    """What a caller may set on a ticket."""

    title = Text("What it is about, in a line.", longest=TITLE_LENGTH, shortest=1, required=True)
    description = Text("The whole of it, in Markdown.", longest=60_000, block=True, default="")
    type = Reference("Name of the ticket type.", "ticket_type")
    priority = Choice("How much it matters.", PRIORITIES, default="medium")
    status = Choice("Where it stands.", STATUSES, default="open")
    remind_at = Moment("When it comes back to the top; only while it is waiting.")
    customer = Reference("Name of the customer.", "customer")
    department = Reference(
        "Name of the department; else its creator's default one, else the setting C(department.default).", "department"
    )
    assignee = Reference("Username of who works on it; must be someone who may see it.", "user")
    owner = Reference("Username of who answers for it; must be someone who may see it.", "user")
    group = Reference("Name of the group whose members work on it, beside or instead of an assignee.", "group")
    contact = Address(
        "Mail address of who wrote in. One that nobody has yet makes the contact, with the ticket's customer and "
        "department; that of a customer's contact gives the ticket its customer where none is named."
    )
    assets = SetOf(
        "Names of the assets that it is about, of its customer.", Text("A name.", longest=120), most=MOST_EACH
    )
    movement = Group(
        "The movement of one of its assets that it is about; where the customer has C(movement_link).",
        PointedMovement,
    )
    tags = SetOf("Free words.", Text("A word.", longest=60, shortest=1), most=MOST_EACH)
    labels = SetOf("Names of labels.", Text("A label.", longest=120, shortest=1), most=MOST_EACH)
    correlation_key = Text(
        "What machines know it by: there is one open ticket with it for a customer.", longest=200, shortest=1
    )


class TicketCreate(TicketFields):
    """A new ticket."""

    source = Choice("Where it comes from.", SOURCES, default="api")

    always: tuple[str, ...] = ("title",)


class TicketPatch(TicketFields):
    """A change."""

    comment = Text("An internal message that goes with the change.", longest=60_000, shortest=1, block=True)


class DeclaredLink(Schema):
    """A link to another ticket, as it is declared."""

    type = Choice("What the ticket is to the other one.", LINK_TYPES, required=True)
    ticket = Text("Number of the other ticket.", longest=30, shortest=1, required=True)


class DeclaredReference(Schema):
    """A reference to something outside of the desk."""

    type = Choice("What it is.", REFERENCE_TYPES, required=True)
    title = Text("What to call it.", longest=TITLE_LENGTH, shortest=1, required=True)
    url = Url("Where it is; of http or https, without credentials.", required=True)


class Digest(Text):
    """A SHA-256 in hexadecimal digits, canonically small ones."""

    def __init__(self, description: str, **common: Any) -> None:
        super().__init__(
            description, longest=64, pattern="[0-9a-fA-F]{64}", pattern_hint="must be 64 hexadecimal digits", **common
        )

    def canonical(self, text: str) -> str:
        return text.lower()


class DeclaredFile(Schema):
    """A file that a ticket is to have, by its name and content."""

    name = Text("Its name. Of a path the last part is kept.", longest=2550, shortest=1, required=True)
    sha256 = Digest("SHA-256 of what it holds, in hexadecimal digits.", required=True)
    size = Whole("Its size in bytes.", most=2**53, required=True)


class DeclaredFiles(Items):
    """Files in the order in which they are declared, which is that of the answer."""

    def order(self, item: Mapping[str, Any]) -> Any:
        return 0


class TicketApply(TicketCreate):
    """What a ticket should be, said by a machine."""

    always = ()

    links = Items(
        "Links to other tickets; those that the caller sees and does not give are taken away.",
        DeclaredLink,
        named_by=("type", "ticket"),
        most=200,
    )
    references = Items(
        "References to what is outside of the desk; those that are not given are taken away.",
        DeclaredReference,
        named_by=("type", "url"),
        most=MOST_REFERENCES,
    )
    attachments = DeclaredFiles(
        "Files that the ticket is to have. Nothing is stored of them by this call, but it is refused if one of them "
        "would not be taken. The answer has for each the attachment that it is, or null where its bytes are yet to be "
        "sent to C(POST /tickets/{number}/attachments). Files that are not given stay.",
        DeclaredFile,
        named_by=("name", "sha256"),
        most=MOST_EACH,
    )

    comment = Text(
        "A message: written when the ticket is opened or ended by this call, and on each repetition with "
        "O(on_repeat=comment).",
        longest=60_000,
        shortest=1,
        block=True,
    )
    internal = Flag(
        "Whether the comment is for the desk alone; with V(false) the people outside read it, too.", default=True
    )
    state = Choice(
        "V(present): there is an open ticket. V(resolved) and V(closed): if there is one, it is ended so. "
        "V(absent): if there is one, it is deleted.",
        ("present", "resolved", "closed", "absent"),
        default="present",
    )
    on_repeat = Choice(
        "What happens when the ticket is open already: V(ignore) nothing, V(count) RV(ticket.occurrences) is raised, "
        "V(comment) the comment is appended.",
        ("ignore", "count", "comment"),
        default="ignore",
    )
    reopen_within = Minutes(
        "Reopen the last ticket instead of opening a new one, if it ended no longer ago than this; null for never."
    )
    update_fields = SetOf(
        "Which of the fields that are set at creation and then left alone follow the declaration all the same.",
        Choice("A field.", ("title", "description")),
    )

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def is_named(self, data: Any, original: Any, **_options: Any) -> None:
        """Said here, so that it is said together with everything else that is wrong."""
        if "title" not in original and not original.get("correlation_key"):
            raise ValidationError({"title": refuse("required", "is required").messages})


class TicketFilters(Schema):
    """Which tickets."""

    q = Text(
        "Words that are looked for in number, title, description, messages, the assignee's username and the contact's "
        "name and mail address. All must be there; words of three letters and more may be the beginning of one. Case "
        "and accents make no difference.",
        longest=200,
    )
    status = SetOf("One of these statuses.", Choice("A status.", STATUSES), default=None)
    open = Flag("Only open tickets, or only ended ones.")
    priority = SetOf("One of these declared priorities.", Choice("A priority.", PRIORITIES), default=None)
    customer = Text("Name of the customer; C(none) for tickets without one.", longest=120)
    department = Text("Name of the department; C(none) for tickets without one.", longest=120)
    assignee = Text("Username of the assignee; C(none) for unassigned tickets.", longest=120)
    owner = Text("Username of the owner; C(none) for tickets without one.", longest=120)
    group = Text("Name of the group; C(none) for tickets without one.", longest=120)
    contact = Text("Mail address of the contact; C(none) for tickets without one.", longest=254)
    asset = Text("Name of an asset.", longest=120)
    reporter = Text("Username of the reporter; C(none) for tickets without one.", longest=120)
    type = Text("Name of the type; C(none) for tickets without one.", longest=120)
    label = Text("Name of a label.", longest=120)
    tag = Text("A tag.", longest=60)
    title = Text("The title, exactly.", longest=TITLE_LENGTH)
    correlation_key = Text("The correlation key.", longest=200)
    sla_state = Choice(
        "State of the service level, as it is shown.",
        ("none", "ok", "warning", "critical", "breached", "paused", "met"),
    )
    due_before = Moment("A running resolution clock is due before this instant.")
    created_since = Moment("Opened at this instant or later.")
    created_before = Moment("Opened before this instant.")
    updated_since = Moment("Changed at this instant or later.")
    updated_before = Moment("Last changed before this instant.")


class TicketCounts(TicketFilters):
    """Filters of the counts."""

    view = Text("Id of a saved view, whose filters hold where none is given here.", longest=36)


class TicketList(TicketCounts):
    """Filters, order and page of the list."""

    limit = Whole("How many tickets a page has.", least=1, most=MAX_LIMIT, default=50)
    cursor = Text("The next_cursor of the page before.", longest=2000)
    sort = Choice(
        "Order. Without it V(-updated_at), and with O(q) V(relevance): the best of the newest 1,000 matches, and the "
        "newest first among equally good ones. V(reminders): waiting tickets whose reminder is due today or earlier "
        "in the caller's time zone, then the others as V(-updated_at) has them. V(due_at) has tickets without a "
        "running resolution clock at the end.",
        SORTS,
    )


class Clock(Schema):
    """One clock of a ticket's service level."""

    state = Text("none, ok, warning, critical, breached, paused or met.", read_only=True)
    due_at = Moment("Deadline; null while the clock is paused.", read_only=True)
    warn_at = Moment("When the state becomes warning.", read_only=True)
    critical_at = Moment("When the state becomes critical.", read_only=True)
    met_at = Moment("When the promise was kept, or broken for good.", read_only=True)
    left_seconds = Whole("Working time that is left while the clock is paused, in seconds.", read_only=True)


class Nested(Described):
    """An object that the server makes."""

    json_type = "dict"

    def __init__(self, description: str, schema: type[Schema]) -> None:
        super().__init__(description, read_only=True)
        self.parts: dict[str, Described] = {
            name: part for name, part in schema().fields.items() if isinstance(part, Described)
        }

    def output(self, value: Any) -> Any:
        return {
            name: None if value.get(name) is None else part.output(value[name]) for name, part in self.parts.items()
        }

    def describe(self, name: str) -> dict[str, Any]:
        return {**super().describe(name), "options": [part.describe(inner) for inner, part in self.parts.items()]}

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {name: part.json_schema(answer=answer) for name, part in self.parts.items()},
        }


class Sla(Schema):
    """A ticket's service level."""

    policy = Text("Name of the policy; null where none fits.", read_only=True)
    state = Text("The worst state of the clocks that are not met, else the worst of all.", read_only=True)
    recalculating = Flag(
        "Whether policies or calendars changed and a worker has not come to this ticket yet.", read_only=True
    )
    response = Nested("Until the first answer.", Clock)
    resolution = Nested("Until the ticket is resolved.", Clock)


class TicketAnswer(TicketCreate):
    """A ticket, as it is answered."""

    number = Text("Number of the ticket, such as C(TKT-000123).", read_only=True)
    description_html = Text("The description as sanitised HTML; not in lists.", read_only=True)
    effective_priority = Text("The higher one of the priority and the policy's floor.", read_only=True)
    reporter = Text("Username of who reported it.", read_only=True)
    contact_assets = SetOf("Names of the assets that the contact uses; not in lists.", Text("A name."), read_only=True)
    occurrences = Whole("How often the trouble was reported.", read_only=True)
    last_occurred_at = Moment("When it was last reported.", read_only=True)
    reopened_count = Whole("How often it was reopened.", read_only=True)
    created_at = Moment("When it was opened.", read_only=True)
    created_by = Text("Username of who opened it.", read_only=True)
    updated_at = Moment("When it was last changed.", read_only=True)
    resolved_at = Moment("When it was resolved.", read_only=True)
    closed_at = Moment("When it was closed or cancelled.", read_only=True)
    last_contact_at = Moment("When the last public message was written; null before the first.", read_only=True)
    last_contact_direction = Choice(
        "Whether it was written by the house, V(outbound), or to it, V(inbound).",
        ("outbound", "inbound"),
        read_only=True,
    )
    sla = Nested("Service level: the policy, and both deadlines with their states.", Sla)
    url = Text("Address of the ticket.", read_only=True)


class HistoryEntry(Schema):
    """One change."""

    at = Moment("When.", read_only=True)
    author = Text("Who.", read_only=True)
    cause = Text("Through what.", read_only=True)
    field = Text("Which field; V(created) for the creation.", read_only=True)
    old = AnyJson("Value before.", read_only=True)
    new = AnyJson("Value after; of the creation all of them.", read_only=True)


class EventList(Schema):
    """Where in the feed of events to go on, and with how many."""

    limit = Whole("How many events a page has.", least=1, most=MAX_LIMIT, default=100)
    cursor = Text(
        "The next_cursor of the answer before, or the id of the last event that was dealt with. Without it the feed "
        "begins with the oldest event that is kept.",
        longest=60,
    )
    since = Moment("Instead of a cursor: only events that happened at this instant or later.")
    newest = Flag("Instead of a cursor: no events, but the cursor behind the newest one.", default=False)
    event = SetOf("Only these events.", Choice("An event.", EVENTS), default=None)


class EventEntry(Schema):
    """One event, with the values as they were when it happened."""

    id = Text("Id of the event; a cursor, too.", read_only=True)
    event = Choice("Which event it is.", EVENTS, read_only=True)
    timestamp = Moment("When it happened.", read_only=True)
    ticket_number = Text("Number of the ticket.", read_only=True)
    subject = Text("Title of the ticket.", read_only=True)
    status = Text("Its status.", read_only=True)
    priority = Text("Its declared priority.", read_only=True)
    assigned_to = Text("Username of its assignee.", read_only=True)
    customer = Text("Name of its customer.", read_only=True)
    department = Text("Name of its department.", read_only=True)
    url = Text("Address of the ticket.", read_only=True)
    clock = Choice(
        "Whose deadline comes near or has passed; null for events that are about neither.",
        ("response", "resolution"),
        read_only=True,
    )
    due_at = Moment("That deadline.", read_only=True)


class Page(Schema):
    """A page of what belongs to one ticket."""

    limit = Whole("How many entries a page has.", least=1, most=MAX_LIMIT, default=100)
    cursor = Text("The next_cursor of the page before.", longest=2000)
