import pytest

from sra.errors import UsageError
from sra.remote.accounts.attribute_names import STANDARD, ldap_name


@pytest.mark.parametrize(("text", "name"), [(f"dsAttrTypeStandard:{key}", name) for key, name in STANDARD.items()])
def test_the_names_of_macos_are_translated(text: str, name: str) -> None:
    assert ldap_name(text) == name
    assert ldap_name(name) == name


def test_native_names_are_the_directorys_own() -> None:
    assert ldap_name("dsAttrTypeNative:userPrincipalName") == "userPrincipalName"
    assert ldap_name("userPrincipalName") == "userPrincipalName"


@pytest.mark.parametrize(
    "text",
    [
        "", "dsAttrTypeStandard:", "dsAttrTypeStandard:Password", "dsattrtypestandard:RecordName", "dsAttrTypeNative:",
        "uid=*", "uid)(objectClass=*", "uid;binary", "1uid", "uid ", "a" * 65, "dsAttrTypeNative:dsAttrTypeNative:uid",
    ],
)  # fmt: skip
def test_what_can_not_be_a_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ldap_name(text)
