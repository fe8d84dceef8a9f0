"""Data that is made up: a desk to look at, and many tickets."""

from __future__ import annotations

import click

from deskplane.cli.common import clean_errors, settings_of


@click.command()
@click.option("--tickets", type=click.IntRange(0, 10_000_000), required=True, help="How many there shall be.")
@click.option("--messages", type=click.IntRange(0, 100), default=3, show_default=True, help="Messages on each of them.")
@click.option("--yes", is_flag=True, help="Do it on a desk in production, too.")
@click.pass_obj
@clean_errors
def seed(config: str | None, tickets: int, messages: int, yes: bool) -> None:
    """Fill a desk with tickets that are made up, to see how it does with many.

    They are the same on every desk, and have numbers that begin with SEED. Run again, it goes on until there are as
    many as asked for.
    """
    from deskplane.app import make_desk
    from deskplane.app import migrate as run
    from deskplane.seeding import seed as make

    settings = settings_of(config)
    if settings.environment == "production" and not yes:
        raise ValueError("environment is production; to make up tickets on a desk that people work on, add --yes")
    desk = make_desk(settings)
    run(desk)
    made = make(desk, tickets, messages, lambda line: click.echo(line, err=True))
    click.echo(f"made {made:,} tickets", err=True)
