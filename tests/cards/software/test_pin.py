"""The tries of a software card's PIN and PUK, whatever happens to the process that uses them."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from sra.cards.software.file import CardFolder, StoredCode
from sra.cards.software.vault import change_pin, open_with_pin, unblock_pin
from sra.errors import (
    CardError,
    CardRemovedError,
    PinBlockedError,
    PinWrongError,
    PukBlockedError,
    PukWrongError,
    UsageError,
)

PIN, PUK, WRONG = b"123456", b"PUKPUKPU", b"654321"

TRY = """
import sys
from pathlib import Path
from sra.cards.software.file import CardFolder
from sra.cards.software.vault import open_with_pin

folder = CardFolder(Path(sys.argv[1]))
try:
    open_with_pin(folder, "ann", folder.read("ann").guid, sys.argv[2].encode())
except Exception as error:
    print(type(error).__name__, getattr(error, "attempts_remaining", 0))
"""


def try_pin(folder: CardFolder, pin: bytes) -> bytes:
    return open_with_pin(folder, "ann", folder.read("ann").guid, pin)


def unblock(folder: CardFolder, puk: bytes, new: bytes) -> None:
    unblock_pin(folder, "ann", folder.read("ann").guid, puk, new)


def change(folder: CardFolder, old: bytes, new: bytes) -> None:
    change_pin(folder, "ann", folder.read("ann").guid, old, new)


def tries(folder: CardFolder) -> int:
    return folder.read("ann").pin.tries


def start_try(folder: CardFolder, pin: bytes) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", TRY, str(folder.path), pin.decode()]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_the_pin_and_the_puk_open_the_same_secret(folder: CardFolder) -> None:
    secret = try_pin(folder, PIN)
    unblock(folder, PUK, b"777777")
    assert try_pin(folder, b"777777") == secret


def test_wrong_pins_are_counted_and_then_it_is_blocked(folder: CardFolder) -> None:
    for left in (2, 1):
        with pytest.raises(PinWrongError) as caught:
            try_pin(folder, WRONG)
        assert (caught.value.attempts_remaining, tries(folder)) == (left, left)
    with pytest.raises(PinBlockedError):
        try_pin(folder, WRONG)
    assert tries(folder) == 0


def test_a_blocked_pin_is_not_even_tried(folder: CardFolder) -> None:
    for _ in range(3):
        with pytest.raises(CardError):
            try_pin(folder, WRONG)
    with pytest.raises(PinBlockedError):
        try_pin(folder, PIN)
    assert tries(folder) == 0


def test_the_right_pin_gives_all_tries_back(folder: CardFolder) -> None:
    with pytest.raises(PinWrongError):
        try_pin(folder, WRONG)
    try_pin(folder, PIN)
    assert tries(folder) == 3


def test_a_killed_process_has_lost_its_try(folder: CardFolder) -> None:
    process = start_try(folder, PIN)
    while tries(folder) == 3:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert tries(folder) == 2


def test_wrong_pins_from_many_processes_are_all_counted(folder: CardFolder) -> None:
    processes = [start_try(folder, WRONG) for _ in range(5)]
    said = sorted(process.communicate()[0].strip() for process in processes)
    assert said == ["PinBlockedError 0"] * 3 + ["PinWrongError 1", "PinWrongError 2"]
    assert tries(folder) == 0


def test_right_pins_at_the_same_time_never_block(folder: CardFolder) -> None:
    with ThreadPoolExecutor(8) as threads:
        secrets = set(threads.map(lambda _: try_pin(folder, PIN), range(8)))
    assert len(secrets) == 1
    assert tries(folder) == 3


def test_another_card_under_the_same_name_gets_no_pin(folder: CardFolder) -> None:
    with pytest.raises(CardRemovedError, match="another one"):
        open_with_pin(folder, "ann", b"x" * 16, PIN)
    assert tries(folder) == 3


def test_a_blocked_pin_is_unblocked_with_the_puk(folder: CardFolder) -> None:
    for _ in range(3):
        with pytest.raises(CardError):
            try_pin(folder, WRONG)
    unblock(folder, PUK, b"777777")
    assert tries(folder) == 3
    try_pin(folder, b"777777")
    with pytest.raises(PinWrongError):
        try_pin(folder, PIN)


def test_a_wrong_puk_is_counted_apart_from_the_pin(folder: CardFolder) -> None:
    with pytest.raises(PukWrongError, match="2 tries are left"):
        unblock(folder, WRONG, b"777777")
    assert (folder.read("ann").puk.tries, tries(folder)) == (2, 3)
    unblock(folder, PUK, b"777777")
    assert folder.read("ann").puk.tries == 3


def test_a_blocked_puk_ends_it(folder: CardFolder) -> None:
    for _ in range(2):
        with pytest.raises(PukWrongError):
            unblock(folder, WRONG, b"777777")
    for puk in (WRONG, PUK):
        with pytest.raises(PukBlockedError, match="issuer"):
            unblock(folder, puk, b"777777")
    try_pin(folder, PIN)


def test_the_pin_is_changed_by_who_knows_it(folder: CardFolder) -> None:
    secret = try_pin(folder, PIN)
    change(folder, PIN, b"777777")
    assert try_pin(folder, b"777777") == secret
    with pytest.raises(PinWrongError):
        try_pin(folder, PIN)


def test_a_wrong_old_pin_costs_a_try_and_changes_nothing(folder: CardFolder) -> None:
    with pytest.raises(PinWrongError):
        change(folder, WRONG, b"777777")
    assert tries(folder) == 2
    try_pin(folder, PIN)


@pytest.mark.parametrize("new", [b"", b"12345", b"123456789"])
def test_what_can_be_no_pin_is_told_before_it_costs_a_try(folder: CardFolder, new: bytes) -> None:
    for action, code in ((change, WRONG), (unblock, WRONG)):
        with pytest.raises(UsageError, match="6 to 8"):
            action(folder, code, new)
    assert (tries(folder), folder.read("ann").puk.tries) == (3, 3)


def test_another_card_under_the_same_name_keeps_its_pin(folder: CardFolder) -> None:
    with pytest.raises(CardRemovedError, match="another one"):
        change_pin(folder, "ann", b"x" * 16, PIN, b"777777")
    with pytest.raises(CardRemovedError, match="another one"):
        unblock_pin(folder, "ann", b"x" * 16, PUK, b"777777")


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(76)])
def test_a_damaged_seal_opens_for_nobody(folder: CardFolder, sealed: bytes) -> None:
    with folder.locked():
        folder.replace("ann", msgspec.structs.replace(folder.read("ann"), pin=StoredCode(sealed)))
    with pytest.raises(PinWrongError):
        try_pin(folder, PIN)
