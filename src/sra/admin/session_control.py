"""What a running ``sra connect`` does when ``sra session`` tells it to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from sra.admin.control import Control, ControlRequest, ControlStatus
from sra.admin.guard.lending import LentCard
from sra.admin.kept_connection import KeptConnection
from sra.errors import LinkError


class SessionControl:
    """Takes orders while it is entered; ``complain`` tells the person that none can reach it."""

    def __init__(
        self, folder: Path, staying: KeptConnection, lender: LentCard, remote: str, complain: Callable[[str], None]
    ) -> None:
        self._complain = complain
        self._staying = staying
        self._lender = lender
        self._remote = remote
        self._control = Control(
            folder,
            {
                ControlRequest.STATUS: self._status,
                ControlRequest.EJECT: self._eject,
                ControlRequest.INSERT: self._insert,
                ControlRequest.PAUSE: self._pause,
                ControlRequest.RESUME: self._resume,
                ControlRequest.REOPEN: self._reopen,
            },
        )

    async def __aenter__(self) -> Self:
        try:
            await self._control.open()
        except LinkError as error:
            self._complain(f"sra session can't reach this connection. {error}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._control.close()

    async def _status(self) -> ControlStatus:
        session = self._staying.session
        return ControlStatus(
            remote=self._remote,
            account=session.account if session else "",
            card=self._lender.card.name,
            connected=session is not None,
            inserted=session is not None and session.is_inserted,
            paused=self._lender.switch.paused,
            uses=self._lender.meter.uses,
            process=os.getpid(),
        )

    async def _eject(self) -> ControlStatus:
        await self._staying.eject()
        return await self._status()

    async def _insert(self) -> ControlStatus:
        self._staying.insert()
        return await self._status()

    async def _pause(self) -> ControlStatus:
        self._lender.switch.pause(paused=True)
        return await self._status()

    async def _resume(self) -> ControlStatus:
        self._lender.resume()
        return await self._status()

    async def _reopen(self) -> ControlStatus:
        self._lender.code.reopen()
        return msgspec.structs.replace(await self._status(), code=self._lender.code.shown)
