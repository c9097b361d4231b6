"""A kernel's lease: renewed by a thread with its own loop and connection, so that no job that blocks can lose it."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kernel.model.errors import StoreError

from .clock import elapsed
from .connecting import begin_text, connect
from .connections import close_quietly
from .errors import words_of
from .trouble import Backoff

if TYPE_CHECKING:
    import asyncpg

    from kernel.contracts.store import KernelRow

    from .address import Address
    from .clock import ServerClock
    from .statements import Statements
    from .trouble import Trouble

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0
START_SECONDS = 20.0
"""Two thirds of the lease: when it was not renewed for so long, no run is started any more."""
_PATIENCE_SECONDS = 4.0
_STOP_SECONDS = 8.0


class Lease:
    """From ``begin`` on; what it says may be read on any thread."""

    def __init__(
        self,
        kernel: KernelRow,
        address: Address,
        statements: Statements,
        trouble: Trouble,
        clock: ServerClock,
        *,
        lease_seconds: float,
        renew_seconds: float,
    ) -> None:
        self._kernel = kernel
        self._address = address
        self._statements = statements
        self._trouble = trouble
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._renew_seconds = renew_seconds
        self._renewed_at = elapsed()
        self._steady_since = -math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mainspring:postgres-lease", daemon=True)
        self._connection: asyncpg.Connection[Any] | None = None
        self.losses = 0
        """How often others took this kernel for dead, and its runs."""

    def begin(self) -> None:
        """The kernel's row has just been written."""
        self._renewed_at = elapsed()
        self._thread.start()

    @property
    def seconds_since_renewal(self) -> float:
        return elapsed() - self._renewed_at

    @property
    def may_start(self) -> bool:
        return self.seconds_since_renewal < self._lease_seconds * (START_SECONDS / LEASE_SECONDS)

    @property
    def is_steady(self) -> bool:
        """False shortly after an outage: the server may not have been there for others either, and they come back now."""
        return elapsed() - self._steady_since >= self._longest_gap

    @property
    def _longest_gap(self) -> float:
        """Between two renewals; a longer one was an outage. In as many seconds again all who live have renewed theirs."""
        return 2 * self._renew_seconds

    def check(self) -> None:
        """StoreError when no run may be started: others are about to take this kernel for dead."""
        if not self.may_start:
            raise StoreError(
                f"{self._address.url}: this kernel's lease was not renewed for {self.seconds_since_renewal:.0f} s: "
                "it starts no runs until it is"
            )

    async def end(self) -> None:
        """Renews no more; the row is the caller's to remove."""
        if not self._thread.is_alive():
            return
        self._stopping.set()
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with suppress(RuntimeError):  # the thread has just ended
                loop.call_soon_threadsafe(task.cancel)
        await asyncio.to_thread(self._thread.join, _STOP_SECONDS)

    # On the thread

    def _work(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._keep())

    async def _keep(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        backoff = Backoff()
        try:
            while not self._stopping.is_set():
                wait = self._renew_seconds
                try:
                    await self._renew()
                    backoff.reset()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                    self._drop()
                    self._trouble.tell(f"the lease cannot be renewed: {words_of(error)}")
                    wait = min(backoff.next(), self._renew_seconds)
                await asyncio.sleep(wait)
        finally:
            connection, self._connection = self._connection, None
            if connection is not None:
                await close_quietly(connection)

    async def _renew(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await connect(self._address, "lease")
        begun = elapsed()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            now, is_there = await self._in_transaction(connection)
        self._clock.was_read(now, begun, elapsed())
        if not is_there:
            await self._sign_in_again(connection, now)
        if begun - self._renewed_at > self._longest_gap:
            self._steady_since = begun
        self._renewed_at = begun
        self._trouble.over()

    async def _in_transaction(self, connection: asyncpg.Connection[Any]) -> tuple[float, bool]:
        if self._address.poll_only:
            await connection.execute(begin_text(self._address))
        row = await connection.fetchrow(self._statements["kernel_renew"], self._kernel.id, self._lease_seconds)
        if self._address.poll_only:
            await connection.execute("COMMIT")
        return row[0], row[1]

    async def _sign_in_again(self, connection: asyncpg.Connection[Any], now: float) -> None:
        """Others took this kernel for dead. It lives: so what its runs were charged with was not theirs.

        It keeps its id: tokens, which grow with each claim, tell what it claims from now on from what it had before.
        """
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await connection.execute(begin_text(self._address))
            row = self._kernel._replace(seen=now)
            await connection.execute(self._statements["kernel_put"], *row, self._lease_seconds)
            await connection.execute(self._statements["charges_back"], self._kernel.id)
            await connection.execute("COMMIT")
        self.losses += 1
        log.warning(
            "%s: this kernel's lease had run out and its runs were taken over; it goes on, and what they come to here "
            "is not written",
            self._address.url,
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
