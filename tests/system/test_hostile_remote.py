"""Whoever comes in between, replays, or has the inserted card sign a challenge in disguise gets nothing for it."""

import json

import pytest

from lab import product
from lab.hosts import CHECKOUT
from lab.processes import Process
from lab.product import CARDS, PIN, PYTHON, SRA, Service, World
from sra.identity import certificates

PORT = 5116
FOLDER = "/root/hostile"
OF_9E = (
    "The card's certificate is for card authentication (slot 9E), which works without a PIN, so it authenticates "
    "nobody. Use the card's 9A certificate."
)
PEOPLE = {"ann": ["9A=RSA2048", "9D=RSA2048", "9E=RSA2048"], "bea": ["9A=P256", "9D=P256", "9E=P256"]}


@pytest.fixture(scope="module", autouse=True)
def _people(world: World) -> None:
    for name, keys in PEOPLE.items():
        world.add_person(name, keys)
    world.remote.run(["mkdir", FOLDER])
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=h"]
    files = ["-keyout", f"{FOLDER}/key.pem", "-out", f"{FOLDER}/certificate.pem"]
    world.remote.run(["openssl", *request, *files, "-days", "3"])


def lure(world: World, name: str, how: str) -> tuple[Process, dict[str, str]]:
    """The admin connects to the hostile remote; its ``sra connect``, and what came of each attempt."""
    shown = ["openssl", "x509", "-in", f"{FOLDER}/certificate.pem", "-noout", "-fingerprint", "-sha256"]
    fingerprint = world.remote.run(shown).stdout.partition("=")[2].strip()
    module = [str(PYTHON), "-m", "tests.system.hostile_remote"]
    hostile = world.remote.start([*module, FOLDER, str(PORT), "127.0.0.1", how], folder=CHECKOUT)
    hostile.wait_for("waiting")
    trusted = Service(hostile, fingerprint)
    admin = product.connect(world.admin, trusted, f"software:{name}", "--no-reconnect", to=f"remote:{PORT}")
    assert hostile.wait() == 0, hostile.output
    admin.wait()
    lines = [json.loads(line) for line in hostile.output.splitlines() if line.startswith("{")]
    return admin, {line["attempt"]: line["outcome"] for line in lines}


@pytest.mark.parametrize("name", PEOPLE)
def test_a_challenge_that_is_passed_on_brings_a_proof_that_is_worth_nothing(world: World, name: str) -> None:
    _, outcomes = lure(world, name, "relay")
    assert outcomes == {"the proof for another machine": "refused: proof"}


@pytest.mark.parametrize("name", PEOPLE)
def test_no_key_use_is_a_proof_whatever_it_looks_like(world: World, name: str) -> None:
    admin, outcomes = lure(world, name, "dress")
    assert outcomes.pop("a signature without a PIN") == "refused: pin-needed"
    assert outcomes.pop("the PIN") == "verified"
    assert outcomes.pop("an ordinary signature") == "done"
    assert outcomes.pop("an ordinary signature as a proof") == "refused: proof"
    assert outcomes.pop("a flood") == "slowed down"
    assert {attempt: outcome for attempt, outcome in outcomes.items() if outcome != "refused: not-allowed"} == {}
    assert len(outcomes) > 10
    assert admin.output.count("Key 9A signed") == 1
    assert "Key 9" not in admin.output.replace("Key 9A signed", "")


@pytest.mark.parametrize("name", PEOPLE)
def test_a_proof_counts_once(world: World, name: str) -> None:
    command = [str(PYTHON), "-m", "tests.system.hostile_admin", "remote", CARDS, f"software:{name}"]
    said = world.admin.run(command, input=f"{PIN}\n", folder=CHECKOUT).stdout.splitlines()
    refused = ["the same proof again", "random bytes", "nothing", "a proof for another machine"]
    assert said == ["a proof: Welcome", *(f"{attempt}: refused: proof" for attempt in refused)]


@pytest.mark.parametrize("name", PEOPLE)
def test_9e_never_authenticates_whoever_holds_the_card_without_its_pin(world: World, name: str) -> None:
    """Its certificate can't be paired; its key was, by its hash."""
    pem = product.certificate(world.admin, name, "9E")
    world.remote.write("/root/9e.pem", pem)
    paired = world.remote.run([SRA, "pair", name, "--certificate", "/root/9e.pem"], check=False)
    assert (paired.returncode, paired.stderr) == (2, f"sra: error: /root/9e.pem: {OF_9E}\n")
    key = certificates.parse_file(pem.encode()).public_key_hash("sha256")
    world.remote.run([SRA, "pair", name, "--hash", key])
    command = [str(PYTHON), "-m", "tests.system.hostile_admin", "remote", CARDS, f"software:{name}", "9E"]
    assert world.admin.run(command, folder=CHECKOUT).stdout == f"a proof by 9E: refused: usage: {OF_9E}\n"
    for asked in (["whois", "/root/9e.pem"], ["doctor", "--certificate", "/root/9e.pem"]):
        said = world.remote.run([SRA, *asked], check=False)
        assert said.returncode != 0
        assert OF_9E in said.stdout + said.stderr
