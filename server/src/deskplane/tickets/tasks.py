"""What the room does when configuration changes under its tickets, at once or in the background."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, select, true, update

from deskplane.customers.models import Asset
from deskplane.desks.models import Label
from deskplane.kernel.kind import Registry, Written
from deskplane.kernel.revision import SERVICE_LEVELS, raise_revision
from deskplane.kernel.words import ENDED, counted
from deskplane.kernel.work import Work
from deskplane.outbox import service as outbox
from deskplane.tickets import queries, search, service
from deskplane.tickets.chronicle import AUTOMATION
from deskplane.tickets.models import Ticket, ticket_assets, ticket_labels
from deskplane.tickets.recalculation import RECALCULATE

_MATTERS = {
    "sla_policy": {
        "enabled", "position", "response_minutes", "resolution_minutes", "priorities", "customers", "priority_floor",
        "warn_minutes", "critical_minutes", "calendar", "pause_statuses",
    },
    "calendar": {"time_zone", "hours", "holidays"},
    "customer": {"sla_policy"},
}  # fmt: skip


def open_tickets(work: Work) -> int:
    """How many tickets are open."""
    statement = select(func.count()).select_from(Ticket).where(Ticket.status.not_in(ENDED))
    return int(work.session.execute(statement).scalar_one())


def policies_changed(objects: Sequence[Written]) -> None:
    """Open tickets are matched anew, right after, by a job: one, however many kinds change in a transaction. A dry run
    says how many tickets there are."""
    changed = [written for written in objects if _changes_promises(written)]
    if not changed:
        return
    work = changed[0].work
    if RECALCULATE in work.session.info:
        return
    work.session.info[RECALCULATE] = True
    raise_revision(work.session, SERVICE_LEVELS)
    count = open_tickets(work)
    if count:
        changed[0].warnings.append(f"service levels are matched anew for {counted(count, 'open ticket')}")
    if count or not work.is_sqlite:  # what others are just opening cannot be counted
        outbox.put(work, RECALCULATE, {"after": 0}, lane=RECALCULATE)  # may take minutes, and holds up no event


def _changes_promises(written: Written) -> bool:
    if written.kind.name in ("customer", "calendar") and written.action == "create":
        return False  # nothing refers to it yet
    before, after = written.before or {}, written.after or {}
    return any(before.get(field) != after.get(field) for field in _MATTERS[written.kind.name])


def tickets_of_customers(work: Work, customer_ids: Sequence[str]) -> dict[str, list[str]]:
    """Dependants of customers, in words."""
    return _counted(work, Ticket.customer_id, customer_ids)


def tickets_of_departments(work: Work, department_ids: Sequence[str]) -> dict[str, list[str]]:
    """Dependants of departments, in words."""
    return _counted(work, Ticket.department_id, department_ids)


def _counted(work: Work, column: Any, ids: Sequence[str]) -> dict[str, list[str]]:
    statement = select(column, func.count()).where(column.in_(ids)).group_by(column)
    return {found: [counted(count, "ticket")] for found, count in work.session.execute(statement)}


def _take_away(work: Work, condition: Any, field: str) -> None:
    """Takes a reference off the tickets that bear it; their history says so."""
    for draft in service.load(work, condition):
        before = draft.snapshot()
        draft.columns[f"{field}_id"] = None
        draft.names[field] = None
        service.save(work, draft, before, {field}, cause=AUTOMATION)


def customers_deleted(work: Work, ids: Sequence[str]) -> None:
    """The tickets stay, without customer."""
    _take_away(work, Ticket.customer_id.in_(ids), "customer")


def departments_deleted(work: Work, ids: Sequence[str]) -> None:
    """The tickets stay, without department: only together with the customer's deletion."""
    _take_away(work, Ticket.department_id.in_(ids), "department")


def types_deleted(work: Work, ids: Sequence[str]) -> None:
    """Tickets lose the type."""
    _take_away(work, Ticket.type_id.in_(ids), "type")


def labels_deleted(work: Work, ids: Sequence[str]) -> None:
    """Tickets lose the label."""
    names = set(work.session.execute(select(Label.name).where(Label.id.in_(ids))).scalars())
    bearing = select(ticket_labels.c.ticket_id).where(ticket_labels.c.label_id.in_(ids))
    for draft in service.load(work, Ticket.id.in_(bearing)):
        before = draft.snapshot()
        draft.labels = [label for label in draft.labels if label not in names]
        service.save(work, draft, before, {"labels"}, cause=AUTOMATION)


def contacts_deleted(work: Work, ids: Sequence[str]) -> None:
    """Tickets lose the contact."""
    _take_away(work, Ticket.contact_id.in_(ids), "contact")


def groups_deleted(work: Work, ids: Sequence[str]) -> None:
    """Tickets lose the group."""
    _take_away(work, Ticket.group_id.in_(ids), "group")


def users_purged(work: Work, ids: Sequence[str]) -> None:
    """Tickets stay, without who is ended; what history says of him stays, too."""
    for field in ("assignee", "owner"):
        _take_away(work, getattr(Ticket, f"{field}_id").in_(ids), field)
    for column in (Ticket.reporter_id, Ticket.created_by_id):
        work.session.execute(
            update(Ticket).where(column.in_(ids)).values({column: None, "version": Ticket.version + 1})
        )


def tickets_about(work: Work, asset_ids: Sequence[str]) -> dict[str, list[str]]:
    """The open tickets that stand in the way of assets' deletion, in words; those that the caller may not see without
    their numbers."""
    of_asset, bearing = ticket_assets.c.asset_id, ticket_assets.c.ticket_id
    seen = queries.visible(work.actor)
    columns = (of_asset, Ticket.prefix, Ticket.sequence, (true() if seen is None else seen).label("seen"))
    statement = select(*columns).join(Ticket, Ticket.id == bearing).order_by(Ticket.id)
    found: dict[str, list[str]] = defaultdict(list)
    for asset_id, prefix, sequence, is_seen in work.session.execute(
        statement.where(of_asset.in_(asset_ids), Ticket.status.not_in(ENDED))
    ):
        name = f"ticket {queries.number_text(prefix, sequence)}" if is_seen else "a ticket that is not yours to see"
        found[asset_id].append(name)
    return found


def assets_deleted(work: Work, ids: Sequence[str]) -> None:
    """Ended tickets lose the asset; open ones, too, where it goes with its customer."""
    _let_go(work, ticket_assets.c.asset_id.in_(ids))


def _let_go(work: Work, condition: Any) -> None:
    """Takes assets off their tickets, and with them the movements that these point at."""
    gone: dict[int, set[str]] = defaultdict(set)
    pairs = (
        select(ticket_assets.c.ticket_id, Asset.name)
        .join(Asset, Asset.id == ticket_assets.c.asset_id)
        .join(Ticket, Ticket.id == ticket_assets.c.ticket_id)
        .where(condition)
    )
    for ticket_id, name in work.session.execute(pairs):
        gone[ticket_id].add(name)
    for draft in service.load(work, Ticket.id.in_(list(gone))) if gone else ():
        before, names = draft.snapshot(), gone[draft.columns["id"]]
        draft.assets = [name for name in draft.assets if name not in names]
        draft.moved_at = {name: at for name, at in draft.moved_at.items() if name not in names}
        changed = {name for name in ("assets", "movement") if draft.value(name) != before[name]}
        service.save(work, draft, before, changed, cause=AUTOMATION)


def assets_changed(objects: Sequence[Written]) -> None:
    """A ticket loses an asset that is no longer its customer's, and a movement that the asset no longer tells of."""
    went: list[str] = []
    told: dict[str, set[Any]] = {}
    for written in objects:
        if written.before is None or written.after is None:
            continue
        if written.before["customer"] != written.after["customer"]:
            went.append(written.id)
        now = {movement["at"] for movement in written.after["movements"]}
        if not {movement["at"] for movement in written.before["movements"]} <= now:
            told[written.id] = now
    work = objects[0].work
    if went:
        another = func.coalesce(Ticket.customer_id, "") != func.coalesce(Asset.customer_id, "")
        _let_go(work, and_(ticket_assets.c.asset_id.in_(went), another))
    if not told:
        return
    pointing = select(ticket_assets.c.ticket_id, ticket_assets.c.asset_id, ticket_assets.c.moved_at).where(
        ticket_assets.c.asset_id.in_(list(told)), ticket_assets.c.moved_at.is_not(None)
    )
    untold = [row.ticket_id for row in work.session.execute(pointing) if row.moved_at not in told[row.asset_id]]
    for draft in service.load(work, Ticket.id.in_(untold)) if untold else ():
        before = draft.snapshot()
        draft.moved_at = {}
        service.save(work, draft, before, {"movement"}, cause=AUTOMATION)


def policies_deleted(work: Work, ids: Sequence[str]) -> None:
    """Ended tickets lose the policy; open ones are matched anew by the job that follows."""
    for draft in service.load(work, Ticket.sla_policy_id.in_(ids)):
        before = draft.snapshot()
        draft.columns["sla_policy_id"] = None
        draft.names["policy"] = None
        work.session.execute(
            update(Ticket)
            .where(Ticket.id == draft.columns["id"])
            .values(sla_policy_id=None, version=Ticket.version + 1)
        )
        service.record(work, draft, [("sla_policy", before["sla_policy"], None)], cause=AUTOMATION)


def register(registry: Registry) -> None:
    """Hooks itself into the kinds that tickets refer to."""
    for kind in _MATTERS:
        registry.on_written[kind].append(policies_changed)
    registry.dependants["customer"].append(tickets_of_customers)
    registry.dependants["department"].append(tickets_of_departments)
    registry.deleting["customer"].append(customers_deleted)
    registry.deleting["department"].append(departments_deleted)
    registry.deleting["ticket_type"].append(types_deleted)
    registry.deleting["label"].append(labels_deleted)
    registry.deleting["sla_policy"].append(policies_deleted)
    registry.deleting["contact"].append(contacts_deleted)
    registry.on_written["contact"].append(search.contacts_written)
    registry.deleting["group"].append(groups_deleted)
    registry.purging["user"].append(users_purged)
    registry.dependants["asset"].append(tickets_about)
    registry.deleting["asset"].append(assets_deleted)
    registry.on_written["asset"].append(assets_changed)
