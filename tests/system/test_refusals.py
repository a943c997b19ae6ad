"""Whoever is not let in reads on the screen why, in words that no other reason has: each reason, from end to end."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from lab import product
from lab.hosts import two_hosts
from lab.licenses import DAY, a_license, files_of
from lab.product import CARDS, PIN, SRA, Terminal, World
from sra.cards.software.file import CardFolder
from sra.cards.software.maker import CardHolder, CardOrder, make, new_puk, parse_subject, validity
from sra.piv.keys import Algorithm, Slot
from tests.chains import DAY as A_DAY
from tests.chains import NOW, Entry, Extensions, Key, card, root

TODAY = datetime.now(UTC)
DATES = (TODAY - 9 * A_DAY, TODAY + 9 * A_DAY)
ROOT = root(dates=DATES)
SETTINGS = 'accounts.deny = ["dan"]\n[policy]\ncertificates = "ca+revocation"\n'
LICENSED = files_of(a_license())
ENDED = int(time.time()) - 2 * DAY
OUTDATED = files_of(a_license(begins=ENDED - DAY, ends=ENDED))
PROMPT = "PIN of"


@dataclass(frozen=True)
class Case:
    """Somebody who is not let in: what is wrong with the card or the license, and what the screen says."""

    text: str
    name: str = "ann"
    license: Mapping[str, str] = field(default_factory=lambda: LICENSED)


CASES = {
    "unlicensed": Case(
        "remote has no license, so nobody can connect to it. "
        "Its administrator installs one there: sra license install FILE",
        license={},
    ),
    "the license has expired": Case(
        f"The license of remote expired on {datetime.fromtimestamp(ENDED, UTC).date()}. "
        "Its administrator installs a new one there: sra license install FILE",
        license=OUTDATED,
    ),
    "the card has expired": Case(
        f"The card's certificate expired on {(TODAY - A_DAY).date()}. Ask its issuer for a new one.", "eve"
    ),
    "the card is revoked": Case(
        f"The card's certificate was revoked on {(NOW - 5 * A_DAY).date()} (its key may be known to others). "
        "Use another card.",
        "rex",
    ),
    "of the wrong slot": Case(
        "The card's certificate is for card authentication (slot 9E), which works without a PIN, so it authenticates "
        "nobody. Use the card's 9A certificate.",
        "max",
    ),
    "unpaired": Case(
        "This card is not paired with an account on remote. As root, run there: sra pair ACCOUNT --hash {hash}", "uma"
    ),
    "denied by the owner": Case(
        "The account dan may not come in on remote. Its administrator can allow it.",
        "dan",
    ),
}


class People:
    """The cards of the cases, by whose they are, issued by the root; all are paired but one."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, CardFolder(folder)
        self.certificates: dict[str, x509.Certificate] = {}
        for name in ("ann", "dan", "rex", "uma"):
            self.add(name)
        self.add("eve", dates=(TODAY - 9 * A_DAY, TODAY - A_DAY))
        self.add("max", [(x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.16.840.1.101.3.6.8")]), False)])
        for name in ("ann", "dan", "rex", "eve", "max"):
            world.remote.run([SRA, "pair", name, "--hash", self.hash(name)])

    def hash(self, name: str) -> str:
        return card(self.certificates[name]).public_key_hash("sha256")

    def add(
        self, name: str, extensions: Extensions = (), dates: tuple[datetime, datetime] = (TODAY - A_DAY, TODAY + A_DAY)
    ) -> None:
        """An account and a software card of this name, whose 9A certificate is the root's."""
        self._world.remote.add_account(name, "a password that no test uses")
        order = CardOrder(
            {Slot.AUTHENTICATION: Algorithm.P256}, CardHolder(parse_subject(name)), None, validity(TODAY, 1)
        )
        made = make(order, PIN.encode(), new_puk())
        public = x509.load_der_x509_certificate(made.keys[0].certificate)
        issued = ROOT.issue(name, extensions, dates, cast("Key", public))  # all it needs is public_key()
        key = replace(made.keys[0], certificate=issued.public_bytes(Encoding.DER))
        self._folder.create(name, replace(made, keys=(key,)))
        text = (self._folder.path / f"{name}.softcard").read_text()
        self._world.admin.write(f"{CARDS}/{name}.softcard", text, mode=0o600)
        self.certificates[name] = issued


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with two_hosts() as (admin, remote):
        remote.write("/etc/sra/trust/root.pem", ROOT.certificate.public_bytes(Encoding.PEM).decode())
        admin.run(["mkdir", "--mode=0700", CARDS])
        yield product.remote_at_work(admin, remote, settings=SETTINGS)


@pytest.fixture(scope="module")
def people(world: World, tmp_path_factory: pytest.TempPathFactory) -> People:
    people = People(world, tmp_path_factory.mktemp("cards"))
    revoked = [Entry(people.certificates["rex"].serial_number, x509.ReasonFlags.key_compromise)]
    der = ROOT.revocation_list(revoked, dates=(TODAY - A_DAY, TODAY + A_DAY))
    text = base64.encodebytes(der).decode()
    world.remote.write("/etc/sra/trust/root.crl", f"-----BEGIN X509 CRL-----\n{text}-----END X509 CRL-----\n")
    return people


def screen(world: World, name: str) -> Terminal:
    """``sra connect`` with somebody's card, at a terminal."""
    command = [str(SRA), "connect", "remote", "--card", f"software:{name}", "--cards-dir", CARDS]
    return Terminal(world.admin, [*command, "--fingerprint", world.service.fingerprint])


def put_license(world: World, files: Mapping[str, str]) -> None:
    for folder in ("profiles", "trust/license.d"):
        world.remote.run(["rm", "-rf", f"/etc/sra/{folder}"])
    for path, text in files.items():
        world.remote.write(f"/{path}", text)


@pytest.mark.parametrize("what", CASES)
def test_the_admin_reads_on_the_screen_why_and_the_remotes_owner_in_the_log(
    world: World, people: People, what: str
) -> None:
    case = CASES[what]
    text = case.text.replace("{hash}", people.hash(case.name))
    put_license(world, case.license)
    terminal = screen(world, case.name)
    if case.license is LICENSED:
        terminal.answer(PROMPT, PIN)
    assert terminal.process.wait(20) == 3
    before, error, said = terminal.process.output.rpartition("sra: error: ")
    assert said.strip() == text
    assert before.count(error) == 0
    assert (PROMPT in before) is (case.license is LICENSED)
    assert f"refused: {text}" in world.service.process.output


def test_no_two_of_them_say_the_same() -> None:
    assert len({case.text for case in CASES.values()}) == len(CASES)


def test_with_nothing_wrong_the_same_admin_comes_in(world: World, people: People) -> None:
    put_license(world, LICENSED)
    terminal = screen(world, "ann")
    terminal.answer(PROMPT, PIN)
    terminal.process.wait_for("The card is inserted", 20)
    terminal.process.terminate()
