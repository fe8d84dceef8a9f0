"""The bill of materials of the binary, in CycloneDX: every package in it, with the hashes of the files it came in."""

from __future__ import annotations

import hashlib
import re
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from lock_file import Pin
from toolchain import ToolError

LICENCE = "GPL-3.0-or-later"
CLASSIFIER = "License :: OSI Approved :: "


def normal(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def metadata(wheel: Path) -> Message:
    """What a wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode("utf-8", "replace"))


def licences(told: Message) -> list[dict[str, Any]]:
    """What it says of its licence: an SPDX expression, or whatever words it has."""
    if told["License-Expression"]:
        return [{"expression": told["License-Expression"]}]
    classified = [
        line.removeprefix(CLASSIFIER) for line in told.get_all("Classifier", []) if line.startswith(CLASSIFIER)
    ]
    words = classified or [line.strip() for line in (told["License"] or "").splitlines()[:1] if line.strip()]
    return [{"license": {"name": word}} for word in sorted(set(words))]


def component(pin: Pin, files: Sequence[Path]) -> dict[str, Any]:
    """One package, and in it the files that it came in: one for each interpreter, or one for all."""
    purl = f"pkg:pypi/{normal(pin.name)}@{pin.version}"
    found: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": pin.name, "version": pin.version, "purl": purl}
    if said := licences(metadata(files[0])):
        found["licenses"] = said
    found["components"] = [
        {
            "type": "file",
            "bom-ref": f"{purl}#{file.name}",
            "name": file.name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
        }
        for file in files
    ]
    return found


def bill_of_materials(
    version: str, epoch: int, digest: str, pins: Sequence[Pin], wheels: Sequence[Path], packer: str
) -> Mapping[str, Any]:
    """The document, as JSON holds it; `packer` is the version of pex. Raises ToolError for a file of no package."""
    files: dict[str, list[Path]] = defaultdict(list)
    for wheel in wheels:
        files[normal(wheel.name.split("-")[0])].append(wheel)
    there = {normal(pin.name): pin for pin in pins if normal(pin.name) in files}
    if strangers := files.keys() - there.keys():
        raise ToolError(f"no package of the lock: {', '.join(sorted(strangers))}")
    root = f"pkg:generic/deskplane@{version}"
    components = [component(pin, files[name]) for name, pin in there.items()]
    refs = {name: part["bom-ref"] for name, part in zip(there, components, strict=True)}
    needs: dict[str, list[str]] = {ref: [] for ref in (root, *refs.values())}
    for name, pin in there.items():
        for other in pin.needed_by:
            if other.startswith("-"):
                needs[root].append(refs[name])
            elif normal(other) in refs:
                needs[refs[normal(other)]].append(refs[name])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same file has the same bill.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'deskplane:{digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z"),
            "tools": {"components": [{"type": "application", "name": "pex", "version": packer}]},
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "deskplane",
                "version": version,
                "purl": root,
                "licenses": [{"expression": LICENCE}],
                "hashes": [{"alg": "SHA-256", "content": digest}],
            },
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(on))} for ref, on in needs.items()],
    }
