"""The command `deskplane`.

Rooms are imported by the commands that need them: `serve` must name the directory of the metrics before their
library is imported, which looks for it then and never again.
"""

from __future__ import annotations

import click

from deskplane import __version__
from deskplane.cli import accounts, audit, backups, database, documents, made_up, processes, secrets
from deskplane.remote.commands import configuration


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deskplane")
@click.option("--config", metavar="FILE", help="YAML file with the settings. [env: DESKPLANE_CONFIG]")
@click.pass_context
def main(context: click.Context, config: str | None) -> None:
    """Deskplane: a helpdesk whose whole configuration lives in Git.

    Settings come from a YAML file and from the environment (DESKPLANE_DATABASE_URL, DESKPLANE_SECRET_KEY …).
    """
    context.obj = config


for command in (
    processes.serve,
    processes.worker,
    database.migrate,
    database.check,
    backups.backup,
    backups.verify,
    backups.restore,
    accounts.user,
    accounts.key,
    accounts.setup_token,
    audit.audit,
    secrets.secrets,
    documents.openapi,
    documents.describe_kinds,
    documents.config_example,
    made_up.seed,
    configuration,
):
    main.add_command(command)
