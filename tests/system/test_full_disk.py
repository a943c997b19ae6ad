"""A full disk or a file broken by hand: one clear word to the person, a line in the log, and the others go on."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import product
from lab.hosts import Host
from lab.processes import Process
from lab.product import SRA, World
from tests.system.opensc import sign, verify

PAIRINGS = "/etc/sra/pairings.toml"
AUDIT = "/var/log/sra/audit.jsonl"


@pytest.fixture(scope="module", autouse=True)
def _people(world: World) -> None:
    for name in ("ann", "bob"):
        world.add_person(name)


@pytest.fixture
def ann(world: World) -> Iterator[Process]:
    """Her card is in all the time."""
    with world.inserted("ann") as connection:
        yield connection
        assert connection.output.count("is inserted") == 1
        assert works(world)


def works(world: World) -> bool:
    sign(world.remote, "9A", "ECDSA-SHA256", card="ann")
    return verify(world.remote, "9A", "sha256", card="ann")


@contextmanager
def full(host: Host, folder: str) -> Iterator[None]:
    """The folder is on a tiny disk of its own meanwhile, with what was in it, and there is no room left."""
    host.run(["cp", "-a", folder, "/root/kept"])
    owner = host.run(["stat", "--format=mode=%a,uid=%u,gid=%g", folder]).stdout.strip()
    host.run(["mount", "-t", "tmpfs", "-o", f"size=256k,{owner}", "tiny", folder])
    host.run(["sh", "-c", f"cp -a /root/kept/. {folder}/"])
    host.run(["sh", "-c", f"cat /dev/zero >{folder}/ballast"], check=False)
    try:
        yield
    finally:
        host.run(["umount", folder])
        host.run(["rm", "-r", "/root/kept"])


def test_no_room_for_the_audit_log_is_told_and_ends_nobodys_session(world: World, ann: Process) -> None:
    service = world.service.process
    with full(world.remote, "/var/log/sra"):
        for _ in range(8):  # what is left of the log's last page on the disk takes a few more records
            assert works(world)
        service.wait_for(f"key-use could not be recorded: {AUDIT}: No space left on device. Check the disk")
        with world.inserted("bob"):
            service.wait_for("inserted could not be recorded")
        assert ann.is_running
    before = world.remote.read(AUDIT).count('"key-use"')
    assert works(world)
    assert world.remote.read(AUDIT).count('"key-use"') == before + 1


def test_no_room_for_a_pairing_changes_nothing_and_says_so(world: World, ann: Process) -> None:
    pem = product.make_card(world.admin, "cid", ["9A=P256"])
    world.remote.add_account("cid", "a password that no test uses")
    before = world.remote.read(PAIRINGS)
    world.remote.write("/root/cid.pem", pem)
    with full(world.remote, "/etc/sra"):
        refused = world.remote.run([SRA, "pair", "cid", "--certificate", "/root/cid.pem"], check=False)
        assert refused.returncode == 2
        assert refused.stderr.startswith("sra: error: /etc/sra/")
        assert refused.stderr.endswith(": No space left on device. Make room on the disk and run this again.\n")
        assert world.remote.read(PAIRINGS) == before
        assert world.remote.run(["find", "/etc/sra", "-name", ".pairings.toml.*", "!", "-name", "*.lock"]).stdout == ""
        with world.inserted("bob"):
            assert works(world)
    assert ann.is_running


def test_a_pairing_file_that_is_broken_lets_nobody_new_in_and_ends_no_session(world: World, ann: Process) -> None:
    good = world.remote.read(PAIRINGS)
    world.remote.run(["sh", "-c", f"echo 'account = ' >>{PAIRINGS}"])
    try:
        refused = product.connect(world.admin, world.service, "software:bob")
        assert refused.wait() == 3
        errors = [line for line in refused.output.splitlines() if line.startswith("sra: error:")]
        assert len(errors) == 1
        assert "Traceback" not in refused.output
        assert PAIRINGS not in errors[0]  # a stranger's business is not where this machine's files are
        world.service.process.wait_for(f"{PAIRINGS}: this is not TOML: ")
        shown = world.remote.run([SRA, "pairings"], check=False)
        assert shown.returncode == 2
        assert shown.stderr.startswith(f"sra: error: {PAIRINGS}: this is not TOML: ")
        assert "until then nobody gets in" in shown.stderr
        assert works(world)
    finally:
        world.remote.run(["tee", PAIRINGS], input=good)
    with world.inserted("bob"):
        assert ann.is_running
