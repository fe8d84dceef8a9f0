"""What others ask of the desks."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from deskplane.customers.portals import closed_to_members
from deskplane.desks.models import department_members
from deskplane.kernel.actor import Actor
from deskplane.kernel.work import Work
from deskplane.people.service import actor_of


def rights_of(work: Work, user_id: str) -> Actor | None:
    """What a user may do now, apart from his keys; None where he is disabled, deleted or unknown."""
    return work.keep(("rights", user_id), lambda: actor_of(work.session, user_id, departments_of, closed_to_members))


def departments_of(session: Session, user_id: str) -> frozenset[str]:
    """Ids of the departments whose member the user is."""
    statement = select(department_members.c.department_id).where(department_members.c.user_id == user_id)
    return frozenset(session.execute(statement).scalars())
