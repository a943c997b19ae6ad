"""RFC 5280, 5.2.5 and 5.3.3: lists that speak of other issuers' certificates."""

from __future__ import annotations

from cryptography import x509

from tests.chains import scope, usage
from tests.paths_corpus.building import Ca, Extension, basic, ca, case, entry
from tests.paths_corpus.revocations import ABOVE, ALICE, BOTH, ONE, ROOT, SUB, point, points


def indirect() -> None:
    lister = ca("Lister", ROOT, basics=(basic(), (usage("crl_sign"), True)))
    trust = [*BOTH, lister]
    named = SUB.card(points(point(ONE, issuer=lister)))
    everything = [scope(indirect_crl=True)]

    def whose(authority: Ca) -> Extension:
        return x509.CertificateIssuer([x509.DirectoryName(authority.name)]), True

    case("5.2.5 an indirect list", "good", named, trust, [ABOVE, lister.list(extensions=everything)])
    revoking = lister.list(entry(named, None, whose(SUB)), extensions=everything)
    case("5.3.3 revoked by an indirect list", "bad", named, trust, [ABOVE, revoking])
    case("5.3.3 revoked by the same, beside the issuer's own list", "bad", named, trust, [ABOVE, revoking, SUB.list()])
    sticky = lister.list(entry(3, None, whose(SUB)), entry(named), extensions=everything)
    case("5.3.3 revoked by an entry that has the issuer of the one before", "bad", named, trust, [ABOVE, sticky])
    others = lister.list(entry(named, None, whose(ROOT)), extensions=everything)
    case("5.3.3 another issuer's certificate of the same number", "good", named, trust, [ABOVE, others])
    own = lister.list(entry(named), extensions=everything)
    case("5.3.3 a certificate of the list's issuer of the same number", "good", named, trust, [ABOVE, own])
    case("5.2.5 an indirect list that says it is none", "bad", named, trust, [ABOVE, lister.list()])
    case("5.2.5 an indirect list that no point names", "bad", ALICE, trust, [ABOVE, lister.list(extensions=everything)])
    stranger = ca("Stranger")
    strange = SUB.card(points(point(ONE, issuer=stranger)))
    case(
        "6.3.3 (f) an indirect list below another root",
        "bad",
        strange,
        [*BOTH, stranger],
        [ABOVE, stranger.list(extensions=everything)],
    )
    case(
        "5.2.5 an indirect list, and the issuer's own",
        "good",
        named,
        trust,
        [ABOVE, SUB.list(), lister.list(extensions=everything)],
    )
    mixed = ROOT.list(entry(ALICE, None, whose(SUB)), extensions=everything)
    case("5.3.3 revoked by the root's list, that is indirect", "bad", ALICE, BOTH, [mixed, SUB.list()])


indirect()
