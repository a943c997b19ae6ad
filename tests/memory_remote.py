"""A remote in this process: srad's two ports, accounts in memory, and virtual cards whose readers are in memory too."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path

from sra.errors import LinkError, RefusalCode, RefusedError, SraError
from sra.identity.certificates import CardCertificate, parse
from sra.piv.keys import Slot
from sra.piv.objects import CERTIFICATES, certificate_in
from sra.remote.daemon.local_listener import LocalListener
from sra.remote.daemon.network_listener import NetworkListener
from sra.remote.daemon.sessions import Admission, Sessions
from sra.remote.virtual_card import daemon_link
from sra.remote.virtual_card.daemon_link import DaemonLink
from sra.transport.channel import Channel
from sra.transport.gate import GateLimits
from sra.transport.tls_identity import CERTIFICATE_FILE
from sra.wire.messages import InsertCard
from tests.loopback import HOST, PLENTY, identity, server_context, until
from tests.memory_card import MemoryCard

SECRET = bytes(range(32))


@cache
def secret_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sra-secret-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "local-secret"
    path.write_bytes(SECRET)
    return path


def certificate_of(card: MemoryCard) -> CardCertificate:
    return parse(certificate_in(card.contents.objects[CERTIFICATES[Slot.AUTHENTICATION]]))


class Accounts:
    """Which card opens which account; remembers which certificates were asked about."""

    def __init__(self) -> None:
        self.paired: dict[str, str] = {}
        self.asked: list[str] = []
        self.broken: SraError | None = None

    def pair(self, card: MemoryCard, account: str) -> None:
        self.paired[certificate_of(card).fingerprint] = account

    async def find(self, certificate: CardCertificate) -> str:
        self.asked.append(certificate.fingerprint)
        if self.broken is not None:
            raise self.broken
        if certificate.fingerprint not in self.paired:
            raise RefusedError(RefusalCode.NOT_PAIRED, "This card is paired with no account.")
        return self.paired[certificate.fingerprint]


class Records:
    """An audit trail in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, str | int]]] = []

    def __call__(self, event: str, **facts: str | int) -> None:
        self.lines.append((event, facts))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.lines]

    def of(self, event: str) -> list[dict[str, str | int]]:
        return [facts for name, facts in self.lines if name == event]


class MemoryRemote:
    """What there is of a remote while it runs."""

    def __init__(self, max_sessions: int, limits: GateLimits) -> None:
        self.refusal: RefusedError | None = None
        """Why nobody is admitted at all."""
        self.revoked: RefusedError | None = None
        """Why no certificate is accepted."""
        self.checked: list[str] = []
        self.accounts = Accounts()
        self.records = Records()
        admission = Admission(
            "remote-host",
            identity().certificate,
            self.accounts.find,
            self.records,
            max_sessions,
            admit=self._admit,
            check_certificate=self._check_certificate,
        )
        self.sessions = Sessions(admission)
        self.network = NetworkListener(server_context(), admission, self.sessions, limits)
        self.local = LocalListener(server_context(), SECRET, self.sessions)
        self.port = 0
        self.local_port = 0
        self.readers: list[MemoryReader] = []

    async def _admit(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def _check_certificate(self, certificate: CardCertificate) -> None:
        self.checked.append(certificate.fingerprint)
        if self.revoked is not None:
            raise self.revoked

    async def open(self) -> None:
        self.port = await self.network.open((HOST,), 0)
        self.local_port = await self.local.open(0)

    async def until_no_strangers(self) -> None:
        """Return when everybody on the admins' port has authenticated or is gone."""
        await until(lambda: self.network._listener._gate.strangers == 0)

    async def close(self) -> None:
        await self.network.close()
        await self.local.close()


@asynccontextmanager
async def running_remote(
    *, readers: int = 1, max_sessions: int = 64, limits: GateLimits = PLENTY
) -> AsyncIterator[MemoryRemote]:
    """A remote with so many readers."""
    remote = MemoryRemote(max_sessions, limits)
    await remote.open()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(remote.close)
        for number in range(readers):
            reader = MemoryReader(number)
            remote.readers.append(reader)
            await reader.attach(remote.local_port)
            stack.push_async_callback(reader.leave)
        yield remote


class CardInMemory:
    """A card in a reader: present between ``open`` and ``close``."""

    def __init__(self, reader: MemoryReader, description: InsertCard) -> None:
        self._reader = reader
        self.description = description

    async def open(self) -> None:
        await self._reader.before_opening()
        self._reader.present.append(self)

    async def close(self) -> None:
        await self._reader.before_closing()
        if self in self._reader.present:
            self._reader.present.remove(self)


class MemoryReader:
    """A virtual card process and its reader. ``link`` is what programs of the remote use keys through."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.present: list[CardInMemory] = []
        self.channel: Channel
        self.link: DaemonLink
        self.fails_to_open = False
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.opening = asyncio.Event()
        self.may_close = asyncio.Event()
        self.may_close.set()
        self._serving: asyncio.Task[None]

    async def attach(self, port: int) -> None:
        certificate = identity().folder / CERTIFICATE_FILE
        self.channel = await daemon_link.attach(port, self.number, secret_file(), certificate)
        self.link = DaemonLink(self.channel, f"reader {self.number}", lambda card, _: CardInMemory(self, card))
        self._serving = asyncio.create_task(self.link.serve())

    async def before_opening(self) -> None:
        self.opening.set()
        await self.may_open.wait()
        if self.fails_to_open:
            raise FileExistsError(17, "something is in the way")

    async def before_closing(self) -> None:
        await self.may_close.wait()

    async def die(self) -> None:
        """The process ends without a word."""
        self.channel.abort(LinkError("killed"))
        await self._serving

    async def leave(self) -> None:
        self.may_open.set()
        self.may_close.set()
        await self.channel.close("The virtual card process ends.")
        await self._serving

    async def until_present(self, *, present: bool = True) -> None:
        await until(lambda: bool(self.present) is present)
