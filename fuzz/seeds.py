"""Make the corpus to begin with (``fuzz/corpus``): ``python -m fuzz.seeds``. What is there already stays."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import ocsp as x509_ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fuzz import certificates, licenses, piv, screens, settings
from fuzz.runs import CORPUS
from fuzz.target import join_counted
from sra.admin.control import ControlStatus
from sra.piv import objects, tlv
from sra.piv.keys import (
    Algorithm,
    KeyDescription,
    KeyReply,
    KeyRequest,
    Operation,
    PinOutcome,
    PinPolicy,
    PinReply,
    PinRequest,
    Slot,
)
from sra.piv.objects import build_certificate
from sra.remote.accounts.certificate_fields import PRINCIPAL_NAME
from sra.remote.license import profile, statement
from sra.remote.logins import stacks
from sra.remote.revocation.cache import CachedAnswer
from sra.wire import frames, messages
from sra.wire.frames import Frame
from tests.piv_blocks import build_compressed_certificate

_DAY = timedelta(days=1)
_PLIST = b"""<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict><key>AttributeMapping</key><dict>
<key>fields</key><array><string>NT Principal Name</string><string>Common Name</string></array>
<key>formatString</key><string>Kerberos:$1 $2</string><key>dsAttributeString</key>
<string>dsAttrTypeStandard:AltSecurityIdentities</string></dict><key>TrustedAuthorities</key><array><string>%s</string>
</array><key>NotEnforcedGroup</key><string>staff</string></dict></plist>"""


def _certificate() -> x509.Certificate:
    """A card's certificate with most of what certificates have."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "people"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Ann Lee"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "ann@example.org"),
        ]
    )
    alternative = [
        x509.RFC822Name("ann@example.org"),
        x509.OtherName(PRINCIPAL_NAME, b"\x0c\x0fann@example.org"),
        x509.DirectoryName(name),
        x509.UniformResourceIdentifier("urn:uuid:0"),
    ]
    point = x509.DistributionPoint([x509.UniformResourceIdentifier("http://l.example/a.crl")], None, None, None)
    policy = x509.PolicyInformation(x509.ObjectIdentifier("2.16.840.1.101.3.2.1.3.13"), ["http://cps.example"])
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    builder = x509.CertificateBuilder(
        certificates.authority().subject, name, certificates.authority_key().public_key(), 77,
        certificates.NOW - _DAY, certificates.NOW + _DAY,
    )  # fmt: skip
    for extension, critical in (
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectAlternativeName(alternative), False),
        (x509.CRLDistributionPoints([point]), False),
        (x509.CertificatePolicies([policy]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(certificates.authority_key(), hashes.SHA256())


def _list() -> x509.CertificateRevocationList:
    entry = x509.RevokedCertificateBuilder(0x1234, certificates.NOW - _DAY).add_extension(
        x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False
    )
    scope = x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier("http://l.example/a.crl")], None, False, False, None, False, False
    )
    builder = x509.CertificateRevocationListBuilder(
        certificates.authority().subject,
        certificates.NOW - _DAY,
        certificates.NOW + _DAY,
        revoked_certificates=[entry.build()],
    )
    builder = builder.add_extension(x509.CRLNumber(5), critical=False).add_extension(scope, critical=True)
    return builder.sign(certificates.authority_key(), hashes.SHA256())


def _ocsp_answer(status: x509_ocsp.OCSPCertStatus) -> x509_ocsp.OCSPResponse:
    is_revoked = status is x509_ocsp.OCSPCertStatus.REVOKED
    builder = x509_ocsp.OCSPResponseBuilder().add_response(
        certificates.card(), certificates.authority(), hashes.SHA1(), status, certificates.NOW, certificates.NOW + _DAY,  # noqa: S303
        certificates.NOW - _DAY if is_revoked else None, x509.ReasonFlags.key_compromise if is_revoked else None,
    )  # fmt: skip
    builder = builder.responder_id(x509_ocsp.OCSPResponderEncoding.NAME, certificates.authority())
    return builder.certificates([certificates.authority()]).sign(certificates.authority_key(), hashes.SHA256())


_CONTENTS = objects.CardContents(
    {objects.CHUID: objects.build_chuid(bytes(range(16)))},
    (KeyDescription(Slot.AUTHENTICATION, Algorithm.P256, PinPolicy.ONCE),),
)
_MESSAGES: tuple[messages.Message, ...] = (
    messages.Hello((1,), bytes(32), b"certificate"), messages.Challenge(1, bytes(32)), messages.Proof(b"signature"),
    messages.Welcome("ann", "remote", messages.NO_LIMITS, "1a2b3c4d"), messages.InsertCard(_CONTENTS, pin_pad=True),
    messages.CardInserted("reader 0"), messages.EjectCard("out"), messages.ScreenRequest(view_only=False),
    messages.ScreenGrant(bytes(32), "_srascreen", "a password of 24 letters", recorded=True),
    KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, bytes(32)), KeyReply(bytes(70)),
    PinRequest(b"123456"), PinReply(PinOutcome.WRONG, 2), messages.Remark("sudo"), messages.Cancel(3),
    messages.Goodbye("bye", final=True), messages.Attach(bytes(32), 1), messages.Ping(),
)  # fmt: skip


def _wire() -> dict[str, list[bytes]]:
    bodies = [frames.encode(Frame(number, message)) for number, message in enumerate(_MESSAGES)]
    return {
        "frames": bodies,
        "frame_body": [body[frames.HEADER_BYTES :] for body in bodies],
        "connection": [bytes((at % 256,)) + bodies[0] + bodies[2] for at in range(4)],
        "reader_frames": [b"\x02\0\0\0\0", b"\x04\0\0\0\x05\0\xc0\0\0\0", b"\x03\0\0\0\0"],
        "screen_vocabulary": [b'{"type":"grant","view_only":true,"by":"ann"}', b'{"type":"failed","reason":"no"}'],
        "peer_text": ["sudo for ann (tty1) \u202e\x1b[2J".encode()],
    }


def _piv(der: bytes) -> dict[str, list[bytes]]:
    container = tlv.encode(0x53, build_certificate(der))
    ok = b"\x90\x00"
    history = objects.build_key_history(objects.KeyHistory(2, 1, "http://k.example"))
    sign = bytes.fromhex("0087119A267C24820081 20".replace(" ", "")) + bytes(32)
    parts = [container[at : at + 200] + b"\x61\x80" for at in range(0, len(container), 200)]
    answers = [b"\x6d\x00", b"\x6a\x82", b"\x6a\x82", b"\x6a\x82", tlv.encode(0x53, history) + ok, *parts[:-1]]
    chained = bytes.fromhex("1087079CFF") + bytes(255)
    digest_info = bytes.fromhex("3031300d060960864801650304020105000420")
    structure = bytes(15) + b"\x0d\0\0\0" + bytes.fromhex("0020008008") + b"\xff" * 8
    return {
        "tlv": [container, tlv.encode(0x7C, tlv.encode(0x82) + tlv.encode(0x81, bytes(32))), history],
        "apdu": [piv.SELECT, sign, bytes.fromhex("00CB3FFF000005") + b"\x5c\x03\x5f\xc1\x05" + bytes(2)],
        "certificate_container": [build_certificate(der), build_compressed_certificate(der)],
        "card_objects": [history, objects.build_chuid(bytes(range(16))), build_certificate(der)],
        "applet": [
            piv.command_line(piv.SELECT, bytes.fromhex("0020008008313233343536FFFF"), sign),
            piv.command_line(piv.SELECT, bytes.fromhex("00CB3FFF055C035FC105"), bytes.fromhex("00C0000000")),
            piv.command_line(piv.SELECT, bytes.fromhex("FFC2010620") + structure),
            piv.command_line(piv.SELECT, chained, bytes.fromhex("0087079C0B") + bytes(11)),
        ],
        "pin_structures": [structure, b"123456\xff\xff", bytes.fromhex("060442330006")],
        "card_answers": [b"\x01" + join_counted(*answers, ok), b"\0" + join_counted(b"\x63\xc2", ok, b"\x69\x83")],
        "signing_blocks": [
            bytes((1, 0)) + b"\0\1" + b"\xff" * 202 + b"\0" + digest_info + bytes(32),
            bytes((4, 0)) + hashlib.sha256(b"").digest(),
        ],
    }  # fmt: skip


def _x509(der: bytes) -> dict[str, list[bytes]]:
    found, revoked = _list(), _ocsp_answer(x509_ocsp.OCSPCertStatus.REVOKED)
    good = _ocsp_answer(x509_ocsp.OCSPCertStatus.GOOD)
    root = certificates.authority().public_bytes(Encoding.DER)
    return {
        "card_certificate": [der, root],
        "certificate_files": [der, _certificate().public_bytes(Encoding.PEM)],
        "card_keys": [der, root],
        "handover": [der],
        "crl": [found.public_bytes(Encoding.DER), found.tbs_certlist_bytes],
        "ocsp": [good.public_bytes(Encoding.DER), good.tbs_response_bytes, revoked.tbs_response_bytes],
    }


def _licenses() -> dict[str, list[bytes]]:
    license_ = statement.License("Example", "1", 1, 1, 4_000_000_000, ("remote*",), 5, ("remote-access",))
    text = statement.sign(license_, licenses.issuer())
    made = profile.build(text, "1", "Example")
    payload = base64.urlsafe_b64decode(text.split(".")[1] + "==")
    key = licenses.issuer().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ber = (
        b"\x30\x80\x06\x01\x2a\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80\x06\x01\x2a\xa0\x80\x24\x80\x04\x01x"
        + bytes(12)
    )
    return {
        "cms": [licenses.envelope(b"content"), ber, b"-----BEGIN CMS-----\nMAA=\n-----END CMS-----\n"],
        "mobileconfig": [made],
        "license_statement": [text.encode(), payload, msgspec.json.encode(license_)],
        "issuer_key": [key],
    }


def _files() -> dict[str, list[bytes]]:
    stack = "#%PAM-1.0\nauth requisite pam_nologin.so\n@include common-auth\naccount required pam_unix.so\n"
    sha1 = b"ab" * 20
    service = stacks.service_of("lightdm")
    enabled = stacks.enabled(stack, stacks.StackRequest(service, "/usr/lib/announce /run/x", "/etc/sra.conf"))
    audit = b'{"time":"2026-01-01T00:00:00Z","event":"started","facts":{"port":4116},"previous":"%s"}\n' % (b"0" * 64)
    softcard = (
        b'{"version":1,"guid":"%s","pin":{"sealed":"AAAA","tries":3},"puk":{"sealed":"AAAA","tries":3},"keys":[]}'
    )
    return {
        "srad_toml": [
            b'port = 4116\nlisten = ["::"]\n[policy]\ncertificates = "ca"\npolicies = ["1.2.3"]\n',
            b'[accounts]\nallow = ["@staff"]\n[accounts.ldap]\nservers = ["ldaps://d.example"]\nbase = "o=x"\n',
        ],
        "rules_toml": [b'# mine\n[[rule]]\nremote = "*.x.org"\nkeys = ["9A", "retired"]\nanswer = "ask once"\n'],
        "pairings_toml": [b'# cards\n[[pairing]]\naccount = "ann"\nhash = "sha1:%s"\nadded = 2026-01-01\n' % sha1],
        "attributes_toml": [b'[ann]\nmail = ["ann@example.org"]\n'],
        "smartcard_login": [_PLIST % (b"ab" * 32)],
        "known_remotes": [f"# known\nremote.example.com 4116 {settings.SHOWN} 2026-01-01\n".encode()],
        "addresses": [b"[::1]:4116", b"remote.example.com:4117", settings.SHOWN.encode(), b"7d", b"ldaps://d.example"],
        "audit_log": [audit, audit[:-9]],
        "pam_stack": [stack.encode(), enabled.encode()],
        "login_mapping": [b"# map\nAB:CD -> ann\n"],
        "softcard_file": [softcard % base64.b64encode(bytes(16))],
        "latest_time": [b"2026-01-01T00:00:00+00:00"],
        "activation_journal": [b'{"version":2,"complete":true,"wanted":{"trust":true},"entries":[]}'],
    }  # fmt: skip


def _others() -> dict[str, list[bytes]]:
    entry = bytes.fromhex("020101641d04067569643d61301330110403756964310a0408") + b"annannan"
    standing = ControlStatus("remote", "ann", "software:ann", connected=True, inserted=True, paused=False, uses=3)
    pem = certificates.authority().public_bytes(Encoding.PEM)
    key = certificates.authority_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    done = b"\x02\x01\x01\x65\x07\x0a\x01\0\x04\0\x04\0"
    elsewhere = b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n\xff\xff\xff\xff"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    login = b"RFB 003.008\n\x13\0\2" + (256).to_bytes(4, "big") + bytes.fromhex("0000000300000003") + b"annpin"
    reply = b"\x01" + bytes(31)
    resources = b"\x01" + bytes(15) + b"\x01" + bytes(15)
    cookie = b"\xff\xff\0\0\0\x010\0\x12MIT-MAGIC-COOKIE-1\0\x10" + bytes(16)
    return {
        "ldap": [entry, done, b"\x30\x0c" + done],
        "http_answer": [
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            elsewhere + chunked,
        ],
        "address_in_certificate": [b"http://l.example/a.crl", b"ldap://l.example"],
        "bus_reply": [b'[[["/u"]],[["s","ann"]]]', b'["error"]', b'[[["/u"]],[["s",5]]]'],
        "viewer_login": [login, b"RFB 003.008\n\x01\x01\0\0\0\0"],
        "x11": [screens.setup() + reply * 3, b"\x01\x98" + bytes(30) + resources, reply * 12],
        "cookies": [cookie],
        "session_control": [b'"status"\n', msgspec.json.encode(standing) + b"\n"],
        "driver_connection": [b"\x02\0\0\0\0", b"\x04\0\0\0\x05\0\xc0\0\0\0", b"\x03\0\0\0\0"],
        "identity_files": [pem, key],
        "revocation_cache": [
            msgspec.msgpack.encode(CachedAnswer("http://l.example", "ab" * 32, certificates.NOW, b"body"))
        ],
        "c_frame": [b"\1\1\0\0\0\x04\1\1\x3b\x80", b"\3\x82\0\0\0\2\x90\0\x83\0\0\0\0"],
        "c_driver": [
            bytes.fromhex("0a" "0100000004" "01013b80" "07" "8200000002" "9000") + b"\x01\x05\x00\xa4\x04\x00\x00",
            bytes.fromhex("0a" "0100000004" "01013b80" "05" "8100000000") + b"\x02\x00\x00",
        ],
        "c_announce": [b"/run/sra/announce\0sudo\0ann\0tty1"],
    }  # fmt: skip


def main() -> None:
    """Write what is missing."""
    der = _certificate().public_bytes(Encoding.DER)
    for group in (_wire(), _piv(der), _x509(der), _licenses(), _files(), _others()):
        for name, inputs in group.items():
            folder = CORPUS / name
            folder.mkdir(parents=True, exist_ok=True)
            for number, data in enumerate(inputs):
                path = folder / f"seed-{number:02d}"
                if not path.exists():
                    path.write_bytes(data)


if __name__ == "__main__":
    main()
