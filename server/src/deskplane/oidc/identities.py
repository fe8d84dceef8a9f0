"""Who somebody is at identity providers, as administrators see it and take it away: of who is somebody else there now,
or should come in that way no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, select

from deskplane.audit.service import Note, append
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.work import Work
from deskplane.login import accounts, api, letters, sessions
from deskplane.login.accounts import Accounts
from deskplane.login.api import TAG
from deskplane.login.letters import Words
from deskplane.oidc import people
from deskplane.oidc.models import OidcIdentity
from deskplane.oidc.schemas import IdentityEntry
from deskplane.people import login_events
from deskplane.people.models import User

KIND = "identity"
"""Of the entries in the audit log; the key is the user's name, the issuer and the subject."""
NO_USER = {404: "There is no such user."}
OVER = Words(
    "You log in with an identity provider no more",
    "whoever runs this desk took away the way by which you logged in to your account with an identity provider. If you"
    " did not ask for that, ask them why.",
)


def of_user(work: Work, user_id: str) -> list[dict[str, Any]]:
    """The identities of a user, the oldest first: issuer, subject, and since when."""
    columns = (OidcIdentity.issuer, OidcIdentity.subject, OidcIdentity.linked_at)
    order = (OidcIdentity.linked_at, OidcIdentity.issuer, OidcIdentity.subject)
    found = work.session.execute(select(*columns).where(OidcIdentity.user_id == user_id).order_by(*order))
    return [dict(row) for row in found.mappings()]


def unlink(work: Work, change: Accounts, user: User) -> None:
    """Takes all identities of a user away, with the roles that he had of his groups there, and ends his sessions. Of
    who has none nothing is said. Raises 409 where the last administrator would be none."""
    found = of_user(work, user.id)
    people.take_granted_roles(work, change, user)
    if not found:
        return
    work.session.execute(delete(OidcIdentity).where(OidcIdentity.user_id == user.id))
    append(work, [Note(KIND, user.id, (user.username, one["issuer"], one["subject"]), "delete") for one in found])
    login_events.note(work, "identities_unlinked", user.id, user.username, ", ".join(one["issuer"] for one in found))
    letters.tell(work, user, OVER)
    sessions.end_all(work, [user.id])


def operations(change: Accounts) -> Iterable[Operation]:
    """The operations on identities."""

    def list_identities(call: Call) -> Reply:
        """GET /users/{id}/identities"""
        return Reply({"items": of_user(call, accounts.require(call, call.path["id"]).id)})

    def unlink_identities(call: Call) -> Reply:
        """DELETE /users/{id}/identities"""
        change.lock(call)
        unlink(call, change, api.managed(call, call.path["id"]))
        return Reply(None, 204)

    entry = object_schema(described(IdentityEntry()), answer=True)
    listed: dict[str, Any] = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": entry}},
    }
    yield Operation(
        "list_user_identities",
        "GET",
        "/api/v1/users/{id}/identities",
        list_identities,
        "Who a user is at identity providers",
        TAG,
        permission=api.MANAGING,
        answers={200: ("The identities, the oldest first.", listed)},
        refusals=NO_USER,
    )
    yield Operation(
        "unlink_user_identities",
        "DELETE",
        "/api/v1/users/{id}/identities",
        unlink_identities,
        "Let a user in by no identity provider any more",
        TAG,
        permission=api.MANAGING,
        write=True,
        answers={204: ("There are none. If there were any, he gets a mail, and his sessions are over.", None)},
        refusals={**NO_USER, 409: "The last administrator would be none."},
        description="The roles that he has of his groups there go with them. Where a provider links by mail address, "
        "whoever has his address there is linked at the next login.",
    )
