"""Markdown that people write, as HTML that can do no harm."""

from __future__ import annotations

import pytest

from conftest import Api
from deskplane.kernel.markup import to_html


@pytest.mark.feature("F030")
@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("", ""),
        ("It is **all** `gone`.", "<p>It is <strong>all</strong> <code>gone</code>.</p>\n"),
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"),
        ("~~old~~", "<p><s>old</s></p>\n"),
        (
            "[here](https://example.org/?a=1&b=2)",
            '<p><a href="https://example.org/?a=1&amp;b=2" rel="noopener noreferrer nofollow">here</a></p>\n',
        ),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("<b onclick=x>bold</b>", "<p>&lt;b onclick=x&gt;bold&lt;/b&gt;</p>\n"),
    ],
)
def test_markdown_becomes_html(text: str, html: str) -> None:
    assert to_html(text) == html


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        "![x](https://tracker.example/x.png)",
        "<https://example.org/><img src=x onerror=alert(1)>",
        '[x](https://example.org "a\\" onmouseover=\\"alert(1)")',
        "<iframe src=https://example.org></iframe>",
    ],
)
def test_nothing_that_acts_by_itself_is_left(text: str) -> None:
    for found in (to_html(text), to_html(text + "\n\n" + "long " * 1000)):
        for bad in ("<script", "<img", "<iframe", 'href="javascript', 'href="data', 'href="vbscript', ' onmouseover="'):
            assert bad not in found.lower()


@pytest.mark.feature("F030")
def test_the_description_of_a_ticket_is_kept_raw_and_answered_as_html(api: Api) -> None:
    text = "It is *gone*.\n<script>alert(1)</script>"
    made = api.call("POST", "/tickets", {"title": "x", "description": text}, status=201)
    assert made["description"] == text
    assert made["description_html"] == to_html(text)
    assert "<em>gone</em>" in made["description_html"]
    assert "<script" not in made["description_html"]
