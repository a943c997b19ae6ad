import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sra.errors import SraError
from sra.identity.x509_reading import fingerprint
from sra.system.files import FileError
from sra.transport import tls_identity
from sra.transport.tls_identity import TlsIdentity, TlsIdentityError

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "identity"


@pytest.fixture
def identity(folder: Path) -> TlsIdentity:
    return tls_identity.generate(folder, ["remote.example.com", "192.0.2.7", "2001:db8::1"], NOW)


def stored(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())


def key_in_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a TLS handshake in memory; raises what either end raised."""
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(there, here, server_side=True),
        client.wrap_bio(here, there, server_hostname="remote.example.com"),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0], ends[1]


def trusting(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    context.set_alpn_protocols(list(alpn))
    return context


def test_an_identity_that_was_made_can_be_loaded(folder: Path, identity: TlsIdentity) -> None:
    assert tls_identity.load(folder) == identity
    assert identity.names == ("remote.example.com", "192.0.2.7", "2001:db8::1")
    assert identity.not_after == NOW + tls_identity.LIFETIME
    assert identity.fingerprint == fingerprint(identity.certificate)


def test_only_its_owner_reads_the_key_and_everybody_the_certificate(folder: Path, identity: TlsIdentity) -> None:
    modes = {name: stat.S_IMODE((identity.folder / name).stat().st_mode) for name in ("key.pem", "certificate.pem")}
    assert modes == {"key.pem": 0o600, "certificate.pem": 0o644}


def test_the_certificate_can_only_be_a_server_s(folder: Path, identity: TlsIdentity) -> None:
    certificate = stored(identity.folder)
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [x509.OID_SERVER_AUTH]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert certificate.not_valid_before_utc == NOW - timedelta(days=1)
    certificate.verify_directly_issued_by(certificate)


def test_every_identity_has_its_own_key_and_serial_number(tmp_path: Path) -> None:
    made = [tls_identity.generate(tmp_path / str(n), ["localhost"], NOW) for n in range(2)]
    assert len({stored(each.folder).serial_number for each in made}) == 2
    assert len({(each.folder / "key.pem").read_bytes() for each in made}) == 2


def test_an_identity_is_not_overwritten_unless_asked_for(folder: Path, identity: TlsIdentity) -> None:
    with pytest.raises(TlsIdentityError, match="--force"):
        tls_identity.generate(folder, ["localhost"], NOW)
    assert tls_identity.load(folder) == identity
    assert tls_identity.generate(folder, ["localhost"], NOW, replace=True) != identity


@pytest.mark.parametrize("left", ["key.pem", "certificate.pem"])
def test_half_an_identity_is_not_overwritten_either(folder: Path, identity: TlsIdentity, left: str) -> None:
    for name in {"key.pem", "certificate.pem"} - {left}:
        (folder / name).unlink()
        with pytest.raises(TlsIdentityError, match=f"{name} is missing"):
            tls_identity.load(folder)
    with pytest.raises(TlsIdentityError, match="--force"):
        tls_identity.generate(folder, ["localhost"], NOW)


@pytest.mark.parametrize("host", ["", "a b", "-a", "a..b", "a/b", "é.example", "a" * 64, "x." * 127 + "xx", "a\n", "*"])
def test_what_is_no_host_gets_no_certificate(folder: Path, host: str) -> None:
    with pytest.raises(TlsIdentityError, match="neither a host name nor an IP address"):
        tls_identity.generate(folder, ["localhost", host], NOW)
    assert not folder.exists()


def test_an_identity_without_hosts_is_refused(folder: Path) -> None:
    with pytest.raises(TlsIdentityError, match="--host NAME"):
        tls_identity.generate(folder, [], NOW)


def test_a_long_host_name_fits(folder: Path) -> None:
    name = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert tls_identity.generate(folder, [name], NOW).names == (name,)


def test_a_key_that_everybody_can_read_is_refused(folder: Path, identity: TlsIdentity) -> None:
    (folder / "key.pem").chmod(0o644)
    with pytest.raises(TlsIdentityError, match="chmod o="):
        tls_identity.load(folder)


def test_a_key_that_its_group_can_read_serves(folder: Path, identity: TlsIdentity) -> None:
    (folder / "key.pem").chmod(0o640)
    assert tls_identity.load(folder) == identity


def test_a_link_in_place_of_the_key_is_refused(folder: Path, identity: TlsIdentity, tmp_path: Path) -> None:
    (folder / "key.pem").rename(tmp_path / "key.pem")
    (folder / "key.pem").symlink_to(tmp_path / "key.pem")
    with pytest.raises(FileError, match="symbolic link"):
        tls_identity.load(folder)


def test_the_key_of_another_identity_is_noticed(folder: Path, identity: TlsIdentity) -> None:
    (folder / "key.pem").write_bytes(key_in_pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(TlsIdentityError, match="don't belong together"):
        tls_identity.load(folder)


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem"])
@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_broken_file_is_named(folder: Path, identity: TlsIdentity, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(SraError, match=f"{name} is not a"):
        tls_identity.load(folder)


def test_a_file_cut_short_anywhere_is_a_clear_error(folder: Path, identity: TlsIdentity) -> None:
    for name in ("key.pem", "certificate.pem"):
        whole = (folder / name).read_bytes()
        for length in range(0, len(whole) - 2, 7):
            (folder / name).write_bytes(whole[:length])
            with pytest.raises(TlsIdentityError):
                tls_identity.load(folder)
        (folder / name).write_bytes(whole)


def test_a_key_with_a_password_is_refused_instead_of_asked_for(folder: Path, identity: TlsIdentity) -> None:
    (folder / "key.pem").write_bytes(key_in_pem(ec.generate_private_key(ec.SECP256R1()), b"password"))
    with pytest.raises(TlsIdentityError, match="without a password"):
        tls_identity.load(folder)
    with pytest.raises(TlsIdentityError, match="can't be used"):
        tls_identity.server_context(identity, ["sra/1"])


def test_neither_key_nor_certificate_is_in_its_representation(identity: TlsIdentity) -> None:
    assert "PRIVATE" not in repr(identity)
    assert str(identity.certificate) not in repr(identity)


def test_a_handshake_is_tls_1_3_and_shows_the_certificate(identity: TlsIdentity) -> None:
    server, client = handshake(
        tls_identity.server_context(identity, ["sra/1"]), trusting(ssl.TLSVersion.TLSv1_3, "sra/1")
    )
    assert client.version() == server.version() == "TLSv1.3"
    assert client.getpeercert(binary_form=True) == identity.certificate
    assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "sra/1"


def test_no_older_tls_is_spoken(identity: TlsIdentity) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(tls_identity.server_context(identity, []), trusting(ssl.TLSVersion.TLSv1_2))


def test_an_unknown_protocol_leaves_none_selected(identity: TlsIdentity) -> None:
    server, _ = handshake(tls_identity.server_context(identity, ["sra/1"]), trusting(ssl.TLSVersion.TLSv1_3, "h2"))
    assert server.selected_alpn_protocol() is None


def test_a_certificate_of_another_authority_serves_with_its_chain(folder: Path, identity: TlsIdentity) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "remote")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    from_authority = builder.sign(key, hashes.SHA256())
    chain = from_authority.public_bytes(serialization.Encoding.PEM) + (folder / "certificate.pem").read_bytes()
    (folder / "certificate.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(key_in_pem(key))
    loaded = tls_identity.load(folder)
    _, client = handshake(tls_identity.server_context(loaded, []), trusting())
    assert client.getpeercert(binary_form=True) == loaded.certificate
    assert loaded.names == ()


def test_of_two_who_make_one_at_once_only_one_succeeds(folder: Path) -> None:
    outcomes: list[str] = []

    def make() -> None:
        try:
            outcomes.append(tls_identity.generate(folder, ["localhost"], NOW).fingerprint)
        except TlsIdentityError:
            outcomes.append("refused")

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("refused") == 7
    assert tls_identity.load(folder).fingerprint in outcomes
