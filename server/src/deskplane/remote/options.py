"""What the commands share: options, errors as single lines, and the desk that the options name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from deskplane import __version__
from deskplane.client.desk import Desk, DeskFailure, desk_for
from deskplane.client.desk_files import BadFiles, Declared, declared_in, found_mistakes, located
from deskplane.client.desk_yaml import Finding
from deskplane.client.desk_yaml import read as read_yaml
from deskplane.client.whole_desk import PATIENCE_S, Refused
from deskplane.remote.plan_file import BadPlanFile

Function = Callable[..., Any]


class Failure(Exception):
    """A readable line."""


class Plain(click.Command):
    """A command whose misuse ends with 1, because 2 says that there are changes."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _ends_with_1():
            return super().make_context(*args, **kwargs)


class PlainGroup(click.Group):
    """A group of these."""

    command_class = Plain

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _ends_with_1():
            return super().make_context(*args, **kwargs)

    def resolve_command(self, *args: Any, **kwargs: Any) -> Any:
        with _ends_with_1():
            return super().resolve_command(*args, **kwargs)


@contextmanager
def _ends_with_1() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.show()
        raise SystemExit(1) from None


def _add(options: list[Function]) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def connection(function: Function) -> Function:
    """Adds the options of the connection, and gives the command a function that connects as its first argument."""

    @wraps(function)
    def wrapped(
        url: str | None,
        api_key: str | None,
        api_key_file: Path | None,
        validate_certs: bool,
        ca_path: str | None,
        timeout: float,
        **rest: Any,
    ) -> Any:
        def connect(*, keyless: bool = False) -> Desk:
            key = api_key_file.read_text(encoding="utf-8").strip() if api_key_file else api_key
            needed = [("DESKPLANE_URL", url)] if keyless else [("DESKPLANE_URL", url), ("DESKPLANE_API_KEY", key)]
            missing = [name for name, value in needed if not value]
            if missing:
                instead = "--url" if keyless else "--url and --api-key-file"
                raise Failure(f"set {' and '.join(missing)} in the environment, or give {instead}")
            given = {
                "deskplane_url": url,
                "deskplane_api_key": None if keyless else key,
                "deskplane_validate_certs": validate_certs,
                "deskplane_ca_path": ca_path,
                "deskplane_timeout": timeout,
            }
            return desk_for(given, agent=f"deskplane/{__version__}")

        return function(connect, **rest)

    return _add(
        [
            click.option(
                "--url", envvar="DESKPLANE_URL", metavar="URL", help="The desk's address. [env: DESKPLANE_URL]"
            ),
            # Not shown: what stands in a command line can be read by everybody on the machine.
            click.option("--api-key", envvar="DESKPLANE_API_KEY", hidden=True),
            click.option(
                "--api-key-file",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="File with the API key, in place of DESKPLANE_API_KEY in the environment.",
            ),
            click.option(
                "--validate-certs/--no-validate-certs",
                envvar="DESKPLANE_VALIDATE_CERTS",
                default=True,
                help="Check the desk's certificate. [env: DESKPLANE_VALIDATE_CERTS]",
            ),
            click.option(
                "--ca-path",
                envvar="DESKPLANE_CA_PATH",
                metavar="PATH",
                help="Certificates of the authorities that are trusted. [env: DESKPLANE_CA_PATH]",
            ),
            click.option(
                "--timeout",
                envvar="DESKPLANE_TIMEOUT",
                type=float,
                default=PATIENCE_S,
                show_default=True,
                help="Seconds to wait for the desk. [env: DESKPLANE_TIMEOUT]",
            ),
        ]
    )(wrapped)


as_json = click.option("--json", "as_json", is_flag=True, help="Print the desk's answer as JSON.")
detailed = click.option(
    "--detailed-exitcode", "detailed", is_flag=True, help="Exit with 0 for no change, 2 for changes, 1 for an error."
)
manager = click.option(
    "--manager", envvar="DESKPLANE_MANAGER", metavar="NAME", help="In whose name. [env: DESKPLANE_MANAGER]"
)
secrets = click.option(
    "--secrets",
    "secrets_file",
    metavar="FILE",
    help="YAML or JSON file with the values of secrets, by the references that stand for them.",
)

declaration = _add(
    [
        click.option("-f", "--file", "files", multiple=True, metavar="PATH", help="File or directory; repeatable."),
        click.option(
            "--overlay",
            "overlays",
            multiple=True,
            metavar="PATH",
            help="File or directory whose objects override those of -f, and of overlays before it, field by field.",
        ),
        manager,
        click.option(
            "--revision",
            envvar="DESKPLANE_REVISION",
            metavar="TEXT",
            help="What it was made from, such as a commit. [env: DESKPLANE_REVISION]",
        ),
        click.option("--prune", is_flag=True, default=None, help="Delete what the manager declares no longer."),
        click.option("--max-deletions", type=int, metavar="N", help="Refuse to prune more objects than these (10)."),
        click.option(
            "--on-blocked",
            type=click.Choice(["refuse", "disable"]),
            help="What to do where an object cannot be pruned because others depend on it (refuse).",
        ),
        click.option("--adopt", is_flag=True, default=None, help="Become the owner of declared objects without one."),
        click.option("--force", is_flag=True, default=None, help="Take over what another manager owns."),
        secrets,
    ]
)


def read_declared(files: tuple[str, ...], overlays: tuple[str, ...]) -> Declared:
    """What the files declare. Raises BadFiles, Failure."""
    if not files:
        raise Failure("say with -f which file or directory declares the desk")
    return declared_in([list(files), *([overlay] for overlay in overlays)])


def read_secrets(path: str | None) -> dict[str, str]:
    """Secrets by their references. Raises BadFiles, Failure, OSError."""
    if path is None:
        return {}
    findings: list[Finding] = []
    documents = read_yaml(Path(path).read_text(encoding="utf-8"), path, findings, quiet=True)
    if findings:
        raise BadFiles(findings)
    found = documents[0][0] if documents else {}
    if not isinstance(found, dict) or len(documents) > 1:
        raise Failure(f"{path}: must be one map from references to secrets")
    wrong = [name for name, value in found.items() if not isinstance(value, str)]
    if wrong:
        raise Failure(f"{path}: the secret of {wrong[0]} must be text; write it in quotes")
    return found


def in_our_words(text: str) -> str:
    """The client names the options of tasks; here they are variables of the environment of the same name."""
    for name in ("url", "api_key", "validate_certs", "ca_path", "timeout"):
        text = text.replace(f"deskplane_{name}", f"DESKPLANE_{name.upper()}")
    return text


def clean_errors(function: Function) -> Function:
    """Ends a command with readable lines and 1 in place of a traceback; with --json, with a document as well."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (BadFiles, Refused) as error:
            found = found_mistakes(error) if isinstance(error, BadFiles) else error.mistakes
            for mistake in found:
                click.echo(located(mistake), err=True)
            head = error.head if isinstance(error, Refused) else Refused(found).head
            _fail(head, error, kwargs, found)
        except DeskFailure as error:
            _fail(in_our_words(str(error)), error, kwargs)
        except (Failure, BadPlanFile) as error:
            _fail(str(error), error, kwargs)
        except UnicodeDecodeError:
            _fail("a file is not text in UTF-8", None, kwargs)
        except OSError as error:
            _fail(f"{error.filename or 'system'}: {error.strerror}", error, kwargs)

    return wrapped


def _fail(
    text: str, error: Exception | None, options: Mapping[str, Any], mistakes: list[dict[str, Any]] | None = None
) -> None:
    if options.get("as_json"):
        document = {
            "failed": True,
            "message": text,
            "errors": mistakes or [],
            "problem": getattr(error, "problem", None),
        }
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    click.echo(f"deskplane: {text}", err=True)
    sys.exit(1)
