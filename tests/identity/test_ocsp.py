import dataclasses
import re
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from sra.identity import ocsp
from sra.identity.authorities import Issued
from sra.identity.ocsp import OcspAnswer
from sra.identity.revocation import EvidenceError
from tests.chains import DAY, NOW, RESPONDER, UNKNOWN, Responder, key, root, usage, with_sha1

ROOT = root()
SUB = ROOT.authority("Sub")
ALICE = Issued(SUB.issue("Alice"), SUB.certificate)
BOB = Issued(SUB.issue("Bob"), SUB.certificate)
NONCE = bytes(range(32))
OWN = Responder(SUB.certificate, SUB.key)
DELEGATED = Responder(SUB.issue("Responder", RESPONDER), key("Responder"))


def verified(data: bytes, *, nonce: bytes | None = NONCE, needs_nonce: bool = True) -> OcspAnswer:
    return ocsp.verify(data, ALICE, NOW, nonce, needs_nonce=needs_nonce)


def refused(data: bytes, words: str) -> None:
    with pytest.raises(EvidenceError, match=re.escape(words)):
        verified(data)


def changed(responder: Responder, **changes: object) -> bytes:
    return dataclasses.replace(responder, **changes).answer(ALICE, NONCE)  # type: ignore[arg-type]


def test_a_question_names_the_certificate_and_carries_the_nonce() -> None:
    request = library.load_der_ocsp_request(ocsp.question(ALICE, NONCE))
    assert request.serial_number == ALICE.certificate.serial_number
    assert request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == NONCE


@pytest.mark.parametrize("responder", [OWN, DELEGATED], ids=["issuer", "delegated"])
@pytest.mark.parametrize("by_name", [True, False])
def test_the_issuer_or_its_responder_says_good(responder: Responder, *, by_name: bool) -> None:
    answer = verified(changed(responder, by_name=by_name))
    assert answer.covers(ALICE)
    assert not answer.covers(BOB)
    assert answer.revocation is None
    assert (answer.this_update, answer.fresh_until) == (NOW - timedelta(hours=1), NOW + DAY)
    assert answer.source == "the answer of the OCSP responder of “Sub”"


def test_the_issuer_needs_not_show_its_certificate() -> None:
    assert verified(changed(OWN, shows_certificate=False)).revocation is None


def test_a_revoked_certificate_is_so_since_then_for_that_reason() -> None:
    for reason in (None, x509.ReasonFlags.superseded):
        revocation = verified(changed(OWN, status=library.OCSPCertStatus.REVOKED, reason=reason)).revocation
        assert revocation is not None
        assert (revocation.since, revocation.reason) == (NOW - 5 * DAY, reason)


def test_an_unknown_certificate_is_no_evidence() -> None:
    refused(changed(OWN, status=library.OCSPCertStatus.UNKNOWN), "“Sub” doesn't know the certificate")


def test_another_nonce_is_never_believed_and_none_only_where_that_is_allowed() -> None:
    with pytest.raises(EvidenceError, match="another question"):
        verified(OWN.answer(ALICE, bytes(32)), needs_nonce=False)
    with pytest.raises(EvidenceError, match="no nonce"):
        verified(OWN.answer(ALICE))
    assert verified(OWN.answer(ALICE), needs_nonce=False)
    assert verified(OWN.answer(ALICE, bytes(32)), nonce=None)


def test_an_answer_about_another_certificate_is_refused() -> None:
    refused(OWN.answer(BOB, NONCE), "another certificate")
    namesake = root("Sub", own=key("Namesake"))
    refused(OWN.answer(Issued(ALICE.certificate, namesake.certificate), NONCE), "another certificate")
    assert verified(changed(OWN, digest=SHA256)).covers(ALICE)


def test_a_stranger_is_no_responder() -> None:
    stranger = root("Stranger")
    refused(changed(Responder(stranger.certificate, stranger.key)), "isn't authorised")
    other = Responder(ROOT.issue("Responder", RESPONDER), key("Responder"))
    refused(changed(other), "isn't authorised")


def test_a_card_is_no_responder() -> None:
    card = Responder(SUB.issue("Mallory", [(usage("digital_signature"), True)]), key("Mallory"))
    refused(changed(card), "isn't authorised")
    client = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    refused(changed(Responder(SUB.issue("Mallory", [client, RESPONDER[1]]), key("Mallory"))), "isn't authorised")


def test_a_responder_out_of_its_dates_is_refused() -> None:
    old = SUB.issue("Responder", RESPONDER, (NOW - 9 * DAY, NOW - DAY))
    refused(changed(Responder(old, key("Responder"))), "out of its dates")
    early = SUB.issue("Responder", RESPONDER, (NOW + DAY, NOW + 9 * DAY))
    refused(changed(Responder(early, key("Responder"))), "out of its dates")


def test_a_responder_that_could_be_revoked_is_left_to_be_checked() -> None:
    assert verified(changed(DELEGATED)).responder is None
    signer = SUB.issue("Responder", RESPONDER[:1])
    assert verified(changed(Responder(signer, key("Responder")))).responder == signer


REVOKED = library.OCSPCertStatus.REVOKED


@pytest.mark.parametrize(
    "responder",
    [
        Responder(SUB.issue("Responder", RESPONDER[:1]), key("Responder")),
        Responder(SUB.issue("Responder", RESPONDER, (NOW - 9 * DAY, NOW - DAY)), key("Responder")),
        Responder(SUB.issue("Responder", (*RESPONDER, (usage("key_agreement"), True))), key("Responder")),
        dataclasses.replace(OWN, extensions=((UNKNOWN, True),)),
        dataclasses.replace(OWN, this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY),
        dataclasses.replace(OWN, digest=SHA256),
    ],
    ids=["without nocheck", "expired", "key usage", "critical", "stale", "named by SHA-256"],
)
def test_revoked_is_heard_whatever_else_is_wrong_with_the_answer(responder: Responder) -> None:
    for nonce in (NONCE, bytes(32), None):
        answer = verified(dataclasses.replace(responder, status=REVOKED).answer(ALICE, nonce))
        assert answer.revocation is not None


def test_revoked_by_a_stranger_is_not_heard() -> None:
    stranger = root("Stranger")
    refused(changed(Responder(stranger.certificate, stranger.key, status=REVOKED)), "isn't authorised")


def test_forged_signatures_are_refused() -> None:
    mallory = root("Sub", own=key("Mallory"))
    refused(changed(Responder(mallory.certificate, mallory.key, by_name=True)), "isn't authorised")
    good = changed(DELEGATED)
    signature = library.load_der_ocsp_response(good).signature
    refused(good.replace(signature, signature[:-1] + bytes([signature[-1] ^ 1])), "signature is wrong")
    refused(changed(DELEGATED, shows_certificate=False), "isn't with it")


def test_a_response_signed_with_sha_1_is_refused() -> None:
    private = rsa.generate_private_key(65537, 2048)
    anchor = root("RSA", own=private)
    issued = Issued(anchor.issue("Alice"), anchor.certificate)
    data = Responder(anchor.certificate, private, shows_certificate=False).answer(issued, NONCE)
    assert ocsp.verify(data, issued, NOW, NONCE, needs_nonce=True)
    good = library.load_der_ocsp_response(data)
    weak = with_sha1(data, good.tbs_response_bytes, good.signature, private)
    assert library.load_der_ocsp_response(weak).signature_hash_algorithm.name == SHA1.name  # type: ignore[union-attr]
    with pytest.raises(EvidenceError, match="signature is wrong"):
        ocsp.verify(weak, issued, NOW, NONCE, needs_nonce=True)


def test_without_an_end_an_answer_counts_for_minutes() -> None:
    answer = verified(changed(OWN, this_update=NOW, next_update=None))
    assert answer.fresh_until == NOW + timedelta(minutes=5)
    assert answer.at_most_until(NOW).fresh_until == NOW


def test_a_responder_that_does_not_answer_says_so() -> None:
    for status in (library.OCSPResponseStatus.TRY_LATER, library.OCSPResponseStatus.UNAUTHORIZED):
        data = library.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
        refused(data, status.name.lower().replace("_", " "))


def test_a_critical_extension_that_is_unknown_is_refused() -> None:
    refused(changed(OWN, extensions=((UNKNOWN, True),)), "critical extension")
    assert verified(changed(OWN, extensions=((UNKNOWN, False),)))


def test_a_response_that_is_too_long_is_not_read() -> None:
    refused(b"\x30" * (ocsp.MAX_ANSWER + 1), "longer than")


@given(st.binary(max_size=300), st.integers(0, 400))
def test_nothing_but_a_refusal_comes_of_garbage(garbage: bytes, cut: int) -> None:
    good = OWN.answer(ALICE, NONCE)
    for data in (garbage, good[:cut] + garbage, good[:cut] + garbage + good[cut + len(garbage) :]):
        try:
            verified(data)
        except EvidenceError:
            continue
        # The certificates that come along are outside the signature: rubbish there changes nothing.
        assert (
            library.load_der_ocsp_response(data).tbs_response_bytes
            == library.load_der_ocsp_response(good).tbs_response_bytes
        )
