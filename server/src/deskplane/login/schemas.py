"""What the endpoints of the room take and answer."""

from __future__ import annotations

from marshmallow import Schema

from deskplane.kernel import pagination
from deskplane.kernel.compound import SetOf
from deskplane.kernel.fields import Choice, Email, Flag, Moment, Name, Text, Whole
from deskplane.people.login_events import EVENTS
from deskplane.people.schemas import USERNAME


def password_field(description: str) -> Text:
    """A password that must be sent."""
    return Text(description, secret=True, by_reference=False, longest=1024, shortest=1, required=True)


def _token() -> Text:
    return Text("What stands behind token= in the link.", secret=True, by_reference=False, longest=200, required=True)


class Credentials(Schema):
    """Who logs in."""

    username = Text("Name of the user.", longest=254, required=True)
    password = password_field("His password.")
    always = ("username", "password")


class Forgotten(Schema):
    """Who forgot his password."""

    email = Email("His mail address.", required=True)
    always = ("email",)


class NewPassword(Schema):
    """A password for the account that a link is about."""

    token = _token()
    password = password_field("The new password.")
    always = ("token", "password")


class TokenOnly(Schema):
    """A link that needs nothing besides."""

    token = _token()
    always = ("token",)


class PasswordChange(Schema):
    """Another password of one's own."""

    current_password = password_field("The password of now.")
    password = password_field("The new password.")
    always = ("current_password", "password")


class EmailChange(Schema):
    """Another mail address of one's own."""

    email = Email("The new address.", required=True)
    password = password_field("The password, to show that it is really you.")
    always = ("email", "password")


class Registration(Schema):
    """An account that somebody wants to make."""

    username = Name("Name of the account.", **USERNAME)
    email = Email("Mail address; the link that makes the account goes there.")
    first_name = Text("First name.", longest=120, default="")
    last_name = Text("Last name.", longest=120, default="")
    setup_token = Text(
        "The token of the first set-up, as the server prints it while it has no administrator: with it the account is "
        "made at once, as the administrator.",
        secret=True,
        by_reference=False,
        longest=200,
    )
    password = Text(
        "Its password; only with O(setup_token), else it is chosen behind the link.",
        secret=True,
        by_reference=False,
        longest=1024,
        shortest=1,
    )
    always = ("username",)


class SecondFactor(Schema):
    """What is still to be shown."""

    token = Text("To be sent along with it, within five minutes.", read_only=True)
    methods = SetOf("The factors of which one is asked for.", Text("A factor."), read_only=True)


class SessionAnswer(Schema):
    """A session, as its owner sees it."""

    id = Text("Id of the session.", read_only=True)
    user_id = Text("Id of the user.", read_only=True)
    username = Text("Name of the user.", read_only=True)
    permissions = SetOf("What he may do.", Text("A permission."), read_only=True)
    password_expired = Flag("Whether he must choose a new password before anything else.", read_only=True)
    second_factor_needed = Flag("Whether he must set up a second factor before anything else.", read_only=True)
    expires_at = Moment("When it ends at the latest.", read_only=True)
    csrf_token = Text("To be sent as C(X-CSRF-Token) with every request that changes something.", read_only=True)


class SessionEntry(Schema):
    """A session in a list."""

    id = Text("Id of the session.", read_only=True)
    current = Flag("Whether it is the one that asks.", read_only=True)
    method = Text("How he logged in.", read_only=True)
    created_at = Moment("When he did.", read_only=True)
    last_seen_at = Moment("When it was last used, to a minute.", read_only=True)
    expires_at = Moment("When it ends at the latest.", read_only=True)
    address = Text("Where he logged in from.", read_only=True)
    client = Text("What his program called itself.", read_only=True)


class OwnEvents(Schema):
    """A page of one's own history."""

    event = Choice("Only events of this sort.", tuple(EVENTS))
    limit = Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=pagination.DEFAULT_LIMIT)
    cursor = Text("The next_cursor of the page before.", longest=2000)


class AllEvents(OwnEvents):
    """A page of everyone's."""

    username = Text("Only of the account of this name, also one that is gone.", longest=120)


class EventEntry(Schema):
    """A line of the login history."""

    at = Moment("When it happened.", read_only=True)
    event = Choice("What happened.", tuple(EVENTS), read_only=True)
    user_id = Text("Id of the account; null for one that there was not.", read_only=True)
    username = Text("Its name.", read_only=True)
    actor = Text("Who did it in its owner's stead; null where he did it himself.", read_only=True)
    address = Text("Where it came from; null for the server itself.", read_only=True)
    client = Text("What the program called itself.", read_only=True)
    detail = Text("More about it, as the event says.", read_only=True)
