"""Enqueues from another process, a web application say, without running jobs or importing plugin code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from kernel.contracts.clock import SystemClock
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
    from collections.abc import Iterable
    from types import TracebackType

    from kernel.contracts.store import Store
    from kernel.model.run import Run


class Client:
    """``async with Client("sqlite:////srv/app/var/mainspring.db") as client: await client.enqueue(…)``.

    Jobs are known by what kernels have announced in the store, so one must have run on it before. Payloads are checked
    against the announced JSON Schema, as strictly as where the code is; what only the code can check fails the run's
    first attempt. Values of the types of the job's parameters may be given as they are.
    """

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):
            raise ConfigError(f'{shown(url)}: expected the URL of a store, as "sqlite:////srv/app/var/mainspring.db"')
        self._url = url
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
        self._store = store
        bus = EventBus(self._clock)
        self._recorder = Recorder(store, bus, self._clock)
        self._intake = Intake(self._catalog, self._recorder, store, self._clock)
        store.on_change(self._recorder.wake_all)
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

    async def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Run:
        """The accepted run; when this returns it survives a crash. Options: priority, delay, at, queue, unique, expires,
        depends_on, on_parent_failure, tags. ``is_new`` says whether it is a new one, or ``unique`` has found one.

        RequestError (UnknownNameError, PayloadError) when the wish is wrong, StoreError when it was not written.
        """
        await self._know([job])
        return await self._intake.enqueue(job, payload, **options)

    async def enqueue_many(self, requests: Iterable[tuple[Any, ...]]) -> list[Run]:
        """All of (job, payload) or (job, payload, options), or none of them, in one round trip."""
        wishes = wishes_of(requests)
        await self._know({wish[0] for wish in wishes if wish and isinstance(wish[0], str)})
        return await self._intake.enqueue_many(wishes)

    async def wait(self, run_id: str, timeout: Duration | None = None) -> Run:
        """The run once it has ended. TimeoutError when the time is over before."""
        return await wait_for(self._recorder, run_id, timeout)

    async def _know(self, jobs: Iterable[str]) -> None:
        if any(job not in self._catalog.jobs for job in jobs):
            await self._learn()
            if not self._catalog.jobs:
                raise RequestError("no kernel has announced its jobs in this store yet: start one by `mainspring run`")

    async def _learn(self) -> None:
        await self.control.learn()
        self._catalog.set_queues((await self.control.queue_limits()).values())


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
    run = await recorder.wait(run_id, None if timeout is None else seconds(timeout, zero=True, option="timeout"))
    if run is None:
        raise UnknownNameError("run", run_id)
    if not run.is_final:
        raise TimeoutError(f"run {run_id} of {run.job} is {run.state} after {timeout}")
    return run
