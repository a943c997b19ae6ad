from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ocsp as library

from sra.identity.authorities import Issued
from sra.identity.crl import RevocationList
from sra.identity.ocsp import OcspAnswer
from sra.identity.revocation import EvidenceError
from sra.identity.status import ALL_REASONS, reasons
from sra.remote.revocation.sources import ListSource, ResponderSource, Source, digest
from tests.chains import NOW, Responder, key, root
from tests.remote.revocation.servers import Handler, Reply, content, serving

ROOT = root()
ALICE = Issued(ROOT.issue("Alice"), ROOT.certificate)
BOB = Issued(ROOT.issue("Bob"), ROOT.certificate)


def answering(responder: Responder, *, with_nonce: bool = True) -> Reply:
    def reply(handler: Handler, body: bytes) -> None:
        nonce = library.load_der_ocsp_request(body).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        content(responder.answer(ALICE, nonce if with_nonce else None))(handler, body)

    return reply


def test_a_list_is_fetched_and_verified() -> None:
    with serving(good=content(ROOT.revocation_list()), bad=content(b"rubbish")) as server:
        body, answer = ListSource(server.url("/good"), ROOT.certificate).ask(NOW, 5)
        assert isinstance(answer, RevocationList)
        assert reasons(answer, ALICE) == ALL_REASONS
        assert ListSource("", ROOT.certificate).verify(body, NOW) == answer
        with pytest.raises(EvidenceError, match="can't be read"):
            ListSource(server.url("/bad"), ROOT.certificate).ask(NOW, 5)


def test_a_responder_is_asked_with_a_fresh_nonce() -> None:
    own = Responder(ROOT.certificate, ROOT.key)
    with serving(ocsp=answering(own), old=answering(own, with_nonce=False)) as server:
        body, answer = ResponderSource(server.url("/ocsp"), ALICE).ask(NOW, 5)
        assert isinstance(answer, OcspAnswer)
        assert answer.revocation is None
        assert ResponderSource("", ALICE).verify(body, NOW) == answer
        with pytest.raises(EvidenceError, match="no nonce"):
            ResponderSource(server.url("/old"), ALICE).ask(NOW, 5)
        assert ResponderSource(server.url("/old"), ALICE, needs_nonce=False).ask(NOW, 5)[1] == answer
        with pytest.raises(EvidenceError, match="another certificate"):
            ResponderSource(server.url("/ocsp"), BOB).ask(NOW, 5)


def test_what_was_kept_for_one_question_answers_no_other() -> None:
    other = root("Root", own=key("Other"))
    sources: list[Source] = [
        ListSource("http://a", ROOT.certificate),
        ListSource("http://b", ROOT.certificate),
        ListSource("http://a", other.certificate),
        ResponderSource("http://a", ALICE),
        ResponderSource("http://b", ALICE),
        ResponderSource("http://a", BOB),
        ResponderSource("http://a", Issued(ALICE.certificate, other.certificate)),
    ]
    keys = [source.key for source in sources]
    assert len(set(keys)) == len(keys)
    assert all(len(each) == 64 for each in keys)
    assert ResponderSource("http://a", ALICE).issuer == ROOT.certificate


def test_an_old_answer_is_read_with_the_responder_of_its_time() -> None:
    extensions = (
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.9")]), False),
        (x509.OCSPNoCheck(), False),
    )
    signer = ROOT.issue("Responder", extensions, (NOW - timedelta(days=1), NOW + timedelta(hours=1)))
    body = Responder(signer, key("Responder")).answer(ALICE)
    assert ResponderSource("", ALICE).verify(body, NOW)
    with pytest.raises(EvidenceError, match="out of its dates"):
        ResponderSource("", ALICE).verify(body, NOW + timedelta(hours=2))


def test_a_digest_is_the_certificate_s_sha_256() -> None:
    assert digest(ROOT.certificate) != digest(ALICE.certificate)
    assert len(digest(ROOT.certificate)) == 64
