"""The document of a demo desk: its configuration, as any desk's, and the lives of its tickets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from marshmallow import Schema, ValidationError

from deskplane.configuration.documents import DeskDocuments
from deskplane.configuration.entries import Document
from deskplane.configuration.troubles import Place, Troubles
from deskplane.kernel.compound import field_errors, load_given
from deskplane.kernel.fields import Minutes, Text, type_name
from deskplane.kernel.kind import Registry
from deskplane.tickets.schemas import TicketCreate, TicketFields

PACKAGED = Path(__file__).with_name("desk.yml")
_PARTS = ("configuration", "tickets")


class DemoTicket(TicketCreate):
    """A ticket of the document: the fields of a new ticket, and its life."""

    name = Text("What tells it from the document's other tickets.", longest=80, shortest=1)
    opened = Minutes("How long ago it was opened.")
    by = Text("Who opened it: a username, or a contact's address.", longest=254, shortest=1)


class DemoStep(TicketFields):
    """What happens to it: a change of its fields, something said, or both."""

    after = Minutes("How long after it was opened.")
    by = Text("Who does it: a username, or a contact's address.", longest=254, shortest=1)
    say = Text("What is said in public.", longest=60_000, shortest=1, block=True)
    note = Text("What is said in the house.", longest=60_000, shortest=1, block=True)


@dataclass(frozen=True)
class Step:
    """One thing that happens to a ticket, so long after it was opened."""

    after: timedelta
    by: str
    say: str | None
    note: str | None
    fields: Mapping[str, Any]
    place: Place


@dataclass(frozen=True)
class Life:
    """A ticket: opened so long ago, and what happened since."""

    name: str
    opened: timedelta
    by: str
    fields: Mapping[str, Any]
    then: tuple[Step, ...]
    place: Place


@dataclass(frozen=True)
class DemoDesk:
    """What a document says."""

    configuration: list[Document]
    lives: list[Life]


def read(path: Path, registry: Registry) -> DemoDesk:
    """Reads a document. Raises ValueError for a file that is none, and Problem with all bad places of one that is."""
    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{where}: is no YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(found, dict) or set(found) - set(_PARTS):
        raise ValueError(f"{path}: must be an object of {' and '.join(_PARTS)}")
    troubles = Troubles()
    configuration, tickets = found.get("configuration") or {}, found.get("tickets") or []
    for name, value, wanted in (("configuration", configuration, dict), ("tickets", tickets, list)):
        if not isinstance(value, wanted):
            raise ValueError(f"{path}: {name} must be of another type, got {type_name(value)}")
    declared = Troubles()
    documents, _kinds = DeskDocuments(registry).read(configuration, declared)
    troubles.bad_fields(("configuration",), declared.errors)
    lives = [_life(given, ("tickets", index), troubles) for index, given in enumerate(tickets)]
    names: set[str] = set()
    for life in lives:
        if life.name and life.name in names:
            troubles.bad(life.place, ("name",), "repeated", f"stands there twice: {life.name}")
        names.add(life.name)
    troubles.raise_any()
    return DemoDesk(documents, lives)


def _life(given: Any, place: Place, troubles: Troubles) -> Life:
    then = given.get("then") if isinstance(given, dict) else None
    own = {name: value for name, value in given.items() if name != "then"} if isinstance(given, dict) else given
    fields = _loaded(DemoTicket(), own, ("name", "opened", "by", "title"), place, troubles)
    opened = timedelta(minutes=fields.pop("opened", None) or 0)
    if then is not None and not isinstance(then, list):
        troubles.bad(place, ("then",), "wrong_type", f"must be a list of objects, got {type_name(then)}")
        then = None
    steps = [_step(item, (*place, "then", index), opened, troubles) for index, item in enumerate(then or [])]
    return Life(fields.pop("name", ""), opened, fields.pop("by", ""), fields, tuple(steps), place)


def _step(given: Any, place: Place, opened: timedelta, troubles: Troubles) -> Step:
    fields = _loaded(DemoStep(), given, ("after", "by"), place, troubles)
    after = timedelta(minutes=fields.pop("after", None) or 0)
    if after > opened:
        troubles.bad(place, ("after",), "too_big", "is still to come: the ticket was opened later than that")
    say, note = fields.pop("say", None), fields.pop("note", None)
    if say is not None and note is not None:
        troubles.bad(place, ("note",), "not_allowed", "cannot be given together with say")
    return Step(after, fields.pop("by", ""), say, note, fields, place)


def _loaded(schema: Schema, given: Any, required: tuple[str, ...], place: Place, troubles: Troubles) -> dict[str, Any]:
    """The fields that are given, in canonical form; what is wrong with them goes to `troubles`."""
    if not isinstance(given, dict):
        troubles.bad(place, (), "wrong_type", f"must be an object, got {type_name(given)}")
        return {}
    loaded: dict[str, Any] = {}
    try:
        loaded = load_given(schema, given)
    except ValidationError as error:
        troubles.bad_fields(place, field_errors(error.messages, schema))
        loaded = error.valid_data if isinstance(error.valid_data, dict) else {}
    for name in required:
        if given.get(name) is None:
            troubles.bad(place, (name,), "required", "is required")
    return loaded
