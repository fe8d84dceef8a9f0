"""Markdown to sanitised HTML, HTML to sanitised HTML, HTML to text. What is shown is made when it is read, so that a
better sanitiser also covers what was written before it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from html.parser import HTMLParser
from types import MappingProxyType

import nh3
from markdown_it import MarkdownIt

_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
SHORT = 2000
"""Characters; most descriptions have fewer."""
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_MORE_TAGS = {"b", "dd", "div", "dl", "dt", "i", "span", "sub", "sup", "u"}
"""What Markdown has no way to write, and mail programs do."""
_BLOCKS = {
    "blockquote", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "table", "tr",
}  # fmt: skip


def to_html(text: str) -> str:
    """CommonMark as HTML with a small set of tags; links only to http, https and mailto."""
    if not text:
        return ""
    return _kept(text) if len(text) < SHORT else _kept_long(text)


def clean_html(html: str) -> str:
    """HTML that someone sent, with what may stay of it: no scripts, no styles, no links but to http, https and mailto,
    and no images but those that came along with it (`cid:`, RFC 2392), so that showing it asks nobody for anything."""
    return _cleaned(html) if len(html) < SHORT else _cleaned_long(html)


def html_with_marks(html: str) -> str:
    """The same with the classes and ids by which mail programs mark what they quote."""
    return _clean(html, _MARKS)


def text_of(html: str) -> str:
    """Sanitised HTML as plain text: its words in lines, links with their address."""
    return _read(html) if len(html) < SHORT else _read_long(html)


def html_of(text: str) -> str:
    """Plain text as HTML that looks like it."""
    paragraphs = [part.strip("\n") for part in re.split(r"\n{2,}", text) if part.strip()]
    return "\n".join(f"<p>{escape(part, quote=False).replace(chr(10), '<br>')}</p>" for part in paragraphs)


class _Reader(HTMLParser):
    """Gathers the text of sanitised HTML, which is well-formed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._lists: list[int | None] = []
        self._addresses: list[tuple[int, str]] = []
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._parts.append("\n")
        elif tag == "hr":
            self._parts.append("\n\n---\n\n")
        elif tag in ("ul", "ol"):
            start = dict(attrs).get("start") or ""
            self._lists.append((int(start) if start.isascii() and start.isdigit() else 1) if tag == "ol" else None)
            self._parts.append("\n" if len(self._lists) > 1 else "\n\n")
        elif tag == "li":
            self._parts.append(f"\n{'  ' * min(len(self._lists) - 1, 8)}{self._bullet()} ")
        elif tag == "a":
            self._addresses.append((len(self._parts), dict(attrs).get("href") or ""))
        elif tag in ("td", "th"):
            self._parts.append("\t")
        elif tag in _BLOCKS:
            self._parts.append("\n\n" if tag not in ("tr", "div", "dt", "dd") else "\n")
        self._verbatim += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        self._verbatim -= tag == "pre"
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
            self._parts.append("" if self._lists else "\n\n")
        elif tag == "a" and self._addresses:
            begun, address = self._addresses.pop()
            words = "".join(self._parts[begun:]).strip()
            if address and address not in (words, f"mailto:{words}"):
                self._parts.append(f" <{address}>")
        elif tag in _BLOCKS:
            self._parts.append("\n\n" if tag not in ("tr", "div", "dt", "dd") else "\n")

    def handle_data(self, data: str) -> None:
        if self._verbatim:
            self._parts.append(data)
        elif not data.isspace() or (self._parts and not self._parts[-1].endswith(("\n", "\t"))):
            self._parts.append(re.sub(r"\s+", " ", data))

    def _bullet(self) -> str:
        if not self._lists or self._lists[-1] is None:
            return "-"
        number = self._lists[-1]
        self._lists[-1] = number + 1
        return f"{number}."

    def text(self) -> str:
        """Everything, with no more than one empty line in a row."""
        lines = "".join(self._parts).split("\n")
        tidy = [re.sub(r"^ (?=\S)", "", line).rstrip().removeprefix("\t") for line in lines]
        # an item's text may be a paragraph of its own, which begins a line of its own
        joined = re.sub(r"(?m)^( *(?:-|\d+\.))\n+(?=\S)", r"\1 ", "\n".join(tidy))
        return re.sub(r"\n{3,}", "\n\n", joined).strip("\n")


def _render(text: str) -> str:
    return nh3.clean(
        _markdown.render(text),
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


_IMAGE = {"src", "alt", "width", "height"}
_MARKS = {"*": {"class", "id"}, "blockquote": {"type"}}


def _clean(html: str, more: Mapping[str, set[str]] = MappingProxyType({})) -> str:
    cleaned = nh3.clean(
        html,
        tags=_TAGS | _MORE_TAGS | {"img"},
        attributes={"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}, "img": _IMAGE, **more},
        attribute_filter=_fitting,
        url_schemes={"http", "https", "mailto", "cid"},
        link_rel="noopener noreferrer nofollow",
    )
    return _IMAGE_OF_NOTHING.sub("", cleaned).strip()


def _fitting(tag: str, attribute: str, value: str) -> str | None:
    """Only images come along with a mail, and they do not come from elsewhere."""
    if attribute in ("src", "href") and (tag == "img") != value.strip().lower().startswith("cid:"):
        return None
    return value


_IMAGE_OF_NOTHING = re.compile(r'<img(?: (?:alt|width|height|class|id)="[^"]*")*>')


def _text_of(html: str) -> str:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


# long texts have a cache of their own, so that a process never keeps more than a few megabytes
_kept = lru_cache(maxsize=1024)(_render)
_kept_long = lru_cache(maxsize=16)(_render)
_cleaned = lru_cache(maxsize=1024)(_clean)
_cleaned_long = lru_cache(maxsize=16)(_clean)
_read = lru_cache(maxsize=1024)(_text_of)
_read_long = lru_cache(maxsize=16)(_text_of)
