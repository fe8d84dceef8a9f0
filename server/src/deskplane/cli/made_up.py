"""Data that is made up: a desk to look at, and many tickets."""

from __future__ import annotations

from pathlib import Path

import click

from deskplane.cli.common import clean_errors, settings_of


@click.command()
@click.option(
    "--config",
    "document",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What the demo desk has, instead of the one that comes along.",
)
@click.option("--reset", is_flag=True, help="Delete what this command made before, and make it anew.")
@click.option("--yes", is_flag=True, help="Do it on a desk that has data of its own, too.")
@click.option("--tickets", type=click.IntRange(0, 10_000_000), help="Instead of the demo desk, make so many tickets.")
@click.option(
    "--messages", type=click.IntRange(0, 100), default=3, show_default=True, help="Messages on each of those."
)
@click.pass_obj
@clean_errors
def seed(config: str | None, document: Path | None, reset: bool, yes: bool, tickets: int | None, messages: int) -> None:
    """Make a demo desk: customers, service levels, assets, and tickets in every state with what was said on them.

    Run again, it makes what is missing, which as a rule is nothing. Nothing that it did not make itself is changed or
    deleted, and nobody is told of what is made up: no mail, no webhook, no event.

    With --tickets it fills the desk with that many tickets, to see how it does with many. They are the same on every
    desk, and have numbers that begin with SEED. Run again, it goes on until there are as many as asked for.
    """
    if tickets is not None:
        if document is not None or reset:
            raise click.UsageError("--tickets goes with neither --config nor --reset: those are of the demo desk")
        _many(config, tickets, messages, yes)
    else:
        _demo(config, document, reset, yes)


def _demo(config: str | None, document: Path | None, reset: bool, yes: bool) -> None:
    from deskplane.app import make_desk
    from deskplane.app import migrate as run
    from deskplane.demo import making
    from deskplane.demo.document import PACKAGED, read

    desk = make_desk(settings_of(config))
    wanted = read(document or PACKAGED, desk.registry)
    run(desk)
    made = making.make(desk, wanted, reset=reset, beside_others=yes)
    if made.deleted:
        click.echo(f"deleted {made.deleted:,} tickets that it made before", err=True)
    click.echo(
        f"made {made.opened:,} tickets, and changed {made.configuration:,} objects of the configuration", err=True
    )


def _many(config: str | None, tickets: int, messages: int, yes: bool) -> None:
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
