import io
import json
import plistlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sra.cards.software.maker import CardHolder, issue, parse_subject, validity
from sra.cards.software.software_keys import generate
from sra.identity.certificates import CardCertificate, parse, parse_file
from sra.paths import Paths
from sra.piv.keys import Algorithm, Slot
from sra.programs.run import status
from sra.remote.accounts.pairing import PairingStore
from tests.chains import card_file, usage
from tests.cli.whole import app
from tests.remote.accounts.issuing import Authority

ACCOUNT = "root"
"""An account that every machine has."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return card_file(tmp_path / "card", datetime.now(UTC))


@pytest.fixture
def expired(tmp_path: Path) -> Path:
    long_ago = datetime.now(UTC) - timedelta(days=1000)
    return card_file(tmp_path / "expired", long_ago)


@pytest.fixture
def card(file: Path) -> CardCertificate:
    return parse_file(file.read_bytes())


@pytest.fixture
def store(tmp_path: Path) -> PairingStore:
    return PairingStore(Paths(tmp_path).pairings)


def run(root: Path, *arguments: str) -> int:
    return status(app, [*arguments, "--root", str(root)])


def test_a_card_is_paired_by_its_certificate(
    tmp_path: Path, file: Path, card: CardCertificate, store: PairingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", str(file)) == 0
    assert store.find_account(card) == ACCOUNT
    assert "sra: paired with root\n" in capsys.readouterr().err
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", str(file)) == 0
    assert "before" in capsys.readouterr().err


def test_a_card_is_paired_by_its_hash(tmp_path: Path, card: CardCertificate, store: PairingStore) -> None:
    assert run(tmp_path, "pair", ACCOUNT, "--hash", card.public_key_hash("sha1")) == 0
    assert store.find_account(card) == ACCOUNT


def test_a_certificate_can_come_from_stdin(
    tmp_path: Path, file: Path, card: CardCertificate, store: PairingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", "-") == 0
    assert store.find_account(card) == ACCOUNT


@pytest.mark.parametrize("arguments", [[], ["--hash", "sha1:" + "ab" * 20, "--certificate", "FILE"]])
def test_a_card_is_named_in_exactly_one_way(
    tmp_path: Path, file: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(file) if argument == "FILE" else argument for argument in arguments]
    assert run(tmp_path, "pair", ACCOUNT, *named) == 2
    assert "either by --certificate FILE or by --hash HASH" in capsys.readouterr().err
    assert not Paths(tmp_path).pairings.exists()


@pytest.mark.parametrize("account", ["nobody-has-this-name", "../root", "0"])
def test_an_account_that_is_not_there_gets_no_card(tmp_path: Path, file: Path, account: str) -> None:
    assert run(tmp_path, "pair", account, "--certificate", str(file)) == 2
    assert not Paths(tmp_path).pairings.exists()


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rubbish").write_bytes(b"rubbish")
    for arguments in (("pair", ACCOUNT, "--certificate"), ("whois",)):
        assert run(tmp_path, *arguments, str(tmp_path / "rubbish")) == 2
        assert f"{tmp_path}/rubbish: This is not a certificate" in capsys.readouterr().err
        assert run(tmp_path, *arguments, str(tmp_path / "missing")) == 2
        assert "No such file" in capsys.readouterr().err


def test_a_huge_file_is_not_read_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    assert run(tmp_path, "whois", str(tmp_path / "huge")) == 2
    assert "longer than" in capsys.readouterr().err


def test_an_expired_card_is_paired_with_a_warning(
    tmp_path: Path, expired: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", str(expired)) == 0
    assert "expired on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("slot", "text"),
    [(Slot.CARD_AUTHENTICATION, "card authentication (slot 9E)"), (Slot.KEY_MANAGEMENT, "not meant for signatures")],
)
def test_a_certificate_of_the_wrong_slot_is_not_paired_and_whois_and_doctor_say_it(
    tmp_path: Path, slot: Slot, text: str, store: PairingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    der = issue(slot, generate(Algorithm.P256), CardHolder(parse_subject("ann")), None, validity(datetime.now(UTC), 1))
    file = tmp_path / "wrong.der"
    file.write_bytes(der)
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", str(file)) == 2
    assert f"{file}: The card's certificate is" in (said := capsys.readouterr().err)
    assert text in said
    assert store.pairings() == ()
    assert not Paths(tmp_path).etc.joinpath("certificates").exists()
    store.pair(ACCOUNT, parse(der).public_key_hash("sha256"))
    assert run(tmp_path, "whois", str(file)) == 3
    assert text in capsys.readouterr().err
    assert run(tmp_path, "doctor", "--certificate", str(file)) == 1
    assert text in capsys.readouterr().out


def test_a_certificate_whose_key_decrypts_too_is_paired_only_where_the_owner_lets_it(
    tmp_path: Path, store: PairingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    issued = Authority().issue(more=[usage("digital_signature", "key_encipherment")])
    file = issued.write(tmp_path, "both")[0]
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", str(file)) == 2
    assert "its key decrypts too (key usage)" in capsys.readouterr().err
    store.pair(ACCOUNT, issued.card.public_key_hash("sha256"))
    assert run(tmp_path, "whois", str(file)) == 3
    assert "its key decrypts too" in capsys.readouterr().err
    Paths(tmp_path).config.write_text("policy.allow_decrypting_keys = true\n")
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", str(file)) == 0
    assert run(tmp_path, "whois", str(file)) == 0


def test_of_a_certificate_that_says_no_use_root_is_told_what_to_look_at(
    tmp_path: Path, store: PairingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    issued = Authority().issue(says_use=False)
    file = issued.write(tmp_path, "silent")[0]
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", str(file)) == 0
    assert "Be sure that it is of slot 9A" in capsys.readouterr().err
    assert store.find_account(issued.card) == ACCOUNT


def test_a_mapping_by_names_opens_nothing_for_the_wrong_slot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = Paths(tmp_path)
    authority = Authority()
    mapping = {"fields": ["Common Name"], "formatString": "$1", "dsAttributeString": "dsAttrTypeNative:badge"}
    paths.trust.mkdir(parents=True)
    (paths.trust / "authority.pem").write_bytes(authority.own.pem)
    paths.attribute_mapping.write_bytes(plistlib.dumps({"AttributeMapping": mapping}))
    paths.config.write_text(f'accounts.allow = ["{ACCOUNT}"]\n')
    (paths.etc / "attributes.toml").write_text(f'[{ACCOUNT}]\nbadge = ["Alice"]\n')
    right = authority.issue().write(tmp_path, "right")[0]
    assert run(tmp_path, "whois", str(right)) == 0
    card_authentication = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.16.840.1.101.3.6.8")])
    silent = authority.issue(says_use=False).write(tmp_path, "silent")[0]
    assert run(tmp_path, "whois", str(silent)) == 3
    wrong = authority.issue(more=[card_authentication]).write(tmp_path, "wrong")[0]
    capsys.readouterr()
    assert run(tmp_path, "whois", "--json", str(wrong)) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["account"] is None
    assert "card authentication (slot 9E)" in said["reason"]


def test_a_card_of_another_account_is_refused(
    tmp_path: Path, file: Path, store: PairingStore, card: CardCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    store.pair_certificate("alice", card)
    assert run(tmp_path, "pair", ACCOUNT, "--certificate", str(file)) == 2
    assert "sra unpair alice" in capsys.readouterr().err


def test_a_card_is_unpaired(
    tmp_path: Path, store: PairingStore, card: CardCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    store.pair_certificate("alice", card)
    store.pair("alice", "sha1:" + "ab" * 20)
    assert run(tmp_path, "unpair", "alice", "--hash", "sha1:" + "ab" * 20) == 0
    assert [pairing.hash for pairing in store.pairings()] == [card.public_key_hash("sha256")]
    assert run(tmp_path, "unpair", "alice") == 0
    assert store.pairings() == ()
    assert run(tmp_path, "unpair", "alice") == 2
    assert "sra pairings" in capsys.readouterr().err


def test_pairings_are_listed(
    tmp_path: Path, store: PairingStore, card: CardCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "pairings") == 0
    assert "sra pair ACCOUNT" in capsys.readouterr().out
    store.pair_certificate("alice", card)
    assert run(tmp_path, "pairings") == 0
    today = datetime.now(UTC).date().isoformat()
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == ["alice", card.public_key_hash("sha256"), "CN=card", today]
    assert run(tmp_path, "pairings", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"account": "alice", "hash": card.public_key_hash("sha256"), "subject": "CN=card", "added": today}
    ]


def test_whois_explains_which_account_a_card_opens(
    tmp_path: Path, file: Path, store: PairingStore, card: CardCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    store.pair_certificate(ACCOUNT, card)
    assert run(tmp_path, "whois", str(file)) == 0
    out = capsys.readouterr().out
    for expected in ("valid until", card.public_key_hash("sha256"), card.public_key_hash("sha1"), "no pairing"):
        assert expected in out
    assert out.splitlines()[-1].split() == ["account", ACCOUNT]


def test_whois_explains_why_a_card_opens_none(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "whois", str(file)) == 3
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].split() == ["account", "(none)"]
    assert "not paired" in captured.err


def test_whois_has_json_in_both_cases(
    tmp_path: Path, file: Path, store: PairingStore, card: CardCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "whois", "--json", str(file)) == 3
    refused = json.loads(capsys.readouterr().out)
    assert refused["account"] is None
    assert "not paired" in refused["reason"]
    store.pair_certificate(ACCOUNT, card)
    assert run(tmp_path, "whois", "--json", str(file)) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["account"], found["reason"], found["subject"]) == (ACCOUNT, "", "CN=card")
    outcomes = [rule["outcome"] for rule in found["rules"]]
    assert outcomes[1:] == [
        "paired-key",
        "its key may authenticate",
        "for client authentication",
        ACCOUNT,
        "no pairing",
        "may come in: no rule",
    ]


def test_whois_refuses_an_expired_card_even_if_it_is_paired(
    tmp_path: Path, expired: Path, store: PairingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.pair_certificate("alice", parse_file(expired.read_bytes()))
    assert run(tmp_path, "whois", str(expired)) == 3
    assert "expired on" in capsys.readouterr().err


def test_a_damaged_file_stops_every_command(
    tmp_path: Path, file: Path, store: PairingStore, card: CardCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    store.pair_certificate("alice", card)
    path = Paths(tmp_path).pairings
    path.write_text("pairing = 1\n")
    for arguments in (
        ["pairings"],
        ["unpair", "alice"],
        ["pair", ACCOUNT, "--certificate", str(file)],
    ):
        assert run(tmp_path, *arguments) == 2
        assert str(path) in capsys.readouterr().err
    assert run(tmp_path, "whois", str(file)) == 3
    assert str(path) in capsys.readouterr().out
    assert path.read_text() == "pairing = 1\n"


def test_whois_says_that_an_account_is_gone_or_may_not_come_in(
    tmp_path: Path, file: Path, store: PairingStore, card: CardCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    store.pair_certificate("nobody-has-this-name", card)
    assert run(tmp_path, "whois", str(file)) == 3
    captured = capsys.readouterr()
    assert "does not exist" in captured.err
    assert "no account nobody-has-this-name" in captured.out
    store.unpair("nobody-has-this-name")
    store.pair_certificate(ACCOUNT, card)
    Paths(tmp_path).config.write_text('accounts.deny = ["@root"]\n')
    assert run(tmp_path, "whois", str(file)) == 3
    captured = capsys.readouterr()
    assert f"{ACCOUNT} may not come in" in captured.err
    assert "deny has @root" in captured.out


def test_whois_says_which_value_the_mapping_looks_for(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = {"fields": ["Common Name"], "formatString": "$1", "dsAttributeString": "dsAttrTypeStandard:RecordName"}
    path = Paths(tmp_path).attribute_mapping
    path.parent.mkdir(parents=True)
    path.write_bytes(plistlib.dumps({"AttributeMapping": mapping}))
    assert run(tmp_path, "whois", str(file)) == 3
    assert "attribute uid" in capsys.readouterr().out
    path.write_bytes(b"not a property list")
    assert run(tmp_path, "whois", str(file)) == 3
    assert f"{path}: this is not a property list" in capsys.readouterr().out
