"""A software card in the virtual reader of one host: pcscd, OpenSC and PAM take it for a card in a reader."""

import sys

import pytest

from lab.hosts import CHECKOUT, Host
from lab.processes import Process, wait_until

CARDS = "/root/cards"
PIN = "271828"
SERVICE = "sra-demo"


def make_card(host: Host, name: str, key: str = "RSA2048") -> str:
    """A software card; the certificate of its 9A key in PEM."""
    sra = CHECKOUT / ".venv" / "bin" / "sra"
    slot = ["--slot", f"9A={key}"]
    host.run([sra, "softcard", "create", name, "--cards-dir", CARDS, "--pin-fd", "0", *slot], input=f"{PIN}\n")
    return host.run([sra, "softcard", "certificate", name, "--cards-dir", CARDS, "--slot", "9A"]).stdout


def insert(host: Host, name: str, reader: int = 0) -> Process:
    program = CHECKOUT / "tests" / "cards" / "card_in_reader.py"
    where = ["--cards-dir", CARDS, "--name", name, "--socket", f"/run/sra/readers/{reader}"]
    card = host.start([sys.executable, program, *where])
    card.wait_for("inserted")
    return card


def cards_in_readers(host: Host) -> list[str]:
    """For each reader, what OpenSC says of a card in it: Yes or No."""
    lines = host.run(["opensc-tool", "--list-readers"]).stdout.splitlines()
    return [line.split()[1] for line in lines if line[:1].isdigit()]


def login(host: Host, account: str, pin: str = PIN) -> tuple[int, str]:
    tried = host.run(["pamtester", SERVICE, account, "authenticate"], input=f"{pin}\n", check=False)
    return tried.returncode, tried.stdout + tried.stderr


@pytest.mark.parametrize("readers", [1, 2])
def test_readers_are_there_without_a_card(remote: Host, readers: int) -> None:
    remote.pcscd(readers=readers)
    assert cards_in_readers(remote) == ["No"] * readers


def test_a_card_is_in_its_reader_until_it_is_taken_out(remote: Host) -> None:
    make_card(remote, "ann")
    remote.pcscd(readers=2)
    card = insert(remote, "ann", reader=1)
    wait_until(lambda: cards_in_readers(remote) == ["No", "Yes"], "the card", 2)
    card.terminate()
    assert card.wait() == 0
    wait_until(lambda: cards_in_readers(remote) == ["No", "No"], "its removal", 2)


def test_a_card_that_is_in_before_pcscd_starts_is_seen(remote: Host) -> None:
    make_card(remote, "ann")
    remote.run(["mkdir", "--parents", "/run/sra/readers"])
    insert(remote, "ann")
    remote.pcscd()
    wait_until(lambda: cards_in_readers(remote) == ["Yes", "No"], "the card", 2)


@pytest.mark.parametrize("key", ["RSA2048", "P256"])
def test_the_card_with_its_pin_logs_in_to_its_account_only(remote: Host, key: str) -> None:
    remote.add_account("ann", "a password that no test uses")
    remote.add_account("bob", "a password that no test uses")
    remote.configure_pam_pkcs11(SERVICE, "ann", make_card(remote, "ann", key))
    remote.pcscd()
    insert(remote, "ann")
    status, said = login(remote, "ann", pin="000000")
    assert (status, "Wrong smartcard PIN" in said) == (1, True)
    status, said = login(remote, "bob")
    assert (status, "No matching certificate" in said) == (1, True)
    status, said = login(remote, "ann")
    assert (status, "successfully authenticated" in said) == (0, True)


def test_another_card_does_not_log_in(remote: Host) -> None:
    remote.add_account("ann", "a password that no test uses")
    remote.configure_pam_pkcs11(SERVICE, "ann", make_card(remote, "ann"))
    make_card(remote, "bob")
    remote.pcscd()
    insert(remote, "bob")
    status, said = login(remote, "ann")
    assert (status, "No matching certificate" in said) == (1, True)


def test_without_a_card_nobody_logs_in(remote: Host) -> None:
    remote.add_account("ann", "a password that no test uses")
    remote.configure_pam_pkcs11(SERVICE, "ann", make_card(remote, "ann"))
    remote.pcscd()
    assert login(remote, "ann")[0] == 1
