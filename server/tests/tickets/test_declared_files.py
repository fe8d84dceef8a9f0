"""Files as an apply declares them: said by name and content, sent afterwards, and never sent twice."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from file_help import NUMBER, sent
from ticket_help import EVERYTHING, changed, dump, events, opened, person, places

from conftest import Api

pytestmark = [pytest.mark.feature("F101"), pytest.mark.feature("F251")]

LOG = b"It failed.\n"
FILES = f"/tickets/{NUMBER}/attachments"


def declared(data: bytes = LOG, name: str = "run.log", **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), **more}


def apply(api: Api, *files: dict[str, Any], status: int | None = None, dry_run: bool = False, **fields: Any) -> Any:
    fields = {"title": "x", "correlation_key": "k", "attachments": list(files), **fields}
    return api.apply("tickets", status=status, dry_run=dry_run, **fields)


def test_what_is_there_is_told_and_what_is_missing_is_null(api: Api) -> None:
    assert apply(api, declared(), declared(b"2", "b.txt"))["attachments"] == [None, None]
    found = sent(api, b"2", "b.txt")
    before = dump(api.desk)
    answer = apply(api, declared(), declared(b"2", "b.txt"))
    assert (answer["action"], answer["attachments"]) == ("none", [None, found])
    assert apply(api, declared(b"2", "some/where/b.txt"))["attachments"] == [found]
    assert apply(api, {**declared(b"2", "b.txt"), "sha256": found["sha256"].upper()})["attachments"] == [found]
    assert apply(api, declared(b"3", "b.txt"), declared(b"2", "c.txt"))["attachments"] == [None, None]
    assert apply(api)["attachments"] == []
    assert "attachments" not in api.apply("tickets", title="x", correlation_key="k")
    assert dump(api.desk) == before


def test_a_dry_run_answers_what_the_real_run_does(api: Api) -> None:
    before = dump(api.desk)
    assert apply(api, declared(), dry_run=True)["attachments"] == [None]
    assert dump(api.desk) == before
    opened(api, "x", correlation_key="k")
    found = sent(api, LOG, "run.log")
    assert apply(api, declared(), dry_run=True)["attachments"] == [found]


def test_every_file_that_would_not_be_taken_is_named_and_no_ticket_is_opened(api: Api) -> None:
    api.apply("settings", key="attachments.max_bytes", value=1024)
    before = dump(api.desk)
    files = [declared(name="x.exe"), declared(), declared(b"x" * 1025, "large"), declared(name="..")]
    problem = apply(api, *files, status=422)
    assert places(problem) == {
        "attachments/0/name": "blocked_extension",
        "attachments/2/size": "too_large",
        "attachments/3/name": "bad_format",
    }
    assert places(apply(api, declared(), declared(), status=422)) == {"attachments/1/name": "repeated"}
    problem = apply(api, {"name": "x", "sha256": "abc", "size": -1}, {"name": "y"}, status=422)
    assert places(problem) == {"attachments/0/sha256": "bad_format", "attachments/0/size": "out_of_range"}
    problem = apply(api, {"name": "y"}, status=422)
    assert places(problem) == {"attachments/0/sha256": "required", "attachments/0/size": "required"}
    assert dump(api.desk) == before


@pytest.mark.parametrize("state", ["resolved", "closed", "absent"])
def test_a_ticket_that_is_to_end_takes_none(api: Api, state: str) -> None:
    opened(api, "x", correlation_key="k")
    before = dump(api.desk)
    assert places(apply(api, declared(), status=422, state=state)) == {"attachments": "not_allowed"}
    assert dump(api.desk) == before
    assert apply(api, state=state)["action"] != "none"


def test_who_may_not_write_on_it_declares_none(api: Api) -> None:
    opened(api, "x", correlation_key="k")
    mia = person(api, "mia", *EVERYTHING, "tickets:edit", "tickets:create")
    before = dump(api.desk)
    assert apply(mia, declared(), status=403)["missing_permission"] == "tickets:comment"
    assert dump(api.desk) == before


def test_an_internal_file_is_none_for_who_may_not_read_it(api: Api) -> None:
    opened(api, "x", correlation_key="k")
    found = sent(api, LOG, "run.log")
    assert found["internal"]
    mia = person(api, "mia", *EVERYTHING, "tickets:edit", "tickets:create", "tickets:comment")
    assert apply(mia, declared())["attachments"] == [None]
    # who wants it to be read outside is not served by one that is internal
    assert apply(api, declared(), internal=False)["attachments"] == [None]
    assert apply(api, declared(), internal=True)["attachments"] == [found]
    outside = sent(mia, LOG, "run.log", once="true")
    assert apply(mia, declared())["attachments"] == [outside]
    assert apply(api, declared(), internal=False)["attachments"] == [outside]


def test_a_file_that_is_there_is_not_stored_again_if_it_is_to_be_there_once(api: Api) -> None:
    opened(api)
    found = sent(api, LOG, "run.log", once="true")
    before = dump(api.desk)
    assert sent(api, LOG, "run.log", status=200, once="true") == found
    assert sent(api, LOG, "dir/run.log ", status=200, once="true", internal="true") == found
    assert dump(api.desk) == before
    for name, data, query in (
        ("run.log", b"other", {"once": "true"}),
        ("b.log", LOG, {"once": "true"}),
        ("run.log", LOG, {"once": "true", "internal": "false"}),
        ("run.log", LOG, {}),
    ):
        assert sent(api, data, name, **query)["id"] != found["id"]
    assert len(api.call("GET", FILES)["items"]) == 5
    assert len(events(api.desk)) == 2


def test_what_is_not_what_was_announced_is_not_stored(api: Api) -> None:
    opened(api)
    announced = hashlib.sha256(LOG).hexdigest()
    before = dump(api.desk)
    assert places(sent(api, LOG[:-1], status=422, sha256=announced)) == {"sha256": "mismatch"}
    assert places(sent(api, LOG, status=422, sha256="abc")) == {"sha256": "bad_format"}
    assert dump(api.desk) == before
    assert sent(api, LOG, sha256=announced.upper())["sha256"] == announced


def test_a_ticket_whose_status_is_final_takes_none(api: Api) -> None:
    api.apply("settings", key="workflow.default", value="itil")
    opened(api, "x", correlation_key="k")
    changed(api, NUMBER, status="in_progress")
    found = apply(api, declared())
    assert found["attachments"] == [None]
    changed(api, NUMBER, status="cancelled")
    sent(api, LOG, "run.log", status=422, once="true")
