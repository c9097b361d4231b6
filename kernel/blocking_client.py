"""The client for programs without asyncio, a web application of Django or Flask say: the same calls, and they block."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kernel.client import Client
from kernel.model.duration import Duration, seconds
from kernel.model.errors import RequestError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from kernel.model.run import Run

T = TypeVar("T")

_CLOSE_SECONDS = 5.0
_SETTLE_SECONDS = 2.0


class BlockingClient:
    """``client = BlockingClient(url)``, once for the program; ``client.enqueue(…)`` from any of its threads.

    It opens the store at its first call, on a thread of its own, and closes it by ``close``, at the end of a ``with``
    block, or with the process. A process that is forked off opens its own. ``timeout``: how long a call may take.
    """

    def __init__(self, url: str, *, timeout: Duration = "30s") -> None:
        self._url = url
        self._timeout_seconds = seconds(timeout)
        self._lock = threading.Lock()
        self._is_locked_for_fork = False
        self._life: _Life | None = None
        _clients.add(self)

    def __enter__(self) -> Self:
        """Opens the store; ConfigError when it cannot be used or is not there, StoreError when trying again may help."""
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """What is under way is finished first, for some seconds. The next call opens it again."""
        with self._lock:
            self._end()

    def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Run:
        """As of Client. TimeoutError when the store does not answer in time: then the run may be there, or come yet."""
        _refuse_connection(options)
        return self._call("enqueue", lambda client: client.enqueue(job, payload, **options))

    def enqueue_many(self, requests: Iterable[tuple[Any, ...]], **options: Any) -> list[Run]:
        """As of Client: all of (job, payload) or (job, payload, options), or none of them."""
        _refuse_connection(options)
        wishes = list(requests)
        return self._call("enqueue_many", lambda client: client.enqueue_many(wishes, **options))

    def wait(self, run_id: str, timeout: Duration | None = None) -> Run:
        """The run once it has ended. TimeoutError when the time is over before; without one it waits for as long as it takes."""
        limit = None if timeout is None else seconds(timeout, zero=True) + self._timeout_seconds
        return self._call("wait", lambda client: client.wait(run_id, timeout), limit, may_repeat=True)

    def get(self, run_id: str) -> Run:
        """The run as it is now; UnknownNameError when there is none."""
        return self._call("get", lambda client: client.get(run_id), self._timeout_seconds, may_repeat=True)

    def cancel(self, run_id: str, reason: str = "cancelled by hand") -> Run:
        """Ends a waiting run at once, and what depends on it; a running one is told to. The run as it is then."""
        return self._call("cancel", lambda client: client.cancel(run_id, reason))

    def _call(
        self, name: str, ask: Callable[[Client], Awaitable[T]], limit: float | None = -1.0, *, may_repeat: bool = False
    ) -> T:
        """``limit``: None is none, negative that of all calls. ``may_repeat``: it changes nothing, and may be done twice."""
        limit = self._timeout_seconds if limit is not None and limit < 0 else limit
        while True:
            life = self._opened()
            future = life.call(ask, is_short=not may_repeat)
            try:
                return future.result(limit)
            except concurrent.futures.CancelledError:
                if not (may_repeat and life.is_over_for_fork):
                    raise StoreError(f"{name}: the client was closed meanwhile; nothing may have been done") from None
            except StoreError:
                # A question that came to the store while it was being closed for the fork.
                if not (may_repeat and life.is_over_for_fork):
                    raise
            except TimeoutError:
                if future.done():
                    return future.result()  # or its own error
                raise TimeoutError(
                    f"{name}: the store gave no answer within {limit:g} s{_IN_DOUBT.get(name, '')}"
                ) from None
            finally:
                future.cancel()

    def _opened(self) -> _Life:
        with self._lock:
            if self._life is None or not self._life.is_alive:
                self._life = _Life(self._url, self._timeout_seconds)
                self._finalizer = weakref.finalize(self, self._life.tell_to_end)
                self._finalizer.atexit = False
            return self._life

    def _end(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            self._finalizer.detach()
            life.end()
            if life.is_alive:
                _left_behind.append(life)

    # A process that forks

    def before_fork(self) -> None:
        """Nothing is open at the fork: a database connection that two processes have is of no use to either."""
        self._is_locked_for_fork = self._lock.acquire(timeout=_CLOSE_SECONDS)
        if self._is_locked_for_fork:
            if self._life is not None:
                self._life.is_over_for_fork = True
            self._end()

    def after_fork(self) -> None:
        """In the process that was forked; the next call opens the store again."""
        if self._is_locked_for_fork:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        if self._life is not None:
            _left_behind.append(self._life)  # what closes it would do so for the other process too
        self._lock, self._is_locked_for_fork, self._life = threading.Lock(), False, None


class _Life:
    """From opening to closing: a thread with a loop, and the client on it."""

    def __init__(self, url: str, limit: float) -> None:
        self._url = url
        self._loop = asyncio.SelectorEventLoop()
        self._stopping = asyncio.Event()
        self._open: concurrent.futures.Future[Client] = concurrent.futures.Future()
        self._short: set[concurrent.futures.Future[Any]] = set()
        self.is_over_for_fork = False
        self._thread = threading.Thread(target=self._work, name="mainspring:client", daemon=True)
        self._thread.start()
        try:
            self._client = self._open.result(limit)
        except BaseException as error:
            self.tell_to_end()
            if self._open.done():
                self._thread.join(_CLOSE_SECONDS)
            elif isinstance(error, TimeoutError):
                raise TimeoutError(f"the store could not be opened within {limit:g} s") from None
            raise

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def call(self, ask: Callable[[Client], Awaitable[T]], *, is_short: bool) -> concurrent.futures.Future[T]:
        async def asked() -> T:
            return await ask(self._client)

        if threading.current_thread() is self._thread:
            raise RequestError("a BlockingClient was called by its own thread, which would wait for itself")
        coroutine = asked()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # it has just been closed
            coroutine.close()
            future = concurrent.futures.Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future
        if is_short:
            self._short.add(future)
            future.add_done_callback(self._short.discard)
        return future

    def end(self) -> None:
        """Lets go of the store once what writes has been answered, or after a while."""
        concurrent.futures.wait(set(self._short), timeout=_SETTLE_SECONDS)
        self.tell_to_end()
        self._thread.join(_CLOSE_SECONDS)

    def tell_to_end(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        try:
            async with Client(self._url) as client:
                self._open.set_result(client)
                await self._stopping.wait()
        except BaseException as error:  # noqa: BLE001 - it belongs to who waits for the opening
            if not self._open.done():
                self._open.set_exception(error)


_IN_DOUBT = {
    "enqueue": "; the run may be there, or come yet: with unique= it can be asked for again, and is there once",
    "enqueue_many": "; the runs may be there, or come yet: with unique= they can be asked for again, and are there once",
    "cancel": "; it may be cancelled yet",
}
_clients: weakref.WeakSet[BlockingClient] = weakref.WeakSet()
_left_behind: list[_Life] = []
"""What could not be closed in time; kept, for in a process that was forked off nothing of it must be closed either."""


def _refuse_connection(options: dict[str, Any]) -> None:
    if "connection" in options:
        raise RequestError(
            "connection: a BlockingClient joins no transaction; call the SQL function `mainspring.enqueue` on the connection"
        )


def _for_each(act: Callable[[BlockingClient], None]) -> None:
    for client in list(_clients):
        act(client)


os.register_at_fork(
    before=lambda: _for_each(BlockingClient.before_fork),
    after_in_parent=lambda: _for_each(BlockingClient.after_fork),
    after_in_child=lambda: _for_each(BlockingClient.after_fork_in_child),
)
atexit.register(lambda: _for_each(BlockingClient.close))
