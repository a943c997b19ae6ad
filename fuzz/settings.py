"""Files that decide something: settings, pairings, rules, remembered remotes, audit logs, PAM stacks."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from fuzz.target import attempt, must, target
from sra import audit, config
from sra.admin.guard import key_rules as rules
from sra.admin.guard import rules_file
from sra.audit import Audit
from sra.cards.software import file as softcard_file
from sra.cli import log
from sra.errors import CardError, IdentityChangedError, SraError, UsageError
from sra.identity.x509_reading import parse_fingerprint, public_bytes
from sra.paths import DEFAULT_PORT
from sra.remote.accounts import attribute_mapping, directory, pairing_file
from sra.remote.accounts.pairing_file import DamagedError, Pairing
from sra.remote.activation import journal
from sra.remote.activation.changed_machine import ActivationError
from sra.remote.license.latest_time import LatestTime
from sra.remote.logins import pam_pkcs11, stacks
from sra.remote.logins.stacks import StackRequest, StackState
from sra.remote.revocation.cache import Cache
from sra.system.files import FileError
from sra.transport import identity_choice, tls_identity
from sra.transport.known_remotes import KnownRemotes, address, parse_address
from sra.transport.tls_identity import TlsIdentityError

_FOLDER = Path(tempfile.mkdtemp(prefix="sra-fuzz-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)

_TOML = (
    b"[[",
    b"]]\n",
    b"= '''",
    b'"""',
    b"\\u0000",
    b"= 1979-05-27T07:32:00Z\n",
    b"inf",
    b"{a = 1}",
    b".",
    b" = [",
    b"0x",
)
SHOWN = "SHA256:" + ":".join(["AB"] * 32)


def _written(name: str, data: bytes) -> Path:
    """A file of ours with this content."""
    path = _FOLDER / name
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@target(
    words=(*_TOML, b"[limits]", b"[screen]", b"[policy]", b"[accounts.ldap]", b"servers", b"virtual_size = ", b"listen")
)
def fuzz_srad_toml(data: bytes) -> None:
    """The daemon's settings, and the admin's."""
    path = _written("srad.toml", data)
    found = attempt(UsageError, config.load_daemon_config, path)
    must(found is None or (found.listen and 1 <= found.readers <= 16), "settings are within their bounds")
    attempt(UsageError, config.load_admin_config, path)


@target(
    words=(
        *_TOML,
        b"[[rule]]\n",
        b"remote = ",
        b"keys = ",
        b"answer = ",
        b"'ask every 5 minutes'",
        b"'9A'",
        b"'retired'",
    )
)
def fuzz_rules_toml(data: bytes) -> None:
    """The person's rules: read, decided by, and changed by command."""
    found = attempt(UsageError, rules.parse_file, data, "rules.toml")
    if found is None:
        return
    answers = rules.answers(found, "remote.example.com")
    must(len(answers) == 24, "every key has an answer")
    path = _written("rules.toml", data)
    more = (rules.KeyRule("*", ("9A",), "deny"), *found)
    try:
        rules_file.write(path, more)
    except UsageError:
        must(path.read_bytes() == data, "a file that can't be changed stays as it was")
    else:
        must(rules_file.load(path) == more, "what was written is read")


@target(
    words=(
        *_TOML,
        b"[[pairing]]\n",
        b"account = 'ann'\n",
        b"hash = 'sha256:",
        b"added = 2026-01-01\n",
        b"pairing = []\n",
    )
)
def fuzz_pairings_toml(data: bytes) -> None:
    """Who may log in: read, and changed by command without a change of anything else."""
    found = attempt(DamagedError, pairing_file.decode, data)
    if found is None:
        return

    def entries(of: bytes) -> tuple[Pairing | None, ...]:
        return pairing_file._kinds(pairing_file.decode(of))

    more = Pairing("bob", "sha256:" + "ab" * 32, "Bob", date(2026, 1, 1))
    added = attempt(DamagedError, pairing_file.with_added, data, more)
    must(
        added is None or entries(added) == (*entries(data), more),
        "one pairing more",
    )
    if found.entries:
        left = attempt(DamagedError, pairing_file.without, data, [0])
        must(
            left is None or entries(left) == entries(data)[1:],
            "one pairing less",
        )


@target(words=(*_TOML, b"[ann]\n", b"mail = ['ann@example.org']\n", b"'dsAttrTypeStandard:RealName'"))
def fuzz_attributes_toml(data: bytes) -> None:
    """Attributes of this machine's accounts."""
    found = attempt(UsageError, directory.decode, data)
    for accounts in (found or {}).values():
        for account in accounts:
            pairing_file.check_account_name(account)


@target(
    words=(
        b"<?xml version='1.0'?><plist>", b"<dict>", b"</dict>", b"<key>AttributeMapping</key>", b"<key>fields</key>",
        b"<key>formatString</key>", b"<key>dsAttributeString</key>", b"<key>TrustedAuthorities</key>", b"<array>",
        b"<string>$1</string>", b"<string>Common Name</string>", b"bplist00", b"<integer>1</integer>", b"</plist>",
    ),
)  # fmt: skip
def fuzz_smartcard_login(data: bytes) -> None:
    """SmartcardLogin.plist."""
    found = attempt(UsageError, attribute_mapping.decode, data)
    if found is not None and found.mapping is not None:
        must(1 <= len(found.mapping.fields) <= attribute_mapping.MAX_FIELDS, "a mapping has fields")


@target(words=(SHOWN.encode(), b"remote.example.com 4116 ", b" 2026-01-01\n", b"# ", b"::1 4116 "))
def fuzz_known_remotes(data: bytes) -> None:
    """The remotes that were trusted: a damaged line trusts nobody, and no command changes another line."""
    known = KnownRemotes(_written("known_remotes", data))
    found = attempt(FileError, known.all)
    if found is None:
        return
    remote = address("new.example.com")
    if attempt(IdentityChangedError, known.remember, remote, SHOWN, date(2026, 1, 1)) is None:
        must(set(found) <= set(known.all()), "nothing is forgotten")
    known.forget("new.example.com")
    must(known.find(remote) is None, "what is forgotten is not known")


@target(max_len=512, words=(b"[::1]:4116", b"fe80::1%eth0", b".example.com", b":65535"))
def fuzz_addresses(data: bytes) -> None:
    """An address that a person types, a fingerprint, a service's name, and a moment."""
    text = data.decode(errors="replace")
    found = attempt(UsageError, parse_address, text)
    if found is not None:
        one_form = address(found[0], found[1] or DEFAULT_PORT)
        must(parse_address(str(one_form)) == (one_form.host, one_form.port), "an address is read as it is written")
    shown = attempt(UsageError, parse_fingerprint, text)
    must(shown is None or parse_fingerprint(shown) == shown, "a fingerprint has one form")
    attempt(UsageError, stacks.service_of, text)
    attempt(UsageError, log.parse_since, text, datetime(2026, 1, 1, tzinfo=UTC))
    attempt(ValueError, config.directory_address, text)
    attempt(UsageError, pairing_file.parse_hash, text)


@target(words=(b'{"time":"2026-01-01T00:00:00Z","event":"', b'"facts":{', b'"previous":"', b"0" * 64, b"}\n"))
def fuzz_audit_log(data: bytes) -> None:
    """An audit log with anything in it: it can be read and checked, and a record is added to it."""
    path = _written("audit.jsonl", data)
    before = list(audit.read(path))
    audit.verify(path)
    Audit(path).record("fuzzed", text=data.decode(errors="replace"))
    after = list(audit.read(path))
    must(len(after) >= len(before) and after[-1].event == "fuzzed", "a record is added at the end")
    must(isinstance(after[-1].facts["text"], str) and after[-1].facts["text"].isprintable(), "facts are cleaned")
    for full in audit.full_files(path):
        full.unlink()


@target(
    words=(
        b"@include common-auth\n", b"auth include system-auth\n", b"auth required pam_nologin.so\n", b"#sra# ",
        b"# >>> sra pam", b"# <<< sra pam\n", b"-auth substack password-auth # x\n", b"account required pam_unix.so\n",
    ),
)  # fmt: skip
def fuzz_pam_stack(data: bytes) -> None:
    """A PAM stack: what is put in is taken out again, to the byte."""
    text = data.decode(errors="surrogateescape")
    state = stacks.state_of(text)
    must((state is StackState.OFF) == (not stacks.has_ours(text)), "a stack without a line of ours is off")
    for service in (stacks.service_of("lightdm"), stacks.service_of("sudo")):
        plain = attempt(UsageError, stacks.disabled, text, service)
        for card_only in (False, True):
            changed = attempt(
                UsageError,
                stacks.enabled,
                text,
                StackRequest(service, "/usr/lib/announce /run/x", "/etc/sra.conf", card_only),
            )
            if changed is not None:
                wanted = StackState.CARD_ONLY if card_only else StackState.CARD_OR_PASSWORD
                must(stacks.state_of(changed) is wanted, "the state is the one that was wished for")
                must(stacks.disabled(changed, service) == plain, "taken out, the stack is what it was")
    back = stacks.put_back(text)
    must(back is None or not stacks.has_ours(back), "nothing of ours is left")


@target(words=(b" -> ", b"# ", b"AB:CD"))
def fuzz_login_mapping(data: bytes) -> None:
    """pam_pkcs11's mapping, which others may have written to."""
    text = data.decode(errors="replace")
    must(
        pam_pkcs11.mapped_account(text, b"certificate") in {"", *pam_pkcs11.mapped_accounts(text)},
        "an account is one of the file's",
    )


@target(words=(b'{"version":1,"guid":"', b'"pin":{"sealed":"', b'"tries":3}', b'"keys":[{"slot":154,"algorithm":17,'))
def fuzz_softcard_file(data: bytes) -> None:
    """A software card's file."""
    card = attempt(CardError, softcard_file._parse, Path("ann.softcard"), data)
    if card is not None:
        again = softcard_file._parse(Path("ann.softcard"), msgspec.json.encode(card))
        must(again == card and len(card.guid) == 16, "a card that was read is read again as it was")


@target(max_len=64, words=(b"2026-01-01T00:00:00+00:00", b"0001-01-01", b"9999-12-31T23:59:59-23:59"))
def fuzz_latest_time(data: bytes) -> None:
    """The latest time that was seen."""
    attempt(UsageError, LatestTime(_written("latest", data)).read)


@target(words=(b'{"version":2,"complete":true,"wanted":{', b'"entries":[{"kind":"', b'"was":{"mode":'))
def fuzz_activation_journal(data: bytes) -> None:
    """The record of an activation."""
    path = _written("journal.json", data)

    class _Here:
        def path(self, _: str) -> Path:
            return path

    attempt((ActivationError, SraError), journal.read, _Here())


@target(
    words=(b"-----BEGIN EC PRIVATE KEY-----\n", b"-----BEGIN CERTIFICATE-----\n", b"PRIVATE KEY-----", b"-----END ")
)
def fuzz_identity_files(data: bytes) -> None:
    """A key and a certificate that an administrator has put somewhere."""
    path = _written("identity.pem", data)
    for public, _ in attempt(TlsIdentityError, lambda: list(identity_choice._key_in(path, data))) or ():
        must(public, "a key has a public half")
    chain = identity_choice._certificates_in(data)
    must(not chain or public_bytes(chain[0]), "the first certificate has a key that can be read")
    for name in (tls_identity.KEY_FILE, tls_identity.CERTIFICATE_FILE):
        _written(name, data).chmod(0o600)
    attempt(TlsIdentityError, tls_identity.load, _FOLDER)


@target(words=(b"\x84\xa7address", b"\xa6issuer", b"\xa7fetched", b"\xa4body\xc4\x01x", b"\xc7\x0c\xff"))
def fuzz_revocation_cache(data: bytes) -> None:
    """An answer that was kept on the disk: it is read, or removed."""
    key = "ab" * 32
    path = _written(key, data)
    kept = Cache(_FOLDER).read(key)
    must((kept is None) != path.exists(), "what can't be read is removed")
