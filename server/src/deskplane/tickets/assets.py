"""What a ticket is about: assets of its customer, and one of their movements (domain: tenancy)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from deskplane.customers.models import Asset, Customer, asset_contacts, asset_movements
from deskplane.customers.schemas import CustomerFeatures
from deskplane.kernel.clock import rfc3339
from deskplane.kernel.compound import described
from deskplane.kernel.problem import FieldError, pointer
from deskplane.kernel.words import did_you_mean
from deskplane.kernel.work import Work
from deskplane.tickets import references
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import ticket_assets

_DEFAULTS = {name: part.initial() for name, part in described(CustomerFeatures()).items()}


def has(features: Mapping[str, bool], switch: str) -> bool:
    """Whether a customer's switch is on."""
    return bool(features.get(switch, _DEFAULTS[switch]))


def set_assets(work: Work, draft: Draft, given: Mapping[str, Any], errors: list[FieldError]) -> None:
    """Takes assets and movement over, once the customer is known. Where the customer has the switch off, what is named
    is ignored with a warning."""
    if not {"assets", "movement", "customer"} & set(given):
        return
    customer_id = draft.columns["customer_id"]
    customer = references.find(work, "customer", object_id=customer_id) if customer_id else None
    features = customer.features if customer else {}
    if "assets" in given:
        if given["assets"] and customer is not None and not has(features, "asset_integration"):
            draft.warnings.append(f"assets are ignored: {customer.name} has asset_integration switched off")
        else:
            draft.assets = list(given["assets"] or [])
            draft.moved_at = {name: at for name, at in draft.moved_at.items() if name in draft.assets}
    known = _known(work, customer_id, draft.assets)
    missing = [name for name in draft.assets if name not in known]
    errors += [_unknown(work, draft, name, "assets" if "assets" in given else "customer") for name in missing]
    if "movement" not in given:
        return
    wanted = given["movement"]
    if wanted is None:
        draft.moved_at = {}
    elif customer is not None and not (has(features, "asset_integration") and has(features, "movement_link")):
        draft.warnings.append(f"movement is ignored: {customer.name} has movement_link switched off")
    else:
        _set_movement(work, draft, wanted, known, errors)


def _set_movement(
    work: Work, draft: Draft, wanted: Mapping[str, Any], known: Mapping[str, str], errors: list[FieldError]
) -> None:
    absent = [name for name in ("asset", "at") if wanted.get(name) is None]
    errors += [FieldError(pointer("movement", name), "required", "is required") for name in absent]
    if absent:
        return
    asset, at = wanted["asset"], wanted["at"]
    if asset not in draft.assets:
        detail = f"{asset!r} is not among the ticket's assets"
        errors.append(FieldError(pointer("movement", "asset"), "not_allowed", detail, sorted(draft.assets)))
    elif asset in known:
        moments = movements(work, known[asset])
        if at not in moments:
            detail = f"{asset} was not moved at {rfc3339(at)}"
            allowed = [rfc3339(moment) for moment in moments]
            errors.append(FieldError(pointer("movement", "at"), "unknown_reference", detail, allowed))
        draft.moved_at = {asset: at}


def movements(work: Work, asset_id: str) -> Sequence[datetime]:
    """When an asset was moved."""
    at = asset_movements.c.at
    return work.session.execute(select(at).where(asset_movements.c.asset_id == asset_id).order_by(at)).scalars().all()


def _known(work: Work, customer_id: str | None, names: Sequence[str]) -> dict[str, str]:
    """Ids of those of the names that are the customer's assets."""
    if customer_id is None or not names:
        return {}
    statement = select(Asset.name, Asset.id).where(Asset.customer_id == customer_id, Asset.name.in_(names))
    return dict(work.session.execute(statement).all())


def _unknown(work: Work, draft: Draft, name: str, field: str) -> FieldError:
    customer_id = draft.columns["customer_id"]
    if customer_id is None:
        return FieldError(pointer(field), "unknown_reference", f"{name} is a customer's asset; the ticket has none")
    statement = select(Asset.name).where(Asset.customer_id == customer_id).order_by(Asset.name).limit(1000)
    hint = did_you_mean(name, list(work.session.execute(statement).scalars()))
    whose = draft.names["customer"]
    detail = f"{whose} has no asset named {name!r}{hint}"
    if field == "customer":
        detail = f"the ticket is about {name}, which is none of {whose}'s assets; give assets, too"
    return FieldError(pointer(field), "unknown_reference", detail)


def unresolved(work: Work, given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Assets and the movement that are named and are not there."""
    named, contact = given.get("customer"), given.get("contact")
    customer = references.find(work, "customer", name=named) if named is not None else None
    # a contact that is not there yet may bring his customer along
    may_come = contact is not None and references.find(work, "contact", name=contact) is None
    if named is None and not may_come:
        return []  # refused
    if customer is not None and not has(customer.features, "asset_integration"):
        return []  # ignored
    names = given.get("assets") or []
    known = _known(work, customer.id if customer else None, names)
    found = [{"field": "assets", "kind": "asset", "name": name} for name in names if name not in known]
    movement = given.get("movement") or {}
    asset = movement.get("asset")
    if asset in names and (asset not in known or movement.get("at") not in movements(work, known[asset])):
        found.append({"field": "movement", "kind": "asset", "name": asset})
    return found


def store(work: Work, draft: Draft, before: Mapping[str, Any]) -> None:
    """Writes what changed of a ticket's assets; `before` is its snapshot."""
    if (before["assets"], before["movement"]) == (draft.value("assets"), draft.value("movement")):
        return
    ticket_id, session = draft.columns["id"], work.session
    mine = ticket_assets.c.ticket_id == ticket_id
    gone = set(before["assets"]) - set(draft.assets)
    if gone:
        ids = select(Asset.id).where(Asset.name.in_(gone))
        session.execute(delete(ticket_assets).where(mine, ticket_assets.c.asset_id.in_(ids)))
    known = _known(work, draft.columns["customer_id"], draft.assets)
    new = sorted(set(draft.assets) - set(before["assets"]))
    if new:
        session.execute(insert(ticket_assets), [{"ticket_id": ticket_id, "asset_id": known[name]} for name in new])
    if before["movement"] != draft.value("movement"):
        session.execute(update(ticket_assets).where(mine).values(moved_at=None))
        for name, at in draft.moved_at.items():
            this = ticket_assets.c.asset_id == known[name]
            session.execute(update(ticket_assets).where(mine, this).values(moved_at=at))


def of_contact(work: Work, contact_id: str | None) -> list[str]:
    """Names of the assets that a contact uses, as a ticket of his shows them: none where the switch is off."""
    if contact_id is None:
        return []
    rows = work.session.execute(
        select(Asset.name, Customer.features)
        .join(asset_contacts, asset_contacts.c.asset_id == Asset.id)
        .join(Customer, Customer.id == Asset.customer_id)
        .where(asset_contacts.c.contact_id == contact_id)
    )
    return sorted(name for name, features in rows if has(features, "asset_integration"))
