"""The kinds `role` and `user`."""

from __future__ import annotations

import ipaddress
from typing import Any

from marshmallow import Schema
from sqlalchemy import Table

from deskplane.kernel.compound import Group, Items, ListOf, RefSet, SetOf
from deskplane.kernel.fields import Choice, Described, Email, Flag, Moment, Name, Ref, Text, TimeZone, Whole, refuse
from deskplane.kernel.kind import Kind, Links
from deskplane.kernel.parts import Backlinks, Rows
from deskplane.kernel.permissions import BUNDLES, PERMISSIONS
from deskplane.people import keys, rules
from deskplane.people.models import Role, User, group_members, memberships, user_roles
from deskplane.people.service import prepare_passwords, work_out_passwords

MEMBERSHIP_ROLES = ("viewer", "member", "owner")
USERNAME = {
    "pattern": r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,119}",
    "pattern_hint": "must be letters, digits and . _ @ + - and begin with a letter or digit",
}


class RoleSchema(Schema):
    """A named set of permissions."""

    name = Name("Name of the role; it identifies the role.")
    description = Text("What the role is for.", longest=4000, block=True, default="")
    permissions = SetOf("What users with this role may do.", Choice("A permission.", tuple(PERMISSIONS)))
    shipped = Flag(
        "Whether the role came with Deskplane; such a role cannot be deleted.", default=False, read_only=True
    )


ROLE = Kind(
    name="role",
    plural="roles",
    title="role",
    model=Role,
    schema=RoleSchema,
    key=("name",),
    permission="users:manage",
    readers=(),
    check=rules.check_role,
    as_shipped=rules.is_as_shipped,
    short_description="Manage roles",
    description=["A role is a named set of permissions. A change acts at the next request of everyone who has it."],
    notes=["The role C(admin) has every permission, always."],
    examples=[
        {
            "name": "People who may look, and nothing else",
            "options": {"name": "auditor", "permissions": ["tickets:access", "audit:read"], "state": "present"},
        }
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a13",
        "name": "auditor",
        "description": "",
        "permissions": ["audit:read", "tickets:access"],
        "shipped": False,
    },
)


class UserFeatures(Schema):
    """What a user works with."""

    helpdesk_enabled = Flag("Whether he has any right on tickets; administrators always have.", default=True)
    time_tracking_enabled = Flag("Whether he books time.", default=False)


class MembershipSchema(Schema):
    """A user's place with one customer."""

    customer = Ref("Name of the customer.", "customer", required=True)
    role = Choice(
        "What he is there: viewer sees the customer's record, member works on its tickets, owner also "
        "manages its memberships and contacts.",
        MEMBERSHIP_ROLES,
        default="member",
    )


def membership_items(description: str) -> Items:
    """The field of who has memberships."""
    return Items(description, MembershipSchema, named_by=("customer",))


def membership_rows(table: Table, owner: str) -> Rows:
    """Where they are kept."""
    return Rows(table, owner, ("customer", "role"), references={"customer": "customer"})


class UserSchema(Schema):
    """A person, or a service account."""

    username = Name(
        "Name that the user logs in with; it identifies the user.",
        **USERNAME,
    )
    email = Email("Mail address.")
    first_name = Text("First name.", longest=120, default="")
    last_name = Text("Last name.", longest=120, default="")
    enabled = Flag("Whether the account and its keys work.", default=True)
    roles = RefSet("Names of the user's roles.", "role")
    memberships = membership_items("The customers whose member the user is.")
    groups = SetOf(
        "Names of the groups that the user is in. A group lists its members.", Text("A name."), read_only=True
    )
    features = Group("What the user works with.", UserFeatures)
    locale = Text(
        "Language, as a BCP 47 tag such as C(en-GB); null for the desk's.",
        longest=35,
        pattern="[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*",
        pattern_hint="must be a language tag such as en-GB",
    )
    time_zone = TimeZone("Time zone of the IANA database; null for the desk's.", longest=64)
    date_format = Text("How dates are shown, such as C(YYYY-MM-DD); null for the desk's.", longest=40)
    start_page = Choice("What is shown after login.", ("overview", "tickets"), default="overview")
    default_department = Ref(
        "Department of tickets that the user opens without naming one.", "department", on_delete="clear"
    )
    starred_customer = Ref("The customer whose tickets the start page shows.", "customer", on_delete="clear")
    password = Text(
        "Password. Set when the user is made; later only with O(update_password=always).",
        longest=1024,
        shortest=1,
        secret=True,
    )
    password_changed_at = Moment("When the password was last set.", read_only=True)
    last_login_at = Moment("When the user last logged in.", read_only=True)


class Network(Text):
    """An IP address or network, in its shortest spelling (RFC 5952)."""

    def canonical(self, text: str) -> str:
        try:
            return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
        except ValueError:
            raise refuse("bad_format", "must be an IP address or network such as 192.0.2.0/24") from None


class ApiKeyOptions(Schema):
    """One API key of a user."""

    name = Name("Name of the key; it identifies the key among the user's.")
    scopes = SetOf(
        "Permissions that the key is limited to; null for all of the user's. V(tickets:read) and V(tickets:write) "
        "stand for those that the public API needs.",
        Choice("A permission.", (*PERMISSIONS, *BUNDLES)),
        default=None,
    )
    expires_at = Moment("When the key stops working; null for never.")
    allowed_ips = SetOf(
        "Addresses and networks that the key works from; empty for anywhere.",
        Network("An IP address or network.", longest=50),
    )
    secret = Text(
        "The key's secret, from a vault of the caller's, so that a lost answer loses nothing; at least 32 "
        "random bytes, as 43 or more of the characters A-Z a-z 0-9 - _.",
        secret=True,
        by_reference=False,
        longest=200,
        pattern="[A-Za-z0-9_-]{43,200}",
        pattern_hint="must be 43 to 200 of the characters A-Z a-z 0-9 - _",
    )
    state = Choice("Whether the key is there.", ("present", "absent"), default="present")
    regenerate = Flag("Replace the key by a new one now; for a key whose secret was lost.", default=False)
    rotate_after_days = Whole(
        "Replace the key by a new one where it has had its secret for so many days, and only then; not together with "
        "a secret of the caller's.",
        least=1,
        most=3650,
    )
    overlap_minutes = Whole(
        "How many minutes the secret before works along when the key gets a new one, so that whoever uses it can be "
        "given the new one meanwhile; without it, it ends at once, and with it every one before.",
        least=0,
        most=43_200,
    )


class KeyList(ListOf):
    """API keys, each named once."""

    def collect(self, items: list[Any]) -> list[Any]:
        seen: set[str] = set()
        for item in items:
            name = item.get("name")
            if name is None:
                raise refuse("required", "each API key has a name")
            if name in seen:
                raise refuse("repeated", f"the key {name} stands there twice")
            seen.add(name)
        return items


class UserOptions(Schema):
    """What an apply of a user may say besides his fields."""

    update_password: Described = Choice(
        "Whether the password of a user who is there already is set, where it differs.",
        ("on_create", "always"),
        default="on_create",
    )
    api_keys: Described = KeyList(
        "API keys that the user is to have, or not to have. Keys that are not named stay as they are. A key that is "
        "made is answered once.",
        Group("A key.", ApiKeyOptions),
        default=None,
    )


USER = Kind(
    name="user",
    plural="users",
    title="user",
    module="user_credential",
    model=User,
    schema=UserSchema,
    key=("username",),
    permission="users:manage",
    readers=(),
    parts={
        "roles": Links("role", user_roles, "user_id", "role_id"),
        "memberships": membership_rows(memberships, "user_id"),
        "groups": Backlinks("group", group_members, "user_id", "group_id"),
    },
    options=UserOptions,
    check=rules.check_user,
    prepare=prepare_passwords,
    work_out=work_out_passwords,
    beside=keys.beside,
    beside_options=("api_keys",),
    soft_delete=True,
    short_description="Manage users, their roles, features, passwords and API keys",
    description=[
        "Manages an account: its roles, feature flags, memberships, password and API keys.",
        "A new key is returned once, under RV(api_keys); register it with C(no_log) and store it. A run that finds "
        "the key there makes no second one.",
    ],
    notes=[
        "Removing a user keeps the row: applying it again brings the user back, with what was known. His API keys end "
        "with the removal; he gets new ones.",
        "C(DELETE /users/{id}?purge=true) ends a user for good, and keeps his tickets and what history says.",
        "A role can only be given by someone who has every permission in it.",
    ],
    examples=[
        {
            "name": "An agent of one customer",
            "options": {
                "username": "mia",
                "email": "mia@example.org",
                "roles": ["agent"],
                "features": {"helpdesk_enabled": True, "time_tracking_enabled": True},
                "memberships": [{"customer": "ACME", "role": "member"}],
                "state": "present",
            },
        },
        {
            "name": "A service account with a key for the pipeline",
            "options": {
                "username": "pipeline",
                "roles": ["agent"],
                "api_keys": [{"name": "ci", "scopes": ["tickets:access", "tickets:create", "tickets:edit"]}],
                "state": "present",
            },
        },
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a14",
        "username": "mia",
        "email": "mia@example.org",
        "first_name": "",
        "last_name": "",
        "enabled": True,
        "roles": ["agent"],
        "memberships": [{"customer": "ACME", "role": "member"}],
        "groups": ["Second level"],
        "features": {"helpdesk_enabled": True, "time_tracking_enabled": True},
        "locale": None,
        "time_zone": None,
        "date_format": None,
        "start_page": "overview",
        "default_department": None,
        "starred_customer": None,
        "password": None,
        "password_changed_at": None,
        "last_login_at": None,
    },
)
