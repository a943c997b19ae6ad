"""RFC 5280, 5 and 6.3: revocation lists, whole and in parts, of the issuer and of others."""

from __future__ import annotations

from cryptography import x509

from tests.chains import UNKNOWN, key, scope, usage
from tests.paths_corpus.building import (
    DAY,
    FUTURE,
    ISSUES,
    NOW,
    Ca,
    Extension,
    basic,
    ca,
    case,
    dn,
    entry,
    sign,
)  # fmt: skip

ROOT = ca("Root")
SUB = ca("Sub", ROOT)
BOTH = (ROOT, SUB)
ALICE = SUB.card()
ABOVE = ROOT.list()
"""The root's list, which every path needs as well."""
STALE = (NOW - 3 * DAY, NOW - DAY)
HOLD, REMOVED = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl
COMPROMISED = x509.ReasonFlags.key_compromise
SOME = frozenset({COMPROMISED, x509.ReasonFlags.ca_compromise})
REST = frozenset(x509.ReasonFlags) - SOME - {x509.ReasonFlags.unspecified, REMOVED}
ONE, TWO = "http://lists.example/1", "http://lists.example/2"


def uri(address: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(address)]


def points(*found: x509.DistributionPoint) -> Extension:
    return x509.CRLDistributionPoints(found), False


def point(
    address: str | None = None, reasons: frozenset[x509.ReasonFlags] | None = None, issuer: Ca | None = None
) -> x509.DistributionPoint:
    issuers = [x509.DirectoryName(issuer.name)] if issuer else None
    return x509.DistributionPoint(uri(address) if address else None, None, reasons, issuers)


def wholes() -> None:
    case("6.3.3 a card on no list", "good", ALICE, BOTH, [ABOVE, SUB.list()])
    case("6.3.3 a card beside others on the list", "good", ALICE, BOTH, [ABOVE, SUB.list(entry(1), entry(2))])
    for reason in (None, COMPROMISED, x509.ReasonFlags.superseded, HOLD):
        words = reason.value if reason else "no reason"
        case(f"5.3.1 a card that was revoked for {words}", "bad", ALICE, BOTH, [ABOVE, SUB.list(entry(ALICE, reason))])
    case("6.3.3 an authority that was revoked", "bad", ALICE, BOTH, [ROOT.list(entry(SUB.certificate)), SUB.list()])
    case("6.3.3 no list of the card's issuer", "bad", ALICE, BOTH, [ABOVE])
    case("6.3.3 no list of the root", "bad", ALICE, BOTH, [SUB.list()])
    case("6.3.3 no list at all", "bad", ALICE, BOTH, [])
    case("6.3.3 a card right below the root, and its list", "good", ROOT.card(), [ROOT], [ABOVE])
    case("5.1.2.5 a list that is stale", "bad", ALICE, BOTH, [ABOVE, SUB.list(dates=STALE)])
    case("5.1.2.5 a root's list that is stale", "bad", ALICE, BOTH, [ROOT.list(dates=STALE), SUB.list()])
    case("5.1.2.4 a list of the future", "bad", ALICE, BOTH, [ABOVE, SUB.list(dates=FUTURE)])
    case("6.3.3 a stale list beside a fresh one", "good", ALICE, BOTH, [ABOVE, SUB.list(dates=STALE), SUB.list()])
    revoking = SUB.list(entry(ALICE), dates=STALE)
    case(
        "6.3.3 revoked by a stale list, beside a fresh one that does not",
        "bad",
        ALICE,
        BOTH,
        [ABOVE, revoking, SUB.list()],
    )
    future = SUB.list(entry(ALICE), dates=FUTURE)
    case("6.3.3 revoked by a list of the future, beside a fresh one", "bad", ALICE, BOTH, [ABOVE, future, SUB.list()])
    held = SUB.list(entry(ALICE, HOLD), dates=(NOW - DAY, NOW + DAY))
    case("5.3.1 a hold that a newer list has taken back", "good", ALICE, BOTH, [ABOVE, held, SUB.list(number=6)])
    case(
        "5.3.1 a hold that a newer list has made",
        "bad",
        ALICE,
        BOTH,
        [ABOVE, SUB.list(dates=(NOW - DAY, NOW + DAY)), SUB.list(entry(ALICE, HOLD), number=6)],
    )
    for serial in (1, 127, 128, 2**159 - 1):
        other = SUB.list(entry(serial))
        case(f"4.1.2.2 a list with the serial number {serial:x}", "good", ALICE, BOTH, [ABOVE, other])


def signers() -> None:
    forged = Ca(SUB.certificate, key("mallory"), SUB.name)
    case("6.3.3 (g) a list with a forged signature", "bad", ALICE, BOTH, [ABOVE, forged.list()])
    case(
        "6.3.3 (g) a forged list that revokes, beside a right one",
        "good",
        ALICE,
        BOTH,
        [ABOVE, forged.list(entry(ALICE)), SUB.list()],
    )
    silent = ca("Sub", ROOT, basics=(basic(), (usage("key_cert_sign"), True)))
    case(
        "6.3.3 (f) a list of an authority that may sign none",
        "bad",
        silent.card(),
        [ROOT, silent],
        [ABOVE, silent.list()],
    )
    free = ca("Sub", ROOT, basics=(basic(),))
    case("6.3.3 (f) a list of an authority without key usage", "good", free.card(), [ROOT, free], [ABOVE, free.list()])
    case("6.3.3 (b) another authority's list", "bad", ALICE, BOTH, [ABOVE, ROOT.list(entry(ALICE))])
    other = ca("Other", ROOT)
    case(
        "6.3.3 (b) another's list beside the right one",
        "good",
        ALICE,
        [*BOTH, other],
        [ABOVE, SUB.list(), other.list(entry(ALICE))],
    )
    odd = Ca(SUB.certificate, SUB.key, dn("TEST", " sub"))
    case("7.1 a list whose issuer is written in another way", "good", ALICE, BOTH, [ABOVE, odd.list()])
    case("7.1 the same, and it revokes", "bad", ALICE, BOTH, [ABOVE, odd.list(entry(ALICE))])


def keys() -> None:
    """6.3.3 (f): other certificates, and other keys, of the authority."""
    renewed = ca("Sub", ROOT)
    trust = [*BOTH, renewed]
    case("6.3.3 (f) a renewed authority", "good", ALICE, trust, [ABOVE, SUB.list()])
    case("6.3.3 (f) a renewed authority, and the card revoked", "bad", ALICE, trust, [ABOVE, SUB.list(entry(ALICE))])
    case("6.3.3 (f) the same in another order", "bad", ALICE, trust[::-1], [ABOVE, SUB.list(entry(ALICE))])
    one_revoked = [ROOT.list(entry(SUB.certificate)), SUB.list()]
    case("6.1 one of two certificates of an authority was revoked", "good", ALICE, trust, one_revoked)
    compromised = [ROOT.list(entry(SUB.certificate, COMPROMISED), entry(renewed.certificate, COMPROMISED)), SUB.list()]
    case("6.1 both certificates of an authority were revoked", "bad", ALICE, trust, compromised)
    other = ca("Other")
    cross = Ca(sign(other, SUB.name, SUB.key, (basic(), ISSUES)), SUB.key, SUB.name)
    crossed = [*BOTH, other, cross]
    case("6.3.3 (f) a cross-certified authority", "good", ALICE, crossed, [ABOVE, other.list(), SUB.list()])
    case(
        "6.3.3 (f) a cross-certified authority, and the card revoked",
        "bad",
        ALICE,
        crossed,
        [ABOVE, other.list(), SUB.list(entry(ALICE))],
    )
    lists_only = (basic(), (usage("crl_sign"), True))
    lister = Ca(sign(ROOT, SUB.name, key("lister"), lists_only), key("lister"), SUB.name)
    trust = [*BOTH, lister]
    case("6.3.3 (f) a list by the authority's key for lists", "good", ALICE, trust, [ABOVE, lister.list()])
    case("6.3.3 (f) the same, and the card revoked", "bad", ALICE, trust, [ABOVE, lister.list(entry(ALICE))])
    case("6.3.3 (f) the same, of which the certificate is missing", "bad", ALICE, BOTH, [ABOVE, lister.list()])
    revoked = [ROOT.list(entry(lister.certificate)), lister.list()]
    case("6.3.3 (f) the certificate for lists was revoked", "bad", ALICE, trust, revoked)
    own = Ca(sign(SUB, SUB.name, key("own lister"), lists_only), key("own lister"), SUB.name)
    case("6.3.3 (f) the key for lists, by the authority itself", "good", ALICE, [*BOTH, own], [ABOVE, own.list()])
    stranger = ca("Stranger")
    namesake = Ca(sign(stranger, SUB.name, key("namesake"), (basic(), ISSUES)), key("namesake"), SUB.name)
    case(
        "6.3.3 (f) a namesake's list, below another root",
        "bad",
        ALICE,
        [*BOTH, stranger, namesake],
        [ABOVE, namesake.list()],
    )
    old = ca("CA", ROOT, of="old")
    new = ca("CA", ROOT, of="new")
    case(
        "6.3.3 (f) a re-keyed authority: the old key's card, the new key's list",
        "good",
        old.card(),
        [ROOT, old, new],
        [ABOVE, new.list()],
    )
    card = old.card()
    case(
        "6.3.3 (f) a re-keyed authority: revoked by the new key's list",
        "bad",
        card,
        [ROOT, old, new],
        [ABOVE, new.list(entry(card)), old.list()],
    )
    issuing = (basic(), (usage("key_cert_sign"), True))
    split = ca("Sub", ROOT, basics=issuing, of="ca split")
    case(
        "6.3.3 (f) one key that issues, one that lists",
        "good",
        split.card(),
        [ROOT, split, lister],
        [ABOVE, lister.list()],
    )


def scopes() -> None:
    for said, card_verdict in (("only_contains_user_certs", "good"), ("only_contains_ca_certs", "bad")):
        limited = SUB.list(extensions=[scope(**{said: True})])
        case(f"5.2.5 {said} of a card", card_verdict, ALICE, BOTH, [ABOVE, limited])
        limited = ROOT.list(extensions=[scope(**{said: True})])
        verdict = "bad" if card_verdict == "good" else "good"
        case(f"5.2.5 {said} of an authority", verdict, ALICE, BOTH, [limited, SUB.list()])
    attributes = SUB.list(extensions=[scope(only_contains_attribute_certs=True)])
    case("5.2.5 a list of attribute certificates", "bad", ALICE, BOTH, [ABOVE, attributes])
    users, authorities = (
        SUB.list(extensions=[scope(**{each: True})]) for each in ("only_contains_user_certs", "only_contains_ca_certs")
    )
    case("5.2.5 a list of users' and one of authorities'", "good", ALICE, BOTH, [ABOVE, authorities, users])
    case("5.2 an unknown critical extension", "bad", ALICE, BOTH, [ABOVE, SUB.list(extensions=[(UNKNOWN, True)])])
    case("5.2 an unknown extension", "good", ALICE, BOTH, [ABOVE, SUB.list(extensions=[(UNKNOWN, False)])])
    case(
        "5.3 an entry with an unknown critical extension",
        "bad",
        ALICE,
        BOTH,
        [ABOVE, SUB.list(entry(7, None, (UNKNOWN, True)))],
    )
    odd = SUB.list(entry(ALICE), extensions=[(UNKNOWN, True)])
    case("5.2 revoked by a list with an unknown critical extension", "bad", ALICE, BOTH, [ABOVE, odd, SUB.list()])
    odd = SUB.list(entry(ALICE), extensions=[scope(only_contains_ca_certs=True)])
    case("5.2.5 revoked by a list that is not for cards", "bad", ALICE, BOTH, [ABOVE, odd, SUB.list()])


def parts() -> None:
    """5.2.5 and 4.2.1.13: several points."""
    first, second = (SUB.list(extensions=[scope(full_name=uri(each))]) for each in (ONE, TWO))
    card = SUB.card(points(point(ONE)))
    case("5.2.5 the list of the card's point", "good", card, BOTH, [ABOVE, first])
    case("5.2.5 the list of another point", "bad", card, BOTH, [ABOVE, second])
    case("5.2.5 the lists of both points", "good", card, BOTH, [ABOVE, second, first])
    case("5.2.5 a part of a list, and a card without a point", "bad", ALICE, BOTH, [ABOVE, first])
    case("5.2.5 a whole list, and a card with a point", "good", card, BOTH, [ABOVE, SUB.list()])
    two = SUB.card(points(point(ONE), point(TWO)))
    case("5.2.5 the second of a card's points", "good", two, BOTH, [ABOVE, second])
    both = SUB.list(extensions=[scope(full_name=[*uri(TWO), *uri(ONE)])])
    case("5.2.5 a list of two points", "good", card, BOTH, [ABOVE, both])
    revoking = SUB.list(entry(card), extensions=[scope(full_name=uri(ONE))])
    case("5.2.5 revoked by the list of the card's point", "bad", card, BOTH, [ABOVE, revoking])
    revoking = SUB.list(entry(card), extensions=[scope(full_name=uri(TWO))])
    case("5.2.5 revoked by the list of another point", "bad", card, BOTH, [ABOVE, first, revoking])
    relative = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "1")])
    below = SUB.list(extensions=[scope(relative_name=relative)])
    near = SUB.card(points(x509.DistributionPoint(None, relative, None, None)))
    case("4.2.1.13 points named relative to their issuer", "good", near, BOTH, [ABOVE, below])
    name = [x509.DirectoryName(x509.Name([*SUB.name.rdns, relative]))]
    whole = SUB.card(points(x509.DistributionPoint(name, None, None, None)))
    case("4.2.1.13 a point named in full, its list relative", "good", whole, BOTH, [ABOVE, below])
    case("4.2.1.13 a relative point, and another's list", "bad", near, BOTH, [ABOVE, first])


def reasons() -> None:
    some, rest = (SUB.list(extensions=[scope(only_some_reasons=each)]) for each in (SOME, REST))
    case("5.2.5 a list for some reasons", "bad", ALICE, BOTH, [ABOVE, some])
    case("5.2.5 lists for all reasons together", "good", ALICE, BOTH, [ABOVE, some, rest])
    case("5.2.5 a list for some reasons beside a whole one", "good", ALICE, BOTH, [ABOVE, some, SUB.list()])
    revoking = SUB.list(entry(ALICE, COMPROMISED), extensions=[scope(only_some_reasons=SOME)])
    case("5.2.5 revoked by the list for some reasons", "bad", ALICE, BOTH, [ABOVE, revoking, rest])
    case("5.2.5 revoked by the same, alone", "bad", ALICE, BOTH, [ABOVE, revoking])
    case(
        "5.2.5 revoked by the same, beside a whole list that does not",
        "bad",
        ALICE,
        BOTH,
        [ABOVE, revoking, SUB.list()],
    )
    split = SUB.card(points(point(ONE, SOME), point(TWO, REST)))
    lists = [
        SUB.list(extensions=[scope(full_name=uri(each), only_some_reasons=which)])
        for each, which in ((ONE, SOME), (TWO, REST))
    ]
    case("4.2.1.13 two points, each for some reasons", "good", split, BOTH, [ABOVE, *lists])
    case("4.2.1.13 two points, and one list", "bad", split, BOTH, [ABOVE, lists[0]])


def deltas() -> None:
    # OpenSSL looks for deltas only where the card or the list says that there are some.
    freshest = x509.FreshestCRL([point("http://127.0.0.1:1/delta")])
    alice = SUB.card((freshest, False))
    whole, delta = SUB.list(number=5), SUB.list(number=6, delta=5)
    case("5.2.4 a delta that says nothing", "good", alice, BOTH, [ABOVE, whole, delta])
    case("5.2.4 revoked only by a delta", "bad", alice, BOTH, [ABOVE, whole, SUB.list(entry(alice), number=6, delta=5)])
    case(
        "5.2.4 on hold only by a delta",
        "bad",
        alice,
        BOTH,
        [ABOVE, whole, SUB.list(entry(alice, HOLD), number=6, delta=5)],
    )
    held = SUB.list(entry(alice, HOLD))
    case(
        "5.3.1 a hold that a delta takes back",
        "good",
        alice,
        BOTH,
        [ABOVE, held, SUB.list(entry(alice, REMOVED), number=6, delta=5)],
    )
    case("5.3.1 a hold that a delta leaves", "bad", alice, BOTH, [ABOVE, held, delta])
    case(
        "5.3.1 a revocation that a delta takes back",
        "bad",
        alice,
        BOTH,
        [ABOVE, SUB.list(entry(alice, COMPROMISED)), SUB.list(entry(alice, REMOVED), number=6, delta=5)],
    )
    case("5.2.4 a delta alone", "bad", alice, BOTH, [ABOVE, delta])
    old = SUB.list(number=4)
    case("5.2.4 a delta to a newer list", "good", alice, BOTH, [ABOVE, old, delta])
    case(
        "5.2.4 a stale list, and a delta that makes it fresh",
        "good",
        alice,
        BOTH,
        [ABOVE, SUB.list(dates=STALE), delta],
    )
    case(
        "5.2.4 a stale list, and a delta to another",
        "bad",
        alice,
        BOTH,
        [ABOVE, SUB.list(number=4, dates=STALE), delta],
    )
    stale = SUB.list(number=6, delta=5, dates=STALE)
    case("5.2.4 a delta that is stale itself", "good", alice, BOTH, [ABOVE, whole, stale])
    stale = SUB.list(entry(alice), number=6, delta=5, dates=STALE)
    case("5.2.4 revoked by a stale delta", "bad", alice, BOTH, [ABOVE, whole, stale])
    case(
        "5.2.4 a hold, taken back by a delta that is stale",
        "bad",
        alice,
        BOTH,
        [ABOVE, held, SUB.list(entry(alice, REMOVED), number=6, delta=5, dates=STALE)],
    )
    forged = Ca(SUB.certificate, key("mallory"), SUB.name)
    case(
        "5.2.4 a hold, taken back by a forged delta",
        "bad",
        alice,
        BOTH,
        [ABOVE, held, forged.list(entry(alice, REMOVED), number=6, delta=5)],
    )
    case(
        "5.2.4 an authority that a delta revokes",
        "bad",
        alice,
        BOTH,
        [ABOVE, ROOT.list(entry(SUB.certificate), number=6, delta=5), SUB.list()],
    )
    newer = SUB.list(entry(alice), number=7)
    case(
        "5.2.4 a delta that takes back nothing of a newer list",
        "bad",
        alice,
        BOTH,
        [ABOVE, newer, SUB.list(entry(alice, REMOVED), number=6, delta=5)],
    )
    users = [scope(only_contains_user_certs=True)]
    case(
        "5.2.4 a delta of another scope",
        "bad",
        alice,
        BOTH,
        [ABOVE, SUB.list(dates=STALE), SUB.list(number=6, delta=5, extensions=users)],
    )


for section in (wholes, signers, keys, scopes, parts, reasons, deltas):
    section()
