from __future__ import annotations

from pathlib import Path

import pytest

import docs_check
import docs_stage
from toolchain import ROOT, ToolError


def site(folder: Path, **pages: str) -> tuple[Path, dict[str, docs_check.Page]]:
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    return folder, docs_check.pages(folder)


LINKED = "<a href='more.html#part'>m</a>"


def test_a_link_needs_its_page_and_its_place(tmp_path: Path) -> None:
    good = site(tmp_path, index=LINKED, more="<h2 id=part>Part</h2><a href='https://example.org/x'>x</a>")
    assert list(docs_check.broken(*good)) == []
    bad = site(tmp_path, index=LINKED + "<a href='none.html'>n</a>", more="")
    assert list(docs_check.broken(*bad)) == [
        "index.html: links to more.html#part, and more.html has no such place",
        "index.html: links to none.html, which there is not",
    ]


def test_a_page_that_nothing_leads_to_is_found(tmp_path: Path) -> None:
    assert list(docs_check.broken(*site(tmp_path, index="", alone="<a href=#here id=here>h</a>"))) == [
        "alone.html: nothing leads to this page"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<script src='https://cdn.example.org/a.js'></script>",
        "<img src='//example.org/a.png'>",
        "<link rel=stylesheet href='https://fonts.example.org/a.css'>",
    ],
)
def test_a_page_loads_nothing_from_elsewhere(tmp_path: Path, text: str) -> None:
    assert len(list(docs_check.foreign(*site(tmp_path, index=text)))) == 1


def test_a_style_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@import 'https://a.example.org/x.css'; b {background: url(//b.example.org/x)}")
    (tmp_path / "b.css").write_text("b {background: url(data:image/png;base64,AA)}")
    assert [finding.split()[-1] for finding in docs_check.foreign(tmp_path, {})] == [
        "https://a.example.org/x.css",
        "//b.example.org/x",
    ]


def test_everything_that_the_product_has_is_looked_for() -> None:
    """One of each sort that there is now; a site without any page has none of them."""
    found = "\n".join(docs_check.missing({}))
    for what in (
        "module ticket:",
        "callback incident:",
        "filter duration:",
        "field response_minutes of the kind sla_policy:",
        "permission tickets:access:",
        "setting database_url of the process:",
        "setting numbering.prefix of the desk:",
        "event ticket_created:",
        "operation POST /api/v1/tickets/apply:",
        "playbook provision_service_levels:",
    ):
        assert f"{what} there is no page" in found


def test_a_name_that_a_page_only_mentions_within_another_is_missing(tmp_path: Path) -> None:
    page = "<code>tickets:access_all</code> tickets:access"
    assert "tickets:access" not in site(tmp_path, index=page)[1]["index.html"].names
    linked = "<a href=x><code><span>tickets:access</span></code></a>"
    assert "tickets:access" in site(tmp_path, index=linked)[1]["index.html"].names


KNOWN = {ROOT / "docs" / "api.md": "api.md", ROOT / "ARCHITECTURE.md": "architecture.md"}


def test_links_lead_to_the_pages_of_the_site() -> None:
    text = "[a](../ARCHITECTURE.md#part) [r](../README.md) [u](https://example.org/)\n```\n[x](nowhere.md)\n```\n"
    assert docs_stage.relink(text, ROOT / "docs" / "api.md", KNOWN) == (
        "[a](architecture.md#part) [r](index.md) [u](https://example.org/)\n```\n[x](nowhere.md)\n```\n"
    )


def test_a_link_to_what_is_no_page_is_refused() -> None:
    with pytest.raises(ToolError, match=r"ARCHITECTURE\.md: links to tools/ci\.py"):
        docs_stage.relink("[c](tools/ci.py)", ROOT / "ARCHITECTURE.md", KNOWN)


def test_a_guide_that_nobody_named_gets_its_place_in_the_navigation(tmp_path: Path) -> None:
    block = "```{{toctree}}\n:caption: {}\n\n{}\n```\n"
    (tmp_path / "collection").mkdir()
    (tmp_path / "index.md").write_text(
        block.format("Guides", "api") + block.format("Collection", "Tell <collection/a>")
    )
    for name in ("api.md", "new.md", "collection/a.md", "collection/b.md"):
        (tmp_path / name).write_text("# It\n")
    docs_stage.navigate(tmp_path)
    assert (tmp_path / "index.md").read_text() == (
        block.format("Guides", "api\nnew") + block.format("Collection", "Tell <collection/a>\ncollection/b")
    )


def test_a_comment_at_the_head_of_a_playbook_introduces_it() -> None:
    assert docs_stage.head("---\n# Does it\n# well.\n#\n#   run it\n- name: x\n") == "Does it well."
    assert docs_stage.head("- name: x\n") == ""
