"""Enqueues from another process, a web application say, without running jobs or importing plugin code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from kernel.contracts.clock import SystemClock
from kernel.contracts.store import Joinable, RunQuery
from kernel.control import Control
from kernel.flow.catalog import Catalog
from kernel.flow.event_bus import EventBus
from kernel.flow.intake import Intake
from kernel.flow.recorder import Recorder
from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, RequestError, UnknownNameError, shown
from kernel.plugin_host import open_store
from kernel.plugin_store import store_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from kernel.contracts.store import Joined, Store
    from kernel.model.run import NewRun, Run


class Client:
    """``async with Client("sqlite:////srv/app/var/mainspring.db") as client: await client.enqueue(…)``.

    Jobs are known by what kernels have announced in the store, so one must have run on it before. Payloads are checked
    against the announced JSON Schema, as strictly as where the code is; what only the code can check fails the run's
    first attempt. Values of the types of the job's parameters may be given as they are.

    ``connection``: what is enqueued is written in the transaction of this connection, which is the caller's own (asyncpg, to
    the database of a PostgreSQL store): committed with it, or rolled back. A client that lives on is given it by each call.
    """

    def __init__(self, url: str, *, connection: object = None) -> None:
        if not isinstance(url, str):
            raise ConfigError(f'{shown(url)}: expected the URL of a store, as "sqlite:////srv/app/var/mainspring.db"')
        self._url = url
        self._connection = connection
        self._store: Store | None = None

    async def __aenter__(self) -> Self:
        """Opens the store; ConfigError when it cannot be used or is not there, StoreError when trying again may help."""
        if self._url.startswith("memory:"):
            raise ConfigError(
                "memory://: this store is only reachable inside its kernel's process: use the Kernel there, or give it "
                'a store that others can open too, as "sqlite:////srv/app/var/mainspring.db"'
            )
        self._clock = SystemClock()
        self._catalog = Catalog()
        file = store_file(self._url)
        if file is not None and not file.exists():
            raise ConfigError(
                f"no store at {file}: a kernel makes it, so start one on it by `mainspring run`, or mend the client's URL"
            )
        store = await open_store(self._url)
        await store.open(None)
        if store.is_shared:
            self._clock.correct(store.clock_offset)
        self._store = store
        bus = EventBus(self._clock)
        self._recorder = Recorder(store, bus, self._clock)
        self._intake = Intake(self._catalog, self._recorder, store, self._clock)
        store.on_change(self._recorder.endings.look)
        self.control = Control(
            store=store, catalog=self._catalog, intake=self._intake, recorder=self._recorder, clock=self._clock
        )
        await self._learn()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._store is not None:
            store, self._store = self._store, None
            await self._recorder.drain()
            await store.close()

    async def enqueue(
        self, job: str, payload: dict[str, Any] | None = None, *, connection: object = None, **options: Any
    ) -> Run:
        """The accepted run; when this returns it survives a crash. Options: priority, delay, at, queue, unique, expires,
        depends_on, on_parent_failure, tags. ``is_new`` says whether it is a new one, or ``unique`` has found one.

        With a ``connection`` it is there once the caller has committed, and survives a crash from then on.
        RequestError (UnknownNameError, PayloadError) when the wish is wrong, StoreError when it was not written; the
        caller's transaction goes on as if nothing had been asked.
        """
        await self._know([job])
        return await (await self._door(connection)).enqueue(job, payload, **options)

    async def enqueue_many(self, requests: Iterable[tuple[Any, ...]], *, connection: object = None) -> list[Run]:
        """All of (job, payload) or (job, payload, options), or none of them, in one round trip."""
        wishes = wishes_of(requests)
        await self._know({wish[0] for wish in wishes if wish and isinstance(wish[0], str)})
        return await (await self._door(connection)).enqueue_many(wishes)

    async def get(self, run_id: str) -> Run:
        """The run as it is now; UnknownNameError when there is none."""
        if self._store is None:
            raise RequestError("the client is not open; expected its use inside `async with Client(url) as client:`")
        found = await self._store.runs(RunQuery(ids=[run_id], limit=1))
        if not found:
            raise UnknownNameError("run", run_id)
        return found[0]

    async def cancel(self, run_id: str, reason: str = "cancelled by hand") -> Run:
        """Ends a waiting run at once, and what depends on it; a running one is told to. The run as it is then."""
        await self.control.runs_cancel(runs=[run_id], reason=reason)
        return await self.get(run_id)

    async def wait(self, run_id: str, timeout: Duration | None = None) -> Run:
        """The run once it has ended. TimeoutError when the time is over before."""
        return await wait_for(self._recorder, run_id, timeout)

    async def _door(self, connection: object) -> Intake:
        """Where runs enter: in the transaction of this connection, or of the client's own, or in one for themselves."""
        connection = self._connection if connection is None else connection
        if connection is None:
            return self._intake
        if not isinstance(self._store, Joinable):
            raise RequestError(
                "connection: only a PostgreSQL store has transactions that others can join; leave it out, or give the "
                "client the URL of one (postgresql://…)"
            )
        joined = await self._store.join(connection)
        door = Intake(self._catalog, _Quietly(joined), joined, self._clock)
        door.ids = self._intake.ids
        return door

    async def _know(self, jobs: Iterable[str]) -> None:
        if any(job not in self._catalog.jobs for job in jobs):
            await self._learn()
            if not self._catalog.jobs:
                raise RequestError("no kernel has announced its jobs in this store yet: start one by `mainspring run`")

    async def _learn(self) -> None:
        await self.control.learn()
        self._catalog.set_queues((await self.control.queue_limits()).values())


class _Quietly:
    """Writes in the caller's transaction; what may yet be rolled back is told to nobody."""

    def __init__(self, joined: Joined) -> None:
        self._joined = joined

    async def enqueue(self, runs: Sequence[NewRun], rooms: Mapping[str, int]) -> list[str]:
        return await self._joined.enqueue(runs, rooms)

    def tell_cancelled(self, runs: Sequence[Run]) -> None:
        """Of runs that depend on one that has failed before."""


def wishes_of(requests: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """For ``enqueue_many``; RequestError when these are not several."""
    try:
        found = iter(requests)
    except TypeError:
        text = f"{shown(requests)}: expected a list of (job, payload) or (job, payload, options)"
        raise RequestError(text) from None
    return list(found)


async def wait_for(recorder: Recorder, run_id: str, timeout: Duration | None) -> Run:
    """The run once it has ended; UnknownNameError when there is none, TimeoutError when the time is over before."""
    if not isinstance(run_id, str):
        raise RequestError(f"{shown(run_id)} is no run's id: expected text, as enqueue(…).id is")
    run = await recorder.endings.wait(
        run_id, None if timeout is None else seconds(timeout, zero=True, option="timeout")
    )
    if run is None:
        raise UnknownNameError("run", run_id)
    if not run.is_final:
        raise TimeoutError(f"run {run_id} of {run.job} is {run.state} after {timeout}")
    return run
