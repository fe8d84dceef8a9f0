"""The commands that run for as long as the desk does."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

import click

from deskplane import migrations
from deskplane.cli.accounts import offer_setup
from deskplane.cli.common import clean_errors, settings_of


@click.command()
@click.option("--bind", metavar="ADDRESS:PORT", help="Where to listen, or unix:/path/of/socket.")
@click.option("--workers", type=click.IntRange(1, 64), help="Server processes.")
@click.option("--threads", type=click.IntRange(1, 64), help="Requests that each process serves at once.")
@click.pass_obj
@clean_errors
def serve(config: str | None, bind: str | None, workers: int | None, threads: int | None) -> None:
    """Serve the API. Brings the database up to date first; with migrate_on_start off it refuses one that is not.

    SIGTERM lets requests in flight end, then stops.
    """
    settings = settings_of(config, bind=bind, workers=workers, threads=threads)
    directory, leader = tempfile.mkdtemp(prefix="deskplane-metrics-"), os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    from deskplane.app import make_desk, migrate
    from deskplane.serving import require_free, run

    try:
        require_free(settings.bind)
        desk = make_desk(settings)
        if settings.migrate_on_start:
            migrate(desk)
        else:
            migrations.require_current(desk.database)
        offer_setup(desk)
        desk.database.dispose()
        run(settings)
    finally:
        # each process that gunicorn forks comes by here too as it ends, and must not take the folder from the others
        if os.getpid() == leader:
            shutil.rmtree(directory, ignore_errors=True)


@click.command()
@click.pass_obj
@clean_errors
def worker(config: str | None) -> None:
    """Do what waits in the outbox, and the periodic jobs. Any number of workers may run.

    SIGTERM lets the work in hand end, then stops.
    """
    from deskplane.app import make_desk, make_worker

    settings = settings_of(config)
    desk = make_desk(settings)
    migrations.require_current(desk.database)
    working = make_worker(desk)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: working.stop())
    working.run()
