import base64
import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from sra.remote.license import statement
from sra.remote.license.statement import License, LicenseError, LicenseProblem, key_id, sign, verify
from tests.remote.license.made import DAY, HOST, ISSUER, NOW, STRANGER, USUAL, changed

TRUSTED = {key_id(ISSUER.public_key()): ISSUER.public_key()}
SIGNED = sign(USUAL, ISSUER)


def problem_of(text: str) -> LicenseProblem:
    with pytest.raises(LicenseError) as caught:
        verify(text, TRUSTED, HOST)
    return caught.value.problem


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def with_claims(**claims: object) -> str:
    """A statement that the issuer did sign, but with other claims."""
    usual = json.loads(base64.urlsafe_b64decode(SIGNED.split(".")[1] + "=="))
    values = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(values, ISSUER, "EdDSA", {"typ": statement.TYPE, "kid": key_id(ISSUER.public_key())})


def test_what_was_signed_is_what_is_read() -> None:
    assert verify(SIGNED, TRUSTED, HOST) == USUAL
    listed = changed(hosts=("kiosk-*.example.com", "spare"), features=())
    assert verify(sign(listed, ISSUER), TRUSTED, HOST) == listed


def test_its_form_is_the_standard_s() -> None:
    header = jwt.get_unverified_header(SIGNED)
    assert header == {"alg": "EdDSA", "kid": key_id(ISSUER.public_key()), "typ": "sra-license+jwt"}
    claims = jwt.decode(
        SIGNED, ISSUER.public_key(), ["EdDSA"], options={"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    )
    assert claims["sub"] == "Example Ltd"
    assert set(claims) == {"sub", "jti", "iat", "nbf", "exp", "hosts", "machines", "features"}


def test_a_key_s_identifier_is_its_thumbprint() -> None:
    """The example of RFC 8037, appendix A.3."""
    x = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert key_id(Ed25519PublicKey.from_public_bytes(x)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_an_issuer_that_is_not_trusted_vouches_for_nothing() -> None:
    assert problem_of(sign(USUAL, STRANGER)) is LicenseProblem.UNKNOWN_ISSUER


def test_a_signature_by_another_key_under_the_issuer_s_name_is_forged() -> None:
    header, payload, _ = SIGNED.split(".")
    other = sign(USUAL, STRANGER).split(".")[2]
    assert problem_of(f"{header}.{payload}.{other}") is LicenseProblem.BAD_SIGNATURE


def test_any_claim_that_is_changed_breaks_the_signature() -> None:
    header, _, signature = SIGNED.split(".")
    longer = sign(changed(ends=USUAL.ends + 100 * DAY), ISSUER).split(".")[1]
    assert problem_of(f"{header}.{longer}.{signature}") is LicenseProblem.BAD_SIGNATURE


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "RS256", "eddsa", 7, None])
def test_no_other_algorithm_is_taken(algorithm: object) -> None:
    header = part({"alg": algorithm, "typ": statement.TYPE, "kid": key_id(ISSUER.public_key())})
    payload = SIGNED.split(".")[1]
    mac = hmac.new(ISSUER.public_key().public_bytes_raw(), f"{header}.{payload}".encode(), hashlib.sha256).digest()
    for signature in ("", base64.urlsafe_b64encode(mac).rstrip(b"=").decode(), SIGNED.split(".")[2]):
        assert problem_of(f"{header}.{payload}.{signature}") is LicenseProblem.DAMAGED


def test_a_statement_of_another_type_is_no_license() -> None:
    for kind in ("JWT", None, "SRA-LICENSE+JWT"):
        values = {"kid": key_id(ISSUER.public_key()), "typ": kind}
        assert problem_of(jwt.encode({"sub": "x"}, ISSUER, "EdDSA", values)) is LicenseProblem.DAMAGED


def test_ed448_is_not_the_algorithm() -> None:
    text = jwt.encode({}, Ed448PrivateKey.generate(), "EdDSA", {"typ": statement.TYPE, "kid": next(iter(TRUSTED))})
    assert problem_of(text) is LicenseProblem.BAD_SIGNATURE


@pytest.mark.parametrize("name", ["sub", "jti", "iat", "nbf", "exp", "hosts", "machines", "features"])
def test_every_claim_is_required(name: str) -> None:
    assert problem_of(with_claims(**{name: None})) is LicenseProblem.DAMAGED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sub", ""), ("sub", 1), ("sub", "x" * 201), ("jti", ""), ("exp", "never"), ("exp", 1e99), ("exp", -1),
        ("nbf", True), ("hosts", "all"), ("hosts", []), ("hosts", ["A.example.com"]), ("hosts", ["a b"]),
        ("hosts", ["a?"]), ("hosts", ["[a]"]), ("hosts", ["a\n"]), ("hosts", ["x"] * 65), ("machines", 0),
        ("machines", "5"), ("features", "all"), ("crit", ["x"]), ("aud", "else"),
    ],
)  # fmt: skip
def test_claims_that_are_none_of_ours_or_out_of_bounds_are_damage(name: str, value: object) -> None:
    assert problem_of(with_claims(**{name: value})) is LicenseProblem.DAMAGED


def test_a_statement_that_is_too_long_is_not_even_looked_at() -> None:
    assert problem_of(SIGNED + "A" * statement.MAX_STATEMENT) is LicenseProblem.DAMAGED


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_garbage_is_damage_and_nothing_else(text: str) -> None:
    assert problem_of(text) is LicenseProblem.DAMAGED


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5), st.text(max_size=40)
)
def test_a_garbage_header_or_payload_is_refused(value: object, text: str) -> None:
    header, payload, signature = SIGNED.split(".")
    for mixed in (f"{part(value)}.{payload}.{signature}", f"{part({'alg': 'EdDSA', 'kid': value})}.{payload}.{text}"):
        assert problem_of(mixed) is LicenseProblem.DAMAGED
    assert problem_of(f"{header}.{part(value)}.{signature}") is LicenseProblem.BAD_SIGNATURE


@given(st.integers(0, len(SIGNED) - 1), st.characters(codec="ascii"))
def test_a_changed_character_never_leaves_a_different_license(position: int, character: str) -> None:
    text = SIGNED[:position] + character + SIGNED[position + 1 :]
    try:
        assert verify(text, TRUSTED, HOST) == USUAL
    except LicenseError:
        assert text != SIGNED


@pytest.mark.parametrize(
    ("hosts", "host", "is_for"),
    [
        ("any", "anything", True),
        (("kiosk-*.example.com",), HOST, True),
        (("kiosk-*.example.com",), HOST.upper(), True),
        (("kiosk-7",), HOST, False),
        (("*.example.com",), "example.com.evil", False),
        (("other", "*"), HOST, True),
        (("other",), HOST, False),
    ],
)
def test_hosts_are_matched_by_their_whole_name(hosts: str | tuple[str, ...], host: str, is_for: bool) -> None:
    assert changed(hosts=hosts).is_for(host) is is_for


def refusal(license_: License, clock: float, seen: float) -> str:
    with pytest.raises(LicenseError) as caught:
        license_.check(HOST, clock, seen)
    return caught.value.text


def test_it_holds_from_its_first_second_until_before_its_last() -> None:
    for moment in (USUAL.begins, NOW, USUAL.ends - 0.001):
        USUAL.check(HOST, moment, moment)


def test_each_problem_has_a_text_of_its_own() -> None:
    late, early = USUAL.ends, USUAL.begins - 1
    assert refusal(USUAL, late, late) == (
        "The license of kiosk-7.example.com expired on 2027-01-16. "
        "Its administrator installs a new one there: sra license install FILE"
    )
    assert refusal(USUAL, NOW, late) == (
        "The license of kiosk-7.example.com expired on 2027-01-16: the clock of that machine was set back since it "
        "showed 2027-01-16. Its administrator installs a new one there: sra license install FILE; or, if the clock was "
        "wrong then: sra license clock --accept"
    )
    assert refusal(USUAL, early, early) == (
        "The license of kiosk-7.example.com is not valid before 2027-01-14, and there it is 2027-01-14. "
        "Its administrator sets the clock, or waits."
    )
    assert refusal(changed(hosts=("other",)), NOW, NOW) == (
        "The license on kiosk-7.example.com is for other machines. "
        "Its administrator installs one of its own there: sra license install FILE"
    )
    assert refusal(changed(features=("screen-sharing",)), NOW, NOW) == (
        "The license of kiosk-7.example.com does not include remote access. "
        "Its administrator installs a new one there: sra license install FILE"
    )
