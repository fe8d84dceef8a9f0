"""Identifiers: what is sorted by them comes in the order in which it was made."""

from __future__ import annotations

import time
import uuid

import pytest

from deskplane.kernel.ids import new_id


def test_ids_of_one_millisecond_sort_in_their_order() -> None:
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_sort_in_their_order_while_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    before = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: now - 3_600 * 10**9)
    assert before < new_id() < new_id()


def test_an_id_is_a_uuid_version_7_of_the_moment() -> None:
    made = uuid.UUID(new_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((made.int >> 80) - time.time_ns() // 1_000_000) < 1_000
