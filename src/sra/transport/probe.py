"""A TLS handshake with a listener, and one question: enough to say whether it works."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
from collections.abc import Iterator

from sra.errors import LinkError, RefusalCode, RefusedError
from sra.transport.channel import open_channel
from sra.transport.tls_trust import client_context
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, NONCE_BYTES, VERSIONS, Hello
from sra.wire.states import Role

DEADLINE = 5.0
"""Seconds for a connection, and for an answer."""


@contextlib.contextmanager
def _reached(host: str, port: int) -> Iterator[socket.socket]:
    """A TCP connection; anything that goes wrong with it becomes a ``LinkError``."""
    try:
        with socket.create_connection((host, port), DEADLINE) as connection:
            yield connection
    except TimeoutError:
        raise LinkError(f"{host} port {port} does not answer.") from None
    except ssl.SSLError as error:
        raise LinkError(f"{host} port {port} answers, but not with TLS 1.3: {error.reason}.") from error
    except OSError as error:
        raise LinkError(f"{host} port {port} can't be reached: {error.strerror or error}.") from error


def tcp(host: str, port: int) -> str:
    """The address that answered; raise ``LinkError`` if none did."""
    with _reached(host, port) as connection:
        return str(connection.getpeername()[0])


def tls(host: str, port: int) -> tuple[str, bytes]:
    """The version of TLS, and the certificate (DER) that is shown; raise ``LinkError`` if there is no handshake."""
    context = client_context(None, [ALPN])
    with _reached(host, port) as connection, context.wrap_socket(connection, server_hostname=host) as secured:
        return secured.version() or "", secured.getpeercert(binary_form=True) or b""


async def refusal(host: str, port: int) -> RefusedError:
    """What the remote answers to a Hello without a certificate.

    It looks at the version and then at its own license before it looks at the certificate, so a refusal of the
    certificate says that both are right. Raises ``LinkError`` if it does not answer like a remote.
    """
    channel = await open_channel(
        host, port, client_context(None, [ALPN]), Connection(Role.ADMIN), server_name=host, deadline=DEADLINE
    )
    try:
        await channel.ask(Hello(VERSIONS, secrets.token_bytes(NONCE_BYTES), b""), DEADLINE)
    except RefusedError as error:
        return error
    finally:
        await channel.close("That was all.")
    return RefusedError(RefusalCode.INTERNAL, "It takes anything for a certificate.")
