# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML and Python as `generate_modules` writes them into the collection."""

from __future__ import annotations

import json
from typing import Any

import yaml

WIDTH = 116


class Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else '"' if yaml.safe_dump(value).startswith("'") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """YAML as the collection's documentation is written."""
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, width=WIDTH, allow_unicode=True, default_flow_style=False)


def to_python(value: Any, indent: int = 0) -> str:
    """A literal with one entry a line where it is long."""
    short = flat(value)
    if len(short) + indent <= 100 and not (
        isinstance(value, dict) and any(isinstance(v, dict) for v in value.values())
    ):
        return short
    inner = " " * (indent + 4)
    if isinstance(value, dict):
        rows = [f"{inner}{flat(key)}: {to_python(item, indent + 4)},\n" for key, item in value.items()]
        return "{\n" + "".join(rows) + " " * indent + "}"
    if isinstance(value, (list, tuple)):
        rows = [f"{inner}{to_python(item, indent + 4)},\n" for item in value]
        return "[\n" + "".join(rows) + " " * indent + "]"
    return short


def flat(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flat(key)}: {flat(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flat(item) for item in value) + "]"
    return repr(value)
