import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.remote.accounts import pairing_file
from sra.remote.accounts.pairing_file import (
    DamagedError,
    Pairing,
    Reading,
    check_account_name,
    parse_hash,
    with_added,
    without,
)

HASH = "sha256:" + "ab" * 32
OTHER = "sha1:" + "cd" * 20
ALICE = Pairing("alice", HASH, "CN=Alice", date(2026, 1, 2))
BOB = Pairing("bob", OTHER)
BY_HAND = f"""\
# Our cards.
[[pairing]]  # the boss
account = "alice"
hash = '{HASH.upper().replace("SHA256", "sha256")}'

# The one from the second floor.
[[pairing]]
account = 'bob'
hash = "{OTHER}"
""".encode()


def decode(data: bytes) -> tuple[Pairing, ...]:
    return pairing_file.decode(data).pairings


ACCOUNTS = st.from_regex(r"[a-z][a-z0-9._-]{0,31}", fullmatch=True)
HASHES = st.binary(min_size=32, max_size=32).map(lambda digest: f"sha256:{digest.hex()}")
PAIRINGS = st.builds(
    Pairing, ACCOUNTS, HASHES, st.text(st.characters(codec="utf-8"), max_size=50), st.none() | st.dates()
)


@pytest.mark.parametrize("name", ["alice", "a", "_srv", "A.b-c_d", "a" * 32, "0day"])
def test_these_can_be_accounts(name: str) -> None:
    check_account_name(name)


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "1000", "a" * 33, "a b", "a/b", "a\n", "é", "a:b", "../a", "a$(id)", "a\0"]
)
def test_these_can_not(name: str) -> None:
    with pytest.raises(UsageError, match="can't be an account"):
        check_account_name(name)


@pytest.mark.parametrize("text", [HASH, HASH.upper(), f" {HASH}\n", HASH.removeprefix("sha256:")])
def test_a_hash_has_one_form(text: str) -> None:
    assert parse_hash(text) == HASH


def test_a_bare_hash_is_known_by_its_length() -> None:
    assert parse_hash("CD" * 20) == OTHER


@pytest.mark.parametrize(
    "text", ["", "sha1:" + "ab" * 32, "sha256:" + "ab" * 20, "md5:" + "ab" * 16, "ab" * 19, "zz" * 20, "sha1:"]
)
def test_anything_else_is_no_hash(text: str) -> None:
    with pytest.raises(UsageError, match="sha256:HEX or sha1:HEX"):
        parse_hash(text)


def test_a_file_that_somebody_wrote_by_hand_is_read() -> None:
    assert decode(BY_HAND) == (Pairing("alice", HASH), BOB)


@pytest.mark.parametrize("data", [b"", b"# nothing yet\n", b"pairing = []\n"])
def test_an_empty_file_pairs_nobody(data: bytes) -> None:
    assert decode(data) == ()


def test_a_new_file_explains_itself() -> None:
    new = with_added(None, ALICE)
    assert new.startswith(b"# Which card opens which account.")
    assert b"sra pair ACCOUNT" in new
    assert decode(new) == (ALICE,)


def test_what_people_wrote_survives_every_change() -> None:
    carol = Pairing("carol", "sha1:" + "ef" * 20)
    changed = without(with_added(BY_HAND, carol), [1])
    assert changed.startswith(BY_HAND[: BY_HAND.index(b"\n# The one")])
    assert decode(changed) == (Pairing("alice", HASH), carol)


def test_after_the_last_pairing_is_gone_there_can_be_a_new_first_one() -> None:
    empty = without(with_added(None, ALICE), [0])
    assert empty == with_added(None, ALICE)[: len(empty)]
    assert with_added(empty, ALICE) == with_added(None, ALICE)
    assert decode(with_added(b"# mine\npairing = []\n", ALICE)) == (ALICE,)


def test_entries_are_told_apart_by_an_empty_line() -> None:
    assert b"\n\n[[pairing]]" in with_added(with_added(None, ALICE), BOB)


def test_an_inline_list_is_read_but_not_broken_by_a_change() -> None:
    inline = f'pairing = [{{account = "alice", hash = "{HASH}"}}]\n'.encode()
    assert decode(inline) == (Pairing("alice", HASH),)
    with pytest.raises(DamagedError, match="Edit it by hand"):
        with_added(inline, BOB)
    assert decode(without(inline, [0])) == ()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("account = 'x'\nhash = 'zz'", "line 10: “zz” is not a hash"),
        ("account = 'a b'\nhash = '" + OTHER + "'", "line 10: “a b” can't be an account"),
        ("account = 'x'", "line 10: .*missing required field `hash`"),
        ("account = 7\nhash = '" + OTHER + "'", "line 10: Expected `str`, got `int`"),
        ("account = 'x'\nhash = '" + OTHER + "'\nadmin = true", "line 10: .*unknown field `admin`"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_stops_no_other(entry: str, problem: str) -> None:
    reading = pairing_file.decode(BY_HAND + f"[[pairing]]\n{entry}\n".encode())
    assert reading.pairings == (Pairing("alice", HASH), BOB)
    (said,) = reading.problems
    assert re.match(problem, said)
    assert "This pairing opens nothing" in said


@pytest.mark.parametrize(
    ("entry", "problem"),
    [("account = x", r"not TOML: .*line 11"), ("account = 'x'\naccount = 'y'", r"not TOML: .*line 12")],
)
def test_what_is_no_toml_is_named_with_its_line(entry: str, problem: str) -> None:
    with pytest.raises(DamagedError, match=problem) as caught:
        decode(BY_HAND + f"[[pairing]]\n{entry}\n".encode())
    assert "nobody gets in" in str(caught.value)


def test_what_is_no_pairing_at_all_stops_no_other() -> None:
    assert pairing_file.decode(b"pairing = [1]") == Reading(
        (pairing_file.BadEntry("Expected `object`, got `int`. This pairing opens nothing: correct it, or remove it."),)
    )


@pytest.mark.parametrize("data", [b"pairings = []", b"pairing = 1", b"[pairing]\nx=1", b"\xff", b"\0", b"[" * 5000])
def test_a_file_that_is_something_else_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        decode(data)


def test_a_damaged_file_is_not_changed() -> None:
    with pytest.raises(DamagedError):
        with_added(b"pairing = 1", ALICE)
    with pytest.raises(DamagedError):
        without(b"pairing = 1", [0])


@given(st.lists(PAIRINGS, max_size=5), st.data())
def test_what_is_added_is_there_and_what_is_removed_is_gone(pairings: list[Pairing], data: st.DataObject) -> None:
    text: bytes | None = None
    for pairing in pairings:
        text = with_added(text, pairing)
    assert decode(text or b"") == tuple(pairings)
    gone = data.draw(st.sets(st.integers(0, len(pairings) - 1)) if pairings else st.just(set[int]()))
    if text is not None:
        kept = tuple(each for at, each in enumerate(pairings) if at not in gone)
        assert decode(without(text, sorted(gone))) == kept
        assert decode(with_added(without(text, sorted(gone)), ALICE)) == (*kept, ALICE)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_pairings_or_a_clear_error(data: bytes) -> None:
    try:
        decode(data)
    except DamagedError as error:
        assert "nobody gets in" in str(error)  # noqa: PT017 - both outcomes are right


@given(st.integers(0, len(BY_HAND) - 1), st.integers(0, 255))
def test_a_file_with_any_byte_changed_is_read_or_damaged(position: int, value: int) -> None:
    damaged = bytearray(BY_HAND)
    damaged[position] = value
    try:
        reading = pairing_file.decode(bytes(damaged))
        assert reading.pairings or reading.problems
    except DamagedError as error:
        assert "nobody gets in" in str(error)  # noqa: PT017 - both outcomes are right
