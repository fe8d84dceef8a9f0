"""What all commands share: settings, and one line for what goes wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from marshmallow import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from deskplane.kernel import logging as logs
from deskplane.kernel.problem import Problem
from deskplane.settings import Settings, SettingsError, load, require_safe


def fail(message: str) -> None:
    for line in message.splitlines():
        click.echo(f"deskplane: {line}", err=True)
    sys.exit(1)


def first_line(error: SQLAlchemyError) -> str:
    """What a database's error says, without the statement."""
    return str(getattr(error, "orig", error)).strip().splitlines()[0]


def checked(part: Any, value: str) -> Any:
    """A value by the rules of its field. Raises ValueError."""
    try:
        return part.deserialize(value)
    except ValidationError as error:
        raise ValueError(f"{value!r} {error.messages[0]}") from None


def clean_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Ends a command with one readable line instead of a traceback."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (SettingsError, ValueError) as error:
            fail(str(error))
        except Problem as problem:
            lines = [f"{entry.pointer}: {entry.detail}" for entry in problem.errors]
            fail("\n".join(lines) or problem.detail)
        except SQLAlchemyError as error:
            text = first_line(error)
            if "no such table" in text or getattr(getattr(error, "orig", None), "sqlstate", None) == "42P01":
                text = "has no tables yet; run: deskplane migrate"
            fail(f"database: {text}")
        except BrokenPipeError:  # who read it has seen enough; what the interpreter writes at its end goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            fail(f"{error.filename or 'system'}: {error.strerror}")

    return wrapped


def settings_of(config: str | None, **overrides: Any) -> Settings:
    settings = load(config, **{name: value for name, value in overrides.items() if value is not None})
    require_safe(settings)
    logs.configure(settings.log_format, settings.log_level)
    return settings
