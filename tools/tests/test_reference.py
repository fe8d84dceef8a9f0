from __future__ import annotations

from typing import Any

import pytest

import reference_api
from reference_text import field_rows, prose, schema_facts, schema_type, slug, table


def field(**more: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "type": "str",
        "description": ["What it is."],
        "required": False,
        "read_only": False,
        "default": None,
    } | more


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("C(a) and RV(b.c)", "`a` and `b.c`"),
        ("V(a \\(b\\))", "`a (b)`"),
        ("a < b*c, `d < e*f`", "a \\< b\\*c, `d < e*f`"),
        ("an ID(x) is left", "an ID(x) is left"),
    ],
)
def test_markup_becomes_code_and_nothing_else_becomes_markdown(text: str, written: str) -> None:
    assert prose(text) == written


def test_a_cell_cannot_end_its_column_or_row() -> None:
    assert table(["a"], [["x|y\nz"]]).splitlines()[2] == "| x\\|y z |"


def test_fields_of_objects_in_lists_stand_below_them() -> None:
    inner = field(name="port", type="int", default=993)
    rows = field_rows([field(name="mail", type="list", elements="dict", options=[inner])])
    assert [row[:3] for row in rows] == [["`mail`", "list of objects", ""], ["`mail[].port`", "integer", "`993`"]]


def test_a_field_tells_whether_it_is_required_read_only_or_secret() -> None:
    rows = field_rows([field(required=True), field(read_only=True), field(secret=True)])
    assert [row[2] for row in rows] == ["required", "read only", ""]
    assert "never answered" in rows[2][3]


def test_types_and_limits_of_a_schema_in_words() -> None:
    schema = {"anyOf": [{"type": "array", "items": {"type": "string", "enum": ["a", None]}}, {"type": "null"}]}
    assert schema_type(schema) == "list of strings"
    assert schema_facts(schema) == ["One of `a`."]
    assert schema_facts({"type": ["integer", "null"], "minimum": 1, "maximum": 65535}) == [
        "At least 1, at most 65,535."
    ]


def test_an_anchor_is_what_a_git_host_makes_of_the_heading() -> None:
    assert slug("Say what a `label` should be, e.g. now") == "say-what-a-label-should-be-eg-now"


LABEL = {
    "type": "object",
    "properties": {"name": {"type": "string", "description": "Its name."}, "id": {"type": "string"}},
}


def operation(summary: str, answer: dict[str, Any], **more: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": answer}}
    answers = {"200": {"description": "Good.", "content": content}, "404": {"description": "Nothing."}}
    return {"summary": summary, "tags": ["ticket_labels"], "responses": answers, **more}


def pages(summary: str = "List the labels", **more: Any) -> dict[str, str]:
    page = {"type": "object", "properties": {"items": {"type": "array", "items": LABEL}}}
    document = {
        "paths": {
            "/labels": {"get": operation(summary, page, **{"x-permission": ["labels:manage"], **more})},
            "/labels/{id}": {"get": operation("Read a label", LABEL, security=[])},
        },
        "components": {"schemas": {"Problem": {"properties": {"detail": {"type": "string"}}}}},
    }
    return reference_api.pages(document)


def test_an_operation_has_its_rights_parameters_and_every_answer() -> None:
    parameter = {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "maximum": 200}}
    text = pages(parameters=[parameter])["ticket-labels.md"]
    assert "Needs `labels:manage`." in text
    assert "| `limit` | query | integer | At most 200. |" in text
    assert text.count("| 404 | Nothing. |") == 2
    assert "Needs no key." in text


def test_what_a_thing_looks_like_is_told_once() -> None:
    text = pages()["ticket-labels.md"]
    assert text.count("Its name.") == 1
    assert "list of objects, each as in [Read a label](#read-a-label)" in text


def test_two_operations_that_could_not_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="same summary"):
        pages(summary="Read a label")


def test_the_index_links_each_operation() -> None:
    assert "| `GET /labels/{id}` | no key | [Read a label](ticket-labels.md#read-a-label) |" in pages()["index.md"]
