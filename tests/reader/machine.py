"""A machine with a pcscd of its own, in namespaces of its own, a fake card process and a PC/SC application."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
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


def next_good_card_works(machine: Machine, application: Application) -> None:
    card = machine.insert()
    application.wait(FIRST, present=True)
    application.ask("connect", FIRST)
    assert application.ask("transmit", FIRST, SELECT) == SELECT + "9000"
    application.ask("disconnect", FIRST)
    card.eject()
    application.wait(FIRST, present=False)
    assert machine.is_well, machine.log
