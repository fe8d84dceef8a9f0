"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass

from deskplane.kernel.problem import forbidden


@dataclass(frozen=True)
class Actor:
    """The caller of an operation: a user, through one of his keys, with what he may do.

    `member_of` are the ids of the customers whose tickets he works on; `shut_out_of` those that he is a member of and
    works for by the public API only, since they have no agent portal. `owner_of` those whose memberships and contacts
    he manages, `departments` those of his departments. `key_id` is the API key's, null for the command line. `cause`
    is what history says of where he comes from, where that is neither. `session_id` is that of who logged in, null for
    a key; `password_expired`: he may do nothing but choose a new one; `factor_missing`: nothing but set up a second
    factor. `administrator`: he has the role `admin`.
    """

    user_id: str | None
    username: str
    permissions: frozenset[str]
    member_of: frozenset[str] = frozenset()
    shut_out_of: frozenset[str] = frozenset()
    owner_of: frozenset[str] = frozenset()
    sees_customers: frozenset[str] = frozenset()
    departments: frozenset[str] = frozenset()
    default_department: str | None = None
    key_id: str | None = None
    cause: str | None = None
    session_id: str | None = None
    password_expired: bool = False
    factor_missing: bool = False
    administrator: bool = False

    def may(self, permission: str) -> bool:
        """Whether he has the permission."""
        return permission in self.permissions

    def need(self, permission: str) -> None:
        """Raises 403 naming the permission that is missing."""
        if permission not in self.permissions:
            raise forbidden(permission)
