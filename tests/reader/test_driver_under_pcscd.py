"""The driver inside a real pcscd, with a fake card process on one side and a real PC/SC application on the other.

Each test has a pcscd of its own, in namespaces of its own: nothing of the machine is touched, and nothing is left.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

READER = Path(__file__).parents[2] / "reader"
HERE = Path(__file__).parent
ATR = "3b8d800180fba000000308000010000100cd"

FIRST, SECOND = "Secure Remote Access 00 00", "Secure Remote Access 01 00"
VERIFY_PIN_DIRECT, IFD_PIN_PROPERTIES = 0x06, 0x0A
CARD_USER = 65534

E_TIMEOUT, E_NOT_TRANSACTED, E_NO_SMARTCARD = 0x8010000A, 0x80100016, 0x8010000C
W_REMOVED_CARD, E_UNSUPPORTED_FEATURE = 0x80100069, 0x8010001F
CARD_IS_GONE = (E_NO_SMARTCARD, W_REMOVED_CARD, E_NOT_TRANSACTED)

SELECT = "00a404000ba000000308000010000100"


class PcscError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def read_line(stream: IO[str] | None) -> dict[str, Any]:
    assert stream is not None
    line = stream.readline()
    assert line, "the helper has ended"
    answer: dict[str, Any] = json.loads(line)
    return answer


class Card:
    """A fake card process."""

    def __init__(self, socket: Path, behaviour: str, flags: int, user: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "reader_fake_card.py", socket, behaviour, str(flags)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            user=user,
            group=user,
            extra_groups=[],
        )
        self.inserted_at = int(self.next("inserted")["at"])

    def next(self, event: str) -> dict[str, Any]:
        """The next event of this kind; those before it are skipped."""
        while (told := read_line(self.process.stdout))["event"] != event:
            pass
        return told

    def eject(self) -> int:
        """Take the card out; the time at which that happened."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        at = int(self.next("ejected")["at"])
        assert self.process.wait(10) == 0
        return at

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


class Application:
    """A program that uses smart cards."""

    def __init__(self, pcscd_socket: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "reader_pcsc_client.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PCSCLITE_CSOCK_NAME": str(pcscd_socket)},
        )

    def ask(self, verb: str, *arguments: object) -> Any:
        self.send(verb, *arguments)
        return self.receive()

    def send(self, verb: str, *arguments: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self.process.stdin.flush()

    def receive(self) -> Any:
        told = read_line(self.process.stdout)
        if "code" in told:
            raise PcscError(told["code"], told["text"])
        return told["answer"]

    def wait(self, reader: str, *, present: bool, seconds: float = 5) -> int:
        return int(self.ask("wait", reader, present, seconds))

    def stays_empty(self, reader: str, seconds: float) -> bool:
        with pytest.raises(PcscError) as caught:
            self.wait(reader, present=True, seconds=seconds)
        return caught.value.code == E_TIMEOUT


class Machine:
    """A pcscd with the driver, whose /run is a folder of ours."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = root / "run"
        self.readers = self.run / "sra" / "readers"
        self.helpers: list[subprocess.Popen[str]] = []
        self.pcscd: subprocess.Popen[bytes] | None = None
        root.chmod(0o755)
        for folder in (self.run / "pcscd", root / "conf", self.run / "sra"):
            folder.mkdir(parents=True)
        library = str(READER / "build" / "libifdvirtualserial.so")
        template = (READER / "reader.conf.in").read_text()
        (root / "conf" / "sra").write_text(template.replace("@LIBPATH@", library).replace("@RUN@", "/run/sra"))
        self.make_folder()

    def make_folder(self, owner: int = CARD_USER, mode: int = 0o755) -> None:
        self.readers.mkdir()
        os.chown(self.readers, owner, owner)
        self.readers.chmod(mode)

    def start_pcscd(self) -> None:
        script = 'mount --bind "$1/run" /run && ip link set lo up && exec pcscd --foreground --info -c "$1/conf"'
        with (self.root / "log").open("wb") as log:
            self.pcscd = subprocess.Popen(
                ["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", script, "sh", str(self.root)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 10
        while "daemon ready" not in self.log:
            assert self.pcscd.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.01)

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    @property
    def is_well(self) -> bool:
        return self.pcscd is not None and self.pcscd.poll() is None

    def application(self) -> Application:
        application = Application(self.run / "pcscd" / "pcscd.comm")
        self.helpers.append(application.process)
        return application

    def insert(self, behaviour: str = "good", *, number: int = 0, flags: int = 1, user: int = CARD_USER) -> Card:
        card = Card(self.readers / str(number), behaviour, flags, user)
        self.helpers.append(card.process)
        return card

    def clean_up(self) -> None:
        for helper in self.helpers:
            helper.kill()
            helper.wait(10)
            for stream in (helper.stdin, helper.stdout):
                if stream is not None:
                    stream.close()
        if self.pcscd is not None and self.pcscd.poll() is None:
            os.killpg(self.pcscd.pid, signal.SIGKILL)
            self.pcscd.wait(10)
        shutil.rmtree(self.root)


@pytest.fixture(scope="module")
def _driver() -> None:
    # One make at a time, in however many processes the tests run.
    subprocess.run(["flock", READER, "make", "-s", "-C", READER, "all"], check=True)


@pytest.fixture
def idle_machine(_driver: None) -> Iterator[Machine]:
    # Not below pytest's folder: the path of a UNIX socket has 107 bytes.
    machine = Machine(Path(tempfile.mkdtemp(prefix="sra-reader-", dir="/tmp")))
    try:
        yield machine
    finally:
        machine.clean_up()


@pytest.fixture
def machine(idle_machine: Machine) -> Machine:
    idle_machine.start_pcscd()
    return idle_machine


@pytest.fixture
def application(machine: Machine) -> Application:
    return machine.application()


def next_good_card_works(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"
    application.ask("disconnect", FIRST)
    card.eject()
    application.wait(FIRST, present=False)
    assert machine.is_well, machine.log


def test_there_are_two_readers_and_both_are_empty(application: Application) -> None:
    assert application.ask("readers") == [FIRST, SECOND]
    for reader in (FIRST, SECOND):
        assert application.ask("state", reader) == {"present": False, "atr": ""}


def test_a_card_is_inserted_used_and_removed(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    assert application.ask("state", FIRST) == {"present": True, "atr": ATR}
    assert application.ask("connect", FIRST) == 2  # SCARD_PROTOCOL_T1
    card.next("power on")
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"
    assert card.next("apdu")["command"] == SELECT
    card.eject()
    application.wait(FIRST, present=False)
    with pytest.raises(PcscError) as caught:
        application.ask("transmit", FIRST, SELECT)
    assert caught.value.code in CARD_IS_GONE


def test_insertion_and_removal_are_seen_at_once(machine: Machine, application: Application) -> None:
    insertions, removals = [], []
    for _ in range(15):
        application.send("wait", FIRST, True, 5)
        time.sleep(0.05)
        card = machine.insert()
        insertions.append((int(application.receive()) - card.inserted_at) / 1e6)
        application.send("wait", FIRST, False, 5)
        time.sleep(0.05)
        ejected = card.eject()
        removals.append((int(application.receive()) - ejected) / 1e6)
    insertion, removal = statistics.median(insertions), statistics.median(removals)
    sys.stdout.write(f"insertion {insertion:.2f} ms (at most {max(insertions):.2f}), ")
    sys.stdout.write(f"removal {removal:.2f} ms (at most {max(removals):.2f})\n")
    # Without events it would be 200 ms; the rest is room for a machine that has other things to do.
    assert insertion < 20
    assert removal < 20


def test_a_card_that_was_in_before_pcscd_started_is_found_at_once(idle_machine: Machine) -> None:
    idle_machine.insert()
    idle_machine.start_pcscd()
    application = idle_machine.application()
    assert application.ask("state", FIRST) == {"present": True, "atr": ATR}


# 65,529: its answer is the command and a status word, 65,538 bytes, and no response is longer than that.
@pytest.mark.parametrize("length", [255, 4096, 65_529])
def test_extended_apdus(machine: Machine, application: Application, length: int) -> None:
    machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    command = "00cb3fff00" + length.to_bytes(2, "big").hex() + "a5" * length
    assert application.ask("transmit", FIRST, command) == command + "9000"


def test_an_answer_in_pieces(machine: Machine, application: Application) -> None:
    machine.insert("pieces")
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"


def test_a_pin_pad_is_offered_and_its_question_reaches_the_card(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    features = {int(tag): code for tag, code in application.ask("features", FIRST).items()}
    assert set(features) == {VERIFY_PIN_DIRECT, IFD_PIN_PROPERTIES}
    assert len(bytes.fromhex(application.ask("control", FIRST, features[IFD_PIN_PROPERTIES], ""))) == 4
    structure = "1e1e8247000804020109040000000000" + "0d000000" + "0020008008ffffffffffffffff"
    expected = f"ffc20106{len(structure) // 2:02x}" + structure
    assert application.ask("control", FIRST, features[VERIFY_PIN_DIRECT], structure) == expected + "9000"
    assert card.next("apdu")["command"] == expected


def test_no_pin_pad_is_offered_without_the_flag(machine: Machine, application: Application) -> None:
    machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    code = application.ask("features", FIRST)[str(VERIFY_PIN_DIRECT)]
    machine.insert(number=1, flags=0)
    application.wait(SECOND, present=True)
    application.ask("connect", SECOND)
    assert application.ask("features", SECOND) == {}
    with pytest.raises(PcscError) as caught:
        application.ask("control", SECOND, code, "00" * 32)
    assert caught.value.code == E_UNSUPPORTED_FEATURE


def test_an_empty_reader_offers_the_pin_pad_to_a_program_that_asks_once(application: Application) -> None:
    application.ask("connect_to_reader", FIRST)
    assert str(VERIFY_PIN_DIRECT) in application.ask("features", FIRST)


def test_a_card_process_that_is_killed_leaves_an_empty_reader(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    card.kill()
    application.wait(FIRST, present=False)
    with pytest.raises(PcscError) as caught:
        application.ask("transmit", FIRST, SELECT)
    assert caught.value.code in CARD_IS_GONE
    assert (machine.readers / "0").exists()
    assert application.stays_empty(FIRST, 1.5)
    next_good_card_works(machine, application)


def test_a_card_process_that_is_killed_in_the_middle_of_an_answer(machine: Machine, application: Application) -> None:
    card = machine.insert("hang")
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    application.send("transmit", FIRST, SELECT)
    card.next("apdu")
    killed = time.monotonic()
    card.kill()
    with pytest.raises(PcscError):
        application.receive()
    assert time.monotonic() - killed < 1
    application.wait(FIRST, present=False)
    next_good_card_works(machine, application)


def test_a_card_process_that_hangs_is_out_after_three_seconds(machine: Machine, application: Application) -> None:
    card = machine.insert("hang")
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    begin = time.monotonic()
    with pytest.raises(PcscError) as caught:
        application.ask("transmit", FIRST, SELECT)
    assert caught.value.code == E_NOT_TRANSACTED
    assert 2.9 < time.monotonic() - begin < 4
    application.wait(FIRST, present=False, seconds=0.5)
    card.kill()
    next_good_card_works(machine, application)


def test_wait_extends_the_time_for_an_answer(machine: Machine, application: Application) -> None:
    machine.insert("wait")
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    begin = time.monotonic()
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"
    assert time.monotonic() - begin > 3.5


@pytest.mark.parametrize("behaviour", ["garbage", "oversized", "empty", "other-kind", "truncated", "flood"])
def test_a_wrong_answer_empties_the_reader(machine: Machine, application: Application, behaviour: str) -> None:
    card = machine.insert(behaviour)
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    with pytest.raises(PcscError):
        application.ask("transmit", FIRST, SELECT)
    application.wait(FIRST, present=False, seconds=0.5)
    card.kill()
    next_good_card_works(machine, application)


@pytest.mark.parametrize(
    "behaviour",
    ["silent", "garbage-greeting", "truncated-greeting", "oversized-greeting", "huge-greeting", "new-version"],
)
def test_without_a_valid_greeting_there_is_no_card(machine: Machine, application: Application, behaviour: str) -> None:
    card = machine.insert(behaviour)
    assert application.stays_empty(FIRST, 2.5)
    card.kill()
    next_good_card_works(machine, application)


def test_a_card_process_of_another_user_is_refused(idle_machine: Machine) -> None:
    idle_machine.insert()
    os.chown(idle_machine.readers, CARD_USER - 1, CARD_USER - 1)
    idle_machine.start_pcscd()
    application = idle_machine.application()
    assert application.stays_empty(FIRST, 1.5)
    assert "another user" in idle_machine.log
    os.chown(idle_machine.readers, CARD_USER, CARD_USER)
    application.wait(FIRST, present=True)


def test_a_card_process_of_root_is_taken(machine: Machine, application: Application) -> None:
    machine.insert(user=0)
    application.wait(FIRST, present=True)


def test_a_folder_that_others_may_write_in_is_refused(machine: Machine, application: Application) -> None:
    machine.readers.chmod(0o777)
    machine.insert()
    assert application.stays_empty(FIRST, 1.5)
    machine.readers.chmod(0o755)
    application.wait(FIRST, present=True)


def test_a_folder_that_is_made_later(machine: Machine, application: Application) -> None:
    shutil.rmtree(machine.run / "sra")
    assert application.stays_empty(FIRST, 0.5)
    for _ in range(2):
        (machine.run / "sra").mkdir()
        machine.make_folder()
        next_good_card_works(machine, application)
        shutil.rmtree(machine.run / "sra")


def test_a_card_that_nobody_uses_is_powered_down_and_up_again(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    time.sleep(6)  # longer than pcscd's time of grace, which doesn't run while a program has the card
    application.ask("disconnect", FIRST)
    left = time.monotonic_ns()
    off = int(card.next("power off")["at"])
    assert 4 < (off - left) / 1e9 < 8
    assert application.ask("state", FIRST)["present"]
    application.ask("connect", FIRST)
    card.next("power on")
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"


def test_two_readers_are_independent(machine: Machine, application: Application) -> None:
    machine.insert("hang")
    good = machine.insert(number=1)
    application.wait(FIRST, present=True)
    application.wait(SECOND, present=True)
    other_application = machine.application()
    application.ask("connect", FIRST)
    other_application.ask("connect", SECOND)
    application.send("transmit", FIRST, SELECT)
    begin = time.monotonic()
    for _ in range(10):
        assert other_application.ask("transmit", SECOND, SELECT) == SELECT + "9000"
    assert time.monotonic() - begin < 1
    with pytest.raises(PcscError):
        application.receive()
    application.wait(FIRST, present=False)
    good.eject()
    application.wait(SECOND, present=False)


def test_pcscd_stops_when_it_is_told_to(machine: Machine, application: Application) -> None:
    machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    assert machine.pcscd is not None
    machine.pcscd.terminate()
    assert machine.pcscd.wait(3) == 0
