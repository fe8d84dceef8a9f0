# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a task's raw arguments to what is sent: only what was given, at every depth."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

CONNECTION = {
    "deskplane_url": "DESKPLANE_URL",
    "deskplane_api_key": "DESKPLANE_API_KEY",
    "deskplane_validate_certs": "DESKPLANE_VALIDATE_CERTS",
    "deskplane_ca_path": "DESKPLANE_CA_PATH",
    "deskplane_timeout": "DESKPLANE_TIMEOUT",
    "deskplane_manager": "DESKPLANE_MANAGER",
    "deskplane_revision": "DESKPLANE_REVISION",
}
MASK = "********"
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
# Shorter secrets are words like "open", which masking everywhere would cut out of innocent values.
SHORTEST_MASKED = 6


class BadArguments(ValueError):
    """What the task says cannot be meant; the text says which option and why."""


def plain(value):
    """The same value made of exact dict, list, str, int, float, bool and None.

    Ansible tags what it reads (origin, trust, vault); tagged types are subclasses, or no such type at all.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return "".join(value)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {_plain_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "".join(str(value))


def _plain_key(key):
    if isinstance(key, bool):
        raise BadArguments("the key %s was a YAML word like yes, no, on or off: put it in quotes" % str(bool(key)).lower())
    return "".join(str(key))


def with_environment(given, environ):
    """``given`` with each missing connection option taken from its variable, if that is set."""
    found = {
        option: "".join(str(environ[variable]))
        for option, variable in CONNECTION.items()
        if given.get(option) is None and environ.get(variable)
    }
    rest = {name: value for name, value in given.items() if value is not None or name not in CONNECTION}
    return dict(rest, **found)


def secrets_of(spec, given):
    """Every secret string in ``given``; where a container of secrets has the wrong type, all of its text."""
    found = set()
    for name, option in spec.items():
        value = given.get(name) if isinstance(given, Mapping) else None
        if value is None:
            continue
        if option.get("no_log"):
            found.update(_texts(value))
        elif option.get("options"):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, Mapping):
                    found.update(secrets_of(option["options"], item))
                elif _has_secret(option["options"]):
                    found.update(_texts(item))
    return found


def _has_secret(spec):
    return any(option.get("no_log") or _has_secret(option.get("options") or {}) for option in spec.values())


def _texts(value):
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return {text for item in value for text in _texts(item)}
    return set() if value is None or isinstance(value, bool) or value == "" else {str(value)}


def mask(value, secrets):
    """``value`` with every one of ``secrets`` inside its strings replaced."""
    if not secrets:
        return value
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            if secret in value:
                value = value.replace(secret, MASK)
        return value
    if isinstance(value, Mapping):
        return {key: mask(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item, secrets) for item in value]
    return value


def hidden(spec, given):
    """``given`` as it may be shown: whole secret options replaced, as Ansible does for a module."""
    shown = {}
    for name, value in given.items():
        option = spec.get(name)
        if option is None:
            # Perhaps a misspelt secret.
            shown[name] = HIDDEN
        elif option.get("no_log") and value is not None:
            shown[name] = HIDDEN
        elif option.get("options") and value is not None:
            items = [
                hidden(option["options"], item) if isinstance(item, Mapping) else HIDDEN
                for item in (value if isinstance(value, list) else [value])
            ]
            shown[name] = items if isinstance(value, list) else items[0]
        else:
            shown[name] = value
    return shown


def validated(spec, given, formats=None, constraints=None):
    """``given`` checked and converted after ``spec``; holds exactly the keys that ``given`` holds.

    An explicit null stays null: on the server it means the default. ``formats`` tells of options (dotted)
    which are a ``time`` of day or a ``duration``.
    """
    formats = formats or {}
    _refuse_misread(spec, given, formats, ())
    result = ArgumentSpecValidator(spec, **(constraints or {})).validate(_without_nulls(given))
    unknown = [name if isinstance(name, str) else ".".join(name) for name in result.unsupported_parameters]
    problems = [_unknown_option(spec, name) for name in sorted(unknown)]
    if not problems:
        problems = list(result.error_messages)
    if problems:
        raise BadArguments("; ".join(_one_line(text) for text in problems))
    kept = _only_given(spec, given, result.validated_parameters)
    for name, value in kept.items():
        # What a template made, on a controller whose templates make text only.
        if formats.get(name) == "duration" and isinstance(value, str) and value.strip().isdigit():
            kept[name] = int(value)
    return kept


def _one_line(text):
    return " ".join(text.split())


def _unknown_option(spec, name):
    steps = name.split(".")
    for step in steps[:-1]:
        spec = (spec.get(step) or {}).get("options") or {}
    close = difflib.get_close_matches(steps[-1], spec, 1)
    if close:
        return "unknown option %s (did you mean %s?)" % (name, ".".join(steps[:-1] + close))
    known = sorted(option for option in spec if option not in CONNECTION)
    return "unknown option %s (known: %s)" % (name, ", ".join(known))


def _without_nulls(value):
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _only_given(spec, given, checked):
    kept = {}
    for name, value in given.items():
        if value is None:
            kept[name] = None
            continue
        options, result = spec[name].get("options"), checked[name]
        if not options and isinstance(value, (Mapping, list)) and spec[name].get("type") in ("dict", "raw"):
            # A free map: its nulls are values of their own.
            result = value
        elif options and isinstance(result, Mapping):
            result = _only_given(options, value, result) if isinstance(value, Mapping) else _without_nulls(result)
        elif options and isinstance(result, list):
            before = value if isinstance(value, list) and len(value) == len(result) else result
            result = [
                _only_given(options, old, new) if isinstance(old, Mapping) and old is not new else _without_nulls(new)
                for old, new in zip(before, result)
            ]
        kept[name] = result
    return kept


def _refuse_misread(spec, given, formats, path):
    """YAML reads ``17:30`` as 1050, ``24:00`` as 1440 and ``NO`` as false before anybody can see it."""
    for name, value in given.items():
        option = spec.get(name)
        if option is None or value is None:
            continue
        here = ".".join(path + (name,))
        kind = option.get("type", "str")
        for item in value if isinstance(value, list) else [value]:
            expected = option.get("elements", "str") if kind == "list" else kind
            if item is None:
                raise BadArguments("%s: an item of the list is empty (null)" % here)
            if isinstance(item, Mapping) and option.get("options"):
                _refuse_misread(option["options"], item, formats, path + (name,))
            elif formats.get(here) == "time" and isinstance(item, (int, float)) and not isinstance(item, bool):
                meant = "%d:%02d" % divmod(int(item), 60)
                raise BadArguments(
                    "%s: YAML read a time without quotes as the number %s; write it in quotes: '%s'" % (here, item, meant)
                )
            elif isinstance(item, bool) and expected == "str":
                raise BadArguments(
                    "%s: YAML read a word like yes, no, on or off as %s; write it in quotes" % (here, str(item).lower())
                )
