"""Callers that want the same thing at once: no update is lost, nothing is made twice, and nobody gets a 500."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from crash_servers import together
from sqlalchemy import select

from conftest import Api, settings
from deskplane.app import Desk, create_app, make_desk, make_worker
from deskplane.tickets import removal, service
from deskplane.tickets.models import Ticket

CALLERS = 8
BUSY = 60
"""Long enough for the slowest machine: here nobody is to give up."""


@pytest.fixture
def apis(api: Api, database_url: str) -> Any:
    """Two server processes, as far as they share nothing but the database; callers take turns between them."""
    desks = [make_desk(settings(database_url, busy_seconds=BUSY)) for _ in range(2)]
    apps = [create_app(desk) for desk in desks]
    yield [Api(apps[index % 2].test_client(), api.key, desks[index % 2]) for index in range(CALLERS)]
    for desk in desks:
        desk.database.dispose()


@pytest.mark.feature("F089")
def test_parallel_appliers_with_one_key_make_one_ticket(api: Api, apis: list[Api]) -> None:
    api.apply("customers", name="ACME")
    for body in (
        {"title": "by key", "correlation_key": "k"},
        {"title": "by title"},
        {"title": "by key", "correlation_key": "k", "customer": "ACME"},
    ):
        answers = together(CALLERS, lambda index, body=body: apis[index].apply("tickets", **body))  # type: ignore[misc]
        assert sorted(answer["action"] for answer in answers) == ["create"] + ["none"] * (CALLERS - 1)
        assert len({answer["after"]["number"] for answer in answers}) == 1
    assert len(api.call("GET", "/tickets")["items"]) == 3


def test_every_repetition_is_counted(api: Api, apis: list[Api]) -> None:
    body = {"title": "x", "correlation_key": "k", "on_repeat": "count"}
    for _ in range(3):
        together(CALLERS, lambda index: apis[index].apply("tickets", **body))
    assert api.call("GET", "/tickets/TKT-000001")["occurrences"] == 3 * CALLERS


def test_opening_and_recovering_at_once_leaves_no_second_open_ticket(api: Api, apis: list[Api]) -> None:
    def flap(index: int) -> None:
        for turn in range(5):
            state = ("present", "resolved", "absent", "present")[(index + turn) % 4]
            apis[index].apply("tickets", title="x", correlation_key="k", state=state, reopen_within="1h")

    together(CALLERS, flap)
    assert len(api.call("GET", "/tickets?open=true")["items"]) <= 1


def test_parallel_requests_with_one_idempotency_key_make_one_ticket(api: Api, apis: list[Api]) -> None:
    def send(index: int) -> Any:
        return apis[index].call("POST", "/tickets", {"title": "x"}, status=201, headers={"Idempotency-Key": "same"})

    answers = together(CALLERS, send)
    assert all(answer == answers[0] for answer in answers)
    assert len(api.call("GET", "/tickets")["items"]) == 1


def test_changes_of_one_ticket_are_all_there(api: Api, apis: list[Api]) -> None:
    number = api.call("POST", "/tickets", {"title": "x"}, status=201)["number"]
    fields: list[dict[str, Any]] = [
        {"priority": "critical"},
        {"assignee": "root"},
        {"owner": "root"},
        {"tags": ["a"]},
        {"type": "incident"},
        {"description": "d"},
        {"status": "in_progress"},
        {"comment": "c"},
    ]
    together(CALLERS, lambda index: apis[index].call("PATCH", f"/tickets/{number}", fields[index]))
    ticket = api.call("GET", f"/tickets/{number}")
    for wanted in fields[:-1]:
        assert ticket == ticket | wanted
    rows = api.call("GET", f"/tickets/{number}/history")["items"]
    assert {row["field"] for row in rows} == {
        "created",
        "message",
        *(name for wanted in fields[:-1] for name in wanted),
    }
    assert len(rows) == 1 + CALLERS


def test_of_those_who_saw_the_same_copy_one_may_write(api: Api, apis: list[Api]) -> None:
    number = api.call("POST", "/tickets", {"title": "x"}, status=201)["number"]
    tag = api.request("GET", f"/tickets/{number}").headers["ETag"]
    answers = together(
        CALLERS,
        lambda index: apis[index].request(
            "PATCH", f"/tickets/{number}", {"title": f"of {index}"}, headers={"If-Match": tag}
        ),
    )
    codes = [answer.status_code for answer in answers]
    assert sorted(codes) == [200] + [412] * (CALLERS - 1)
    assert api.call("GET", f"/tickets/{number}")["title"] == f"of {codes.index(200)}"


def test_appliers_of_one_object_merge_what_they_declare(api: Api, apis: list[Api]) -> None:
    fields: list[dict[str, Any]] = [
        {"description": "d"},
        {"enabled": False},
        {"workflow": "itil"},
        {"members": ["root"]},
        {"imap": {"server": "imap.example.org"}},
        {"imap": {"port": 143}},
        {"smtp": {"server": "smtp.example.org"}},
        {"auto_assign_on_open": True},
    ]
    answers = together(CALLERS, lambda index: apis[index].apply("departments", name="Desk", **fields[index]))
    assert sorted(answer["action"] for answer in answers) == ["create"] + ["update"] * (CALLERS - 1)
    (found,) = api.call("GET", "/departments")["items"]
    assert (found["description"], found["enabled"], found["workflow"], found["members"]) == (
        "d",
        False,
        "itil",
        ["root"],
    )
    assert (found["imap"]["server"], found["imap"]["port"]) == ("imap.example.org", 143)
    assert (found["smtp"]["server"], found["auto_assign_on_open"]) == ("smtp.example.org", True)


def test_appliers_of_one_object_that_saw_the_same_copy_do_not_overwrite_each_other(api: Api, apis: list[Api]) -> None:
    made = api.request("POST", "/labels/apply", {"name": "red"})
    path, tag = f"/labels/{made.get_json()['after']['id']}", ""
    tag = api.request("GET", path).headers["ETag"]

    def send(index: int) -> int:
        body, headers = {"color": f"#00000{index}"}, {"If-Match": tag}
        if index % 2:
            return apis[index].request("PATCH", path, body, headers=headers).status_code
        return apis[index].request("POST", "/labels/apply", {"name": "red", **body}, headers=headers).status_code

    assert sorted(together(CALLERS, send)) == [200] + [412] * (CALLERS - 1)


def test_making_renaming_and_deleting_at_once_ends_in_answers_and_one_truth(api: Api, apis: list[Api]) -> None:
    def stir(index: int) -> list[int]:
        seen = []
        for turn in range(6):
            name, other = f"n{(index + turn) % 3}", f"n{(index + turn + 1) % 3}"
            body: dict[str, Any] = (
                {"name": name, "color": f"#0000{index}{turn}"},
                {"name": name, "renamed_from": other},
                {"name": name, "state": "absent"},
            )[(index + turn) % 3]
            seen.append(apis[index].request("POST", "/labels/apply", body).status_code)
            ticket = {"title": "x", "labels": [name]}
            seen.append(apis[index].request("POST", "/tickets", ticket).status_code)
        return seen

    codes = {code for seen in together(CALLERS, stir) for code in seen}
    assert codes <= {200, 201, 409, 422}
    names = [label["name"] for label in api.call("GET", "/labels")["items"]]
    assert len(names) == len(set(names))


class Held:
    """A change of a ticket in a transaction that stays open until it is told to end."""

    def __init__(self, desk: Desk, work: Any) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

        def run() -> None:
            def change(session: Any) -> None:
                work(desk.command_line(session))
                self.begun.set()
                self.may_end.wait(30)

            desk.database.run(change, write=True)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert self.begun.wait(30)

    def while_waiting(self, caller: Any) -> Any:
        """Runs `caller`, lets it meet the lock, ends the change, and answers what the caller got."""
        found: list[Any] = []
        waiting = threading.Thread(target=lambda: found.append(caller()))
        waiting.start()
        time.sleep(0.5)
        assert not found, "the caller did not wait"
        self.may_end.set()
        waiting.join(30)
        self.thread.join(30)
        return found[0]


def test_who_waited_for_a_change_answers_with_that_change(api: Api, desk: Desk, apis: list[Api]) -> None:
    """A row that is read again after its lock was waited for must bring along what it refers to by then."""
    api.apply("customers", name="ACME")
    number = api.call("POST", "/tickets", {"title": "x"}, status=201)["number"]
    given = {"assignee": "root", "customer": "ACME", "type": "incident", "tags": ["a"]}
    held = Held(desk, lambda work: service.change(work, service.load_by_number(work, number), given))
    after = held.while_waiting(lambda: apis[0].call("PATCH", f"/tickets/{number}", {"title": "y"}))
    assert after == after | given | {"title": "y"}
    assert after == api.call("GET", f"/tickets/{number}")
    last = api.call("GET", f"/tickets/{number}/history")["items"][-1]
    assert (last["field"], last["old"], last["new"]) == ("title", "x", "y")


@pytest.mark.parametrize("how", ["deleted", "ended", "moved"])
def test_an_apply_that_waited_for_a_ticket_that_is_gone_opens_another(
    api: Api, desk: Desk, apis: list[Api], how: str
) -> None:
    api.call("POST", "/tickets", {"title": "x", "correlation_key": "k"}, status=201)

    def gone(work: Any) -> None:
        draft = service.load_by_number(work, "TKT-000001")
        if how == "deleted":
            removal.delete_ticket(work, draft)
        else:
            service.change(work, draft, {"status": "closed"} if how == "ended" else {"correlation_key": "other"})

    body = {"title": "x", "correlation_key": "k", "priority": "low"}
    answer = Held(desk, gone).while_waiting(lambda: apis[0].apply("tickets", **body))
    assert (answer["action"], answer["after"]["number"]) == ("create", "TKT-000002")


def test_a_ticket_that_was_deleted_meanwhile_is_not_found(api: Api, desk: Desk, apis: list[Api]) -> None:
    api.call("POST", "/tickets", {"title": "x"}, status=201)
    held = Held(desk, lambda work: removal.delete_ticket(work, service.load_by_number(work, "TKT-000001")))
    assert held.while_waiting(lambda: apis[0].call("PATCH", "/tickets/TKT-000001", {"title": "y"}, status=404))


def test_a_ticket_that_is_stored_after_its_policy_changed_gets_the_new_one(
    api: Api, desk: Desk, apis: list[Api]
) -> None:
    """It was matched before the change, and the change saw no such ticket."""
    api.apply("sla-policies", name="p", resolution_minutes=60)
    worker = make_worker(apis[0].desk)

    def change() -> bool:
        apis[0].apply("sla-policies", name="p", resolution_minutes=100)
        while worker.drain_once():
            pass
        return True

    assert Held(desk, lambda work: service.open_ticket(work, {"title": "x"})).while_waiting(change)
    assert api.call("GET", "/tickets/TKT-000001")["sla"]["resolution"]["due_at"] == "2026-03-02T10:40:00Z"


def test_tickets_opened_while_their_policy_changes_end_under_the_new_one(api: Api, desk: Desk, apis: list[Api]) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=60)
    worker = make_worker(apis[0].desk)

    def act(index: int) -> None:
        for turn in range(6):
            if index == 0:
                apis[index].apply("sla-policies", name="p", resolution_minutes=100 + turn)
                while worker.drain_once():
                    pass
            else:
                apis[index].call("POST", "/tickets", {"title": f"{index} {turn}"}, status=201)

    together(4, act)
    while worker.drain_once():
        pass
    with desk.database.transaction(write=False) as session:
        rows = session.execute(select(Ticket.created_at, Ticket.resolution_due_at)).all()
    assert {(due - created).total_seconds() / 60 for created, due in rows} == {105}
