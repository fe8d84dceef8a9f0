"""A mailbox can be opened by an access token instead of a password.

Revision: 0025, after: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Json

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    departments = sa.table("departments", sa.column("id", sa.String()), sa.column("imap", Json()))
    connection = op.get_bind()
    for row in connection.execute(sa.select(departments.c.id, departments.c.imap)).all():
        imap = {"authentication": "password", **row.imap}
        connection.execute(sa.update(departments).where(departments.c.id == row.id).values(imap=imap))
