# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A desk in files: reading them into one document, and saying of each mistake where it stands."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk_kinds import KINDS
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk_yaml import Finding, Place, Wrong, read, require_yaml
from ansible_collections.deskplane.helpdesk.plugins.module_utils.problems import field_name, field_text, steps, value_at

SUFFIXES = (".yml", ".yaml", ".json")
MAX_FILE_BYTES = 64 * 1024 * 1024
INLINE = "configuration"
"""Stands for the file where a document was not read from one."""


class BadFiles(ValueError):
    """Files of a desk hold mistakes: ``findings`` has them all, the text one a line.

    ``readable`` is what they declare besides.
    """

    def __init__(self, findings: Sequence[Finding], readable: Declared | None = None) -> None:
        self.findings = sorted(findings, key=lambda finding: (finding.file, finding.line))
        self.readable = readable or Declared({}, {})
        super().__init__("\n".join(str(finding) for finding in self.findings))

    def explains(self, mistake: Mapping[str, Any]) -> bool:
        """Whether one of `Declared.mistakes`, of ``readable``, may only follow from what could not be read."""
        pointer = mistake["pointer"]
        if self.readable.is_known_wrong(pointer):
            return True
        if mistake["code"] != "unknown_reference":
            return False
        return any(finding.loses for finding in self.findings) or value_at(self.readable.configuration, pointer) in self.readable.lost


class Declared:
    """What files declare: ``configuration`` maps each listed kind's plural to its objects, ``places`` to their places."""

    def __init__(self, configuration: dict[str, list[Any]], places: dict[str, list[Any]], files: Sequence[str] = ()) -> None:
        self.configuration = configuration
        self.places = places
        self.files = list(files)
        self.lost: set[str] = set()
        """Names of objects that could not be read."""

    @property
    def count(self) -> int:
        return sum(len(objects) for objects in self.configuration.values())

    def place(self, pointer: str) -> Place | None:
        """The place of what a JSON pointer names, or of what is nearest to it; None for a document without places."""
        return self._place(pointer)[0]

    def is_known_wrong(self, pointer: str) -> bool:
        """Whether what a JSON pointer names, or something in it, is what a finding was about."""
        place, is_exact = self._place(pointer)
        return place is not None and is_exact and _has_wrong(place)

    def _place(self, pointer: str) -> tuple[Place | None, bool]:
        """The nearest place, and whether it is that of what the pointer names itself."""
        names = steps(pointer)
        if len(names) < 2 or not names[1].isdigit():
            return None, False
        places = self.places.get(names[0]) or []
        if int(names[1]) >= len(places):
            return None, False
        found: Place = places[int(names[1])]
        for name in names[2:]:
            inner = found.inner
            if isinstance(inner, dict) and name in inner:
                found = inner[name]
            elif isinstance(inner, list) and name.isdigit() and int(name) < len(inner):
                found = inner[int(name)]
            else:
                return found, False
        return found, True

    def name(self, pointer: str) -> str:
        """What a JSON pointer names, in words: ``departments/2 (support): imap.port``."""
        names = steps(pointer)
        if not names or names[0] not in self.configuration:
            return ".".join(names)
        if len(names) < 2 or not names[1].isdigit():
            return "/".join(names)
        objects = self.configuration[names[0]]
        item = objects[int(names[1])] if int(names[1]) < len(objects) else None
        called = object_name(names[0], item)
        text = "%s/%s" % (names[0], names[1]) + (" (%s)" % called if called else "")
        field = field_name(names[2:])
        return text + (": " + field if field else "")

    def reference(self, need: Mapping[str, Any]) -> str:
        """The reference that stands for a secret that the desk needs; the desk's own name for it where there is none."""
        for plural, objects in self.configuration.items():
            for item in objects if KINDS[plural]["kind"] == need.get("kind") else ():
                if all(item.get(part) == value for part, value in (need.get("key") or {}).items()):
                    found = item
                    for step in str(need.get("field")).split("."):
                        found = found.get(step) if isinstance(found, dict) else None
                    if isinstance(found, dict) and isinstance(found.get("$secret"), str):
                        return str(found["$secret"])
        return str(need.get("secret"))

    def mistakes(self, problem: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Each bad field that a problem document names: ``file``, ``line`` (both None without files), ``pointer``, ``field``, ``code``, ``text``."""
        found = []
        for error in problem.get("errors") or ():
            if not isinstance(error, dict):
                continue
            pointer = str(error.get("pointer") or "")
            place = self.place(pointer)
            text = field_text(error, self.configuration, self.name(pointer))
            found.append(
                {
                    "file": place.file if place and place.line else None,
                    "line": place.line if place and place.line else None,
                    "pointer": pointer,
                    "field": field_name(steps(pointer)[2:]) or None,
                    "code": error.get("code"),
                    "text": text,
                }
            )
        return in_order(found)


def in_order(mistakes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mistakes as they stand in the files; those without a place come last."""
    return sorted(mistakes, key=lambda mistake: (mistake["file"] is None, mistake["file"] or "", mistake["line"] or 0))


def located(mistake: Mapping[str, Any]) -> str:
    """One of `Declared.mistakes` as a line."""
    line = ":%d" % mistake["line"] if mistake["line"] else ""
    return "%s%s: %s" % (mistake["file"], line, mistake["text"]) if mistake["file"] else str(mistake["text"])


def declared_in(
    layers: Sequence[Sequence[str]], locate: Callable[[str], str] | None = None, read_text: Callable[[str], str] | None = None
) -> Declared:
    """What files and directories declare.

    Each layer is a list of files and directories, whose lists are appended to each other; an object of a later layer
    overrides the one of the same key in the earlier layers, field by field. ``locate`` finds where a source is,
    ``read_text`` returns a file's text in place of opening it. Raises `BadFiles` with every mistake of all files.
    """
    require_yaml([source for layer in layers for source in layer])
    findings: list[Finding] = []
    result = Declared({}, {})
    for number, layer in enumerate(layers):
        one = Declared({}, {})
        for path, file in _files(layer, findings, locate or str).items():
            one.files.append(file)
            text = _text(path, file, findings, read_text)
            for value, place in read(text, file, findings) if text is not None else ():
                _take(one, value, place, findings)
        _refuse_twice(one, findings)
        result = one if number == 0 else _laid_over(result, one)
    if findings:
        raise BadFiles(findings, result)
    return result


def found_mistakes(error: BadFiles) -> list[dict[str, Any]]:
    """What reading found, as `Declared.mistakes` says what the desk finds."""
    return [
        {
            "file": one.file if one.file != INLINE else None,
            "line": one.line or None,
            "pointer": None,
            "field": one.field or None,
            "code": "unreadable",
            "text": one.text,
        }
        for one in error.findings
    ]


def declared_inline(configuration: Any) -> Declared:
    """The same for a document that was given as it is. Raises `BadFiles`."""
    findings: list[Finding] = []
    result = Declared({}, {})
    _take(result, configuration, _placeless(configuration), findings)
    for plural, objects in result.configuration.items():
        for number, item in enumerate(objects):
            place = result.places[plural][number]
            _find_misread("%s/%d" % (plural, number), KINDS[plural]["fields"], item, place, findings)
    _refuse_twice(result, findings)
    if findings:
        raise BadFiles(findings, result)
    return result


def object_name(plural: str, item: Any) -> str:
    """An object's key in words; empty where it has none."""
    if not isinstance(item, dict) or plural not in KINDS:
        return ""
    parts = [item.get(part) for part in KINDS[plural]["key"]]
    return "/".join("-" if part is None else str(part) for part in parts) if parts[-1] is not None else ""


def with_secrets(configuration: Any, secrets: Mapping[str, str]) -> Any:
    """The document with each ``{"$secret": reference}`` that ``secrets`` holds replaced by the secret."""
    if isinstance(configuration, dict):
        if set(configuration) == {"$secret"} and isinstance(configuration["$secret"], str):
            return secrets.get(configuration["$secret"], configuration)
        return {name: with_secrets(value, secrets) for name, value in configuration.items()}
    if isinstance(configuration, list):
        return [with_secrets(value, secrets) for value in configuration]
    return configuration


def references_in(configuration: Any) -> set[str]:
    """The text of every ``{"$secret": reference}``."""
    if isinstance(configuration, dict):
        if set(configuration) == {"$secret"}:
            return {str(configuration["$secret"])}
        return {found for value in configuration.values() for found in references_in(value)}
    if isinstance(configuration, list):
        return {found for value in configuration for found in references_in(value)}
    return set()


def plain_secrets(configuration: Mapping[str, Any]) -> set[str]:
    """The text of every secret that stands in the document itself."""
    found: set[str] = set()
    for plural, objects in configuration.items():
        for item in objects if isinstance(objects, list) else ():
            _collect_secrets(KINDS[plural]["fields"] if plural in KINDS else {}, item, found)
    return found


def _collect_secrets(fields: Mapping[str, Any], item: Any, found: set[str]) -> None:
    for name, value in item.items() if isinstance(item, dict) else ():
        expected = fields.get(name)
        if expected == "secret":
            found |= _texts(value)
        elif isinstance(expected, dict):
            for inner in value if isinstance(value, list) else [value]:
                _collect_secrets(expected, inner, found)


def _texts(value: Any) -> set[str]:
    """The texts of a secret; one that is an object, but no reference, has several."""
    if isinstance(value, dict) and "$secret" not in value:
        return {text for item in value.values() for text in _texts(item)}
    return {str(value)} if isinstance(value, (str, int, float)) and not isinstance(value, bool) else set()


def _files(sources: Sequence[str], findings: list[Finding], locate: Callable[[str], str]) -> dict[str, str]:
    """Each file's path, and how it is shown: below what the caller named. One that is named twice is read once."""
    found: dict[str, str] = {}
    for source in sources:
        path = locate(source)
        if os.path.isdir(path):
            inside = sorted(_files_below(path, findings))
            if not inside:
                findings.append(Finding(source, 0, "the directory holds no *.yml, *.yaml or *.json file"))
            for file in inside:
                shown = os.path.normpath(os.path.join(source, os.path.relpath(file, path)))
                found.setdefault(os.path.realpath(file), shown)
        elif os.path.exists(path):
            found.setdefault(os.path.realpath(path), os.path.normpath(source))
        else:
            findings.append(Finding(source, 0, "there is no such file or directory"))
    return found


def _files_below(directory: str, findings: list[Finding]) -> Iterator[str]:
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        findings.append(Finding(str(error.filename), 0, "cannot be read: %s" % (error.strerror or error)))

    for folder, folders, names in os.walk(directory, onerror=unreadable, followlinks=True):
        # Links may lead in circles.
        here = os.path.realpath(folder)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = [name for name in folders if name[0] not in "._"]
        for name in names:
            if name[0] not in "._" and name.endswith(SUFFIXES):
                yield os.path.join(folder, name)


def _text(path: str, file: str, findings: list[Finding], read_text: Callable[[str], str] | None) -> str | None:
    try:
        if os.path.getsize(path) > MAX_FILE_BYTES:
            findings.append(Finding(file, 0, "is larger than %d MiB" % (MAX_FILE_BYTES // 2**20)))
            return None
        if read_text is not None:
            return read_text(path).lstrip("\ufeff")
        with open(path, encoding="utf-8-sig") as handle:
            return handle.read()
    except UnicodeDecodeError as error:
        findings.append(Finding(file, 0, "is not text in UTF-8 (byte %d)" % (error.start + 1)))
    except OSError as error:
        findings.append(Finding(file, 0, "cannot be read: %s" % (error.strerror or error)))
    return None


def _take(result: Declared, value: Any, place: Place, findings: list[Finding]) -> None:
    """Append one document's lists to what was read before."""
    if value is None:
        return
    if not isinstance(value, dict):
        findings.append(Finding(place.file, place.line, "must hold lists of objects by kind, such as labels:, got %s" % _type(value)))
        return
    for plural, objects in value.items():
        here = place.inner[plural]
        if plural not in KINDS:
            findings.append(Finding(here.file, here.line, _unknown_kind(str(plural)), loses=False))
            result.lost.update(_names(objects))
            continue
        if objects is None:
            text = "%s is empty: write %s: [] if there are to be none" % (plural, plural)
            findings.append(Finding(here.file, here.line, text, loses=False))
            continue
        if not isinstance(objects, list):
            text = "%s must be a list, each object beginning with -, got %s" % (plural, _type(objects))
            findings.append(Finding(here.file, here.line, text, loses=False))
            result.lost.update(_names(objects))
            continue
        items, places = result.configuration.setdefault(plural, []), result.places.setdefault(plural, [])
        for item, inner in zip(objects, here.inner):
            if isinstance(item, dict):
                result.lost.update(named.text for named in item.values() if isinstance(named, Wrong))
                _take_out_wrong(item, inner)
                items.append(item)
                places.append(inner)
                continue
            result.lost.update(_names([item]))
            if not isinstance(item, Wrong):
                text = "%s/%d must be an object, got %s" % (plural, len(items), _type(item))
                findings.append(Finding(inner.file, inner.line, text, loses=False))


def _names(objects: Any) -> Iterator[str]:
    """What may be names in something that is no list of objects."""
    for item in objects if isinstance(objects, list) else [objects]:
        for value in [*item, *item.values()] if isinstance(item, dict) else [item]:
            if isinstance(value, (str, Wrong)):
                yield value.text if isinstance(value, Wrong) else value


def _take_out_wrong(value: Any, place: Place) -> None:
    """Leave what could be read, and mark where something else stood."""
    if isinstance(value, dict):
        for name in [name for name in value if isinstance(value[name], Wrong)]:
            del value[name]
            place.inner[name].wrong = True
        for name, inner in value.items():
            _take_out_wrong(inner, place.inner[name])
    elif isinstance(value, list):
        good = [(item, inner) for item, inner in zip(value, place.inner) if not isinstance(item, Wrong)]
        place.wrong = len(good) < len(value)
        value[:], place.inner[:] = [item for item, _inner in good], [inner for _item, inner in good]
        for item, inner in good:
            _take_out_wrong(item, inner)


def _has_wrong(place: Place) -> bool:
    inner = place.inner.values() if isinstance(place.inner, dict) else place.inner or ()
    return place.wrong or any(_has_wrong(one) for one in inner)


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    words = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number", type(None): "nothing"}
    return words.get(type(value), "what is wrong itself")


def _unknown_kind(plural: str) -> str:
    singular = [name for name, kind in KINDS.items() if plural in (kind["kind"], kind["kind"] + "s", name.replace("_", "-"))]
    close = singular or difflib.get_close_matches(plural, KINDS, 1)
    if close:
        return "unknown kind %s (did you mean %s?)" % (plural, close[0])
    return "unknown kind %s (known: %s)" % (plural, ", ".join(sorted(KINDS)))


def _key(plural: str, item: Mapping[str, Any]) -> tuple[str, ...] | None:
    parts = [item.get(part) for part in KINDS[plural]["key"]]
    return None if parts[-1] is None else tuple(repr(part) for part in parts)


def _refuse_twice(one: Declared, findings: list[Finding]) -> None:
    for plural, objects in one.configuration.items():
        seen: dict[tuple[str, ...], Place] = {}
        for item, place in zip(objects, one.places[plural]):
            key = _key(plural, item)
            if key is None:
                continue
            if key in seen:
                first = "; first at %s" % seen[key] if place.line else ""
                text = "%s '%s' is declared a second time%s" % (KINDS[plural]["kind"], object_name(plural, item), first)
                name = KINDS[plural]["key"][-1]
                findings.append(Finding(place.file, place.line, text, loses=False, field=name))
                place.inner[name].wrong = True
            else:
                seen[key] = place


def _laid_over(below: Declared, above: Declared) -> Declared:
    result = Declared(dict(below.configuration), dict(below.places), below.files + above.files)
    result.lost = below.lost | above.lost
    for plural, objects in above.configuration.items():
        items, places = list(result.configuration.get(plural, ())), list(result.places.get(plural, ()))
        known = {_key(plural, item): index for index, item in enumerate(items)}
        for item, place in zip(objects, above.places[plural]):
            index = known.get(_key(plural, item))
            if index is None:
                items.append(item)
                places.append(place)
            else:
                items[index], places[index] = _merged(KINDS[plural]["fields"], items[index], places[index], item, place)
        result.configuration[plural], result.places[plural] = items, places
    return result


def _merged(fields: Mapping[str, Any], old: dict[str, Any], old_place: Place, new: dict[str, Any], place: Place) -> tuple[dict[str, Any], Place]:
    """Both, where both say the same field the new one: as the desk itself merges an object with what is declared."""
    values, places = dict(old), dict(old_place.inner)
    for name, value in new.items():
        inner = fields.get(name)
        both = isinstance(value, dict) and isinstance(values.get(name), dict)
        if both and isinstance(inner, dict) and inner.get("") != "list":
            values[name], places[name] = _merged(inner, values[name], places[name], value, place.inner[name])
        else:
            values[name], places[name] = value, place.inner[name]
    return values, Place(old_place.file, old_place.line, places)


def _placeless(value: Any) -> Place:
    if isinstance(value, dict):
        return Place(INLINE, 0, {name: _placeless(inner) for name, inner in value.items()})
    return Place(INLINE, 0, [_placeless(inner) for inner in value] if isinstance(value, list) else None)


def _find_misread(where: str, fields: Mapping[str, Any], item: Any, place: Place, findings: list[Finding]) -> None:
    """A value that was YAML once: what it was read as shows only where the field wants something else."""
    for name, value in item.items() if isinstance(item, dict) else ():
        expected, here, at = fields.get(name), "%s.%s" % (where, name), place.inner[name]
        for inner, inner_at in zip(value, at.inner) if isinstance(value, list) else [(value, at)]:
            if isinstance(expected, dict):
                _find_misread(here, expected, inner, inner_at, findings)
            elif expected == "time" and isinstance(inner, (int, float)) and not isinstance(inner, bool):
                meant = "%d:%02d" % divmod(int(inner), 60)
                text = "%s: YAML read a time without quotes as the number %s; write it in quotes: '%s'" % (here, inner, meant)
                findings.append(Finding(INLINE, 0, text, loses=False, field=here.split(".", 1)[1]))
                inner_at.wrong = True
            elif expected in ("text", "secret", "time") and isinstance(inner, bool):
                word = str(inner).lower()
                text = "%s: YAML read a word like yes, no, on or off as %s; write it in quotes" % (here, word)
                findings.append(Finding(INLINE, 0, text, loses=False, field=here.split(".", 1)[1]))
                inner_at.wrong = True
