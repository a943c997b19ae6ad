"""RFC 5280, sections 4, 6.1 and 7.1: signatures, dates, names, constraints and lengths; no lists are looked at."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.x509.name import _ASN1Type

from tests.chains import UNKNOWN, key, usage
from tests.paths_corpus.building import (
    DAY,
    FUTURE,
    HOUR,
    ISSUES,
    NOW,
    PAST,
    Ca,
    Extension,
    basic,
    ca,
    case,
    changed,
    dn,
    sign,
)  # fmt: skip

ROOT = ca("Root")
SUB = ca("Sub", ROOT)
BOTH = (ROOT, SUB)
SECOND = timedelta(seconds=1)


def flip(data: bytes) -> bytes:
    """Another subject: one letter of “Alice”."""
    return data.replace(b"Alice", b"Alyce")


def signatures() -> None:
    case("6.1.3 (a)(1) a card below its root", "good", ROOT.card(), [ROOT])
    case("6.1.3 (a)(1) a card below a sub-authority", "good", SUB.card(), BOTH)
    case("6.1.3 (a)(1) a card whose signed part was changed", "bad", changed(SUB.card(), flip), BOTH)
    forged = Ca(changed(SUB.certificate, lambda data: data.replace(b"Sub", b"Sab"), None), SUB.key, dn("Test", "Sab"))
    case("6.1.3 (a)(1) an authority whose signed part was changed", "bad", forged.card(), [ROOT, forged])
    mallory = ca("Sub", of="mallory")
    case("6.1.3 (a)(1) a card by another key of the authority's name", "bad", mallory.card(), BOTH)
    case("6.1.3 (a)(1) an authority that is a root nobody trusts", "bad", SUB.card(), [SUB])
    case("6.1.1 (d) a root that is not in the folder", "bad", ca("Stranger").card(), BOTH)
    case("6.1.1 (d) a missing sub-authority", "bad", SUB.card(), [ROOT])
    card = Ca(SUB.card(subject=dn("Cards", "Bob")), key("Alice"), dn("Cards", "Bob"))
    case("6.1.4 (k) a card that issues a card", "bad", card.card(), [*BOTH, card])
    algorithm = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300a06082a8648ce3d040303")
    odd = changed(SUB.card(), lambda data: data.replace(*algorithm, 1), SUB)
    case("4.1.1.2 another signature algorithm within than without", "bad", odd, BOTH)


def dates() -> None:
    for what, when in (("expired", PAST), ("not yet valid", FUTURE)):
        case(f"6.1.3 (a)(2) a card that is {what}", "bad", SUB.card(dates=when), BOTH)
        sub = ca("Sub", ROOT, dates=when)
        case(f"6.1.3 (a)(2) an authority that is {what}", "bad", sub.card(), [ROOT, sub])
        root = ca("Root", dates=when)
        case(f"6.1.3 (a)(2) a root that is {what}", "bad", ca("Sub", root).card(), [root, SUB])
        case(f"6.1.3 (a)(2) a root that is {what} beside its renewed one", "good", SUB.card(), [root, *BOTH])
        case(f"6.1.3 (a)(2) a renewed root before the one that is {what}", "good", SUB.card(), [*BOTH, root])
        case(f"6.1.3 (a)(2) an authority that is {what} beside its renewed one", "good", SUB.card(), [sub, *BOTH])
    long = (NOW - 40 * 365 * DAY, NOW + 60 * 365 * DAY)
    case("4.1.2.5.2 dates from before 2000 to after 2050", "good", SUB.card(dates=long), BOTH)
    case("4.1.2.5 a card that ends in two hours", "good", SUB.card(dates=(NOW - DAY, NOW + 2 * HOUR)), BOTH)
    case("4.1.2.5 a card that ended a minute ago", "bad", SUB.card(dates=(NOW - DAY, NOW - 60 * SECOND)), BOTH)


def names() -> None:
    def by(name: x509.Name) -> x509.Certificate:
        return Ca(SUB.certificate, SUB.key, name).card()

    case("7.1 an issuer's name in other case", "good", by(dn("TEST", "sub")), BOTH)
    case("7.1 an issuer's name with white space around it", "good", by(dn(" Test ", "Sub  ")), BOTH)
    spaced = ca(dn("Test", "A  Sub"), ROOT)
    inner = Ca(spaced.certificate, spaced.key, dn("Test", "A Sub")).card()
    case("7.1 an issuer's name with white space within it", "good", inner, [ROOT, spaced])
    printable = dn("Test", "Sub", kind=_ASN1Type.PrintableString)
    case("7.1 an issuer's name in another string type", "good", by(printable), BOTH)
    universal = dn("Test", "Sub", kind=_ASN1Type.BMPString)
    case("7.1 an issuer's name in UTF-16", "good", by(universal), BOTH)
    case("6.1.3 (a)(4) an issuer's name with another word", "bad", by(dn("Test", "Sub2")), BOTH)
    case("6.1.3 (a)(4) an issuer's name in another order", "bad", by(dn("Sub", "Test")), BOTH)
    case("6.1.3 (a)(4) an issuer's name with more below", "bad", by(dn("Test", "Sub", "x")), BOTH)
    umlaut = ca(dn("Test", "Straße Ä"), ROOT)
    case("7.1 a name beyond ASCII", "good", umlaut.card(), [ROOT, umlaut])
    case("4.1.2.6 a card without a name", "good", SUB.card(subject=x509.Name([])), BOTH)


def basics() -> None:
    def below(*extensions: Extension) -> tuple[x509.Certificate, list[Ca]]:
        sub = ca("Sub", ROOT, basics=extensions)
        return sub.card(), [ROOT, sub]

    case("6.1.4 (k) an authority without basic constraints", "bad", *below(ISSUES))
    case("6.1.4 (k) basic constraints that say no authority", "bad", *below(basic(ca=False), ISSUES))
    case(
        "6.1.4 (k) basic constraints that say no, not critical", "bad", *below(basic(ca=False, critical=False), ISSUES)
    )
    case("4.2.1.9 basic constraints that are not critical", "good", *below(basic(critical=False), ISSUES))
    case("6.1.4 (n) an authority that may not sign certificates", "bad", *below(basic(), (usage("crl_sign"), True)))
    case("6.1.4 (n) the same, not critical", "bad", *below(basic(), (usage("crl_sign"), False)))
    case("6.1.4 (n) an authority without key usage", "good", *below(basic()))
    case("6.1.4 (o) an authority with an unknown critical extension", "bad", *below(basic(), ISSUES, (UNKNOWN, True)))
    case("6.1.4 (o) an authority with an unknown extension", "good", *below(basic(), ISSUES, (UNKNOWN, False)))
    case("6.1.5 (e) a card with an unknown critical extension", "bad", SUB.card((UNKNOWN, True)), BOTH)
    case("6.1.5 (e) a card with an unknown extension", "good", SUB.card((UNKNOWN, False)), BOTH)
    case("4.2.1.3 a card that may not sign", "bad", SUB.card((usage("key_agreement"), True)), BOTH)
    case("4.2.1.3 a card that may sign", "good", SUB.card((usage("digital_signature"), True)), BOTH)
    root = ca("Root", basics=(basic(), (usage("crl_sign"), True)))
    case("6.1 a root that may not sign certificates", "bad", root.card(), [root])
    aki = (x509.AuthorityKeyIdentifier(b"another", None, None), False)
    case("4.2.1.1 a card that names another key of its issuer", "bad", SUB.card(aki), BOTH)


def purposes() -> None:
    for oid, words, verdict in (
        ("1.3.6.1.5.5.7.3.2", "client authentication", "good"),
        ("1.3.6.1.4.1.311.20.2.2", "smart card logon", "good"),
        ("2.5.29.37.0", "any purpose", "good"),
        ("1.3.6.1.5.5.7.3.1", "servers", "bad"),
        ("1.3.6.1.5.5.7.3.3", "code", "bad"),
        ("1.3.6.1.5.5.7.3.4", "mail", "bad"),
        ("1.3.6.1.5.5.7.3.9", "OCSP", "bad"),
        ("2.16.840.1.101.3.6.8", "card authentication", "bad"),
    ):
        usages = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid)])
        case(f"4.2.1.12 a card for {words}", verdict, SUB.card((usages, False)), BOTH)


def lengths() -> None:
    for limit, deep, verdict in ((0, 0, "good"), (0, 1, "bad"), (1, 1, "good"), (1, 2, "bad"), (6, 4, "good")):
        above = [ROOT, ca("Sub", ROOT, basics=(basic(limit), ISSUES))]
        for number in range(deep):
            above.append(ca(f"Below {number}", above[-1]))
        case(f"6.1.4 (l) a limit of {limit} and {deep} below it", verdict, above[-1].card(), above)
    wide = ca("Sub", ROOT, basics=(basic(0), ISSUES))
    inner = ca("Inner", wide, basics=(basic(6), ISSUES))
    case("6.1.4 (m) a wider limit below a narrow one", "bad", inner.card(), [ROOT, wide, inner])
    narrow = ca("Inner", ca("Sub", ROOT, basics=(basic(6), ISSUES)), basics=(basic(0), ISSUES))
    last = ca("Last", narrow)
    case("6.1.4 (m) a narrower limit below a wide one", "bad", last.card(), [ROOT, SUB, narrow, last])
    short = ca("Root", basics=(basic(0), ISSUES))
    case("6.1.1 a root that limits itself", "bad", ca("Sub", short).card(), [short, ca("Sub", short)])
    case("6.1.1 a root that limits itself, and a card right below", "good", short.card(), [short])
    above = [ROOT]
    for number in range(8):
        above.append(ca(f"Deep {number}", above[-1]))
    case("6.1 eight authorities between a card and its root", "good", above[-1].card(), above)
    above.extend(ca(f"Deeper {number}", above[-1]) for number in range(1))
    above.append(ca("Deepest", above[-1]))
    case("6.1 more authorities than anybody has", "bad", above[-1].card(), above)


def rollovers() -> None:
    """Section 4.4 of RFC 4210 and 6.1 (self-issued certificates): two keys of one authority."""
    old, new = ca("CA", ROOT, of="old"), ca("CA", ROOT, of="new")
    new_with_old = Ca(sign(old, old.name, new.key, (basic(), ISSUES)), new.key, old.name)
    old_with_new = Ca(sign(new, new.name, old.key, (basic(), ISSUES)), old.key, old.name)
    case("6.1 a re-keyed authority, by its own certificate", "good", new.card(), [ROOT, old, new])
    case("6.1 new with old", "good", new.card(), [ROOT, old, new_with_old])
    case("6.1 old with new", "good", old.card(), [ROOT, new, old_with_new])
    case("6.1 new with old, of which the old is missing", "bad", new.card(), [ROOT, new_with_old])
    for limit, below, verdict in ((0, 0, "good"), (0, 1, "bad"), (1, 1, "good")):
        limited = ca("CA", ROOT, of="old", basics=(basic(limit), ISSUES))
        link = Ca(sign(limited, limited.name, new.key, (basic(limit), ISSUES)), new.key, limited.name)
        above = [ROOT, limited, link]
        if below:
            above.append(ca("Below", link))
        name = f"6.1.4 (l) a self-issued certificate is not counted: {limit}, and {below} below"
        case(name, verdict, above[-1].card(), above)
    lister = Ca(sign(old, old.name, key("lister"), (basic(), (usage("crl_sign"), True))), key("lister"), old.name)
    case("6.1.4 (n) a card by the key that is for lists only", "bad", lister.card(), [ROOT, old, lister])
    old_root = ca("Root", of="old root")
    link = Ca(sign(old_root, ROOT.name, ROOT.key, (basic(), ISSUES)), ROOT.key, ROOT.name)
    case("6.1 a new root, by its certificate with the old root's key", "good", SUB.card(), [old_root, link, SUB])
    case("6.1 both roots and the certificate between them", "good", SUB.card(), [old_root, link, *BOTH])


def crosses() -> None:
    other = ca("Other")
    cross = Ca(sign(other, SUB.name, SUB.key, (basic(), ISSUES)), SUB.key, SUB.name)
    case("6.1 a cross-certificate alone", "good", SUB.card(), [other, cross])
    case("6.1 a cross-certificate beside the authority's own", "good", SUB.card(), [other, cross, *BOTH])
    expired = Ca(sign(other, SUB.name, SUB.key, (basic(), ISSUES), PAST), SUB.key, SUB.name)
    case("6.1 an expired cross-certificate beside the authority's own", "good", SUB.card(), [other, expired, *BOTH])
    case("6.1 an expired cross-certificate alone", "bad", SUB.card(), [other, expired])
    case("6.1 a cross-certificate whose root is missing", "bad", SUB.card(), [ROOT, cross])
    bridge = ca("Bridge", ROOT)
    member = Ca(sign(bridge, other.name, other.key, (basic(), ISSUES)), other.key, other.name)
    case("6.1 by a bridge to another's root", "good", other.card(), [ROOT, bridge, member])
    back = Ca(sign(other, bridge.name, bridge.key, (basic(), ISSUES)), bridge.key, bridge.name)
    case("6.1 authorities that certify each other", "good", other.card(), [ROOT, bridge, member, back])
    case("6.1 the same, and no root", "bad", other.card(), [member, back])
    none = Ca(sign(other, SUB.name, SUB.key, (basic(0, ca=True), (usage("crl_sign"), True))), SUB.key, SUB.name)
    case("6.1 a cross-certificate that may not issue, and one that may", "good", SUB.card(), [other, none, *BOTH])


for section in (signatures, dates, names, basics, purposes, lengths, rollovers, crosses):
    section()
