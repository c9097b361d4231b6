"""The way of a command to what it asks about: the store, with or without a running kernel; or the kernel's socket.

A durable store is opened as a client. With ``memory://`` everything lives in the kernel, so its socket is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from kernel.cli.output import tell
from kernel.cli.plugin_code import prepare_plugins, refusal
from kernel.config import load_config_for_command
from kernel.contracts.clock import SystemClock
from kernel.contracts.store import RunQuery
from kernel.control import Control
from kernel.control_socket import ask
from kernel.flow.catalog import Catalog
from kernel.flow.event_bus import EventBus
from kernel.flow.intake import Intake
from kernel.flow.recorder import Recorder
from kernel.model.announcement import describe_job
from kernel.model.errors import ConfigError, RequestError, StoreError, UnknownNameError
from kernel.plugin_host import open_store
from kernel.plugin_store import store_file

if TYPE_CHECKING:
    from types import TracebackType

    from kernel.config import Config
    from kernel.contracts.store import Store
    from kernel.model.breaker import BreakerTable
    from kernel.model.errors import MainspringError

Json = dict[str, Any]

ANSWER_SECONDS = 5.0


class Counter(Protocol):
    """Where operations are carried out."""

    @property
    def url(self) -> str: ...

    async def call(self, operation: str, arguments: Json) -> Any: ...

    async def sockets(self) -> list[Path]:
        """Of the kernels that are alive."""

    async def close(self) -> None: ...


class Desk:
    """``async with Desk(path) as desk: await desk.call("runs_list", state="failed")``.

    ConfigError when plugins.toml is wrong. ``creates``: a store that is not there yet is made; without it, an empty
    one is shown, and a message tells so.
    """

    def __init__(self, path: Path, *, creates: bool = False) -> None:
        self._path = path
        self._creates = creates

    async def __aenter__(self) -> Self:
        self.config = load_config_for_command(self._path)
        url = self.config.kernel.store
        file = store_file(url)
        self._missing = file if file is not None and not self._creates and not file.exists() else None
        self._counter = await _counter(self.config, "memory://" if self._missing else url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._counter.close()

    async def call(self, operation: str, **arguments: Any) -> Any:
        """The answer to one operation of control, as JSON."""
        if self._missing is not None:
            tell(f"no store at {self._missing} yet: start `mainspring run`, or enqueue")
        return await self._counter.call(operation, arguments)

    async def enqueue(self, job: str, payload: Any, options: Json) -> Json:
        run: Json = await self.call("enqueue", job=job, payload=payload, options=options)
        return run

    async def add_schedule(self, name: str, job: str, payload: Any, options: Json) -> Json:
        """A cron that names no zone gets the one of plugins.toml."""
        if "cron" in options:
            options = {"timezone": self.config.kernel.timezone, **options}
        added: Json = await self.call("schedules_add", name=name, job=job, payload=payload, options=options)
        return added

    async def jobs(self) -> list[Json]:
        """As kernels announced them; before the first one ever ran, as the plugins have them."""
        found: list[Json] = [] if self._missing else await self.call("jobs")
        if found or await self.sockets():
            return found
        prepared = await prepare_plugins(self.config)
        jobs = sorted((job for state in prepared.states for job in state.jobs), key=lambda job: job.name)

        def table(breaker: str) -> BreakerTable:
            return self.config.breakers.get(breaker, {})

        return [
            describe_job(job, self.config.queue(job.policies.queue), self.config.kernel.max_payload, table)
            for job in jobs
        ]

    async def job(self, name: str) -> Json:
        """One of them, with its schedules; UnknownNameError with the nearest name."""
        jobs = {job["job"]: job for job in await self.jobs()}
        if name not in jobs:
            raise refusal(name, (await prepare_plugins(self.config)).states) or UnknownNameError("job", name, jobs)
        schedules = await self._declared() if self._missing else await self.call("schedules_list")
        return jobs[name] | {"schedules": [one for one in schedules if one["job"] == name]}

    async def _declared(self) -> list[Json]:
        """The schedules that the plugins declare: no kernel has looked at them yet."""
        schedules = [one for state in (await prepare_plugins(self.config)).states for one in state.schedules]
        return [
            {"schedule": one.name, "job": one.job, "when": one.describe(), "kind": one.kind, "spec": one.spec,
             "timezone": one.timezone, "next_at": None, "paused": one.paused}
            for one in schedules
        ]  # fmt: skip

    async def plugins(self) -> list[Json]:
        """As the running kernel has them; without one, as plugins.toml and their code say."""
        for socket in await self.sockets():
            # What the kernel knows just now; the store has what it last wrote down.
            with contextlib.suppress(OSError):
                states: list[Json] = await ask_soon(socket, "plugins", {})
                return states
        return [state.as_json() for state in (await prepare_plugins(self.config)).states]

    async def release_plugin(self, name: str) -> None:
        """In each kernel that has it in quarantine; RequestError where none has, StoreError where no kernel is alive."""
        released, refused = 0, None
        for socket in await self.sockets():
            try:
                await ask_soon(socket, "plugins_release", {"plugin": name})
                released += 1
            except RequestError as error:
                refused = error
            except OSError:
                continue
        if not released:
            raise refused or StoreError(
                f"no kernel is alive in {self.config.kernel.run_dir}, so no plugin is quarantined: that ends with the kernel"
            )

    async def breakers(self) -> list[Json]:
        """As a running kernel has them, which counts failures; without one, as the store has them."""
        for socket in await self.sockets():
            with contextlib.suppress(OSError):
                found: list[Json] = await ask_soon(socket, "breakers_list", {})
                return found
        listed: list[Json] = await self.call("breakers_list")
        return listed

    async def explain(self, subject: str, at: str | None) -> Json:
        """As a running kernel sees it, which knows what has a slot; without one, as the store says."""
        for socket in await self.sockets():
            with contextlib.suppress(OSError):
                answer: Json = await ask_soon(socket, "explain", {"subject": subject, "at": at})
                return answer
        read: Json = await self.call("explain", subject=subject, at=at)
        return read

    async def sockets(self) -> list[Path]:
        """Of the kernels that are alive on this store, as far as they are on this machine."""
        return await self._counter.sockets()

    @property
    def missing_store(self) -> Path | None:
        """Where the store's file will be; None when it is there, or the store is no file."""
        return self._missing

    @property
    def shown_store(self) -> str:
        """The store's address as it may be shown: without a password."""
        return self._counter.url if self._missing is None else f"sqlite:///{self._missing}"

    @property
    def is_store_in_kernel(self) -> bool:
        """Whether runs end with the kernel: then nothing can be asked without one."""
        return self.config.kernel.store.startswith("memory:")


async def _counter(config: Config, url: str) -> Counter:
    if config.kernel.store.startswith("memory:"):
        return _AtKernel(config)
    try:
        return await _AtStore(config).open(url)
    except (ConfigError, StoreError) as error:
        store = await open_store(url)
        away = _WhereStoreIsAway(config, store.url, error)
        if not store.is_shared or not await away.sockets():
            raise
        return away


class _AtStore:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._catalog = Catalog(config.queues.values())
        self._catalog.max_payload = config.kernel.max_payload
        self._catalog.set_breakers(config.breakers)

    async def open(self, url: str) -> Self:
        self._store: Store = await open_store(url)
        await self._store.open(None)
        clock = SystemClock()
        if self._store.is_shared:
            clock.correct(self._store.clock_offset)
        self._recorder = Recorder(self._store, EventBus(clock), clock)
        self._store.on_change(self._recorder.endings.look)
        self._control = Control(
            store=self._store,
            catalog=self._catalog,
            intake=Intake(self._catalog, self._recorder, self._store, clock),
            recorder=self._recorder,
            clock=clock,
        )
        return self

    @property
    def url(self) -> str:
        return self._store.url

    async def close(self) -> None:
        await self._recorder.drain()
        await self._store.close()

    async def call(self, operation: str, arguments: Json) -> Any:
        if operation in ("enqueue", "schedules_add", "schedules_trigger"):
            await self._learn(operation, arguments)
            if isinstance(queue := (arguments.get("options") or {}).get("queue"), str):
                await self._learn_queue(queue)
        elif operation in ("queues_pause", "runs_list", "runs_select") and arguments.get("queue") is not None:
            await self._learn_queue(arguments["queue"])
        answer = await self._control.call(operation, arguments)
        if operation in ("runs_list", "runs_select") and not answer:
            await self._refuse_unknown(arguments.get("job"), arguments.get("schedule"))
        return answer

    async def sockets(self) -> list[Path]:
        here = platform.node()
        return [
            Path(row.socket) for row in await self._store.kernels() if row.host == here or not self._store.is_shared
        ]

    async def _learn(self, operation: str, arguments: Json) -> None:
        """Takes the job into the catalog: as announced, else from the plugins, which no kernel may have run yet."""
        await self._control.learn()
        limits = await self._control.queue_limits()
        self._catalog.set_queues((limits | dict(self._config.queues)).values())
        name = arguments.get("job")
        if operation == "schedules_trigger":
            rows = {row.name: row for row in await self._store.schedules()}
            name = rows[arguments["schedule"]].schedule.job if arguments["schedule"] in rows else None
        if name is None or name in self._catalog.jobs:
            return
        prepared = await prepare_plugins(self._config)
        self._catalog.add(job for state in prepared.states for job in state.jobs)
        if name not in self._catalog.jobs and (error := refusal(name, prepared.states)):
            raise error

    async def _refuse_unknown(self, job: str | None, schedule: str | None) -> None:
        """For want of what a kernel has announced, the code of the plugins says which names there are."""
        if (job, schedule) == (None, None) or await self._store.announced():
            return
        states = (await prepare_plugins(self._config)).states
        jobs = {one.name for state in states for one in state.jobs}
        schedules = {one.name for state in states for one in state.schedules}
        schedules |= {row.name for row in await self._store.schedules()}
        for kind, name, known in (("job", job, jobs), ("schedule", schedule, schedules)):
            if name is not None and known and name not in known:
                # Of what is not there any more there may be runs.
                query = RunQuery(job=job, limit=1) if kind == "job" else RunQuery(schedule=schedule, limit=1)
                if not await self._store.runs(query):
                    raise UnknownNameError(kind, name, known)

    async def _learn_queue(self, name: str) -> None:
        """Before the first kernel has run, the plugins have the queues, and so they have those of jobs just written."""
        await self._control.learn()
        if all(name != job.policies.queue for job in self._catalog.jobs.values()) and name not in self._catalog.queues:
            prepared = await prepare_plugins(self._config)
            self._catalog.add(job for state in prepared.states for job in state.jobs)


class _WhereStoreIsAway:
    """The server cannot be used just now, and kernels of this machine live without it: they can be asked how they are."""

    def __init__(self, config: Config, url: str, error: MainspringError) -> None:
        self._config = config
        self._url = url
        self._error = error

    @property
    def url(self) -> str:
        return self._url

    async def close(self) -> None:
        pass

    async def call(self, operation: str, arguments: Json) -> Any:  # noqa: ARG002 - none can be carried out
        raise self._error

    async def sockets(self) -> list[Path]:
        return [path for path in _sockets_in(self._config) if await _has_store(path, self._url)]


class _AtKernel:
    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def url(self) -> str:
        return self._config.kernel.store

    async def close(self) -> None:
        pass

    async def call(self, operation: str, arguments: Json) -> Any:
        sockets = await self.sockets()
        if not sockets:
            raise StoreError(
                f"no kernel is alive in {self._config.kernel.run_dir}, and with {self._config.kernel.store} all runs "
                "live in the kernel: start one by `mainspring run`, or set kernel.store to a file"
            )
        if operation == "wait":
            return await ask(sockets[0], operation, arguments)
        try:
            return await ask_soon(sockets[0], operation, arguments)
        except TimeoutError as error:
            raise StoreError(str(error)) from None

    async def sockets(self) -> list[Path]:
        return [path for path in _sockets_in(self._config) if await _has_store(path, "memory:")]


def _sockets_in(config: Config) -> list[Path]:
    return sorted(config.kernel.run_dir.glob("*.sock"))


async def _has_store(socket: Path, url: str) -> bool:
    """Whether a kernel is behind it whose store's URL begins so: a killed one leaves its socket there."""
    try:
        answer: Json = await ask_soon(socket, "health", {})
    except TimeoutError:
        return True  # nobody can say; the next question tells what is wrong with it
    except OSError:
        return False
    return str(answer["store"]).startswith(url)


async def ask_soon(socket: Path, operation: str, arguments: Json) -> Any:
    """As ``ask``; TimeoutError when the kernel is there and gives no answer."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await ask(socket, operation, arguments)
    except TimeoutError:
        text = f"the kernel behind {socket} does not answer within {ANSWER_SECONDS:g} s"
        raise TimeoutError(f"{text}: its loop is blocked, or the process is stopped") from None
