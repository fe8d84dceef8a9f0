"""Made-up mails and documents, a few in every run; `make fuzz` gives the same targets many more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Api
from deskplane.app import make_registry
from fuzzing import targets

pytestmark = pytest.mark.only_on("sqlite")
QUIET = list(HealthCheck)
KINDS = {kind.plural: kind for kind in make_registry()}
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
) | st.text(max_size=12)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A document in which much is right: kinds and fields that there are, with anything in them."""
    found: dict[str, Any] = {}
    for plural in draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=4)):
        names = [*KINDS[plural].written, "state", "renamed_from", *KINDS[plural].key]
        items = st.dictionaries(st.sampled_from(names), ANYTHING | st.sampled_from(["x", "absent", ["x"]]), max_size=6)
        found[plural] = draw(st.lists(items | ANYTHING, max_size=3) | ANYTHING)
    body = {"configuration": draw(st.just(found) | ANYTHING)}
    return body | draw(
        st.dictionaries(st.sampled_from(["manager", "prune", "max_deletions", "x"]), ANYTHING, max_size=2)
    )


@pytest.fixture
def target(api: Api) -> targets.Documents:
    return targets.Documents(api.client, api.key or "")


@pytest.mark.parametrize("count", [60, pytest.param(5000, marks=pytest.mark.soak)])
def test_no_document_is_an_error(target: targets.Documents, count: int) -> None:
    statuses = set()

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=QUIET)
    @given(documents())
    def run(document: Any) -> None:
        statuses.add(target(json.dumps(document).encode()))

    run()
    assert {200, 422} <= statuses


@pytest.mark.parametrize("count", [60, pytest.param(5000, marks=pytest.mark.soak)])
def test_no_bytes_in_the_place_of_a_document_are_an_error(target: targets.Documents, count: int) -> None:
    seeds = targets.seeds_of_documents()

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=QUIET)
    @given(st.sampled_from(seeds), st.floats(0, 1), st.binary(max_size=12), st.integers(0, 30))
    def run(seed: bytes, where: float, noise: bytes, dropped: int) -> None:
        at = int(where * len(seed))
        target(seed[:at] + noise + seed[at + dropped :])

    run()


def test_what_fuzzing_begins_with_is_taken(target: targets.Documents) -> None:
    """Else it would look for faults only in what refuses."""
    for seed in targets.seeds_of_mails():
        targets.mail(seed)
    assert {target(seed) for seed in targets.seeds_of_documents()} >= {200}
    assert '"users"' in json.dumps(targets.words_of_documents())


def test_a_target_raises_where_the_server_has_a_fault(
    target: targets.Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "EXPECTED", {200})
    with pytest.raises(AssertionError):
        target(b"{")
