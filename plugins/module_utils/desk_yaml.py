# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file of a desk as values with their places, and values as a file.

What YAML 1.1 and YAML 1.2 read differently (``17:30``, ``NO``, ``010``) is an error with its place, because a file that
means one thing to an editor and another to the desk is worse than one that is refused. Nothing is ever templated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.deskplane.helpdesk.plugins.module_utils.problems import field_name

try:
    import yaml

    HAS_YAML = True
except ImportError:
    # Only a host that a task is delegated to may lack it, and no file is read there.
    HAS_YAML = False

DEEPEST = 50
MOST_NODES = 1000000

_TAG = "tag:yaml.org,2002:"
_NULL = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_SWITCH = re.compile(r"(?:yes|no|on|off)\Z", re.IGNORECASE)
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z|0x[0-9a-fA-F]+\Z")
_DECIMAL = re.compile(r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?\Z")
_ODD_NUMBER = re.compile(
    r"""[-+]?0[0-9_]+\Z|[-+]?0o[0-7_]+\Z|[-+]?0b[01_]+\Z|[-+]?0x[0-9a-fA-F_]+\Z|[-+]?[0-9][0-9_]*\Z
    |[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z""",
    re.VERBOSE,
)
# What stands at such a name may be a secret, which no error repeats.
_SECRET_NAME = re.compile(r"pass(?!ive)|secret|token|key|credential|authori", re.IGNORECASE)
_ONE_LETTER = re.compile(r"[yYnN=]\Z|<<\Z")
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)")
# Line breaks of YAML 1.1, of which a reader of another version may make something else.
_OTHER_BREAK = re.compile("[\r\x85\u2028\u2029]")
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029]")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z")


class Place:
    """Where a value stands: its file, its line (from 1), and the places of what is in it.

    ``wrong`` says that a finding is about it, so that what the desk makes of it is no news.
    """

    __slots__ = ("file", "inner", "line", "wrong")

    def __init__(self, file: str, line: int, inner: Any = None, wrong: bool = False) -> None:
        self.file = file
        self.line = line
        self.inner = inner
        self.wrong = wrong

    def __str__(self) -> str:
        return "%s:%d" % (self.file, self.line)


class Finding:
    """A mistake in a file, in words; ``line`` is 0 where it is about the whole file.

    ``field`` is the object's field that it is about, where it is about one. ``loses`` says that because of it objects
    may be missing from what was read.
    """

    def __init__(self, file: str, line: int, text: str, loses: bool = True, field: str | None = None) -> None:
        self.file = file
        self.line = line
        self.text = text
        self.loses = loses
        self.field = field

    def __str__(self) -> str:
        return "%s:%d: %s" % (self.file, self.line, self.text) if self.line else "%s: %s" % (self.file, self.text)


def read(text: str, file: str, findings: list[Finding], quiet: bool = False) -> list[tuple[Any, Place]]:
    """Each document of a file, as plain values and their places; mistakes are added to ``findings``.

    A `Wrong` stands for a value that is a mistake itself. With ``quiet``, they repeat no value of the file.
    """
    return _Reader(file, findings, quiet).documents(text)


class _Reader:
    def __init__(self, file: str, findings: list[Finding], quiet: bool) -> None:
        self.file = file
        self.findings = findings
        self.quiet = quiet
        self.is_json = file.endswith(".json")
        self.nodes = 0
        self.path: list[str | int] = []
        self.open: set[int] = set()

    def documents(self, text: str) -> list[tuple[Any, Place]]:
        if text.startswith("$ANSIBLE_VAULT;"):
            self.find(1, "the file is encrypted by Ansible Vault: keep secrets apart, and refer to them by {$secret: …}")
            return []
        if self.is_json:
            # A string of JSON holds no tab, and what stands between its values may, which YAML does not take.
            text = _ESCAPE.sub(_joined, _UNSEEN.sub(lambda found: "\\u%04x" % ord(found.group(0)), text.replace("\t", " ")))
        try:
            nodes = list(self.nodes_of(text))
        except _GivenUp:
            return []
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
            self.find(mark.line + 1 if mark else 0, "cannot be read: %s" % _said(error, line))
            return []
        except yaml.YAMLError as error:
            self.find(0, "cannot be read: %s" % " ".join(str(error).split()))
            return []
        found = []
        for node in nodes:
            try:
                found.append(self.value(node, 0))
            except _GivenUp:
                break
        return found

    def nodes_of(self, text: str) -> Iterator[Any]:
        """The node of each document. The parser's own composer dies, with its process, of what is nested too deeply."""
        parser = _loader()(text)
        try:
            while parser.check_event():
                if isinstance(parser.get_event(), yaml.DocumentStartEvent):
                    yield self.node(parser, parser.get_event(), {}, 0)
        finally:
            parser.dispose()

    def node(self, parser: Any, event: Any, anchors: dict[str, Any], depth: int) -> Any:
        start, end = event.start_mark, event.end_mark
        line = start.line + 1
        if depth > DEEPEST:
            self.find(line, "is nested too deeply")
            raise _GivenUp
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                self.find(line, "the alias *%s names no anchor above it" % event.anchor)
                raise _GivenUp
            return anchors[event.anchor]
        made: Any
        if isinstance(event, yaml.ScalarEvent):
            # What is tagged as text is text as if it were in quotes.
            style = "'" if event.tag in ("!", _TAG + "str") else event.style
            made = yaml.ScalarNode(event.tag or "", event.value, start, end, style)
        elif isinstance(event, yaml.SequenceStartEvent):
            made = yaml.SequenceNode(event.tag or "", [], start, end)
        else:
            made = yaml.MappingNode(event.tag or "", [], start, end)
        if event.anchor:
            anchors[event.anchor] = made
        while not isinstance(event, yaml.ScalarEvent):
            inner = parser.get_event()
            if isinstance(inner, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                break
            key = self.node(parser, inner, anchors, depth + 1)
            if isinstance(made, yaml.MappingNode):
                made.value.append((key, self.node(parser, parser.get_event(), anchors, depth + 1)))
            else:
                made.value.append(key)
        return made

    def find(self, line: int, text: str) -> None:
        self.findings.append(Finding(self.file, line, text))

    def find_in_value(self, line: int, text: str) -> None:
        """A mistake by which one value is lost. Above it in the path are the kind and the object's number."""
        field = field_name(self.path[2:])
        self.findings.append(Finding(self.file, line, "%s: %s" % (field, text) if field else text, loses=False, field=field))

    def value(self, node: Any, depth: int, quiet: bool = False) -> tuple[Any, Place]:
        line = node.start_mark.line + 1
        self.nodes += 1
        if depth > 2 * DEEPEST or self.nodes > MOST_NODES:
            self.find(line, "holds too much: its aliases (*name) repeat each other")
            raise _GivenUp
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, line, quiet), Place(self.file, line)
        if id(node) in self.open:
            self.find(line, "an alias (*name) stands for something that it is itself in")
            raise _GivenUp
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                self.require_plain_tag(node, line, "seq")
                pairs = [self.inner(number, item, depth, quiet) for number, item in enumerate(node.value)]
                return [value for value, _place in pairs], Place(self.file, line, [place for _value, place in pairs])
            self.require_plain_tag(node, line, "map")
            return self.mapping(node, line, depth, quiet)
        finally:
            self.open.discard(id(node))

    def inner(self, step: str | int, node: Any, depth: int, quiet: bool) -> tuple[Any, Place]:
        """The value at this step below the one that is being read."""
        self.path.append(step)
        try:
            return self.value(node, depth + 1, quiet)
        finally:
            self.path.pop()

    def require_plain_tag(self, node: Any, line: int, usual: str) -> None:
        if node.tag not in ("", "!", _TAG + usual):
            tag = node.tag.replace(_TAG, "!!")
            hint = "secrets are given by {$secret: …}" if "vault" in tag else "write the value itself, in quotes if it is text"
            self.find_in_value(line, "the tag %s means nothing here: %s" % (tag, hint))

    def mapping(self, node: Any, line: int, depth: int, quiet: bool) -> tuple[Any, Place]:
        values: dict[str, Any] = {}
        places: dict[str, Place] = {}
        for key, inner in self.pairs(node, depth):
            at = key.start_mark.line + 1
            name = self.key(key, at)
            is_secret = quiet or name is None or bool(_SECRET_NAME.search(name))
            value, place = self.inner(name or "", inner, depth, is_secret)
            if name is None:
                continue
            if name in values:
                # At the top, what stands below it is lost.
                text = "%s is given a second time; first in line %d" % (name, places[name].line)
                self.findings.append(Finding(self.file, at, text, depth == 0, field_name([*self.path, name][2:])))
                continue
            values[name] = value
            # A wrong value is looked for at its key, wherever a long list or text below it begins.
            places[name] = Place(self.file, at, place.inner)
        for name, value, place in self.merged(node, depth):
            if name not in values:
                values[name], places[name] = value, place
        return values, Place(self.file, line, places)

    def pairs(self, node: Any, depth: int) -> Iterator[tuple[Any, Any]]:
        return ((key, inner) for key, inner in node.value if not _is_merge(key))

    def merged(self, node: Any, depth: int) -> Iterator[tuple[str, Any, Place]]:
        """What ``<<: *name`` brings in; the first of several wins."""
        for key, inner in node.value:
            if not _is_merge(key):
                continue
            for source in inner.value if isinstance(inner, yaml.SequenceNode) else [inner]:
                if not isinstance(source, yaml.MappingNode):
                    self.find(key.start_mark.line + 1, "<< takes an alias (*name) of an object, or a list of these")
                    continue
                values, place = self.value(source, depth + 1)
                for name, value in values.items():
                    yield name, value, place.inner[name]

    def key(self, node: Any, line: int) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.find(line, "a name must be text, not a list or an object")
            return None
        value = self.scalar(node, line)
        return None if isinstance(value, Wrong) else str(node.value)

    def scalar(self, node: Any, line: int, quiet: bool = False) -> Any:
        text: str = node.value
        self.require_plain_tag(node, line, "str")
        if node.style not in (None, "") or node.tag:
            return text
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if self.is_json:
            number = _JSON_NUMBER.match(text)
            return text if not number else float(text) if number.group(1) or number.group(2) else int(text)
        if _WHOLE.match(text) and len(text) < 100:
            return int(text, 0)
        if _DECIMAL.match(text) and float(text) not in (float("inf"), float("-inf")):
            return float(text)
        wrong = _misread(text)
        if wrong:
            hidden = "what stands here without quotes is no text to many readers of YAML: write it in quotes"
            self.find_in_value(line, hidden if quiet or self.quiet else wrong)
            return Wrong(text)
        return text


class _GivenUp(Exception):
    pass


class Wrong:
    """Stands for a value that was found wrong, so that reading goes on and finds the others; ``text`` is what it may mean."""

    def __init__(self, text: str) -> None:
        self.text = text


def _is_merge(key: Any) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.style in (None, "")


def _misread(text: str) -> str | None:
    if _SWITCH.match(text):
        meant = "true" if text.lower() in ("yes", "on") else "false"
        return "%s without quotes is %s to many readers of YAML: write '%s' for the word, or %s" % (text, meant, text, meant)
    if _SIXTIES.match(text) and not text.startswith("0"):
        number = 0
        for part in text.split(".")[0].replace("_", "").lstrip("+-").split(":"):
            number = number * 60 + int(part)
        return "%s without quotes is the number %d to many readers of YAML: write it in quotes: '%s'" % (text, number, text)
    if _ODD_NUMBER.match(text):
        return "%s without quotes is one number to some readers of YAML, and another or text to others: write '%s', or the number plainly" % (
            text,
            text,
        )
    return None


def _joined(escape: Any) -> str:
    """JSON writes a character beyond the first 65,536 as two escapes, of which YAML's parsers make nothing."""
    text: str = escape.group(0)
    return str(json.loads('"%s"' % text)) if len(text) == 12 else text


def _said(error: Any, line: str) -> str:
    said = [error.context, error.problem] if error.context and error.problem else [error.problem or error.context]
    text = ", ".join(str(part) for part in said)
    if "cannot start any token" in text and "\t" in line:
        text = "a tab stands where YAML wants spaces"
    elif "mapping values are not allowed" in text:
        text += " (a text with a colon and a space in it needs quotes)"
    return " ".join(text.split())


def _loader() -> Any:
    """The quick one where it is there. Both leave scalars as the text that they are."""
    return getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def dump(value: Any) -> str:
    """YAML in block style, in the order of ``value``, that every reader of YAML reads alike."""
    dumped: str = yaml.dump(
        value, Dumper=_dumper(), sort_keys=False, width=110, allow_unicode=True, default_flow_style=False
    )
    return dumped


def dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _dumper() -> Any:
    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(str, _text_node)
    Dumper.add_representer(float, _float_node)
    return Dumper


def _text_node(dumper: Any, text: str) -> Any:
    style = None
    if _OTHER_BREAK.search(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    elif _SWITCH.match(text) or _SIXTIES.match(text) or _ODD_NUMBER.match(text) or _ONE_LETTER.match(text):
        style = "'"
    return dumper.represent_scalar(_TAG + "str", text, style=style)


def _float_node(dumper: Any, number: float) -> Any:
    text = repr(number)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar(_TAG + "float", text)


def require_yaml(sources: Sequence[str]) -> None:
    """Raises RuntimeError where files are to be read and nothing here can."""
    if sources and not HAS_YAML:
        raise RuntimeError("PyYAML is needed to read files, and is not installed here")
