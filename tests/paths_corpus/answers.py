"""RFC 6960: answers of OCSP responders."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from sra.identity.authorities import Issued
from tests.chains import UNKNOWN, Extensions, Responder, key, responder, usage
from tests.paths_corpus.building import DAY, FUTURE, HOUR, NOW, PAST, Ca, Extension, ca, case, dn, entry, sign

ROOT = ca("Root")
SUB = ca("Sub", ROOT)
BOTH = (ROOT, SUB)
ALICE = SUB.card(responder("http://127.0.0.1:1/ocsp"))
ABOVE = ROOT.list()
SIGNS: Extension = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
NO_CHECK: Extension = (x509.OCSPNoCheck(), False)


def signer(
    *extensions: Extension, by: Ca = SUB, when: tuple[datetime, datetime] = (NOW - DAY, NOW + DAY)
) -> x509.Certificate:
    return sign(by, dn("Test", "Responder"), key("Responder"), extensions, when)


def said(
    certificate: x509.Certificate,
    status: str = "good",
    of: x509.Certificate = ALICE,
    issuer: x509.Certificate = SUB.certificate,
    when: tuple[datetime, datetime] = (NOW - HOUR, NOW + DAY),
    extensions: Extensions = (),
) -> bytes:
    """An answer about the card, signed by the certificate's key."""
    private = key("Responder") if certificate not in {SUB.certificate, ROOT.certificate} else SUB.key
    who = Responder(
        certificate,
        private,
        ocsp.OCSPCertStatus[status.upper()],
        when[0],
        when[1],
        extensions=extensions,
    )
    return who.answer(Issued(of, issuer))


def answers() -> None:
    delegated, plain = signer(SIGNS, NO_CHECK), signer(SIGNS)
    stale, future = (NOW - 9 * DAY, NOW - DAY), (NOW + DAY, NOW + 2 * DAY)
    empty, parted = SUB.list(), SUB.list(entry(plain))
    for name, verdict, answer, lists in (
        ("the issuer says good", "good", said(SUB.certificate), ()),
        ("the issuer says revoked", "bad", said(SUB.certificate, "revoked"), ()),
        ("the issuer says unknown", "bad", said(SUB.certificate, "unknown"), ()),
        ("the issuer says revoked, an empty list does not", "bad", said(SUB.certificate, "revoked"), (empty,)),
        ("the issuer says unknown, an empty list is enough", "good", said(SUB.certificate, "unknown"), (empty,)),
        ("a responder says good", "good", said(delegated), ()),
        ("a responder says revoked", "bad", said(delegated, "revoked"), ()),
        ("good without nocheck, and nothing of the responder", "bad", said(plain), ()),
        ("good without nocheck, and a list without the responder", "good", said(plain), (empty,)),
        ("revoked without nocheck", "bad", said(plain, "revoked"), ()),
        ("revoked without nocheck, an empty list does not", "bad", said(plain, "revoked"), (empty,)),
        ("a stale answer that says good", "bad", said(delegated, when=stale), ()),
        ("a stale answer that says good, and an empty list", "good", said(delegated, when=stale), (empty,)),
        (
            "a stale answer that says revoked, and an empty list",
            "bad",
            said(delegated, "revoked", when=stale),
            (empty,),
        ),
        ("an answer of the future that says good", "bad", said(delegated, when=future), ()),
        (
            "an answer of the future that says revoked, and an empty list",
            "bad",
            said(delegated, "revoked", when=future),
            (empty,),
        ),
        ("an answer with an unknown critical extension", "bad", said(delegated, extensions=((UNKNOWN, True),)), ()),
        (
            "the same that says revoked, and an empty list",
            "bad",
            said(delegated, "revoked", extensions=((UNKNOWN, True),)),
            (empty,),
        ),
        ("an answer about another card", "bad", said(delegated, of=SUB.card()), ()),
        ("an answer about a namesake's card", "bad", said(delegated, issuer=ca("Sub", ROOT, of="x").certificate), ()),
        ("a good answer and a list that revokes", "bad", said(delegated), (SUB.list(entry(ALICE)),)),
        ("a good answer of a responder that was revoked", "bad", said(plain), (SUB.list(entry(plain), dates=stale),)),
        ("the same, and the list is enough", "good", said(plain), (parted,)),
    ):
        case(f"RFC 6960 {name}", verdict, ALICE, BOTH, [ABOVE, *lists], [answer])


def responders() -> None:
    empty = SUB.list()
    for name, extensions in (
        ("no purpose", (NO_CHECK,)),
        ("another purpose", ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False), NO_CHECK)),
        ("a key that may not sign", (SIGNS, NO_CHECK, (usage("key_agreement"), True))),
    ):
        case(f"RFC 6960, 4.2.2.2 a responder with {name}", "bad", ALICE, BOTH, [ABOVE], [said(signer(*extensions))])
    for name, when in (("has expired", PAST), ("is not yet valid", FUTURE)):
        odd = signer(SIGNS, NO_CHECK, when=when)
        case(f"RFC 6960, 4.2.2.2 a responder that {name}", "bad", ALICE, BOTH, [ABOVE], [said(odd)])
        case(f"RFC 6960 revoked by a responder that {name}", "bad", ALICE, BOTH, [ABOVE, empty], [said(odd, "revoked")])
    above = signer(SIGNS, NO_CHECK, by=ROOT)
    case("RFC 6960, 4.2.2.2 the root's responder", "bad", ALICE, BOTH, [ABOVE], [said(above)])
    case(
        "RFC 6960, 4.2.2.2 revoked by the root's responder",
        "good",
        ALICE,
        BOTH,
        [ABOVE, empty],
        [said(above, "revoked")],
    )
    stranger = signer(SIGNS, NO_CHECK, by=ca("Stranger"))
    case("RFC 6960, 4.2.2.2 a stranger says good", "bad", ALICE, BOTH, [ABOVE], [said(stranger)])
    case("RFC 6960, 4.2.2.2 a stranger says revoked", "good", ALICE, BOTH, [ABOVE, empty], [said(stranger, "revoked")])
    impostor = ca("Sub", of="impostor")
    liar = signer(SIGNS, NO_CHECK, by=impostor)
    case("RFC 6960, 4.2.2.2 a responder of a namesake", "bad", ALICE, BOTH, [ABOVE], [said(liar)])
    renewed = ca("Sub", ROOT)
    trust = [renewed, *BOTH]
    case("RFC 6960 a renewed authority's answer", "good", ALICE, trust, [ABOVE], [said(SUB.certificate)])
    case("RFC 6960 a renewed authority says revoked", "bad", ALICE, trust, [ABOVE], [said(SUB.certificate, "revoked")])


for section in (answers, responders):
    section()
