"""OpenSSH: its first connection, and signatures through a forwarded agent that holds a software key."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.keys import KeyKind
from benchmarks.links import start_proxy
from benchmarks.measure import Cell, Meter, Operation, Plan, Results, timed
from benchmarks.operations import measure_steady
from benchmarks.world import ROOT, World

NAME = "ssh"
FOLDER = ROOT / "ssh"
PORT, FRONT_PORT = 2200, 2201
AGENT, FORWARDED, MASTER = FOLDER / "agent", FOLDER / "forwarded", FOLDER / "master"
KEY_TYPES = {KeyKind.RSA_2048: ("-t", "rsa", "-b", "2048"), KeyKind.P256: ("-t", "ecdsa", "-b", "256")}

SERVER = f"""Port {PORT}
ListenAddress 127.0.0.1
HostKey {FOLDER}/host
PidFile {FOLDER}/pid
AuthorizedKeysFile {FOLDER}/authorized_keys
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
"""

CLIENT = f"""Host remote
  HostName 127.0.0.1
  Port {FRONT_PORT}
  User root
  IdentityFile {FOLDER}/user
  IdentitiesOnly yes
  BatchMode yes
  GSSAPIAuthentication no
  StrictHostKeyChecking accept-new
  UserKnownHostsFile {FOLDER}/known_hosts
"""

KEEP_AGENT = f"ln -sf $SSH_AUTH_SOCK {FORWARDED}; echo ready; exec sleep 86400"
"""What runs on the remote, so that the forwarded agent has a name that is known."""


def measure(world: World, plan: Plan, kind: KeyKind) -> Results:
    """The connection (with RSA), and signatures through the forwarded agent."""
    _prepare(world, kind)
    meter = Meter(plan, NAME, kind, start_proxy(world, f"tcp:127.0.0.1:{FRONT_PORT}", f"tcp:127.0.0.1:{PORT}"))
    cells = _measure_connect(world, meter) if kind is KeyKind.RSA_2048 else []
    return Results((*cells, *_measure_agent(world, meter)))


def _prepare(world: World, kind: KeyKind) -> None:
    FOLDER.mkdir()
    Path("/run/sshd").mkdir()
    world.call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(FOLDER / "host"))
    world.call("ssh-keygen", "-q", *KEY_TYPES[kind], "-N", "", "-f", str(FOLDER / "user"))
    shutil.copy(FOLDER / "user.pub", FOLDER / "authorized_keys")
    (FOLDER / "server").write_text(SERVER)
    (FOLDER / "client").write_text(CLIENT)
    world.start("/usr/sbin/sshd", "-D", "-e", "-f", str(FOLDER / "server"), ready=(FOLDER / "pid").exists)


def _measure_connect(world: World, meter: Meter) -> list[Cell]:
    """To a host that is not known yet, up to the point where it is authenticated (``ssh -fN`` returns then)."""

    def connect() -> None:
        world.call(*_ssh("-M", "-S", str(MASTER), "-fN", "remote"))

    def forget() -> None:
        (FOLDER / "known_hosts").unlink(missing_ok=True)
        if MASTER.exists():
            world.call(*_ssh("-S", str(MASTER), "-O", "exit", "remote"))
            world.wait_until(lambda: not MASTER.exists(), "the end of the ssh connection")

    def run_command() -> None:
        world.call(*_ssh("remote", "true"))

    cells = meter.measure(Operation.CONNECT, timed(connect), prepare=forget)
    return [*cells, *meter.measure(Operation.COMMAND, timed(run_command), prepare=forget)]


def _measure_agent(world: World, meter: Meter) -> list[Cell]:
    world.start("ssh-agent", "-D", "-a", str(AGENT), ready=AGENT.exists)
    world.environment["SSH_AUTH_SOCK"] = str(AGENT)
    world.call("ssh-add", "-q", str(FOLDER / "user"))
    world.start(*_ssh("-A", "remote", KEEP_AGENT), ready=FORWARDED.exists)
    world.environment["SSH_AUTH_SOCK"] = str(FORWARDED)
    message = FOLDER / "message"
    message.write_bytes(bytes(32))

    def sign() -> None:
        (FOLDER / "message.sig").unlink(missing_ok=True)
        world.call("ssh-keygen", "-q", "-Y", "sign", "-f", str(FOLDER / "user.pub"), "-n", "bench", str(message))

    (FOLDER / "user").unlink()
    return [
        *meter.measure(Operation.SIGN, timed(sign)),
        *measure_steady(meter, world.converse(sys.executable, "-m", "benchmarks.agent")),
    ]


def _ssh(*arguments: str) -> tuple[str, ...]:
    return ("ssh", "-F", str(FOLDER / "client"), *arguments)
