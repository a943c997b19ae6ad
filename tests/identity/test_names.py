import time

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type

from sra.identity.names import comparable, is_same
from tests.chains import named


def typed(text: str, kind: _ASN1Type) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text, _type=kind)])


@pytest.mark.parametrize(
    "other",
    [
        named("SUB ca"),
        named("  Sub   CA "),
        typed("Sub CA", _ASN1Type.PrintableString),
        typed("Sub CA", _ASN1Type.BMPString),
    ],
)
def test_case_white_space_and_string_type_do_not_matter(other: x509.Name) -> None:
    assert is_same(named("Sub CA"), other)


def test_other_words_other_orders_and_other_attributes_do() -> None:
    one, two = (x509.NameAttribute(x509.NameOID.COMMON_NAME, each) for each in ("a", "b"))
    assert not is_same(named("Sub CA"), named("SubCA"))
    assert not is_same(x509.Name([one, two]), x509.Name([two, one]))
    assert not is_same(x509.Name([one]), x509.Name([one, two]))
    assert comparable(x509.Name([])) == comparable(x509.Name([]))


def test_values_that_a_library_drops_still_count() -> None:
    def one_part(*values: str) -> x509.Name:
        pairs = [x509.NameAttribute(x509.NameOID.COMMON_NAME, value) for value in values]
        return x509.Name([x509.RelativeDistinguishedName(pairs)])

    assert not is_same(one_part("a", "b"), one_part("b"))
    assert is_same(one_part("A", "b"), one_part("B", "a"))
    assert not is_same(one_part("Ann"), one_part("Ann\ufe8d"))


def test_a_name_that_fills_a_certificate_costs_little() -> None:
    """A stranger's certificate may have one: it is compared after the proof, which everybody can give for a key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "\ufdfa" * 21) for _ in range(200)])
    comparable(named("the first one loads the library"))
    begun = time.process_time()
    comparable(name)
    assert time.process_time() - begun < 0.05
    assert is_same(name, name)
