"""One address of the site, and what may be asked there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

READING = frozenset({"GET", "HEAD"})


class Route(NamedTuple):
    """``is_open``: also for who is not logged in. Every other method than GET changes something, and is guarded as that.

    ``seconds``: so long the handler may take, the reading of the body included; None for streams.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    is_open: bool = False
    seconds: float | None = 30.0

    @property
    def is_change(self) -> bool:
        return self.method not in READING
