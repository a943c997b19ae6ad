"""The file of a software card."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.cards.software.backend import describe
from sra.cards.software.file import CardFolder
from sra.errors import CardError, CardRemovedError, UsageError

FULL_DISK = """
import sys
from pathlib import Path
from sra.cards.software.file import CardFolder
from sra.cards.software.vault import open_with_pin
from sra.errors import CardError

folder = CardFolder(Path(sys.argv[1]))
card = folder.read("ann")
try:
    with (folder.path / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(4096))
            filler.flush()
except OSError:
    pass
try:
    open_with_pin(folder, "ann", card.guid, b"123456")
except CardError as error:
    print(error)
assert folder.read("ann") == card
(folder.path / "filler").unlink()
open_with_pin(folder, "ann", card.guid, b"123456")
"""


def test_the_file_is_its_owners_alone(tmp_path: Path, master: Path) -> None:
    folder = CardFolder(tmp_path / "new" / "cards")
    folder.create("bob", CardFolder(master.parent).read("ann"))
    assert oct(folder.path.stat().st_mode & 0o777) == "0o700"
    assert oct((folder.path / "bob.softcard").stat().st_mode & 0o777) == "0o600"
    assert os.listdir(folder.path) == ["bob.softcard"]  # noqa: PTH208 - hidden files count too


def test_what_is_written_is_read(folder: CardFolder) -> None:
    card = msgspec.structs.replace(folder.read("ann"), guid=b"g" * 16)
    with folder.locked():
        folder.replace("ann", card)
    assert folder.read("ann") == card


def test_a_folder_that_is_not_there_has_no_cards(tmp_path: Path) -> None:
    assert CardFolder(tmp_path / "none").names() == []


def test_names_are_sorted_and_drafts_are_no_cards(folder: CardFolder) -> None:
    folder.create("Zoe", folder.read("ann"))
    (folder.path / ".ann.softcard.new").write_bytes(b"half a ca")
    (folder.path / "notes.txt").write_text("no card")
    assert folder.names() == ["Zoe", "ann"]


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "../ann", "a\0b", "ä", "a b", "a" * 65])
def test_names_that_could_be_other_files_are_refused(folder: CardFolder, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a software card"):
        folder.read(name)


def test_a_name_is_not_given_twice(folder: CardFolder) -> None:
    with pytest.raises(UsageError, match="already"):
        folder.create("ann", folder.read("ann"))


def test_a_card_that_is_not_there_is_told_apart(folder: CardFolder) -> None:
    with pytest.raises(CardRemovedError, match="sra softcard list"):
        folder.read("bob")
    with pytest.raises(CardRemovedError, match="sra softcard list"):
        folder.remove("bob")


def test_a_removed_card_is_gone_with_its_drafts(folder: CardFolder) -> None:
    (folder.path / ".ann.softcard.new").write_bytes(b"half a ca")
    (folder.path / ".ann.softcard.0123456789abcdef").write_bytes(b"half a ca")
    folder.remove("ann")
    assert os.listdir(folder.path) == []  # noqa: PTH208 - hidden files count too


def test_a_damaged_card_can_be_removed(folder: CardFolder) -> None:
    (folder.path / "ann.softcard").write_bytes(b"rubbish")
    folder.remove("ann")
    assert folder.names() == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_may_read_is_not_used(folder: CardFolder, mode: int) -> None:
    (folder.path / "ann.softcard").chmod(mode)
    with pytest.raises(CardError, match="chmod 600"):
        folder.read("ann")


def test_a_file_cut_short_anywhere_is_one_clear_error(folder: CardFolder) -> None:
    file = folder.path / "ann.softcard"
    whole = file.read_bytes()
    for length in [*range(60), *range(60, len(whole), 97), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(CardError, match="damaged; restore it, or remove it"):
            folder.read("ann")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[]", b"null", b"{}", b"\0" * 5000, b"[" * 100_000, b"x" * 2_000_000]
)
def test_rubbish_is_one_clear_error(folder: CardFolder, content: bytes) -> None:
    (folder.path / "ann.softcard").write_bytes(content)
    with pytest.raises(CardError, match="damaged; restore it, or remove it"):
        folder.read("ann")


@pytest.mark.parametrize(
    ("field", "value"),
    [("guid", "AAAA"), ("pin", {"sealed": "AAAA", "tries": 4}), ("puk", {"sealed": "AAAA", "tries": -1}), ("more", 1)],
)
def test_values_that_no_card_has_are_damage(folder: CardFolder, field: str, value: object) -> None:
    file = folder.path / "ann.softcard"
    file.write_bytes(msgspec.json.encode(msgspec.json.decode(file.read_bytes()) | {field: value}))
    with pytest.raises(CardError, match="damaged"):
        folder.read("ann")


def test_a_newer_version_is_not_called_damaged(folder: CardFolder) -> None:
    with folder.locked():
        folder.replace("ann", msgspec.structs.replace(folder.read("ann"), version=2))
    with pytest.raises(CardError, match="newer version"):
        folder.read("ann")


def test_a_folder_that_is_a_file_is_a_clear_error(folder: CardFolder) -> None:
    with pytest.raises(CardError, match="can't be used"):
        CardFolder(folder.path / "ann.softcard").create("bob", folder.read("ann"))


def test_a_link_that_looks_like_a_draft_is_not_followed(
    folder: CardFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    victim = tmp_path_factory.mktemp("other") / "victim"
    victim.write_text("precious")
    (folder.path / ".ann.softcard.new").symlink_to(victim)
    with folder.locked():
        folder.replace("ann", folder.read("ann"))
    folder.remove("ann")
    assert victim.read_text() == "precious"


def test_on_a_full_disk_nothing_is_lost_and_no_pin_is_checked(folder: CardFolder, tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    script = 'mount -t tmpfs -o size=64k tmpfs "$1" && chmod 700 "$1" && cp -p "$2" "$1" && exec "$3" -c "$4" "$1"'
    words = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"]
    card = folder.path / "ann.softcard"
    run = subprocess.run(
        [*words, mounted, card, sys.executable, FULL_DISK], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "No space left on device. Make room" in run.stdout
    assert run.stdout.endswith("The card is as it was.\n")


@given(st.data())
def test_whatever_is_in_the_file_the_worst_is_a_card_error(master: Path, data: st.DataObject) -> None:
    whole = bytearray(master.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ann.softcard"
        file.write_bytes(whole)
        file.chmod(0o600)
        with suppress(CardError):
            describe("ann", CardFolder(Path(folder)).read("ann"))
