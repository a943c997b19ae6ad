"""Remotes that were let in and then abuse the card: slowed down, shut out, and left without a single try of the PIN."""

import json
import time
from collections.abc import Iterator

import pytest

from lab import product
from lab.hosts import CHECKOUT, Host, two_hosts
from lab.processes import Process
from lab.product import CARDS, PYTHON, Service, make_card, tries_left
from tests.system.pin_pad import records

PORT = 5116
FOLDER = "/root/hostile"
MAX_RATE = 50


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as (admin, remote):
        make_card(admin, "ann", ["9A=P256"])
        remote.run(["mkdir", FOLDER])
        request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", f"{FOLDER}/key.pem", "-out", f"{FOLDER}/certificate.pem"]
        remote.run(["openssl", *request, "-subj", "/CN=h", *files, "-days", "3"])
        yield admin, remote


def lure(pair: tuple[Host, Host], how: str, *options: str, entry: str = "pad") -> tuple[Process, Process]:
    """The hostile remote, and the ``sra connect`` of an admin who has fallen for it and says yes to everything."""
    admin, remote = pair
    shown = ["openssl", "x509", "-in", f"{FOLDER}/certificate.pem", "-noout", "-fingerprint", "-sha256"]
    fingerprint = remote.run(shown).stdout.partition("=")[2].strip()
    hostile = remote.start([PYTHON, "-m", "tests.system.hostile_asker", FOLDER, str(PORT), how], folder=CHECKOUT)
    hostile.wait_for("waiting")
    trusted = Service(hostile, fingerprint)
    card, to = "software:ann", f"remote:{PORT}"
    return hostile, product.connect(admin, trusted, card, *options, to=to, entry=entry)


def told(hostile: Process) -> dict[str, str]:
    lines = [json.loads(line) for line in hostile.output.splitlines() if line.startswith("{")]
    return {line["attempt"]: line["outcome"] for line in lines}


def events(pair: tuple[Host, Host]) -> list[object]:
    """What the admin's log, which is whole, tells since the last connection."""
    names = [record["event"] for record in records(pair[0])]
    return names[len(names) - names[::-1].index("connected") :]


def test_a_thousand_questions_get_fifty_answers_a_second(pair: tuple[Host, Host]) -> None:
    hostile, admin = lure(pair, "thousand", "--no-reconnect")
    assert hostile.wait() == 0, hostile.output
    admin.wait()
    said = told(hostile)
    print(f"{said['done']} of 1,000 signatures in {float(said['seconds']):.2f} s")
    assert int(said["done"]) + int(said["refused"]) == 1000
    assert 0 < int(said["done"]) <= MAX_RATE * (float(said["seconds"]) + 1)
    assert events(pair).count("key-use") == int(said["done"])
    assert tries_left(pair[0], "ann") == 3


@pytest.mark.parametrize("entry", ["pad", "code", "forward"])
def test_guessing_ends_after_three_and_costs_the_card_nothing(pair: tuple[Host, Host], entry: str) -> None:
    hostile, admin = lure(pair, "guess", "--no-reconnect", entry=entry)
    assert hostile.wait() == 0, hostile.output
    admin.wait()
    assert told(hostile) == {
        "outcomes": "blocked not-allowed wrong",
        "wrong": "2",
        "a key": "not-allowed",
        "the pad": "blocked",
    }
    assert events(pair).count("code-closed") == 1
    assert "key-use" not in events(pair)
    assert tries_left(pair[0], "ann") == 3


def test_a_remote_that_keeps_the_link_has_no_card_any_more_when_it_is_pulled(pair: tuple[Host, Host]) -> None:
    admin, _ = pair
    hostile, connection = lure(pair, "half-open", "--no-reconnect")
    hostile.wait_for('"before"')
    pulled = time.monotonic()
    admin.run(["mv", f"{CARDS}/ann.softcard", "/root/taken-out"])
    hostile.wait_for('"after"')
    print(f"refused {(time.monotonic() - pulled) * 1000:.0f} ms after the card was pulled")
    assert connection.wait(15) == 4
    assert told(hostile) == {"the PIN": "verified", "before": "done", "after": "not-inserted"}
    assert hostile.wait() == 0, hostile.output
    admin.run(["mv", "/root/taken-out", f"{CARDS}/ann.softcard"])
    assert tries_left(admin, "ann") == 3
    assert events(pair)[-1] == "refused"


def test_a_remote_that_names_another_account_when_the_admin_comes_back_is_left(pair: tuple[Host, Host]) -> None:
    hostile, admin = lure(pair, "swap")
    assert hostile.wait() == 0, hostile.output
    assert admin.wait() not in {0, 1}
    assert "The remote says “root” is your account now, and said “ann” before." in admin.output
    assert told(hostile) == {"after the other name": "Goodbye"}
    assert admin.output.count("The card is inserted") == 1
    assert "key-use" not in events(pair)
    assert tries_left(pair[0], "ann") == 3
