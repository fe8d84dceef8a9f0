"""What the program says of itself."""

from __future__ import annotations

import json
import re
import textwrap

import click

from deskplane.kernel import openapi as openapi_document
from deskplane.settings import Settings

_MARKUP = re.compile(r"\b[A-Z]\(([^()]*)\)")
_HEAD = """\
# Deskplane's settings. Each may also be given in the environment, as DESKPLANE_<NAME>, which comes before this file.
# What is commented out has its default. `deskplane check` says what is unsafe or missing.
"""
_NEEDED = {
    "database_url": "sqlite:////var/lib/deskplane/deskplane.db",
    "secret_key_file": "/etc/deskplane/secret_key",
}
"""What a server on a machine of its own sets."""


@click.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from deskplane.app import make_operations, make_registry

    click.echo(json.dumps(openapi_document.document(make_operations(make_registry())), indent=2))


@click.command("describe-kinds")
def describe_kinds() -> None:
    """Print everything that generators need to know of all kinds, as JSON."""
    from deskplane.app import make_registry
    from deskplane.tickets.describe import describe

    click.echo(json.dumps({"kinds": [kind.describe() for kind in make_registry()], "ticket": describe()}, indent=2))


@click.command("config-example")
def config_example() -> None:
    """Print a configuration file with every setting, its meaning and its default."""
    parts = [_HEAD]
    for name, part in Settings.model_json_schema()["properties"].items():
        meaning = textwrap.fill(
            _MARKUP.sub(r"\1", part["description"]), 118, initial_indent="# ", subsequent_indent="# "
        )
        default = part.get("default")
        # what JSON writes is YAML
        value = f"{name}: {_NEEDED[name]}" if name in _NEEDED else f"# {name}: {json.dumps(default)}"
        parts.append(f"{meaning}\n{value}\n")
    click.echo("\n".join(parts), nl=False)
