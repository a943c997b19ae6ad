"""Accounts that SSSD finds for a certificate, on a machine that is joined to a domain (InfoPipe, sssd-ifp(5)).

SSSD finds them by its own mapping rules (sss-certmap(5)), which may use only names. So it is only asked about
certificates that an authority vouches for.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from jeepney import DBusAddress, Message, MessageType, Properties, new_method_call
from jeepney.io.asyncio import DBusRouter, open_dbus_router
from jeepney.io.common import RouterClosed

from sra.errors import UsageError
from sra.identity.certificates import CardCertificate
from sra.logs import clean
from sra.remote.accounts.directory import Accounts, DirectoryError
from sra.remote.accounts.pairing_file import check_account_name

SECONDS = 6.0
"""Seconds for everything: SSSD itself gives up on a server after six (sssd.conf(5), ``ldap_search_timeout``)."""

MAX_ACCOUNTS = 2
"""Requested accounts: two are already too many."""

_BUS_NAME = "org.freedesktop.sssd.infopipe"
_USERS = DBusAddress("/org/freedesktop/sssd/infopipe/Users", _BUS_NAME, f"{_BUS_NAME}.Users")
_UNKNOWN_FORM = "SSSD answers in an unknown form."
_FAILURES = (OSError, EOFError, ValueError, RuntimeError, RouterClosed)
"""What talking to the bus raises; ``TimeoutError`` is an ``OSError``."""


class SssdDirectory:
    """SSSD on the message bus with this address; the system's bus if it is empty."""

    name = "SSSD"
    goes_by_names = True

    def __init__(self, bus: str = "") -> None:
        self._bus = bus or "SYSTEM"

    async def find_certificate(self, card: CardCertificate) -> Accounts:
        """The accounts that SSSD maps the certificate to; raises ``DirectoryError``."""
        try:
            async with asyncio.timeout(SECONDS), open_dbus_router(self._bus) as router:
                return await _accounts(router, ssl.DER_cert_to_PEM_cert(card.der))
        except _FAILURES as error:
            reason = "it does not answer in time" if isinstance(error, TimeoutError) else clean(str(error))
            raise DirectoryError(f"SSSD can't be asked over the message bus: {reason or 'it hung up'}") from error


async def _accounts(router: DBusRouter, certificate: str) -> Accounts:
    paths = await _call(router, new_method_call(_USERS, "ListByCertificate", "su", (certificate, MAX_ACCOUNTS)))
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise DirectoryError(_UNKNOWN_FORM)
    names = [await _name(router, path) for path in paths[:MAX_ACCOUNTS]]
    return frozenset(names)


async def _name(router: DBusRouter, path: str) -> str:
    user = Properties(DBusAddress(path, _BUS_NAME, f"{_BUS_NAME}.Users.User"))
    variant = await _call(router, user.get("name"))
    if not isinstance(variant, tuple) or len(variant) != 2 or not isinstance(variant[1], str):
        raise DirectoryError(_UNKNOWN_FORM)
    try:
        check_account_name(variant[1])
    except UsageError as error:
        raise DirectoryError(f"SSSD: {error} Names have to be short ones (use_fully_qualified_names).") from error
    return variant[1]


async def _call(router: DBusRouter, message: Message) -> Any:
    """The one value of the reply; raise ``DirectoryError`` for an error."""
    reply = await router.send_and_get_reply(message)
    if reply.header.message_type is MessageType.error:
        said = " ".join(str(part) for part in reply.body)
        raise DirectoryError(f"SSSD says no: {clean(said) or 'no reason given'}")
    if not reply.body:
        raise DirectoryError(_UNKNOWN_FORM)
    return reply.body[0]
