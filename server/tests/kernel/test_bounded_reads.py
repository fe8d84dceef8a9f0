"""A statement that reads ends after a bound, on both databases; one that writes is not held to it."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from deskplane.kernel.db import Database
from deskplane.kernel.problem import Problem

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
SHORT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT count(*) FROM n"


def test_an_endless_read_is_stopped_and_the_connection_goes_on(database_url: str) -> None:
    database = Database(database_url, busy_seconds=0.5, pool_size=1)
    for _ in range(2):
        begun = time.monotonic()
        with pytest.raises(Problem) as caught:
            database.run(lambda session: session.execute(text(ENDLESS)).scalar_one(), write=False)
        assert (caught.value.status, caught.value.code) == (503, "busy")
        assert "too long" in str(caught.value.detail)
        assert 0.4 < time.monotonic() - begun < 5
        assert database.run(lambda session: session.execute(text(SHORT)).scalar_one(), write=False) == 1000
    database.dispose()


def test_the_bound_is_each_statements_own(database_url: str) -> None:
    database = Database(database_url, busy_seconds=0.5, pool_size=1)
    with database.transaction(write=False) as session:
        for _ in range(3):
            time.sleep(0.3)
            assert session.execute(text(SHORT)).scalar_one() == 1000
    database.dispose()
