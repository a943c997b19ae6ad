import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sra.errors import IdentityChangedError, UntrustedRemoteError, UsageError
from sra.identity.x509_reading import fingerprint
from sra.transport import tls_identity
from sra.transport.known_remotes import KnownRemotes, address
from sra.transport.tls_identity import TlsIdentity
from sra.transport.tls_trust import (
    TrustPolicy,
    VerifiedRemote,
    client_context,
    decide,
    verification_failed,
)

NOW = datetime.now(UTC)
TODAY = date(2026, 1, 2)
REMOTE = address("remote.example.com")
SHOWN = fingerprint(b"shown")
OTHER = fingerprint(b"other")


class Person:
    """Somebody who gives the same answer to every question, and remembers what was asked."""

    def __init__(self, answer: bool) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str]] = []

    def __call__(self, host: str, shown: str) -> bool:
        self.asked.append((host, shown))
        return self._answer


@pytest.fixture
def known(tmp_path: Path) -> KnownRemotes:
    return KnownRemotes(tmp_path / "config" / "known_remotes")


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> TlsIdentity:
    return tls_identity.generate(tmp_path_factory.mktemp("identity"), ["localhost", "127.0.0.1", "::1"], NOW)


# The decision.


def test_a_remote_that_is_remembered_is_trusted_without_a_question() -> None:
    nobody = Person(False)
    verified = decide(REMOTE, b"shown", pin=None, remembered=SHOWN, ask=nobody)
    assert verified == VerifiedRemote(REMOTE, SHOWN, is_new=False)
    assert nobody.asked == []


def test_a_remote_that_changed_is_an_error_with_both_fingerprints_and_never_a_question() -> None:
    somebody = Person(True)
    with pytest.raises(IdentityChangedError) as caught:
        decide(REMOTE, b"shown", pin=None, remembered=OTHER, ask=somebody)
    assert (caught.value.remembered, caught.value.shown) == (OTHER, SHOWN)
    text = str(caught.value)
    assert "HAS CHANGED" in text
    assert OTHER in text
    assert SHOWN in text
    assert "sra trust forget remote.example.com:4116" in text
    assert somebody.asked == []


def test_a_new_remote_is_trusted_if_the_person_says_so() -> None:
    somebody = Person(True)
    assert decide(REMOTE, b"shown", pin=None, remembered=None, ask=somebody) == VerifiedRemote(
        REMOTE, SHOWN, is_new=True
    )
    assert somebody.asked == [("remote.example.com:4116", SHOWN)]


def test_a_new_remote_is_not_trusted_if_the_person_does_not() -> None:
    with pytest.raises(UntrustedRemoteError, match="sra identity show"):
        decide(REMOTE, b"shown", pin=None, remembered=None, ask=Person(False))


def test_a_fingerprint_that_was_given_decides_alone() -> None:
    nobody = Person(False)
    assert decide(REMOTE, b"shown", pin=SHOWN, remembered=OTHER, ask=nobody) == VerifiedRemote(
        REMOTE, SHOWN, is_new=False
    )
    with pytest.raises(UntrustedRemoteError, match="you gave") as caught:
        decide(REMOTE, b"shown", pin=OTHER, remembered=SHOWN, ask=nobody)
    assert OTHER in str(caught.value)
    assert SHOWN in str(caught.value)
    assert nobody.asked == []


# With real TLS over the loopback interface.


@contextlib.contextmanager
def remote(context: ssl.SSLContext, seen: list[str | None]) -> Iterator[int]:
    """A server that takes connections; ``seen`` gets the name that each client asked for (SNI)."""

    def note(_: ssl.SSLObject | ssl.SSLSocket, name: str | None, __: ssl.SSLContext) -> None:
        seen.append(name)

    context.sni_callback = note
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def connect(policy: TrustPolicy, host: str, port: int) -> bytes:
    """What an admin does: a handshake, then the check; the certificate."""
    context = policy.context(["sra/1"])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        assert secured.version() == "TLSv1.3"
        assert secured.selected_alpn_protocol() == "sra/1"
        certificate = secured.getpeercert(binary_form=True)
        assert certificate is not None
        policy.check(host, port, certificate)
        return certificate


def test_first_use_asks_once_and_then_the_remote_is_known(known: KnownRemotes, identity: TlsIdentity) -> None:
    person, seen = Person(True), list[str | None]()
    with remote(tls_identity.server_context(identity, ["sra/1"]), seen) as port:
        for _ in range(2):
            assert connect(TrustPolicy(known, person), "localhost", port) == identity.certificate
        assert person.asked == [(f"localhost:{port}", identity.fingerprint)]
    assert seen == ["localhost", "localhost"]


def test_a_name_is_sent_for_host_names_and_none_for_ip_addresses(known: KnownRemotes, identity: TlsIdentity) -> None:
    """RFC 6066, 3: literal addresses are not permitted in a server name; ssl leaves them out by itself."""
    seen = list[str | None]()
    with remote(tls_identity.server_context(identity, ["sra/1"]), seen) as port:
        for host in ("localhost", "127.0.0.1", "::1"):
            connect(TrustPolicy(known, Person(True)), host, port)
    assert seen == ["localhost", None, None]


def test_a_declined_remote_is_not_remembered(known: KnownRemotes, identity: TlsIdentity) -> None:
    with remote(tls_identity.server_context(identity, ["sra/1"]), []) as port, pytest.raises(UntrustedRemoteError):
        connect(TrustPolicy(known, Person(False)), "localhost", port)
    assert not known.path.exists()


def test_another_identity_at_the_same_address_is_loud(
    known: KnownRemotes, identity: TlsIdentity, tmp_path: Path
) -> None:
    impostor = tls_identity.generate(tmp_path / "impostor", ["localhost"], NOW)
    policy = TrustPolicy(known, Person(True))
    with remote(tls_identity.server_context(impostor, ["sra/1"]), []) as port:
        policy.check("localhost", port, identity.certificate)
        with pytest.raises(IdentityChangedError) as caught:
            connect(policy, "localhost", port)
    assert caught.value.remembered == identity.fingerprint
    assert caught.value.shown == impostor.fingerprint


def test_a_pin_neither_reads_nor_writes_what_is_known(known: KnownRemotes, identity: TlsIdentity) -> None:
    nobody = Person(False)
    with remote(tls_identity.server_context(identity, ["sra/1"]), []) as port:
        connect(TrustPolicy(known, nobody, pin=identity.fingerprint), "localhost", port)
        with pytest.raises(UntrustedRemoteError):
            connect(TrustPolicy(known, nobody, pin=OTHER), "localhost", port)
    assert nobody.asked == []
    assert not known.path.exists()


def test_a_remote_that_only_speaks_older_tls_is_not_reached(known: KnownRemotes, identity: TlsIdentity) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(identity.folder / "certificate.pem", identity.folder / "key.pem")
    with remote(old, []) as port, pytest.raises(ssl.SSLError):
        connect(TrustPolicy(known, Person(True)), "localhost", port)


# With an authority.


class Authority:
    """A certificate authority with one certificate file."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority")])
        builder = self._builder(self._name, self._key, NOW + timedelta(days=1))
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = builder.add_extension(basic, critical=True).sign(self._key, hashes.SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def identity(self, folder: Path, host: str, end: datetime) -> TlsIdentity:
        """An identity that this authority vouches for."""
        identity = tls_identity.generate(folder, [host], NOW)
        key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        name = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = self._builder(x509.Name([]), key, end).add_extension(name, critical=True)
        pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (identity.folder / "certificate.pem").write_bytes(pem)
        return tls_identity.load(folder)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime) -> x509.CertificateBuilder:
        serial = x509.random_serial_number()
        return x509.CertificateBuilder(self._name, subject, key.public_key(), serial, NOW - timedelta(days=2), end)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_an_authority_vouches_without_a_question_or_a_memory(
    known: KnownRemotes, authority: Authority, tmp_path: Path
) -> None:
    vouched = authority.identity(tmp_path / "identity", "localhost", NOW + timedelta(days=1))
    nobody = Person(False)
    with remote(tls_identity.server_context(vouched, ["sra/1"]), []) as port:
        connect(TrustPolicy(known, nobody, ca_file=authority.file), "localhost", port)
        connect(TrustPolicy(known, nobody, pin=vouched.fingerprint, ca_file=authority.file), "localhost", port)
        with pytest.raises(UntrustedRemoteError):
            connect(TrustPolicy(known, nobody, pin=OTHER, ca_file=authority.file), "localhost", port)
    assert nobody.asked == []
    assert not known.path.exists()


@pytest.mark.parametrize(
    ("host", "days", "reason"), [("elsewhere.example", 1, "Hostname mismatch"), ("localhost", -1, "expired")]
)
def test_an_authority_does_not_vouch_for_other_names_or_old_certificates(
    known: KnownRemotes, authority: Authority, tmp_path: Path, host: str, days: int, reason: str
) -> None:
    vouched = authority.identity(tmp_path / "identity", host, NOW + timedelta(days=days))
    policy = TrustPolicy(known, Person(True), ca_file=authority.file)
    serving = remote(tls_identity.server_context(vouched, ["sra/1"]), [])
    with serving as port, pytest.raises(ssl.SSLCertVerificationError) as caught:
        connect(policy, "localhost", port)
    error = verification_failed("localhost", port, caught.value)
    assert reason in str(error)
    assert f"localhost:{port}" in str(error)


def test_who_the_authority_does_not_know_is_refused_even_if_remembered(
    known: KnownRemotes, authority: Authority, identity: TlsIdentity
) -> None:
    with remote(tls_identity.server_context(identity, ["sra/1"]), []) as port:
        known.remember(address("localhost", port), identity.fingerprint, TODAY)
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(TrustPolicy(known, Person(True), ca_file=authority.file), "localhost", port)


def test_a_self_signed_identity_can_be_its_own_authority(known: KnownRemotes, identity: TlsIdentity) -> None:
    with remote(tls_identity.server_context(identity, ["sra/1"]), []) as port:
        for host in ("localhost", "127.0.0.1"):
            policy = TrustPolicy(known, Person(False), ca_file=identity.folder / "certificate.pem")
            assert connect(policy, host, port) == identity.certificate


@pytest.mark.parametrize("content", [None, b"", b"rubbish"])
def test_an_authority_file_that_holds_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "authority.pem").write_bytes(content)
    with pytest.raises(UsageError, match=r"authority\.pem can't be used"):
        client_context(tmp_path / "authority.pem", [])
