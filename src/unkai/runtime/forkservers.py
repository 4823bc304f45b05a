"""The Python fork servers that the keeper has asked for: two kinds per version, made on first use, made again if one ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from unkai.runtime.languages import python

_REMEMBERED_MAX = 4096

if TYPE_CHECKING:
    from pathlib import Path

    from unkai.runtime.languages.language import Package
    from unkai.runtime.sandbox.remote import Spawner


class ForkServers:
    def __init__(self, spawner: Spawner, *, sdk: bool) -> None:
        self._spawner, self._sdk = spawner, sdk
        self._last = 0
        self._shadowed: dict[tuple[int, Path, Path | None, str | None], bool] = {}
        self._servers: dict[tuple[int, bool], asyncio.Future[tuple[int, frozenset[str]]]] = {}

    async def get(self, minor: int, package: Package) -> int:
        """The server to fork from: `sdk`, unless the package brings a module that it has preloaded."""
        if self._sdk:
            server, preloaded = await self._server(minor, sdk=True)
            if not self._shadows(server, package, preloaded):
                return server
        server, _ = await self._server(minor, sdk=False)
        return server

    def _shadows(self, server: int, package: Package, preloaded: frozenset[str]) -> bool:
        """Looked up once: a package may hold 100,000 files."""
        key = (server, package.task, package.opt, package.environment.get("PYTHONPATH"))
        if key not in self._shadowed:
            if len(self._shadowed) > _REMEMBERED_MAX:
                self._shadowed.clear()
            self._shadowed[key] = python.shadows(package, preloaded)
        return self._shadowed[key]

    async def _server(self, minor: int, *, sdk: bool) -> tuple[int, frozenset[str]]:
        key = (minor, sdk)
        if key not in self._servers:
            self._last += 1
            self._servers[key] = asyncio.ensure_future(self._start(self._last, minor, sdk))
        try:
            return await asyncio.shield(self._servers[key])
        except Exception:
            self._servers.pop(key, None)
            raise

    async def _start(self, number: int, minor: int, sdk: bool) -> tuple[int, frozenset[str]]:
        return number, await self._spawner.serve(number, minor, sdk)

    def ended(self, number: int) -> None:
        for key, future in list(self._servers.items()):
            if future.done() and not future.exception() and future.result()[0] == number:
                del self._servers[key]
