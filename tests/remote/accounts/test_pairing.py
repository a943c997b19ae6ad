import logging
import multiprocessing
import os
import resource
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sra.errors import RefusalCode, RefusedError, UsageError
from sra.identity.certificates import CardCertificate, parse
from sra.remote.accounts.pairing import LookupStep, PairingStore
from sra.system.files import FileError
from sra.transport import tls_identity

HASH = "sha1:" + "ab" * 20


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> list[CardCertificate]:
    """Two certificates of different keys."""
    folders = [tmp_path_factory.mktemp("card") for _ in range(2)]
    return [parse(tls_identity.generate(folder, ["card"], datetime.now(UTC)).certificate) for folder in folders]


@pytest.fixture
def card(cards: list[CardCertificate]) -> CardCertificate:
    return cards[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "sra" / "pairings.toml"


@pytest.fixture
def store(path: Path) -> PairingStore:
    return PairingStore(path, "remote.example.com")


def refusal(store: PairingStore, card: CardCertificate) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        store.find_account(card)
    return caught.value


def test_a_paired_card_opens_its_account(store: PairingStore, card: CardCertificate) -> None:
    assert store.pair_certificate("alice", card)
    assert store.find_account(card) == "alice"


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_both_hashes_of_the_key_are_good(store: PairingStore, card: CardCertificate, name: str) -> None:
    store.pair("alice", card.public_key_hash("sha1" if name == "sha1" else "sha256"))
    assert store.find_account(card) == "alice"


def test_another_card_does_not_open_it(store: PairingStore, cards: list[CardCertificate]) -> None:
    store.pair_certificate("alice", cards[0])
    assert refusal(store, cards[1]).code is RefusalCode.NOT_PAIRED


def test_a_card_without_an_account_learns_the_command_that_pairs_it(store: PairingStore, card: CardCertificate) -> None:
    error = refusal(store, card)
    assert error.code is RefusalCode.NOT_PAIRED
    assert "remote.example.com" in error.text
    assert f"sra pair ACCOUNT --hash {card.public_key_hash('sha256')}" in error.text


def test_pairing_twice_changes_nothing(store: PairingStore, path: Path, card: CardCertificate) -> None:
    store.pair("alice", card.public_key_hash("sha1"))
    before = path.read_bytes()
    assert not store.pair_certificate("alice", card)
    assert not store.pair("alice", card.public_key_hash("sha1").upper())
    assert path.read_bytes() == before


def test_one_card_opens_one_account(store: PairingStore, card: CardCertificate) -> None:
    store.pair("alice", card.public_key_hash("sha1"))
    with pytest.raises(UsageError, match=r"paired with alice.*sra unpair alice"):
        store.pair_certificate("bob", card)
    with pytest.raises(UsageError, match=r"paired with alice.*sra unpair alice"):
        store.pair("bob", card.public_key_hash("sha1"))
    assert store.find_account(card) == "alice"


def test_one_account_may_have_several_cards(store: PairingStore, cards: list[CardCertificate]) -> None:
    for card in cards:
        store.pair_certificate("alice", card)
    assert [store.find_account(card) for card in cards] == ["alice", "alice"]


def test_a_card_that_somebody_paired_twice_by_hand_opens_nothing(
    store: PairingStore, path: Path, card: CardCertificate, caplog: pytest.LogCaptureFixture
) -> None:
    store.pair("alice", card.public_key_hash("sha1"))
    store.pair("bob", card.public_key_hash("sha256"))
    error = refusal(store, card)
    assert error.code is RefusalCode.NOT_PAIRED
    assert "more than one account" in error.text
    assert "alice" not in error.text
    assert "alice and bob" in caplog.text


def test_what_is_unpaired_opens_nothing(store: PairingStore, cards: list[CardCertificate]) -> None:
    for card in cards:
        store.pair_certificate("alice", card)
    assert [gone.hash for gone in store.unpair("alice", cards[0].public_key_hash("sha256"))] == [
        cards[0].public_key_hash("sha256")
    ]
    assert refusal(store, cards[0]).code is RefusalCode.NOT_PAIRED
    assert store.find_account(cards[1]) == "alice"
    assert len(store.unpair("alice")) == 1
    assert store.pairings() == ()


def test_what_is_not_paired_can_not_be_unpaired(store: PairingStore, path: Path) -> None:
    with pytest.raises(UsageError, match="sra pairings"):
        store.unpair("alice")
    assert not path.parent.exists()
    store.pair("alice", HASH)
    for account, key_hash in (("bob", None), ("alice", "sha1:" + "00" * 20), ("bob", HASH)):
        with pytest.raises(UsageError, match="sra pairings"):
            store.unpair(account, key_hash)


def test_names_and_hashes_are_checked_before_anything_is_written(store: PairingStore, path: Path) -> None:
    for account, key_hash in (("../root", HASH), ("alice", "sha1:xx"), ("1000", HASH)):
        with pytest.raises(UsageError):
            store.pair(account, key_hash)
        with pytest.raises(UsageError):
            store.unpair(account, key_hash)
    assert not path.parent.exists()


def test_a_label_can_neither_start_a_line_nor_fill_the_file(store: PairingStore, path: Path) -> None:
    store.pair("alice", HASH, '"\n[[pairing]]\naccount = "root"\n' + "x" * 1000)
    (pairing,) = store.pairings()
    assert pairing.account == "alice"
    assert len(pairing.subject) == 256
    assert path.read_text().count("[[pairing]]\n") == 1


def test_everybody_may_read_the_file_and_only_its_owner_write_it(store: PairingStore, path: Path) -> None:
    store.pair("alice", HASH)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_change_is_seen_at_once_by_a_running_daemon(store: PairingStore, path: Path, card: CardCertificate) -> None:
    assert refusal(store, card).code is RefusalCode.NOT_PAIRED
    PairingStore(path).pair_certificate("alice", card)
    assert store.find_account(card) == "alice"
    path.write_text(path.read_text().replace('"alice"', '"alicf"'))
    assert store.find_account(card) == "alicf"
    PairingStore(path).unpair("alicf")
    assert refusal(store, card).code is RefusalCode.NOT_PAIRED
    PairingStore(path).pair_certificate("alice", card)
    store.find_account(card)
    path.unlink()
    assert refusal(store, card).code is RefusalCode.NOT_PAIRED


def test_an_unchanged_file_is_not_read_again(store: PairingStore, path: Path, card: CardCertificate) -> None:
    store.pair_certificate("alice", card)
    time.sleep(0.15)
    first = store.pairings()
    assert store.pairings() is first


def test_a_damaged_file_lets_nobody_in_and_is_never_overwritten(
    store: PairingStore, path: Path, card: CardCertificate, caplog: pytest.LogCaptureFixture
) -> None:
    store.pair_certificate("alice", card)
    assert store.find_account(card) == "alice"
    path.write_text(path.read_text() + "[[pairing]\naccount = 'bob'\n")
    damaged = path.read_bytes()
    error = refusal(store, card)
    assert error.code is RefusalCode.INTERNAL
    assert str(path) not in error.text
    assert f"{path}: this is not TOML" in caplog.text
    for attempt in (
        store.pairings,
        lambda: store.explain(card),
        lambda: store.pair("bob", HASH),
        lambda: store.pair_certificate("bob", card),
        lambda: store.unpair("alice"),
    ):
        with pytest.raises(FileError, match=f"{path}: this is not TOML"):
            attempt()
    assert path.read_bytes() == damaged


def test_one_bad_pairing_stops_no_other_and_is_named(
    store: PairingStore, path: Path, card: CardCertificate, caplog: pytest.LogCaptureFixture
) -> None:
    store.pair_certificate("alice", card)
    store.pair("carol", HASH)
    bad = "[[pairing]]\naccount = 'bob'\nhash = 'typo'\n"
    path.write_text(f"{bad}{path.read_text()}")
    assert store.find_account(card) == "alice"
    assert f"{path}: line 1: “typo” is not a hash" in caplog.text
    (problem,) = store.problems()
    assert problem.startswith(f"{path}: line 1: “typo”")
    assert [gone.account for gone in store.unpair("alice")] == ["alice"]
    assert [each.account for each in store.pairings()] == ["carol"]
    assert store.pair_certificate("dora", card)
    assert path.read_text().startswith(bad), "what root wrote is left for root to correct"


def test_a_corrected_file_lets_people_in_again(store: PairingStore, path: Path, card: CardCertificate) -> None:
    store.pair_certificate("alice", card)
    good = path.read_text()
    path.write_text("=")
    refusal(store, card)
    path.write_text(good)
    assert store.find_account(card) == "alice"


def test_a_file_that_others_may_write_lets_nobody_in(store: PairingStore, path: Path, card: CardCertificate) -> None:
    store.pair_certificate("alice", card)
    path.chmod(0o664)
    assert refusal(store, card).code is RefusalCode.INTERNAL
    path.chmod(0o644)
    assert store.find_account(card) == "alice"


def test_a_link_in_its_place_lets_nobody_in(
    store: PairingStore, path: Path, card: CardCertificate, tmp_path: Path
) -> None:
    store.pair_certificate("alice", card)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert refusal(store, card).code is RefusalCode.INTERNAL


def test_a_huge_file_lets_nobody_in(store: PairingStore, path: Path, card: CardCertificate) -> None:
    store.pair_certificate("alice", card)
    with path.open("ab") as file:
        file.truncate(5 * 1024 * 1024)
    assert refusal(store, card).code is RefusalCode.INTERNAL


def test_a_full_disk_leaves_the_pairings_as_they_were(store: PairingStore, path: Path, card: CardCertificate) -> None:
    store.pair_certificate("alice", card)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, old[1]))
    try:
        with pytest.raises(FileError, match=str(path)):
            store.pair("bob", HASH)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert [pairing.account for pairing in store.pairings()] == ["alice"]
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".pairings.toml.lock", "pairings.toml"]


def pair_many(path: Path, start: int) -> None:
    for number in range(start, start + 25):
        PairingStore(path).pair(f"user{number}", f"sha1:{number:040x}")


def test_two_processes_that_pair_at_once_lose_nothing(path: Path, store: PairingStore) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=pair_many, args=(path, start)) for start in (0, 1000)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(store.pairings()) == 50


def test_of_two_accounts_that_want_a_card_at_once_one_gets_it(path: Path, card: CardCertificate) -> None:
    key_hash = card.public_key_hash("sha256")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=pair_quietly, args=(path, account, key_hash)) for account in ("alice", "bob")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert PairingStore(path).find_account(card) in {"alice", "bob"}


def pair_quietly(path: Path, account: str, key_hash: str) -> None:
    try:
        PairingStore(path).pair(account, key_hash)
    except UsageError:
        logging.getLogger("test").info("%s came second", account)


def test_one_of_a_thousand_pairings_is_found_again_and_again(path: Path, card: CardCertificate) -> None:
    path.parent.mkdir(parents=True)
    entries = [f'[[pairing]]\naccount = "u{n}"\nhash = "sha1:{n:040x}"\n' for n in range(999)]
    path.write_text("".join(entries) + f'[[pairing]]\naccount = "alice"\nhash = "{card.public_key_hash("sha1")}"\n')
    time.sleep(0.15)
    store = PairingStore(path)
    assert store.find_account(card) == "alice"
    for _ in range(100):
        assert store.find_account(card) == "alice"


def test_the_explanation_names_every_rule_in_order(store: PairingStore, card: CardCertificate) -> None:
    store.pair("alice", card.public_key_hash("sha1"))
    assert store.explain(card) == [
        LookupStep(f"pairing {card.public_key_hash('sha256')}", "no pairing"),
        LookupStep(f"pairing {card.public_key_hash('sha1')}", "alice"),
    ]


def test_the_machine_s_own_name_is_the_default(path: Path, card: CardCertificate) -> None:
    assert os.uname().nodename in refusal(PairingStore(path), card).text
