"""Calls of one turn of the loop share one transaction; none of them sinks the others.

Two lanes, each with one transaction at a time and in the order of the turns: outcomes are written while the next runs
are being claimed, also when both were called for in one turn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import asyncpg

from kernel.model.errors import StoreError

from .database import Database
from .errors import as_store_error, is_gone, may_be_repeated, was_never_sent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .connections import Connections
    from .known import Known
    from .statements import Statements

T = TypeVar("T")

LIMIT_SECONDS = 9.5
"""A call that has not begun by then is withdrawn: nothing of it has happened."""
_MOST_TRIES = 5

WORK, OUTCOMES = "work", "outcomes"


class NotQuick(Exception):  # noqa: N818 - no error: it asks for the same step again, in a transaction
    """The quick way of a step does not do here, and has changed nothing."""


class Call(Generic[T]):
    """``quick``: the step as one statement that is its own transaction, for when it is alone; it may say NotQuick."""

    __slots__ = ("error", "future", "has_begun", "lane", "quick", "result", "step")

    def __init__(
        self,
        step: Callable[[Database], Awaitable[T]],
        lane: str,
        quick: Callable[[Database], Awaitable[T]] | None,
        future: asyncio.Future[T],
    ) -> None:
        self.step = step
        self.lane = lane
        self.quick = quick
        self.future = future
        self.has_begun = False
        self.result: T | None = None
        self.error: Exception | None = None


class Turns:
    def __init__(
        self,
        connections: Connections,
        statements: Statements,
        known: Known,
        *,
        begin: str,
        allow_quick: bool,
        on_news: Callable[[], None],
        url: str,
    ) -> None:
        self._connections = connections
        self._statements = statements
        self._known = known
        self._begin = begin
        self._allow_quick = allow_quick
        self._on_news = on_news
        self._url = url
        self._gathered: list[Call[Any]] = []
        self._tails: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def call(
        self,
        step: Callable[[Database], Awaitable[T]],
        *,
        lane: str = WORK,
        quick: Callable[[Database], Awaitable[T]] | None = None,
    ) -> asyncio.Future[T]:
        """The step's answer, once it is committed, or what it raised."""
        loop = asyncio.get_running_loop()
        call = Call(step, lane, quick, loop.create_future())
        if not self._gathered:
            loop.call_soon(self._hand_over)
        self._gathered.append(call)
        return call.future

    def of_this_turn(self) -> list[asyncio.Future[Any]]:
        """What was called in this turn and is not handed over yet."""
        return [call.future for call in self._gathered]

    async def drain(self) -> None:
        """Waits until all that was called is written, or has failed."""
        self._hand_over()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _hand_over(self) -> None:
        calls, self._gathered = self._gathered, []
        if not calls:
            return
        for lane in (WORK, OUTCOMES):
            mine = [call for call in calls if call.lane == lane]
            if mine:
                self._begin_turn(lane, mine)

    def _begin_turn(self, lane: str, calls: list[Call[Any]]) -> None:
        loop = asyncio.get_running_loop()
        before, done = self._tails.get(lane), loop.create_future()
        self._tails[lane] = done
        task = loop.create_task(self._carry_out(calls, before, done), name=f"mainspring:postgres-{lane}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(
        self, calls: list[Call[Any]], before: asyncio.Future[None] | None, done: asyncio.Future[None]
    ) -> None:
        timer = asyncio.get_running_loop().call_later(LIMIT_SECONDS, _withdraw, calls)
        try:
            if before is not None and not before.done():
                await before
            await self._transact(calls)
        finally:
            timer.cancel()
            done.set_result(None)

    async def _transact(self, calls: list[Call[Any]]) -> None:
        """One transaction; when a call fails in it, each by itself."""
        tries = 0
        fresh = False
        while True:
            tries += 1
            begun: list[Call[Any]] = []
            try:
                async with self._connections.one(fresh=fresh) as connection:
                    begun = [call for call in calls if not call.future.done()]
                    if begun:
                        await self._attempt(connection, begun)
            except _NotBegunError as error:
                # The connection had died while it lay idle: nothing was done on it.
                if fresh:
                    self._fail(begun, error.cause)
                    break
                fresh = True
            except Exception as error:  # noqa: BLE001 - it belongs to the callers
                if may_be_repeated(error) and tries < _MOST_TRIES:
                    continue
                if len(begun) > 1 and not is_gone(error):
                    for call in begun:
                        await self._transact([call])
                else:
                    self._fail(begun or calls, error)
                break
            else:
                break

    async def _attempt(self, connection: asyncpg.Connection[Any], calls: list[Call[Any]]) -> None:
        for call in calls:
            call.has_begun = True
        database = Database(connection, self._statements, self._known)
        quick = calls[0].quick if len(calls) == 1 and self._allow_quick else None
        if quick is not None:
            if await self._attempt_quickly(connection, database, calls[0], quick):
                self._deliver(database, calls)
                return
            database = Database(connection, self._statements, self._known)
        try:
            await connection.execute(self._begin)
        except Exception as error:
            if is_gone(error):
                connection.terminate()
                raise _NotBegunError(error) from error
            raise
        try:
            for call in calls:
                call.result = await call.step(database)
            await connection.execute("COMMIT")
        except BaseException as error:
            self._known.room.forget()
            if not is_gone(error) and isinstance(error, Exception):
                await connection.execute("ROLLBACK")
            raise
        self._deliver(database, calls)

    async def _attempt_quickly(
        self,
        connection: asyncpg.Connection[Any],
        database: Database,
        call: Call[Any],
        quick: Callable[[Database], Awaitable[Any]],
    ) -> bool:
        """False when it takes a transaction, and nothing was done."""
        try:
            call.result = await quick(database)
        except NotQuick:
            return False
        except asyncpg.InternalClientError as error:
            if not was_never_sent(error):
                raise
            connection.terminate()
            raise _NotBegunError(error) from error
        return True

    def _deliver(self, database: Database, calls: list[Call[Any]]) -> None:
        for act in database.after_commit:
            act()
        if database.has_news:
            self._on_news()
        for call in calls:
            if not call.future.done():
                call.future.set_result(call.result)

    def _fail(self, calls: list[Call[Any]], error: Exception) -> None:
        found = as_store_error(error, self._url)
        for call in calls:
            if not call.future.done():
                call.future.set_exception(found)


class _NotBegunError(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _withdraw(calls: list[Call[Any]]) -> None:
    for call in calls:
        if not call.has_begun and not call.future.done():
            call.future.set_exception(
                StoreError(f"the store was busy for {LIMIT_SECONDS:g} s and did nothing; try again")
            )
