"""What becomes of factors where a desk's secret key changes, and where it is restored from a backup."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from conftest import SECRET, Api, TurnedClock, settings
from deskplane.app import Desk, create_app, make_desk, migrate
from deskplane.backup import restore, snapshot
from deskplane.configuration import resealing
from deskplane.factors.models import TotpFactor, TotpOffer
from factors.factor_help import App, code_of, half_in, set_up, show
from login_help import WORD, Browser

NEW = "another secret key for tests, long enough as well: 9876543210"


@pytest.fixture
def owner(api: Api, mia: str, clock: TurnedClock) -> tuple[App, list[str]]:
    """Mia's app and recovery codes; and another secret, offered and not taken yet."""
    browser = Browser(api)
    browser.log_in()
    app, codes = set_up(browser, api)
    browser.call("POST", "/account/totp", {"password": WORD}, status=201)
    clock.turn(minutes=1)
    return app, codes


def of(desk: Desk) -> Api:
    return Api(create_app(desk).test_client(), None, desk)


@pytest.fixture
def opened() -> Iterator[list[Desk]]:
    """Desks to be closed."""
    found: list[Desk] = []
    yield found
    for desk in found:
        desk.database.dispose()


def test_a_rotation_seals_secrets_anew_and_codes_go_on_working(
    api: Api, owner: tuple[App, list[str]], opened: list[Desk], clock: TurnedClock
) -> None:
    url = api.desk.database.url.render_as_string(hide_password=False)
    both, alone = (
        make_desk(settings(url).model_copy(update={"secret_key": NEW, "old_secret_keys": older}), clock)
        for older in ([SECRET], [])
    )
    opened += [both, alone]
    lost = Browser(of(alone))
    assert code_of(show(lost, "totp", half_in(lost), owner[0].code(), status=401)) == "bad_factor"
    anew = {
        str(column): resealing.rotate(both.database, both.command_line, column, lambda _rows, _anew: None)
        for column in resealing.columns(both.registry)
    }
    assert (anew["totp_factors.secret"], anew["totp_offers.secret"]) == (1, 1)
    browser = Browser(of(alone))
    show(browser, "totp", half_in(browser), owner[0].code())


def test_a_restored_desk_asks_for_the_same_factors(
    api: Api, owner: tuple[App, list[str]], opened: list[Desk], clock: TurnedClock, tmp_path: Path
) -> None:
    app, codes = owner
    browser = Browser(api)
    show(browser, "recovery-code", half_in(browser), codes[0])
    file = io.BytesIO()
    with api.desk.database.transaction(write=False) as session:
        snapshot.write(session, file, api.desk.clock, api.desk.vault, None)
    assert app.secret.encode() not in file.getvalue()
    desk = make_desk(settings(f"sqlite:///{tmp_path / 'other.db'}"), clock)
    opened.append(desk)
    file.seek(0)
    restore.restore(desk.database, file, None, lambda _table, _rows: None)
    migrate(desk)
    with desk.database.transaction(write=False) as session:
        assert session.execute(select(TotpFactor.user_id)).all()
        assert session.execute(select(TotpOffer.user_id)).all() == []
    there = Browser(of(desk))
    token = half_in(there)
    show(there, "recovery-code", token, codes[0], status=401)
    show(there, "recovery-code", token, codes[1])
    show(there, "totp", half_in(there), app.code())
