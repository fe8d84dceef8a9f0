"""Accounts and keys, for who is on the server's own machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from deskplane.cli.common import checked, clean_errors, settings_of
from deskplane.kernel.permissions import BUNDLES, PERMISSIONS

if TYPE_CHECKING:
    from deskplane.app import Desk


@click.group()
def user() -> None:
    """Accounts, on the server's own machine."""


@user.command("create-admin")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--if-missing", is_flag=True, help="It is no error if the administrator is there already.")
@click.pass_obj
@clean_errors
def create_admin(config: str | None, username: str, password_stdin: bool, if_missing: bool) -> None:
    """Make an administrator. Without a password he works through API keys only."""
    from deskplane.app import make_desk
    from deskplane.login.accounts import require_good
    from deskplane.people import service
    from deskplane.people.schemas import UserSchema

    username = checked(UserSchema().fields["username"], username)
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    if password is not None and len(password) < 8:
        raise ValueError("the password must have at least 8 characters")
    desk = make_desk(settings_of(config))
    if password is not None:
        with desk.database.transaction(write=False) as session:
            require_good(desk.command_line(session), password)
    hashed = service.hash_password(password) if password is not None else None
    made = desk.database.run(
        lambda session: service.create_admin(desk.command_line(session), username, hashed), write=True
    )
    if not made and not if_missing:
        raise ValueError(f"the administrator {username} exists already")
    click.echo(f"made the administrator {username}" if made else f"{username} is an administrator already", err=True)


@user.command()
@click.argument("username")
@click.pass_obj
@clean_errors
def promote(config: str | None, username: str) -> None:
    """Make an account an administrator, enabled: the recovery when nobody can log in."""
    from deskplane.app import make_desk
    from deskplane.people import service

    desk = make_desk(settings_of(config))
    desk.database.run(lambda session: service.promote(desk.command_line(session), username), write=True)
    click.echo(f"{username} is an administrator", err=True)


@user.command("reset-factors")
@click.argument("username")
@click.pass_obj
@clean_errors
def reset_factors(config: str | None, username: str) -> None:
    """Take all second factors of an account away: the recovery when nobody can log in to do that."""
    from deskplane.app import make_desk
    from deskplane.configuration.by_hand import Users
    from deskplane.factors import changing
    from deskplane.people import service

    def work(session: Any) -> None:
        here = desk.command_line(session)
        Users().lock(here)
        changing.reset(here, service.find_user(session, username))

    desk = make_desk(settings_of(config))
    desk.database.run(work, write=True)
    click.echo(f"{username} has no second factor", err=True)


@click.command("setup-token")
@click.pass_obj
@clean_errors
def setup_token(config: str | None) -> None:
    """Print a token with which somebody makes the first administrator, within a day: POST /api/v1/registration."""
    from deskplane.app import make_desk

    click.echo(new_setup_token(make_desk(settings_of(config))))


def new_setup_token(desk: Desk) -> str:
    """A token for the first set-up. Raises 409 where there is an administrator."""
    from deskplane.login.registration_api import make_setup_token

    return desk.database.run(lambda session: make_setup_token(desk.command_line(session)), write=True)


def offer_setup(desk: Desk) -> None:
    """Says how the first administrator is made, where there is none."""
    from deskplane.login.registration_api import has_administrator

    with desk.database.transaction(write=False) as session:
        if has_administrator(desk.command_line(session)):
            return
    click.echo("deskplane: there is no administrator; make one with: deskplane user create-admin NAME", err=True)
    token = new_setup_token(desk)
    click.echo(f"deskplane: or, within a day, with: POST /api/v1/registration, setup_token {token}", err=True)


@click.group()
def key() -> None:
    """API keys, on the server's own machine."""


@key.command("create")
@click.option("--user", "username", required=True, help="Whose key it is.")
@click.option("--name", required=True, help="Name of the key.")
@click.option("--scope", "scopes", multiple=True, help="Limit the key to this permission; may be repeated.")
@click.option("--if-missing", is_flag=True, help="Print nothing, and end well, if the user has a key of that name.")
@click.option("--replace", is_flag=True, help="End the key of that name, if the user has one, and make it anew.")
@click.pass_obj
@clean_errors
def create_key(
    config: str | None, username: str, name: str, scopes: tuple[str, ...], if_missing: bool, replace: bool
) -> None:
    """Make an API key and print it, alone, on standard output. It is shown once."""
    from deskplane.app import make_desk
    from deskplane.people import keys, service
    from deskplane.people.schemas import ApiKeyOptions

    unknown = sorted(set(scopes) - set(PERMISSIONS) - set(BUNDLES))
    if unknown:
        raise ValueError(f"there is no permission {', '.join(unknown)}; there are: {', '.join(sorted(PERMISSIONS))}")
    name = checked(ApiKeyOptions().fields["name"], name)
    desk = make_desk(settings_of(config))
    wanted = {"name": name, "scopes": sorted(set(scopes)) or None}

    def work(session: Any) -> str | None:
        owner = service.find_user(session, username)
        made = desk.command_line(session)
        if replace:
            keys.apply(made, owner.id, [{"name": name, "state": "absent"}])
        elif keys.exists(session, owner.id, name):
            return None
        found = keys.make(made, owner.id, wanted)
        made.change_configuration()
        return found

    made = desk.database.run(work, write=True)
    if made is not None:
        click.echo(made)
    elif not if_missing:
        raise ValueError(f"{username} has a key named {name} already; its secret cannot be shown again")
