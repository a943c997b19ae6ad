"""A pcscd of one's own, with virtual readers, that nothing else on the machine sees."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DRIVER = CHECKOUT / "reader" / "build" / "libifdvirtualserial.so"

START_LIMIT = 10.0
"""Seconds that pcscd gets to open its socket, on a machine that does a lot besides."""

READER = """\
FRIENDLYNAME "Reader {number}"
DEVICENAME /dev/null:{socket}
LIBPATH {driver}
CHANNELID {number}
"""


def build_driver() -> Path:
    """The virtual reader's driver, made if need be; one process at a time."""
    with (CHECKOUT / "reader" / "Makefile").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "--silent", "-C", CHECKOUT / "reader"], check=True)
    return DRIVER


class PrivatePcscd:
    """A pcscd and its folder. ``environment`` leads PC/SC's clients to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def environment(self) -> dict[str, str]:
        return {"PCSCLITE_CSOCK_NAME": str(self._folder / "run" / "pcscd" / "pcscd.comm")}

    def socket(self, number: int) -> Path:
        """Where the card of a reader has to listen."""
        return self._folder / "readers" / str(number)

    def name(self, number: int) -> str:
        """What pcscd calls a reader."""
        return f"Reader {number} {number:02X} 00"

    def start(self, readers: int) -> subprocess.Popen[bytes]:
        """Start it, with a ``/run`` and a network of its own, where we are root; it ends with whoever started it."""
        for name in ("run/pcscd", "readers", "conf"):
            (self._folder / name).mkdir(parents=True)
        driver = build_driver()
        described = (READER.format(number=n, socket=self.socket(n), driver=driver) for n in range(readers))
        (self._folder / "conf" / "readers").write_text("\n".join(described))
        script = 'mount --bind "$1" /run && exec setpriv --pdeathsig KILL pcscd --foreground --config "$2"'
        words = ["unshare", "--map-root-user", "--mount", "--net", "sh", "-c", script, "sh"]
        folders = [str(self._folder / name) for name in ("run", "conf")]
        with (self._folder / "log").open("wb") as log:
            return subprocess.Popen([*words, *folders], stdout=log, stderr=log)

    def wait_started(self) -> None:
        """Return when it can be reached."""
        deadline = time.monotonic() + START_LIMIT
        while not Path(self.environment["PCSCLITE_CSOCK_NAME"]).exists():
            if time.monotonic() > deadline:
                raise TimeoutError((self._folder / "log").read_text())
            time.sleep(0.01)


@contextmanager
def private_pcscd(readers: int) -> Iterator[PrivatePcscd]:
    """A pcscd with so many empty readers; its folder is short enough for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="sra-pcscd-") as folder:
        pcscd = PrivatePcscd(Path(folder))
        process = pcscd.start(readers)
        try:
            pcscd.wait_started()
            yield pcscd
        finally:
            process.terminate()
            process.wait()


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """This process's environment with ``values``."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
