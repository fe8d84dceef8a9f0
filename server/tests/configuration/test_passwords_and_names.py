"""Whose password a document means, where it gives names away: known only when all renames are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from conftest import Api
from deskplane.people.models import User
from deskplane.people.service import password_matches


def _passwords(api: Api) -> dict[str, str | None]:
    with api.desk.database.transaction(write=False) as session:
        return dict(session.execute(select(User.username, User.password)).all())


def _apply(api: Api, *users: dict[str, Any]) -> None:
    api.call("POST", "/configuration/apply", {"configuration": {"users": list(users)}})


def test_a_swap_of_names_sets_no_password_of_who_has_one(api: Api) -> None:
    _apply(api, {"username": "ann"}, {"username": "bob", "password": "bob's own word"})
    swap = (
        {"username": "ann", "renamed_from": "bob", "password": "another word"},
        {"username": "bob", "renamed_from": "ann", "password": "ann's first word"},
    )
    for _ in range(2):
        _apply(api, *swap)
        found = _passwords(api)
        assert password_matches("bob's own word", found["ann"])
        assert password_matches("ann's first word", found["bob"])


def test_who_gets_a_name_that_another_gave_away_gets_the_password_too(api: Api) -> None:
    _apply(api, {"username": "ann", "password": "ann's own word"})
    _apply(api, {"username": "ann", "password": "the new one's"}, {"username": "anna", "renamed_from": "ann"})
    found = _passwords(api)
    assert password_matches("the new one's", found["ann"])
    assert password_matches("ann's own word", found["anna"])


def test_who_is_brought_back_gets_the_password_that_is_declared(api: Api) -> None:
    _apply(api, {"username": "ann", "password": "ann's own word"})
    _apply(api, {"username": "ann", "state": "absent"})
    _apply(api, {"username": "ann", "password": "ann's new word"})
    assert password_matches("ann's new word", _passwords(api)["ann"])


def test_who_is_brought_back_by_reference_keeps_the_password_that_was_known(api: Api) -> None:
    _apply(api, {"username": "ann", "password": "ann's own word"})
    _apply(api, {"username": "ann", "state": "absent"})
    _apply(api, {"username": "ann", "password": {"$secret": "user/ann/password"}})
    assert password_matches("ann's own word", _passwords(api)["ann"])


def test_what_is_shown_of_a_password_is_none_for_someone_new(api: Api) -> None:
    answer = api.apply("users", 422, username="ann", password="(secret)")
    assert [(error["pointer"], error["code"]) for error in answer["errors"]] == [("#/password", "no_secret")]
