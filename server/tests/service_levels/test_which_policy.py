"""Which policy a ticket gets: the order of the domain's page, held against one that is written down naively."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskplane.kernel.words import PRIORITIES
from deskplane.service_levels.service import Promise, effective_priority, match

CUSTOMERS = ("acme", "other")
PROMISES = st.builds(
    Promise,
    id=st.just(""),
    name=st.just(""),
    enabled=st.sampled_from([True, True, True, False]),
    position=st.integers(0, 2),
    response_minutes=st.none(),
    resolution_minutes=st.just(60),
    warn_minutes=st.just(60),
    critical_minutes=st.just(15),
    priorities=st.frozensets(st.sampled_from(PRIORITIES), max_size=2),
    customers=st.frozensets(st.sampled_from(CUSTOMERS), max_size=2),
    priority_floor=st.none(),
)


def named(found: list[Promise], names: list[str]) -> list[Promise]:
    return [
        Promise(**{**vars(promise), "id": f"id of {name}", "name": name})
        for promise, name in zip(found, names, strict=False)
    ]


def by_the_page(found: list[Promise], priority: str, customer: str | None, says: str | None) -> Promise | None:
    """domain.md 4, line by line."""
    in_use = [promise for promise in found if promise.enabled]
    covering = [promise for promise in in_use if not promise.priorities or priority in promise.priorities]
    for promise in covering:
        if promise.id == says:
            return promise

    def lists_customer(promise: Promise) -> bool:
        return customer is not None and customer in promise.customers

    def lists_priority(promise: Promise) -> bool:
        return priority in promise.priorities

    ranks = [
        [promise for promise in in_use if lists_customer(promise) and lists_priority(promise)],
        [promise for promise in in_use if lists_customer(promise) and not promise.priorities],
        [promise for promise in in_use if not promise.customers and lists_priority(promise)],
        [promise for promise in in_use if not promise.customers and not promise.priorities],
    ]
    for rank in ranks:
        if rank:
            return sorted(rank, key=lambda promise: (promise.position, promise.name))[0]
    return None


@pytest.mark.feature("F109", "F111", "F112")
@given(
    found=st.lists(PROMISES, max_size=8),
    names=st.permutations(list("abcdefgh")),
    priority=st.sampled_from(PRIORITIES),
    customer=st.sampled_from([*CUSTOMERS, None]),
    says=st.sampled_from([None, *[f"id of {name}" for name in "abcdefgh"]]),
)
def test_the_policy_is_the_one_that_the_order_names(
    found: list[Promise], names: list[str], priority: str, customer: str | None, says: str | None
) -> None:
    promises = named(found, names)
    expected = by_the_page(promises, priority, customer, says)
    assert match(promises, priority=priority, customer_id=customer, named=says) == expected
    assert match(promises[::-1], priority=priority, customer_id=customer, named=says) == expected


@pytest.mark.feature("F110")
@given(promise=PROMISES, priority=st.sampled_from(PRIORITIES), floor=st.sampled_from([*PRIORITIES, None]))
def test_the_effective_priority_is_the_higher_of_declared_and_floor(
    promise: Promise, priority: str, floor: str | None
) -> None:
    found = effective_priority(priority, Promise(**{**vars(promise), "priority_floor": floor}))
    assert PRIORITIES.index(found) == max(PRIORITIES.index(priority), PRIORITIES.index(floor or "low"))
    assert effective_priority(priority, None) == priority
