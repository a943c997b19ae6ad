"""What macOS calls an attribute of an account, and what directories (LDAP) call it."""

from __future__ import annotations

import re

from sra.errors import UsageError
from sra.logs import clean

STANDARD = {
    "AltSecurityIdentities": "altSecurityIdentities",
    "EMailAddress": "mail",
    "FirstName": "givenName",
    "LastName": "sn",
    "RealName": "cn",
    "RecordName": "uid",
    "UniqueID": "uidNumber",
}
"""After ``dsAttrTypeStandard:`` -> its name in LDAP (DirectoryService(8), RFC 2307, RFC 4519)."""

_STANDARD_PREFIX = "dsAttrTypeStandard:"
_NATIVE_PREFIX = "dsAttrTypeNative:"
_LDAP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


def ldap_name(text: str) -> str:
    """The LDAP name of an attribute that is written in macOS's way or in LDAP's; raise ``UsageError`` for others."""
    if text.startswith(_STANDARD_PREFIX):
        name = STANDARD.get(text.removeprefix(_STANDARD_PREFIX))
        if name is None:
            known = ", ".join(STANDARD)
            raise UsageError(f"“{clean(text)}” is not an attribute that is known here: {_STANDARD_PREFIX} has {known}")
        return name
    name = text.removeprefix(_NATIVE_PREFIX)
    if not _LDAP_NAME.fullmatch(name):
        raise UsageError(f"“{clean(text)}” can't be the name of an attribute")
    return name
