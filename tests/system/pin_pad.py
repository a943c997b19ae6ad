"""A person at the terminal of ``sra connect``, and programs on the remote that want the PIN."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from lab.cards import MODULE
from lab.hosts import Host
from lab.processes import Process, wait_until
from lab.product import CARDS, PIN, SRA, Terminal, World

ACCOUNT = "ann"
PROGRAMS = {
    "pkcs11-tool": ("", ["pkcs11-tool", "--module", MODULE, "--login", "--list-objects", "--type", "privkey"]),
    "pamtester": ("", ["pamtester", "desk", ACCOUNT, "authenticate"]),
    "su": ("bob", ["su", ACCOUNT, "--command", "echo as $(id -un)"]),
    "sudo": (ACCOUNT, ["sudo", "--stdin", "sh", "-c", "echo as $(id -un)"]),
}
"""By name: who runs it, and the command."""
DONE = {"pkcs11-tool": "Private Key Object", "pamtester": "successfully", "su": "as ann", "sudo": "as root"}
ASKS = f"remote (account {ACCOUNT}) asks for your PIN"


def prepare(world: World, keys: list[str]) -> None:
    """The account with its card, and logins that take the card and nothing else."""
    certificate = world.add_person(ACCOUNT, keys)
    world.remote.add_account("bob", "a password that no test uses")
    for service in ("desk", "su", "sudo"):
        world.remote.configure_pam_pkcs11(service, ACCOUNT, certificate)
    world.remote.write(
        "/etc/sudoers.d/lab", f"{ACCOUNT} ALL=(ALL) ALL\nDefaults passwd_tries=1,timestamp_timeout=0\n", mode=0o440
    )


def start(remote: Host, name: str) -> Process:
    """Start a program that asks for the PIN."""
    user, command = PROGRAMS[name]
    return remote.start(["sh", "-c", 'exec "$@" 2>&1', "sh", *command], user=user or None)


class Pad:
    """The terminal, at which questions are answered in the order in which they come."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._read = 0

    @property
    def output(self) -> str:
        return self._terminal.process.output

    def wait_for(self, text: str, within: float = 10) -> str:
        """Return when this is shown after what was read before; what came with it."""
        wait_until(lambda: text in self.output[self._read :] or not self._terminal.process.is_running, text, within)
        assert text in self.output[self._read :], self.output
        before, _, _ = self.output[self._read :].partition(text)
        self._read += len(before) + len(text)
        return before

    def gives(self, question: str, pin: str) -> None:
        """Type the PIN, or nothing, when it is asked for in these words."""
        self.wait_for(question)
        self.wait_for("Enter alone refuses)")
        self.wait_for(": ")
        self._terminal.answer("", pin)

    def says(self, question: str, word: str) -> None:
        """Answer a question of yes or no that has this text."""
        self.wait_for(question)
        self.wait_for("[y/N] ")
        self._terminal.answer("", word)

    def end(self) -> None:
        self._terminal.process.terminate()
        self._terminal.process.wait()


@contextmanager
def at_pad(world: World, *options: str, pin: str = PIN) -> Iterator[Pad]:
    """The card is inserted by somebody at a terminal."""
    connecting = ["connect", "remote", "--card", f"software:{ACCOUNT}", "--cards-dir", CARDS]
    terminal = Terminal(world.admin, [SRA, *connecting, "--fingerprint", world.service.fingerprint, *options])
    pad = Pad(terminal)
    try:
        pad.gives("To connect to remote: PIN of", pin)
        pad.wait_for("The card is inserted")
        yield pad
    finally:
        pad.end()


def session(world: World, *words: str) -> str:
    """What ``sra session`` says on the admin's machine."""
    done = world.admin.run([SRA, "session", *words])
    return done.stdout + done.stderr


def records(host: Host, *options: str) -> list[dict[str, object]]:
    """A host's audit log, whose chain has to hold."""
    host.run([SRA, "audit", "verify", *options])
    shown = host.run([SRA, "audit", "show", "--json", *options]).stdout
    found: list[dict[str, object]] = json.loads(shown)
    return found
