"""A plan in a file: what was declared and asked for, and the digest of what that would do.

It holds no secret that was given beside the files: they are given again to who applies it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deskplane.client.desk_files import Declared
from deskplane.client.desk_yaml import Place

FORMAT = 1


class BadPlanFile(ValueError):
    """The file is no plan that this version can read."""


@dataclass(frozen=True)
class PlanFile:
    """`options` as the API takes them, `secrets` the references that had values, `plan` the desk's answer."""

    url: str
    declared: Declared
    options: dict[str, Any]
    secrets: list[str]
    plan: dict[str, Any]

    @property
    def digest(self) -> str:
        return str(self.plan["digest"])

    def write(self, path: str) -> None:
        """Write it for its owner's eyes alone: what is declared may hold a secret in plain text. Raises OSError."""
        places = {
            plural: [[place.file, place.line] for place in self.declared.places[plural]]
            for plural in self.declared.configuration
        }
        document = {
            "deskplane_plan": FORMAT,
            "url": self.url,
            "digest": self.digest,
            "options": self.options,
            "secrets": self.secrets,
            "configuration": self.declared.configuration,
            "places": places,
            "plan": self.plan,
        }
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as handle:
            json.dump(document, handle, ensure_ascii=False, indent=1)
            handle.write("\n")
        temporary.replace(target)


def read(path: str) -> PlanFile:
    """The plan in a file. Raises BadPlanFile, OSError."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if document["deskplane_plan"] != FORMAT:
            raise BadPlanFile(f"{path} is a plan of another version of deskplane: plan again with this one")
        places = {plural: [Place(file, line) for file, line in found] for plural, found in document["places"].items()}
        declared = Declared(document["configuration"], places)
        if {plural: len(found) for plural, found in places.items()} != {
            plural: len(found) for plural, found in declared.configuration.items()
        }:
            raise BadPlanFile(f"{path} is damaged: plan again")
        plan, options = dict(document["plan"]), dict(document["options"])
        plan["digest"] = document["digest"]
        secrets = [str(name) for name in document["secrets"]]
        return PlanFile(document["url"], declared, options, secrets, plan)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, BadPlanFile):
            raise
        raise BadPlanFile(
            f"{path} is no plan: it is made by deskplane configuration plan --out; files of a desk go with -f"
        ) from None
