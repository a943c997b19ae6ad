import os
import time
from pathlib import Path

import pytest

from sra.remote.logins import known_cards
from sra.remote.logins.known_cards import KnownCards
from tests.remote.accounts.issuing import Authority

AUTHORITY = Authority()
ANN, BOB, CAT = (AUTHORITY.issue([]).card for _ in range(3))


def test_a_card_is_new_once_and_known_until_it_is_removed(tmp_path: Path) -> None:
    cards = KnownCards(tmp_path / "certificates")
    assert list(cards.cards()) == []
    assert cards.add(ANN)
    assert not cards.add(ANN)
    assert list(KnownCards(tmp_path / "certificates").cards()) == [ANN]
    cards.remove(ANN)
    cards.remove(ANN)
    assert list(cards.cards()) == []


def test_what_is_no_certificate_is_passed_over(tmp_path: Path) -> None:
    cards = KnownCards(tmp_path)
    cards.add(ANN)
    (tmp_path / "x.der").write_bytes(b"no certificate")
    (tmp_path / "y.der").write_bytes(b"x" * 100_000)
    (tmp_path / "z.der").symlink_to("/etc/passwd")
    (tmp_path / "readme").write_bytes(ANN.der)
    os.mkfifo(tmp_path / "pipe.der")
    assert list(cards.cards()) == [ANN]


def test_the_card_that_was_seen_longest_ago_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_cards, "MAX_CARDS", 2)
    cards = KnownCards(tmp_path)
    for card, days in ((ANN, 9), (BOB, 5)):
        cards.add(card)
        age(cards, card.der, days)
    assert not cards.add(ANN)  # seen again, now
    cards.add(CAT)
    assert set(cards.cards()) == {ANN, CAT}


def age(cards: KnownCards, der: bytes, days: int) -> None:
    """Have the certificate be seen that long ago."""
    when = time.time() - days * 24 * 60 * 60
    (path,) = [each for each in cards.path.iterdir() if each.read_bytes() == der]
    os.utime(path, (when, when))
