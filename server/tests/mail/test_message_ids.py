"""Message-IDs that name their ticket: nobody else makes one, and what was sent stays known."""

from __future__ import annotations

import pytest

from deskplane.kernel.crypto import Vault
from deskplane.mail.message_ids import Made, find, make, verify

OLD, NEW, OTHER = (Vault([f"{word} secret key of at least 32 characters"]) for word in ("old", "new", "other"))


def test_a_message_id_names_its_ticket_and_what_it_was_for() -> None:
    made = make(NEW, "TKT-000123", "reply", "example.org")
    assert made.startswith("<tkt-000123.reply.")
    assert made.endswith("@example.org>")
    assert len(made) < 110
    assert verify(NEW, made) == Made("TKT-000123", "reply")
    assert make(NEW, "TKT-000123", "reply", "example.org") != made
    assert verify(NEW, make(NEW, None, "alert", "example.org")) == Made(None, "alert")


def test_letters_may_change_their_case_on_the_way_and_the_host_its_name() -> None:
    made = make(NEW, "ACME-000001", "auto-reply", "example.org")
    assert verify(NEW, made.upper()) == Made("ACME-000001", "auto-reply")
    assert verify(NEW, made.replace("example.org", "relay.example.net")) is not None


@pytest.mark.parametrize("changed", ["number", "purpose", "random", "signature", "key", "none"])
def test_what_was_forged_names_nothing(changed: str) -> None:
    made = make(NEW, "TKT-000123", "reply", "example.org")
    number, purpose, random, rest = made.split(".", 3)
    last = "0" if rest[31] != "0" else "1"
    forged = {
        "number": made.replace("000123", "000124"),
        "purpose": made.replace("reply", "alert"),
        "random": f"{number}.{purpose}.{random[::-1]}0.{rest}",
        "signature": f"{number}.{purpose}.{random}.{rest[:31]}{last}{rest[32:]}",
        "key": make(OTHER, "TKT-000123", "reply", "example.org"),
        "none": "<CAF+unrelated@mail.example.org>",
    }[changed]
    assert forged != made
    assert verify(NEW, forged) is None


def test_what_was_sent_before_the_key_was_changed_is_known_after_it() -> None:
    made = make(OLD, "TKT-000007", "reply", "example.org")
    rotated = Vault(["new secret key of at least 32 characters", "old secret key of at least 32 characters"])
    assert verify(rotated, made) == Made("TKT-000007", "reply")
    assert verify(NEW, made) is None


def test_all_of_ours_are_found_among_others_and_nonsense_costs_nothing() -> None:
    mine = [make(NEW, f"TKT-{number:06d}", "reply", "example.org") for number in (1, 2)]
    header = f"<a@b>\r\n {mine[0]}\t<>garbage<<{mine[1]} \x00 <tkt-1.reply.@>"
    assert [made.ticket for made in find(NEW, header)] == ["TKT-000001", "TKT-000002"]
    assert find(NEW, None) == []
    assert len(find(NEW, mine[0] * 1000)) == 200
