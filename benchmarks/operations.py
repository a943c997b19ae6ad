"""The operations on the remote, over any PKCS#11 module: each is the real program, in a new process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.keys import KEY_ID, PIN, Credential, KeyKind
from benchmarks.measure import Cell, Meter, Once, Operation, timed
from benchmarks.world import ROOT, World, stop

MECHANISMS = {KeyKind.RSA_2048: "SHA256-RSA-PKCS", KeyKind.P256: "ECDSA"}
SIGNATURES_PER_RUN = 5
PAM_SERVICE = "sra-bench"
ACCOUNT = "nobody"

PAM_PKCS11 = """pam_pkcs11 {{
  nullok = false;
  debug = false;
  use_pkcs11_module = bench;
  pkcs11_module bench {{
    module = {module};
    slot_num = 0;
    support_threads = false;
    ca_dir = {folder}/ca;
    crl_dir = {folder}/ca;
    cert_policy = ca, signature;
  }}
  use_mappers = digest;
  mapper digest {{
    debug = false;
    module = internal;
    algorithm = "sha256";
    mapfile = file://{folder}/digests;
  }}
}}
"""


class Pkcs11Operations:
    """What programs do with the card that a PKCS#11 module shows.

    ``pin`` is what is typed on the remote; ``None`` if there is a PIN pad.
    """

    def __init__(self, world: World, meter: Meter, module: str, kind: KeyKind, pin: str | None = PIN) -> None:
        self._world = world
        self._meter = meter
        self._module = module
        self._kind = kind
        self._pin = pin

    def measure_all(self, card: Credential) -> list[Cell]:
        """List, login and sign, PAM login, steady signatures."""
        return [*self.measure_list(), *self.measure_pam(card), *self.measure_signatures()]

    def measure_signatures(self) -> list[Cell]:
        """Login and sign in a new process, and steady signatures."""
        return [*self.measure_sign(), *self.measure_steady()]

    def measure_list(self) -> list[Cell]:
        """``pkcs11-tool -O``."""
        return self._meter.measure(Operation.LIST, timed(lambda: self._tool("-O")))

    def measure_sign(self) -> list[Cell]:
        """``pkcs11-tool --login --sign`` in a new process."""
        message = ROOT / "message"
        message.write_bytes(bytes(32))
        login = ["--login"] if self._pin is None else ["--login", "--pin", self._pin]
        mechanism = ["--sign", "--mechanism", MECHANISMS[self._kind], "--id", KEY_ID]
        files = ["-i", str(message), "-o", str(ROOT / "signature")]
        return self._meter.measure(Operation.SIGN, timed(lambda: self._tool(*login, *mechanism, *files)))

    def measure_pam(self, card: Credential) -> list[Cell]:
        """``pamtester`` with pam_pkcs11."""
        write_pam_service(self._world, self._module, card)
        typed = "" if self._pin is None else self._pin + "\n"

        def log_in() -> None:
            self._world.call("pamtester", PAM_SERVICE, ACCOUNT, "authenticate", answer=typed)

        return self._meter.measure(Operation.PAM, timed(log_in))

    def measure_steady(self) -> list[Cell]:
        """Signatures in one session of one process."""
        command = (sys.executable, "-m", "benchmarks.pkcs11", self._module, self._pin or "", self._kind, KEY_ID)
        return measure_steady(self._meter, self._world.converse(*command))

    def _tool(self, *arguments: str) -> None:
        self._world.call("pkcs11-tool", "--module", self._module, *arguments)


def measure_steady(meter: Meter, signer: subprocess.Popen[str]) -> list[Cell]:
    """Have a process sign that says "ready" and then makes as many signatures as each line on its stdin says."""
    if read_line(signer) != "ready":
        raise RuntimeError("the signing process did not start")
    try:
        return meter.measure(Operation.STEADY, _signatures(signer), prepare=_rest, per=SIGNATURES_PER_RUN)
    finally:
        stop(signer)


def _rest() -> None:
    """Wait as long as ours wants between so many signatures: it refuses a remote that asks for over 50 a second."""
    time.sleep(0.1)


def median_signature(world: World, module: str, kind: KeyKind) -> float:
    """Milliseconds of a steady signature with a module, straight in this process's machine: the card's own time."""
    signer = world.converse(sys.executable, "-m", "benchmarks.pkcs11", module, PIN, kind, KEY_ID)
    read_line(signer)
    seconds = [_signatures(signer)() for _ in range(5)]
    stop(signer)
    return 1000 * statistics.median(seconds)


def _signatures(signer: subprocess.Popen[str]) -> Once:
    def once() -> float:
        seconds: list[float] = json.loads(tell(signer, str(SIGNATURES_PER_RUN)))
        return statistics.median(seconds)

    return once


def send(process: subprocess.Popen[str], line: str) -> None:
    """Send a line to a process."""
    if process.stdin is None:
        raise TypeError("the process has no stdin")
    process.stdin.write(line + "\n")
    process.stdin.flush()


def tell(process: subprocess.Popen[str], line: str) -> str:
    """Send a line to a process; its answer."""
    send(process, line)
    return read_line(process)


def told(process: subprocess.Popen[str], line: str) -> float:
    """Send a line to a process that answers with a number, or says on stderr why it can't."""
    answer = tell(process, line)
    if answer == "null":
        raise RuntimeError(f"{line!r} failed; the line before this traceback says why")
    return float(answer)


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line that a process writes."""
    if process.stdout is None:
        raise TypeError("the process has no stdout")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the process ended")
    return line.strip()


def write_pam_service(world: World, module: str, card: Credential) -> None:
    """Make a PAM service that authenticates ``ACCOUNT`` by the card's certificate, in this world's /etc/pam.d."""
    folder = ROOT / "pam"
    (folder / "ca").mkdir(parents=True, exist_ok=True)
    (folder / "ca" / "authority.pem").write_bytes(card.authority_pem())
    world.call("openssl", "rehash", str(folder / "ca"))
    (folder / "digests").write_text(f"# the benchmark's card\n{card.fingerprint().hex(':').upper()} -> {ACCOUNT}\n")
    configuration = folder / "pam_pkcs11.conf"
    configuration.write_text(PAM_PKCS11.format(module=module, folder=folder))
    Path("/etc/pam.d", PAM_SERVICE).write_text(f"auth required pam_pkcs11.so config_file={configuration}\n")
