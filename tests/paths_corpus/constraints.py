"""RFC 5280, 4.2.1.10 (name constraints) and 4.2.1.4, .5, .11, .14 (policies)."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from tests.paths_corpus.building import ISSUES as ISSUES_CERTIFICATES
from tests.paths_corpus.building import Ca, Extension, basic, ca, case, dn, sign

ROOT = ca("Root")
HIGH, LOW, OTHER, ANY = "1.2.3.1", "1.2.3.2", "1.2.3.3", "2.5.29.32.0"


def constraint(permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None = None) -> Extension:
    return x509.NameConstraints(permitted, excluded), True


def named(*names: x509.GeneralName) -> Extension:
    return x509.SubjectAlternativeName(names), False


def constrained(
    name: str, verdict: str, limits: Extension, *names: x509.GeneralName, subject: x509.Name | None = None
) -> None:
    sub = ca(dn("Cards", "CA"), ROOT, limits)
    extensions = [named(*names)] if names else []
    case(f"4.2.1.10 {name}", verdict, sub.card(*extensions, subject=subject), [ROOT, sub])


def kinds() -> None:
    mail, dns, uri = x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier
    for kind, base, name, is_within in (
        (mail, "example.com", "alice@example.com", True),
        (mail, "example.com", "alice@EXAMPLE.com", True),
        (mail, "example.com", "alice@mail.example.com", False),
        (mail, ".example.com", "alice@mail.example.com", True),
        (mail, ".example.com", "alice@example.com", False),
        (mail, "alice@example.com", "alice@example.com", True),
        (mail, "alice@example.com", "bob@example.com", False),
        (mail, "example.com", "alice@badexample.com", False),
        (dns, "example.com", "example.com", True),
        (dns, "example.com", "www.Example.com", True),
        (dns, "example.com", "badexample.com", False),
        (dns, "www.example.com", "example.com", False),
        (uri, "host.example.com", "http://host.example.com/a", True),
        (uri, "host.example.com", "http://www.host.example.com/a", False),
        (uri, ".example.com", "http://host.example.com:80/a", True),
        (uri, ".example.com", "http://example.com/a", False),
    ):
        words = f"{kind.__name__} {name} and {base}"
        permitted, excluded = constraint([kind(base)]), constraint(None, [kind(base)])
        constrained(f"permitted {words}", "good" if is_within else "bad", permitted, kind(name))
        constrained(f"excluded {words}", "bad" if is_within else "good", excluded, kind(name))


def directories() -> None:
    cards = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Cards")]))
    other = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Other")]))
    alice = dn("Cards", "Alice")
    constrained("a directory name within", "good", constraint([cards]), subject=alice)
    constrained("a directory name within, in other case", "good", constraint([cards]), subject=dn("CARDS", "alice"))
    constrained("a directory name without", "bad", constraint([other]), subject=alice)
    constrained("one of two directory names", "good", constraint([other, cards]), subject=alice)
    constrained("an excluded directory name", "bad", constraint(None, [cards]), subject=alice)
    constrained("another directory name excluded", "good", constraint(None, [other]), subject=alice)
    constrained(
        "permitted and excluded further down", "bad", constraint([cards], [x509.DirectoryName(alice)]), subject=alice
    )
    constrained("a directory name among the other names", "bad", constraint([cards]), other, subject=alice)
    constrained("no directory name at all", "good", constraint([cards]), x509.DNSName("x.com"), subject=x509.Name([]))
    first = ca(dn("Cards", "CA"), ROOT, constraint([cards]))
    wider = ca(dn("Cards", "Inner"), first, constraint([cards, other]))
    case(
        "4.2.1.10 a wider constraint below a narrow one",
        "bad",
        wider.card(subject=dn("Other", "x")),
        [ROOT, first, wider],
    )
    narrow = ca(dn("Cards", "Inner"), first, constraint([x509.DirectoryName(dn("Cards", "Bob"))]))
    case("4.2.1.10 a narrower constraint below a wide one", "bad", narrow.card(subject=alice), [ROOT, first, narrow])
    outside = ca(dn("Other", "Inner"), first)
    case("4.2.1.10 an authority whose own name is without", "bad", outside.card(subject=alice), [ROOT, first, outside])
    rolled = ca(dn("Outside", "CA"), ROOT, constraint([cards]), of="first key")
    again = Ca(sign(rolled, rolled.name, ROOT.key, (basic(), ISSUES_CERTIFICATES)), ROOT.key, rolled.name)
    case(
        "6.1.3 (b) a self-issued authority's own name is not looked at",
        "good",
        again.card(subject=alice),
        [ROOT, rolled, again],
    )
    root = ca("Root", None, constraint([cards]))
    case("6.1.1 a root that limits the names below it", "bad", root.card(subject=dn("Other", "x")), [root])
    case("6.1.1 a root that limits the names, and one within", "good", root.card(subject=alice), [root])


def others() -> None:
    address = x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
    network = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
    constrained("a constraint on addresses, and no address", "good", constraint([network]))
    constrained(
        "an address outside the constraint",
        "bad",
        constraint([network]),
        x509.IPAddress(ipaddress.ip_address("11.0.0.1")),
    )
    constrained("an excluded address", "bad", constraint(None, [network]), address)
    constrained(
        "mail in the subject", "bad", constraint([x509.RFC822Name("example.com")]), subject=mailed("alice@evil.com")
    )
    constrained(
        "mail in the subject, within",
        "good",
        constraint([x509.RFC822Name("example.com")]),
        subject=mailed("alice@example.com"),
    )
    constrained("a kind that the card does not have", "good", constraint([x509.DNSName("example.com")]))
    constrained(
        "one name of two within",
        "bad",
        constraint([x509.DNSName("example.com")]),
        x509.DNSName("example.com"),
        x509.DNSName("evil.com"),
    )
    constrained(
        "a name of another kind", "good", constraint([x509.DNSName("example.com")]), x509.RFC822Name("a@evil.com")
    )


def mailed(address: str) -> x509.Name:
    return x509.Name([*dn("Cards", "Alice"), x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, address)])


def policy(*oids: str) -> Extension:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(each), None) for each in oids]), False


def demands(explicit: int | None = None, inhibit: int | None = None) -> Extension:
    return x509.PolicyConstraints(explicit, inhibit), True


def mapping(*pairs: tuple[str, str]) -> Extension:
    """The library can't build one: the bytes are DER (4.2.1.5)."""
    from asn1crypto import x509 as asn1  # noqa: PLC0415 - only here

    value = asn1.PolicyMappings([{"issuer_domain_policy": one, "subject_domain_policy": other} for one, other in pairs])
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), value.dump()), True


def issued(
    name: str,
    verdict: str,
    *levels: tuple[Extension, ...],
    wanted: tuple[str, ...] = (),
    root: tuple[Extension, ...] = (),
) -> None:
    """A path whose certificates have these extensions, the card's last."""
    above = [ca("Root", None, *root)]
    for number, extensions in enumerate(levels[:-1]):
        above.append(ca(f"Level {number}", above[-1], *extensions))
    case(name, verdict, above[-1].card(*levels[-1]), above, policies=wanted)


def policies() -> None:
    high, low, both, anything = policy(HIGH), policy(LOW), policy(HIGH, LOW), policy(ANY)
    for name, verdict, levels, wanted in (
        ("one policy on the whole path", "good", ((high,), (high,)), (HIGH,)),
        ("another policy than is wanted", "bad", ((high,), (high,)), (LOW,)),
        ("one of those that are wanted", "good", ((high,), (high,)), (LOW, HIGH)),
        ("a policy of the card alone", "bad", ((), (high,)), (HIGH,)),
        ("a policy of the authority alone", "bad", ((high,), ()), (HIGH,)),
        ("the same, and none is wanted", "good", ((high,), ()), ()),
        ("policies that have nothing in common", "bad", ((high,), (low,)), (HIGH,)),
        ("the same, and none is wanted (2)", "good", ((high,), (low,)), ()),
        ("what two policies have in common", "good", ((both,), (low,)), (LOW,)),
        ("any policy of the authority", "good", ((anything,), (high,)), (HIGH,)),
        ("any policy of the card", "good", ((high,), (anything,)), (HIGH,)),
        ("any policy of the card, and another wanted", "bad", ((high,), (anything,)), (LOW,)),
        ("any policy everywhere", "good", ((anything,), (anything,)), (HIGH,)),
        ("three levels", "good", ((both,), (high,), (high,)), (HIGH,)),
        ("three levels, broken in the middle", "bad", ((high,), (low,), (high,)), (HIGH,)),
    ):
        issued(f"6.1.3 (d) {name}", verdict, *levels, wanted=wanted)


def demanded() -> None:
    high, low, anything = policy(HIGH), policy(LOW), policy(ANY)
    for name, verdict, *levels in (
        ("a policy is demanded and there", "good", (high, demands(0)), (high,)),
        ("a policy is demanded and not there", "bad", (high, demands(0)), ()),
        ("a policy is demanded and another there", "bad", (high, demands(0)), (low,)),
        ("a policy is demanded after one", "bad", (high, demands(1)), (high,), ()),
        ("a policy is demanded after two, beyond the path's end", "good", (high, demands(3)), (high,), ()),
        ("a policy is demanded by the card", "bad", (high,), (demands(0),)),
        ("mappings are inhibited and none is made", "good", (high, demands(None, 0)), (high,)),
        ("a demand that is wider below", "bad", (high, demands(0)), (high, demands(9)), ()),
    ):
        issued(f"4.2.1.11 {name}", verdict, *levels)
    for skip, verdict in ((0, "bad"), (1, "good")):
        above = (anything, (x509.InhibitAnyPolicy(skip), True))
        issued(f"4.2.1.14 any policy is inhibited after {skip}", verdict, above, (anything,), (high,), wanted=(HIGH,))
    inhibited = (high, (x509.InhibitAnyPolicy(0), True))
    issued("4.2.1.14 any policy is inhibited and not needed", "good", inhibited, (high,), wanted=(HIGH,))
    issued("4.2.1.14 any policy of a card is inhibited", "bad", inhibited, (anything,), wanted=(HIGH,))
    root = (low, demands(0), (x509.InhibitAnyPolicy(0), True))
    issued("6.1.1 what a root says of policies does not matter", "good", (high,), (high,), wanted=(HIGH,), root=root)


def mapped() -> None:
    high, low, both = policy(HIGH), policy(LOW), policy(HIGH, LOW)
    to_low = mapping((HIGH, LOW))
    issued("4.2.1.5 a policy that is mapped", "good", (high, to_low), (low,), wanted=(HIGH,))
    issued("4.2.1.5 the policy that it is mapped to is not the anchor's", "bad", (high, to_low), (low,), wanted=(LOW,))
    issued("4.2.1.5 a policy that is mapped away", "bad", (high, to_low), (high,), wanted=(HIGH,))
    issued("4.2.1.5 a mapping of any policy", "bad", (high, mapping((ANY, LOW))), (low,))
    issued("4.2.1.5 a mapping to any policy", "bad", (high, mapping((HIGH, ANY))), (low,))
    issued(
        "4.2.1.5 a mapping to two",
        "good",
        (high, mapping((HIGH, LOW), (HIGH, OTHER))),
        (policy(OTHER),),
        wanted=(HIGH,),
    )
    issued(
        "4.2.1.5 a mapping of two to one",
        "good",
        (both, mapping((HIGH, OTHER), (LOW, OTHER))),
        (policy(OTHER),),
        wanted=(LOW,),
    )
    issued(
        "4.2.1.5 a mapping that is mapped on",
        "good",
        (high, to_low),
        (low, mapping((LOW, OTHER))),
        (policy(OTHER),),
        wanted=(HIGH,),
    )
    issued("4.2.1.5 a mapping below any policy", "good", (policy(ANY), to_low), (low,), wanted=(HIGH,))
    issued(
        "4.2.1.11 a mapping that is inhibited above",
        "bad",
        (high, demands(None, 0)),
        (high, to_low),
        (low,),
        wanted=(HIGH,),
    )
    issued(
        "4.2.1.11 a mapping that is inhibited further down",
        "good",
        (high, demands(None, 1)),
        (high, to_low),
        (low,),
        wanted=(HIGH,),
    )
    issued("4.2.1.11 a mapping and a demand", "good", (high, to_low, demands(0)), (low,))
    issued("4.2.1.11 a mapping and a demand that is not met", "bad", (high, to_low, demands(0)), (high,))


for section in (kinds, directories, others, policies, demanded, mapped):
    section()
