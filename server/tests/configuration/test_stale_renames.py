"""A `renamed_from` that stays in the files for long after the rename: the same document again changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api

LABELS: dict[str, list[dict[str, str]]] = {
    "a name used anew": [{"name": "new", "renamed_from": "old"}, {"name": "old"}],
    "a swap": [{"name": "new", "renamed_from": "old"}, {"name": "old", "renamed_from": "new"}],
    "a chain": [{"name": "newest", "renamed_from": "new"}, {"name": "new", "renamed_from": "old"}, {"name": "old"}],
}


def _apply(api: Api, labels: list[dict[str, str]], **more: Any) -> Any:
    return api.call("POST", "/configuration/apply", {"configuration": {"labels": labels}, **more})


@pytest.mark.parametrize("there", [(), ("new",), ("old",), ("newest",)], ids=str)
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_whatever_was_there_the_second_time_changes_nothing(
    api: Api, labels: list[dict[str, str]], there: tuple[str, ...]
) -> None:
    _apply(api, [{"name": name} for name in there])
    before = [dict(label, color="#00ff00") for label in labels]
    _apply(api, before)
    ids = {label["name"]: label["id"] for label in api.call("GET", "/labels")["items"]}
    for _ in range(2):
        again = _apply(api, before, manager="git:labels", prune=True)
        assert again["changed"] is False
    assert {label["name"]: label["id"] for label in api.call("GET", "/labels")["items"]} == ids
