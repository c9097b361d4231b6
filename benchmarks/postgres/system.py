"""What each system must be able to do to be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.postgres import bare, ours

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractAsyncContextManager

    from benchmarks.postgres.board import Slot


class Producer(Protocol):
    async def bulk(self, count: int) -> None:
        """Enqueues so many no-op runs in one call."""

    async def single(self) -> None:
        """Enqueues one no-op run."""

    async def timed(self) -> None:
        """Enqueues one run that notes on the board when it begins."""


class Worker(Protocol):
    async def go(self) -> None:
        """Begins to work; before it, nothing is worked off."""

    async def timed(self) -> None:
        """As the producer's, by the process that works."""


class System(Protocol):
    @property
    def settings(self) -> tuple[str, ...]:
        """What it was told that its documentation has for speed, for the reader of the figures."""

    @property
    def divisor(self) -> int:
        """Its runs are so many times fewer, for one that would take minutes."""

    @property
    def unfinished(self) -> str:
        """SQL: whether any no-op run has not ended."""

    @property
    def waiting(self) -> str:
        """SQL: how many no-op runs wait."""

    @property
    def finished(self) -> str:
        """SQL: how many no-op runs are known to have ended well."""

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """On the event loop that it is fastest on."""

    async def prepare(self, url: str) -> None:
        """Makes its tables."""

    def producer(self, url: str) -> AbstractAsyncContextManager[Producer]:
        """What enqueues as fast as can be."""

    def client(self, url: str) -> AbstractAsyncContextManager[Producer]:
        """What enqueues from a process that does not work."""

    def worker(self, url: str, slot: Slot) -> AbstractAsyncContextManager[Worker]:
        """What works off, in a process of its own."""

    def should_have_finished(self, total: int) -> int:
        """How many ``finished`` must say at least after so many runs."""


def system_of(name: str) -> System:
    """The peers are imported only when they are asked for: they need not be installed."""
    if name == "bare":
        return bare.Bare()
    if name == "pgqueuer":
        from benchmarks.postgres.pgqueuer_peer import PgQueuerPeer  # noqa: PLC0415 - see above

        return PgQueuerPeer()
    if name == "procrastinate":
        from benchmarks.postgres.procrastinate_peer import ProcrastinatePeer  # noqa: PLC0415 - see above

        return ProcrastinatePeer()
    return ours.Mainspring()
