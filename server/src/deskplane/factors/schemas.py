"""What the endpoints of the room take and answer."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from deskplane.kernel.compound import AnyJson, ListOf
from deskplane.kernel.fields import Flag, Moment, Name, Text, Whole, refuse, type_name
from deskplane.login.schemas import SessionAnswer, password_field


def _code(description: str, longest: int) -> Text:
    return Text(description, secret=True, by_reference=False, longest=longest, shortest=1, required=True)


def _token() -> Text:
    return Text(
        "The token that logging in answered.", secret=True, by_reference=False, longest=200, shortest=1, required=True
    )


class TotpLogin(Schema):
    """A code of an app, to finish a login."""

    token = _token()
    code = _code("The code that the app shows now.", 20)
    always = ("token", "code")


class RecoveryLogin(Schema):
    """A recovery code, to finish a login."""

    token = _token()
    code = _code("A recovery code that was not used yet.", 60)
    always = ("token", "code")


class OwnPassword(Schema):
    """What shows that it is really you."""

    password = password_field("Your password.")
    always = ("password",)


class TotpCode(Schema):
    """What shows that an app has the secret."""

    code = _code("The code that the app shows now.", 20)
    always = ("code",)


class TotpOffered(Schema):
    """A secret for an app."""

    secret = Text("The secret, in base 32, to be typed into the app. It is not shown again.", read_only=True)
    uri = Text("The same as an address that apps read from a QR code.", read_only=True)
    expires_at = Moment("Until when a code of it must be sent.", read_only=True)


class FactorChanged(SessionAnswer):
    """A session, after a change of factors."""

    recovery_codes = ListOf(
        "New recovery codes, where there are any. They are not shown again.",
        Text("A code; it works once."),
        read_only=True,
        default=None,
    )


class FactorsAnswer(Schema):
    """The factors that somebody has set up."""

    totp = Flag("Whether codes of an app are asked for.", read_only=True)
    passkeys = Whole("How many passkeys there are.", read_only=True)
    recovery_codes = Whole("How many recovery codes are left.", read_only=True)


class PublicKeyCredential(AnyJson):
    """What a browser answers, as `PublicKeyCredential.toJSON` writes it; browsers may add to that."""

    json_type = "dict"

    def __init__(self) -> None:
        super().__init__("The credential, as C(toJSON) has it in the browser.", check=_is_object, required=True)

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "object"}


def _is_object(value: Any) -> None:
    if not isinstance(value, dict):
        raise refuse("wrong_type", f"must be an object, got {type_name(value)}")


def _ceremony() -> Text:
    return Text("The ceremony that the options came with.", longest=36, shortest=1, required=True)


class PasskeyOptionsWanted(Schema):
    """Which login a passkey is for."""

    always: tuple[str, ...] = ("token",)
    token = Text(
        "The token that logging in answered; null to log in with a passkey alone.",
        secret=True,
        by_reference=False,
        longest=200,
    )


class PasskeyLogin(PasskeyOptionsWanted):
    """A challenge that was signed with a passkey."""

    ceremony = _ceremony()
    credential = PublicKeyCredential()
    always = ("token", "ceremony", "credential")


class PasskeyName(Schema):
    """What its owner calls a passkey."""

    always: tuple[str, ...] = ("name",)
    name = Name("Name of the passkey, such as that of the device.")


class PasskeyToAdd(PasskeyName):
    """A passkey that a browser has made."""

    ceremony = _ceremony()
    credential = PublicKeyCredential()
    always = ("name", "ceremony", "credential")


class PasskeyOptions(Schema):
    """A challenge."""

    ceremony = Text("To be sent back with the answer, within five minutes.", read_only=True)
    options = AnyJson("The options, as C(parseCreationOptionsFromJSON) and its sister take them.", read_only=True)


class PasskeyEntry(Schema):
    """A passkey in a list."""

    id = Text("Id of the passkey.", read_only=True)
    name = Text("What its owner calls it.", read_only=True)
    backed_up = Flag("Whether it is kept elsewhere, too, as by a password manager.", read_only=True)
    created_at = Moment("When it was added.", read_only=True)
    last_used_at = Moment("When it was last used to log in.", read_only=True)
