"""Templates: those that people begin with, and those of mails, with their placeholders."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from deskplane.desks.templates import MAILS, PLACEHOLDERS
from dumps import dump

MAIL: dict[str, Any] = {"event": "ticket_resolved", "subject": "Solved", "body_text": "It is solved."}


def test_a_template_outlives_its_author(api: Api) -> None:
    api.apply("users", username="mia")
    api.apply("templates", name="more details", author="mia")
    api.apply("users", username="mia", state="absent")
    shown = api.call("GET", "/templates")["items"][0]
    exported = api.call("GET", "/configuration")["configuration"]
    assert (shown["author"], exported["templates"]) == (None, [{"name": "more details"}])
    again = api.call("POST", "/configuration/apply", {"configuration": exported})
    assert again["changed"] is False
    api.apply("users", username="mia")
    assert api.call("GET", "/templates")["items"][0]["author"] == "mia"


def test_the_author_of_a_template_is_followed(api: Api) -> None:
    api.apply("users", username="mia")
    api.apply("templates", name="more details", type="ticket", author="mia", body_text="What did you see?")
    api.apply("users", username="maria", renamed_from="mia")
    assert api.call("GET", "/templates")["items"][0]["author"] == "maria"
    refused = api.apply("templates", status=422, name="more details", author="mia")
    assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [("#/author", "unknown_reference")]


def test_every_template_can_be_used_in_every_place_and_agents_read_them(api: Api) -> None:
    api.apply("templates", name="more details", body_html="<p>{{whatever}} is only text here</p>")
    agent = api.as_user("mia", roles=["agent"])
    assert [item["type"] for item in agent.call("GET", "/templates")["items"]] == ["email"]
    assert agent.request("GET", "/email-templates").status_code == 403


@pytest.mark.parametrize("form", ["${%s}", "{{%s}}", "{{ %s }}", "${ %s }"])
def test_every_placeholder_of_a_mail_is_taken_in_both_forms(api: Api, form: str) -> None:
    text = " ".join(form % name for name in PLACEHOLDERS)
    made = api.apply("email-templates", **{**MAIL, "subject": text, "body_text": text, "body_html": f"<p>{text}</p>"})
    assert made["after"]["body_html"] == f"<p>{text}</p>"


@pytest.mark.parametrize("field", ["subject", "body_text", "body_html"])
@pytest.mark.parametrize("text", ["${ticket_numbr}", "{{ url }}", "${}", "{{ticket_number}} and {{7*7}}"])
def test_an_unknown_placeholder_is_refused_with_those_that_there_are(api: Api, field: str, text: str) -> None:
    before = dump(api.desk)
    (error,) = api.apply("email-templates", status=422, **{**MAIL, field: text})["errors"]
    assert (error["pointer"], error["code"]) == (f"#/{field}", "unknown_placeholder")
    assert error["allowed"] == list(PLACEHOLDERS)
    assert dump(api.desk) == before


@pytest.mark.feature("F155")
def test_a_customer_has_a_mail_template_of_its_own_beside_the_common_one(api: Api) -> None:
    api.apply("customers", name="ACME")
    for event in MAILS:
        for customer in (None, "ACME"):
            made = api.apply("email-templates", **{**MAIL, "event": event}, customer=customer)
            again = api.apply("email-templates", **{**MAIL, "event": event}, customer=customer)
            assert (made["action"], again["action"]) == ("create", "none")
    assert len(api.call("GET", "/email-templates", query_string={"limit": 50})["items"]) == 2 * len(MAILS)
    gone = api.apply("email-templates", event="ticket_closed", state="absent")
    assert gone["before"]["customer"] is None


def test_a_mail_template_is_about_an_event_that_there_is(api: Api) -> None:
    refused = api.apply("email-templates", status=422, **{**MAIL, "event": "ticket_burnt"})
    assert [(entry["pointer"], entry["code"], entry["allowed"]) for entry in refused["errors"]] == [
        ("#/event", "not_allowed", list(MAILS))
    ]
    refused = api.apply("email-templates", status=422, event="ticket_closed")
    assert {(entry["pointer"], entry["code"]) for entry in refused["errors"]} == {
        ("#/subject", "required"),
        ("#/body_text", "required"),
    }


@pytest.mark.feature("F064", "F065", "F066")
@pytest.mark.parametrize("sort", ["email", "ticket"])
def test_a_template_of_either_type_keeps_all_of_its_texts(api: Api, sort: str) -> None:
    api.apply("users", username="mia")
    fields = {
        "name": "more details",
        "type": sort,
        "subject": "We need to know more",
        "body_html": "<p>What did you <b>see</b>?</p>",
        "body_text": "What did you *see*?\n",
        "author": "mia",
    }
    address = f"/templates/{api.apply('templates', **fields)['after']['id']}"
    made = api.call("GET", address)
    assert made == made | fields
    assert (made["created_at"], made["updated_at"]) == ("2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z")
    other = {"email": "ticket", "ticket": "email"}[sort]
    changed = api.apply("templates", name="more details", type=other)
    assert [entry["field"] for entry in changed["changes"]] == ["type"]
    assert changed["after"]["body_html"] == fields["body_html"]
