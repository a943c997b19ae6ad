import pytest
from cryptography import x509

from sra.errors import RefusalCode, RefusedError
from sra.identity.authorities import Authorities
from sra.identity.certificates import CardCertificate
from sra.remote.accounts.finder import Vouching
from tests.remote.accounts.issuing import Authority

AUTHORITY = Authority()
CARD = AUTHORITY.issue().card


def vouching(card: CardCertificate, *trusted: Authority) -> frozenset[str]:
    return Vouching(lambda: Authorities(tuple(each.own.certificate for each in trusted)))(card)


def test_the_authority_that_issued_a_card_vouches_for_it() -> None:
    assert vouching(CARD, Authority("Another"), AUTHORITY) == {AUTHORITY.own.sha256}


@pytest.mark.parametrize("trusted", [[], [Authority("Another")], [Authority("Authority of the tests")]])
def test_nobody_vouches_without_the_authority(trusted: list[Authority]) -> None:
    with pytest.raises(RefusedError) as caught:
        vouching(CARD, *trusted)
    assert caught.value.code is RefusalCode.UNTRUSTED


def test_an_authority_does_not_vouch_for_itself() -> None:
    with pytest.raises(RefusedError):
        vouching(AUTHORITY.own.card, AUTHORITY)


def test_a_certificate_that_is_not_for_signatures_authenticates_nobody() -> None:
    usages = {"key_encipherment": True, "key_cert_sign": False, "crl_sign": False, "key_agreement": False}
    none = {"content_commitment": False, "data_encipherment": False, "encipher_only": False, "decipher_only": False}
    for is_for_signatures in (True, False):
        usage = x509.KeyUsage(digital_signature=is_for_signatures, **usages, **none)
        card = AUTHORITY.issue(more=[usage]).card
        if is_for_signatures:
            assert vouching(card, AUTHORITY) == {AUTHORITY.own.sha256}
        else:
            with pytest.raises(RefusedError, match="not meant for signatures"):
                vouching(card, AUTHORITY)


@pytest.mark.parametrize("purpose", ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.9"])
def test_nobody_vouches_for_the_names_of_a_certificate_for_another_purpose(purpose: str) -> None:
    card = AUTHORITY.issue(more=[x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)])]).card
    with pytest.raises(RefusedError, match="for another purpose"):
        vouching(card, AUTHORITY)
