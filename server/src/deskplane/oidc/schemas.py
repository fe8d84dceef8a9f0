"""The kind `oidc_provider`, and what the room's own operations take and answer."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema

from deskplane.kernel.compound import Group, Items, SetOf
from deskplane.kernel.fields import Flag, Moment, Name, Ref, Text, Url, refuse
from deskplane.kernel.kind import Kind
from deskplane.kernel.parts import Rows
from deskplane.oidc.models import LONGEST_ISSUER, OidcProvider, oidc_group_roles
from deskplane.oidc.rules import check_provider

CLAIM: dict[str, Any] = {
    "longest": 100,
    "shortest": 1,
    "pattern": r"[A-Za-z0-9_:/.-]{1,100}",
    "pattern_hint": "must be the name of a claim, such as preferred_username",
}
SCOPE: dict[str, Any] = {
    "longest": 100,
    "pattern": r"[\x21\x23-\x5b\x5d-\x7e]{1,100}",
    "pattern_hint": 'must be printable ASCII without spaces, " and \\, such as profile',
}


def is_on_this_machine(host: str | None) -> bool:
    """Whether a host is a loopback address, or `localhost`: there nobody listens in."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_protected(url: str) -> bool:
    """Whether what goes to an address cannot be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_on_this_machine(parts.hostname))


class Issuer(Url):
    """The name of a provider, which is an address (OpenID Connect Discovery, 2)."""

    def __init__(self, description: str, **common: Any) -> None:
        super().__init__(description, **common)
        self.longest = LONGEST_ISSUER

    def canonical(self, text: str) -> str:
        found = super().canonical(text)
        if not is_protected(found):
            raise refuse("not_protected", "must begin with https://; http:// is only for a provider on this machine")
        if urlsplit(found).query or urlsplit(found).fragment or "?" in found or "#" in found:
            raise refuse("bad_format", "must have neither ? nor #; it is what the provider's own tokens say as iss")
        return found


class ProviderClaims(Schema):
    """Which claims say what."""

    username = Text(
        "Name of a new user; without it, or where nobody can be called so, his mail address.",
        default="preferred_username",
        **CLAIM,
    )
    email = Text("His mail address; it counts where C(email_verified) says so.", default="email", **CLAIM)
    first_name = Text("His first name.", default="given_name", **CLAIM)
    last_name = Text("His last name.", default="family_name", **CLAIM)
    groups = Text("The names of his groups at the provider.", default="groups", **CLAIM)


class GroupRole(Schema):
    """A role that a group has."""

    group = Text("Name of the group, as the provider spells it.", required=True, shortest=1, longest=200)
    role = Ref("Role that everyone in it has here.", "role", required=True)


class ProviderSchema(Schema):
    """An identity provider."""

    name = Name(
        "Name of the provider; it identifies the provider, and is a part of the redirect URI.",
        longest=30,
        pattern=r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?",
        pattern_hint="must be small letters, digits and - and neither begin nor end with -",
    )
    title = Text("What people call it, where they choose how to log in; empty for its name.", longest=120, default="")
    enabled = Flag("Whether people log in with it.", default=True)
    issuer = Issuer(
        "Name of the provider as an address, exactly as its tokens say it; below it lies "
        "C(/.well-known/openid-configuration).",
        required=True,
    )
    client_id = Text("What the desk is called at the provider.", required=True, shortest=1, longest=200)
    client_secret = Text(
        "Secret of the desk at the provider; null for a client without one.", secret=True, longest=1024
    )
    scopes = SetOf(
        "What the provider is asked for; C(openid) always.",
        Text("A scope.", **SCOPE),
        most=50,
        default=["email", "openid", "profile"],
    )
    claims = Group("In which claims the provider says what.", ProviderClaims)
    group_roles = Items(
        "Roles that groups of the provider have here, given and taken away at each login. Roles that were given by "
        "hand stay.",
        GroupRole,
        named_by=("group", "role"),
    )
    create_users = Flag(
        "Whether somebody whom nobody knows here becomes a user. Without a role by his groups he has the role "
        "C(requester).",
        default=False,
    )
    link_by_email = Flag(
        "Whether somebody who logs in for the first time is the user who has his mail address, if the provider says "
        "that it is verified. Needs every permission, since whoever says so is whom he likes.",
        default=False,
    )
    required_amr = SetOf(
        "Ways of logging in (RFC 8176) such as C(mfa), C(otp) or C(hwk), of which the provider must name at least one "
        "in C(amr); empty to leave that to the provider.",
        Text("A way.", **SCOPE),
        most=50,
    )


EXAMPLE: dict[str, Any] = {
    "name": "corp",
    "title": "ACME single sign-on",
    "issuer": "https://id.example.org/realms/acme",
    "client_id": "deskplane",
    "group_roles": [
        {"group": "helpdesk", "role": "agent"},
        {"group": "helpdesk-admins", "role": "admin"},
    ],
    "create_users": True,
}

PROVIDER = Kind(
    name="oidc_provider",
    plural="oidc_providers",
    title="identity provider",
    model=OidcProvider,
    schema=ProviderSchema,
    key=("name",),
    permission="users:manage",
    readers=(),
    parts={
        "group_roles": Rows(oidc_group_roles, "provider_id", ("group", "role"), references={"role": "role"}),
    },
    check=check_provider,
    short_description="Manage identity providers",
    description=[
        "An identity provider is a server with which people log in by OpenID Connect: Keycloak, Microsoft Entra ID, "
        "Google and their like."
    ],
    notes=[
        "Register V(<public_url>/api/v1/oidc/<name>/callback) as redirect URI at the provider. The setting "
        "C(public_url) must be set.",
        "A provider outside of the public internet needs its network in C(webhook_networks) of the server's settings.",
        "A role can only be given to a group by someone who has every permission in it, and only he changes the "
        "provider afterwards.",
        "Roles that a provider gave stay when the provider is removed.",
    ],
    examples=[
        {
            "name": "People log in with the company's provider, and its groups say what they may",
            "options": {**EXAMPLE, "client_secret": "{{ vault_oidc_client_secret }}", "state": "present"},
        }
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a29",
        **EXAMPLE,
        "enabled": True,
        "client_secret": "(secret)",
        "scopes": ["email", "openid", "profile"],
        "claims": {
            "username": "preferred_username",
            "email": "email",
            "first_name": "given_name",
            "last_name": "family_name",
            "groups": "groups",
        },
        "group_roles": [
            {"group": "helpdesk", "role": "agent"},
            {"group": "helpdesk-admins", "role": "admin"},
        ],
        "link_by_email": False,
        "required_amr": [],
    },
)


class OwnPath(Text):
    """A path of the desk itself, to go to afterwards."""

    def __init__(self, description: str) -> None:
        super().__init__(
            description,
            longest=500,
            default="/",
            # neither //host nor /\host, which browsers take for another site; nothing that they would leave out
            pattern=r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*",
            pattern_hint="must be a path of the desk, such as /tickets?status=open",
        )


class Beginning(Schema):
    """What a login may begin with."""

    return_to = OwnPath("Path of the desk where the browser is sent to afterwards.")


class Returning(Schema):
    """What a provider sends back (OpenID Connect Core, 3.1.2.5; RFC 9207). All of it is looked at later."""

    state = Text("What it was sent along with.", longest=200)
    code = Text("For which it gives out who it is.", longest=4096)
    iss = Text("The provider's name.", longest=LONGEST_ISSUER)
    error = Text("What it says where nobody logged in.", longest=200)


class ProviderEntry(Schema):
    """A provider, as who is not logged in may know it."""

    name = Text("Its name.", read_only=True)
    title = Text("What people call it.", read_only=True)
    login_url = Text("Address that the browser opens to log in.", read_only=True)


class IdentityEntry(Schema):
    """Who somebody is at a provider."""

    issuer = Text("The provider's name, as its tokens say it.", read_only=True)
    subject = Text("His number there.", read_only=True)
    linked_at = Moment("Since when he is let in by it.", read_only=True)


class Ended(Schema):
    """Where to go to end the session at the provider, too."""

    location = Text("Address that the browser is to open; null where the provider has none.", read_only=True)
