"""The kind `group`: users who share roles and memberships."""

from __future__ import annotations

from marshmallow import Schema

from deskplane.kernel.compound import RefSet
from deskplane.kernel.fields import Name, Text
from deskplane.kernel.kind import Kind, Links
from deskplane.people import rules
from deskplane.people.models import Group, group_members, group_memberships, group_roles
from deskplane.people.schemas import membership_items, membership_rows


class GroupSchema(Schema):
    """Users who share roles and memberships."""

    name = Name("Name of the group; it identifies the group.")
    description = Text("What the group is for.", longest=4000, block=True, default="")
    members = RefSet("Usernames of the group's members.", "user")
    roles = RefSet("Names of the roles that every member has, besides his own.", "role")
    memberships = membership_items("The customers whose member everyone in the group is, besides his own memberships.")


GROUP = Kind(
    name="group",
    plural="groups",
    title="group",
    model=Group,
    schema=GroupSchema,
    key=("name",),
    permission="users:manage",
    readers=(),
    parts={
        "members": Links("user", group_members, "group_id", "user_id"),
        "roles": Links("role", group_roles, "group_id", "role_id"),
        "memberships": membership_rows(group_memberships, "group_id"),
    },
    check=rules.check_group,
    short_description="Manage groups",
    description=[
        "A group is a set of users. They have its roles and memberships besides their own, from the next request on."
    ],
    notes=[
        "Who is in which group is written here only; a user shows it.",
        "A role can only be given by someone who has every permission in it, and only he changes the group afterwards.",
        "An administrator by a group does not count as the last one, who can be neither deleted nor disabled.",
    ],
    examples=[
        {
            "name": "The second level, which works for two customers",
            "options": {
                "name": "Second level",
                "members": ["mia", "tom"],
                "roles": ["agent"],
                "memberships": [{"customer": "ACME", "role": "member"}, {"customer": "Northwind", "role": "viewer"}],
                "state": "present",
            },
        }
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a22",
        "name": "Second level",
        "description": "",
        "members": ["mia", "tom"],
        "roles": ["agent"],
        "memberships": [{"customer": "ACME", "role": "member"}, {"customer": "Northwind", "role": "viewer"}],
    },
)
