"""SSSD itself reads the rules that are made for it: each matches its own card and no other."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from lab.hosts import Host
from sra.remote.logins import sssd
from sra.remote.logins.sssd import SssdSettings

CONFIGURATION = """\
[sssd]
domains = local
[domain/local]
id_provider = proxy
proxy_lib_name = files
auth_provider = none
"""
NAMES = {
    "plain": [(NameOID.COMMON_NAME, "Ann Smith")],
    "longer": [(NameOID.COMMON_NAME, "Ann Smithson")],
    "signs": [(NameOID.ORGANIZATION_NAME, "A, B+C"), (NameOID.COMMON_NAME, r"(y) [z] .*^$ \#")],
    "everything": [(NameOID.COMMON_NAME, ".*")],
    "other letters": [(NameOID.COMMON_NAME, "Jürgen 漢")],
    "attributes": [
        (NameOID.DOMAIN_COMPONENT, "example"), (NameOID.USER_ID, "u"), (NameOID.SERIAL_NUMBER, "12"),
        (NameOID.EMAIL_ADDRESS, "a@b"), (NameOID.GIVEN_NAME, "x"), (NameOID.SURNAME, "y"), (NameOID.TITLE, "z"),
    ],
}  # fmt: skip


def certificate(
    attributes: list[tuple[x509.ObjectIdentifier, str]], usages: Sequence[x509.ObjectIdentifier] = ()
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject_name=subject, public_key=key.public_key(), serial_number=5)
    builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority")]))
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


CARDS = {name: certificate(attributes) for name, attributes in NAMES.items()}


def settings(accounts: dict[bytes, str]) -> str:
    return sssd.text_of(SssdSettings("no_ocsp", "/etc/pam_pkcs11/sra/trusted.pem", ("su",)), accounts).decode()


@pytest.fixture
def with_sssd(remote: Host) -> Host:
    remote.write("/etc/sssd/sssd.conf", CONFIGURATION, mode=0o600)
    return remote


def matches(host: Host, rule: str, card: bytes) -> bool:
    said = host.run(["sssctl", "cert-eval-rule", base64.b64encode(card).decode(), "--match", rule], check=False)
    assert ("Certificate matches rule" in said.stdout) is not ("does not match" in said.stdout), said
    return "Certificate matches rule" in said.stdout


def test_each_rule_matches_its_own_card_and_no_other(with_sssd: Host) -> None:
    for name, card in CARDS.items():
        (line,) = [line for line in settings({card: "ann"}).splitlines() if line.startswith("matchrule = ")]
        matched = [other for other, der in CARDS.items() if matches(with_sssd, line.removeprefix("matchrule = "), der)]
        assert matched == [name], line


def test_a_certificate_of_the_same_names_for_another_purpose_does_not_match(with_sssd: Host) -> None:
    login, logon, code, server = (
        certificate(NAMES["plain"], [usage])
        for usage in (Usage.CLIENT_AUTH, Usage.SMARTCARD_LOGON, Usage.CODE_SIGNING, Usage.SERVER_AUTH)
    )
    for own in (login, logon):
        (line,) = [line for line in settings({own: "ann"}).splitlines() if line.startswith("matchrule = ")]
        found = [matches(with_sssd, line.removeprefix("matchrule = "), each) for each in (own, code, server)]
        assert found == [True, False, False], line


def test_sssd_finds_nothing_wrong_with_the_file(with_sssd: Host) -> None:
    text = settings({der: "ann" if name == "plain" else "bob" for name, der in CARDS.items()})
    with_sssd.write("/etc/sssd/conf.d/50-sra-pairing.conf", text, mode=0o600)
    checked = with_sssd.run(["sssctl", "config-check"])
    assert "Issues identified by validators: 0" in checked.stdout
    assert "Used configuration snippet files: 1" in checked.stdout


def test_a_name_that_would_begin_another_part_of_a_rule_gets_none() -> None:
    sly = certificate([(NameOID.COMMON_NAME, "<EKU>x")])
    assert "matchrule" not in settings({sly: "ann"})
