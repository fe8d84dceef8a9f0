"""What others ask of the desks."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from deskplane.desks.models import department_members


def departments_of(session: Session, user_id: str) -> frozenset[str]:
    """Ids of the departments whose member the user is."""
    statement = select(department_members.c.department_id).where(department_members.c.user_id == user_id)
    return frozenset(session.execute(statement).scalars())
