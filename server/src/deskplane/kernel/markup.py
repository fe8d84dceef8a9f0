"""Markdown to sanitised HTML. The raw text is what is stored; the HTML is made when it is read, so that a better
sanitiser also covers what was written before it."""

from __future__ import annotations

from functools import lru_cache

import nh3
from markdown_it import MarkdownIt

_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
SHORT = 2000
"""Characters; most descriptions have fewer."""
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


def to_html(text: str) -> str:
    """CommonMark as HTML with a small set of tags; links only to http, https and mailto."""
    if not text:
        return ""
    return _kept(text) if len(text) < SHORT else _kept_long(text)


def _render(text: str) -> str:
    return nh3.clean(
        _markdown.render(text),
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


# long texts have a cache of their own, so that a process never keeps more than a few megabytes
_kept = lru_cache(maxsize=1024)(_render)
_kept_long = lru_cache(maxsize=16)(_render)
