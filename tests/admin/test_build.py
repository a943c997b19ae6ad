"""What is composed for a connection is what the person chose and set, and nothing is left when that fails."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from sra.admin import build
from sra.admin.build import ConnectOptions, Shown, UserInterface
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.pin_entry import PinEntry
from sra.config import AdminConfig
from sra.errors import UsageError
from sra.paths import AdminPaths
from sra.piv.keys import Slot
from tests.admin.watching import Person, Watching
from tests.memory_card import PIN, MemoryCard

SLOTS = frozenset({Slot.AUTHENTICATION})
RULES = '[[rule]]\nremote = "remote"\nkeys = ["9A"]\nanswer = "deny"\n'


class View(Watching):
    """A front's watcher."""

    def tell_counts(self, *, at_once: bool) -> None:
        """Nothing is counted."""


async def _trusts(remote: str, fingerprint: str) -> bool:
    return False


@pytest.fixture
def front() -> UserInterface:
    return UserInterface(Person(), View(), _trusts, contextlib.nullcontext, lambda _: None, lambda _: None)


class Closing(MemoryCard):
    """A card that says whether it was closed."""

    is_closed = False

    async def close(self) -> None:
        self.is_closed = True


async def test_rules_terms_and_the_time_for_the_pin_are_the_person_s(tmp_path: Path, front: UserInterface) -> None:
    paths = AdminPaths(tmp_path)
    paths.rules.write_text(RULES)
    options = ConnectOptions(SLOTS, pin_entry=PinEntry.CODE, allow_raw_rsa=True)
    set_to_keep = AdminConfig(pin_cache_minutes=1)
    for chosen, config, kept in (
        (options, AdminConfig(), None),
        (options, set_to_keep, PIN),
        (ConnectOptions(SLOTS, pin_cache=0), set_to_keep, None),
        (ConnectOptions(SLOTS, yes=True), AdminConfig(), PIN),
    ):
        lender = build._lender(MemoryCard(), chosen, paths, config, front, "remote", lambda *_, **__: None)
        assert lender.terms.rules == (KeyRule("remote", ("9A",), "deny"),)
        assert (lender.terms.entry, lender.terms.allow_raw_rsa) == (chosen.pin_entry, chosen.allow_raw_rsa)
        lender.memory.learn_right(PIN)
        assert lender.memory.kept() == kept
        lender.memory.forget()


async def test_who_is_trusted_is_the_person_s_choice_before_the_settings(tmp_path: Path) -> None:
    config = AdminConfig(ca_file="/set.pem")
    for options, expected in (
        (ConnectOptions(SLOTS, "AB"), ("AB", Path("/set.pem"))),
        (ConnectOptions(SLOTS, ca_file=Path("/given.pem")), (None, Path("/given.pem"))),
    ):
        policy = build._trust(options, AdminPaths(tmp_path), config, _trusts)
        assert (policy.pin, policy.ca_file) == expected


async def test_a_card_is_closed_though_its_connection_can_not_be_composed(tmp_path: Path, front: UserInterface) -> None:
    (tmp_path / "rules.toml").write_text("rule = 1")
    for address, options in (
        ("a host", ConnectOptions(SLOTS)),
        ("remote", ConnectOptions(SLOTS)),
        ("remote", ConnectOptions(SLOTS, shown=Shown.ALONE)),
    ):
        card = Closing()
        with pytest.raises(UsageError):
            await build.stay_connected(address, card, options, AdminPaths(tmp_path), AdminConfig(), front)
        assert card.is_closed
