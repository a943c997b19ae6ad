"""Programs that know PKCS#11 use the inserted card unchanged, with the PIN pad and with the session code typed.

Each test goes through twice: with a card of RSA keys, and with one of elliptic-curve keys.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from subprocess import CompletedProcess

import pytest

from lab import product
from lab.cards import MODULE
from lab.hosts import Host
from lab.processes import LabError, Process
from lab.product import World
from tests.system.opensc import IDS, TEXT, WORK, openssl

KEY_PAIRS = {"ann": ("RSA2048", "RSA3072"), "bea": ("P256", "P384")}
CA = "/root/ca"
TLS_PORT = 4433
SSH_PORT = 2222
PAGE = "GET / HTTP/1.0\r\n\r\n"


@dataclass(frozen=True)
class Person:
    """Whose card is in the reader, and how the PIN is given."""

    world: World
    name: str
    connection: Process
    pad: bool

    @cached_property
    def code(self) -> str:
        """What is typed where a program insists; the pad does without, so it is wrong there."""
        return "00000000" if self.pad else product.code_of(self.connection)

    @property
    def remote(self) -> Host:
        return self.world.remote

    @cached_property
    def url(self) -> str:
        """Where the card is, in the words of RFC 7512."""
        listed = self.run(["p11tool", "--provider", MODULE, "--list-token-urls"]).stdout.split()
        return next(url for url in listed if f"token={self.name}" in url)

    def key(self, slot: str = "9A") -> str:
        return f"{self.url};id=%{IDS[slot]};type=private"

    def run(self, argv: Sequence[str], text: str = "", **environment: str) -> CompletedProcess[str]:
        env = {"PKCS11_MODULE_PATH": MODULE, **environment}
        return self.remote.run(argv, folder=WORK, env=env, input=text)

    @contextmanager
    def asked_for_the_pin(self, pad: int, typed: int) -> Iterator[None]:
        """Check that the PIN was asked so often on the pad, or so often on the remote, and was right."""
        words = ("PIN asked on the PIN pad: right.", "PIN typed on the remote: right.")
        before = [self.connection.output.count(word) for word in words]
        yield
        after = [self.connection.output.count(word) for word in words]
        asked = [now - then for now, then in zip(after, before, strict=True)]
        assert asked == ([pad, 0] if self.pad else [0, typed])
        assert "Refused" not in self.connection.output


@pytest.fixture(scope="module")
def people(world: World) -> list[str]:
    """Who has a card and an account: a certificate authority has issued all cards."""
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=CA"]
    world.admin.run(["openssl", *request, "-keyout", f"{CA}.key", "-out", f"{CA}.pem", "-days", "3"])
    world.remote.write(f"{WORK}/ca.pem", world.admin.read(f"{CA}.pem"))
    world.remote.write(f"{WORK}/text", TEXT)
    for name, (one, other) in KEY_PAIRS.items():
        issued = ["--ca-cert", f"{CA}.pem", "--ca-key", f"{CA}.key", "--email", f"{name}@example.org"]
        pem = world.add_person(name, [f"9A={one}", f"9C={other}", f"9D={one}"], more=issued)
        world.remote.write(f"{WORK}/{name}.pem", pem)
        openssl(world.remote, "x509", "-in", f"{name}.pem", "-pubkey", "-noout", "-out", f"{name}.pub")
    return list(KEY_PAIRS)


@pytest.fixture(scope="module", params=[(name, how) for name in KEY_PAIRS for how in ("pad", "code")], ids=" ".join)
def person(request: pytest.FixtureRequest, world: World, people: list[str]) -> Iterator[Person]:
    """Whose card is in the reader meanwhile."""
    name, how = request.param
    assert name in people
    with world.inserted(name, entry=how) as connection:
        yield Person(world, name, connection, how == "pad")


@pytest.fixture(scope="module")
def tls_server(world: World, people: list[str]) -> Iterator[Process]:
    """Lets those in who have a certificate of the authority, and shows them a page."""
    assert people
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "3"]
    openssl(world.remote, *request, "-keyout", "server.key", "-out", "server.pem")
    options = ["-Verify", "2", "-CAfile", "ca.pem", "-verify_return_error", "-www"]
    command = ["openssl", "s_server", "-accept", str(TLS_PORT), "-key", "server.key", "-cert", "server.pem", *options]
    server = world.remote.start(command, folder=WORK)
    server.wait_for("ACCEPT")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def ssh_server(world: World) -> Iterator[Process]:
    remote = world.remote
    remote.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{WORK}/hostkey"])
    settings = {"Port": SSH_PORT, "ListenAddress": "127.0.0.1", "HostKey": f"{WORK}/hostkey"}
    options = [f"-o{key}={value}" for key, value in (settings | {"UsePAM": "no", "PidFile": "none"}).items()]
    server = remote.start(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *options])
    server.wait_for("Server listening")
    yield server
    server.kill()


def verify(person: Person, signature: str, public_key: str) -> None:
    given = ["-verify", public_key, "-signature", signature]
    assert openssl(person.remote, "dgst", "-sha256", *given, "text") == "Verified OK\n"


def test_ssh_logs_in_with_the_key_of_9a(person: Person, ssh_server: Process) -> None:
    keys = person.run(["ssh-keygen", "-D", MODULE]).stdout.splitlines()
    mine = [key for key in keys if key.endswith("PIV AUTH pubkey")]
    folder = f"/home/{person.name}/.ssh"
    person.remote.write(f"{folder}/authorized_keys", f"{mine[0]}\n", owner=person.name)
    person.remote.run(["chown", "-R", f"{person.name}:", folder])
    person.remote.write(f"{WORK}/askpass", f"#!/bin/sh\necho {person.code}\n", mode=0o755)
    options = [f"-oPKCS11Provider={MODULE}", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"]
    command = ["ssh", *options, "-p", str(SSH_PORT), f"{person.name}@127.0.0.1", "id -un"]
    with person.asked_for_the_pin(pad=1, typed=1):
        done = person.run(command, SSH_ASKPASS=f"{WORK}/askpass", SSH_ASKPASS_REQUIRE="force")
    assert done.stdout == f"{person.name}\n"
    assert ssh_server.is_running


def test_sshs_agent_insists_on_typing(person: Person) -> None:
    keys = person.run(["ssh-keygen", "-D", MODULE]).stdout.splitlines()
    person.remote.write(f"{WORK}/agent.pub", "".join(f"{key}\n" for key in keys if key.endswith("PIV AUTH pubkey")))
    person.remote.write(f"{WORK}/askpass", f"#!/bin/sh\necho {'' if person.pad else person.code}\n", mode=0o755)
    environment = {"SSH_ASKPASS": f"{WORK}/askpass", "SSH_ASKPASS_REQUIRE": "force"}
    command = ["ssh-agent", "sh", "-c", f"ssh-add -s {MODULE} && ssh-add -T agent.pub"]
    if person.pad:
        with pytest.raises(LabError, match="agent refused operation"):
            person.run(command, **environment)
        return
    with person.asked_for_the_pin(pad=0, typed=1):
        person.run(command, **environment)
    assert "Key 9A signed" in person.connection.output.splitlines()[-1]


def test_openssls_engine_signs(person: Person) -> None:
    pin = "" if person.pad else f";pin-value={person.code}"
    options = ["-engine", "pkcs11", "-keyform", "engine", "-sign", f"{person.key()}{pin}"]
    with person.asked_for_the_pin(pad=1, typed=1):
        person.run(["openssl", "dgst", "-sha256", *options, "-out", "engine.signature", "text"])
    verify(person, "engine.signature", f"{person.name}.pub")


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_openssl_shows_a_client_certificate(person: Person, tls_server: Process, version: str) -> None:
    pin = "" if person.pad else f";pin-value={person.code}"
    key = ["-engine", "pkcs11", "-keyform", "engine", "-key", f"{person.key()}{pin}", "-cert", f"{person.name}.pem"]
    options = [f"-{version}", "-ign_eof", "-CAfile", "server.pem", *key]
    with person.asked_for_the_pin(pad=1, typed=1):
        page = person.run(["openssl", "s_client", "-connect", f"localhost:{TLS_PORT}", *options], text=PAGE).stdout
    assert "HTTP/1.0 200 ok" in page
    assert "Client certificate" in page
    assert f"CN={person.name}" in page.replace(" ", "")
    assert tls_server.is_running


def test_gnutls_lists_and_tries_the_key(person: Person) -> None:
    listed = person.run(["p11tool", "--provider", MODULE, "--list-all-certs", person.url]).stdout
    assert listed.count("Type: X.509 Certificate") == 3
    with person.asked_for_the_pin(pad=1, typed=1):
        tried = person.run(
            ["p11tool", "--provider", MODULE, "--login", "--test-sign", person.key()], GNUTLS_PIN=person.code
        )
    assert (tried.stdout + tried.stderr).count("... ok\n") == 3


def test_gnutls_makes_a_certificate_request(person: Person) -> None:
    person.remote.write(f"{WORK}/template", 'cn = "a request"\nsigning_key\n')
    keys = ["--load-privkey", person.key(), "--load-pubkey", person.key().replace("private", "public")]
    options = ["--provider", MODULE, "--generate-request", *keys, "--template", "template", "--outfile", "request.pem"]
    with person.asked_for_the_pin(pad=1, typed=1):
        person.run(["certtool", *options], GNUTLS_PIN=person.code)
    openssl(person.remote, "req", "-in", "request.pem", "-noout", "-verify")


def test_gnutls_shows_a_client_certificate(person: Person, tls_server: Process) -> None:
    certificate = person.key().replace("private", "cert")
    options = ["--provider", MODULE, "--x509certfile", certificate, "--x509keyfile", person.key()]
    command = ["gnutls-cli", *options, "--x509cafile", "server.pem", "-p", str(TLS_PORT), "localhost"]
    with person.asked_for_the_pin(pad=1, typed=1):
        page = person.run(command, text=PAGE, GNUTLS_PIN=person.code).stdout
    assert "HTTP/1.0 200 ok" in page
    assert tls_server.is_running


def nss(person: Person) -> str:
    """A database of NSS, as browsers have, that knows the card's module and the authority; the module's name in it."""
    name = f"nss-{person.name}-{person.connection.pid}"
    run = person.run
    if person.remote.run(["test", "-d", name], folder=WORK, check=False).returncode:
        person.remote.run(["mkdir", name], folder=WORK)
        run(["certutil", "-N", "-d", f"sql:{name}", "--empty-password"])
        run(["modutil", "-dbdir", f"sql:{name}", "-add", "sra", "-libfile", MODULE, "-force"])
        run(["certutil", "-A", "-d", f"sql:{name}", "-n", "ca", "-t", "CT,C,C", "-i", "ca.pem"])
    return f"sql:{name}"


def test_nss_lists_the_keys(person: Person) -> None:
    database = nss(person)
    person.remote.write(f"{WORK}/pin", f"{person.code}\n")
    assert f"token: {person.name}" in person.run(["modutil", "-dbdir", database, "-list"]).stdout
    with person.asked_for_the_pin(pad=1, typed=1):
        listed = person.run(["certutil", "-K", "-d", database, "-h", person.name, "-f", "pin"]).stdout
    assert [name for name in ("PIV AUTH key", "SIGN key", "KEY MAN key") if name not in listed] == []


def test_nss_signs_a_message(person: Person) -> None:
    database = nss(person)
    certificate = f"{person.name}:Certificate for Digital Signature"
    with person.asked_for_the_pin(pad=2, typed=2):
        options = ["-N", certificate, "-p", person.code, "-T", "-G", "-i", "text", "-o", "message"]
        person.run(["cmsutil", "-S", "-d", database, *options])
    given = ["-inform", "DER", "-in", "message", "-binary", "-content", "text", "-CAfile", "ca.pem", "-purpose", "any"]
    assert openssl(person.remote, "cms", "-verify", *given) == TEXT


def test_nss_shows_a_client_certificate(person: Person, tls_server: Process) -> None:
    database = nss(person)
    person.run(["certutil", "-A", "-d", database, "-n", "server", "-t", "CT,,", "-i", "server.pem"])
    person.remote.write(f"{WORK}/page", PAGE)
    certificate = f"{person.name}:Certificate for PIV Authentication"
    options = ["-h", "localhost", "-p", str(TLS_PORT), "-n", certificate, "-w", person.code, "-A", "page"]
    with person.asked_for_the_pin(pad=1, typed=1):
        page = person.run(["tstclnt", "-d", database, *options]).stdout
    assert "HTTP/1.0 200 ok" in page
    assert tls_server.is_running


def test_p11_kit_knows_the_card(person: Person) -> None:
    listed = person.run(["p11-kit", "list-modules"]).stdout
    _, _, card = listed.partition(f"token: {person.name}\n")
    card, _, _ = card.partition("\n    token:")
    assert "manufacturer: piv_II" in card
    assert ("protected-authentication-path" in card) is person.pad
