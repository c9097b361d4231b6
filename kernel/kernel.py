"""The kernel: wires plugins, configuration and the engine together; the work is done by those."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kernel.client import wait_for, wishes_of
from kernel.config import Config, read_config
from kernel.config_file import read_text
from kernel.contracts.clock import SystemClock
from kernel.contracts.service import Periodic
from kernel.contracts.store import Announced, KernelRow
from kernel.control import Control
from kernel.control_socket import SocketServer
from kernel.figures import figures_of
from kernel.flow.catalog import Catalog
from kernel.flow.engine import Engine
from kernel.flow.event_bus import EventBus
from kernel.model.announcement import describe_job
from kernel.model.errors import ConfigError
from kernel.model.events import (
    ConfigRejected,
    ConfigReloaded,
    KernelStarted,
    KernelStopping,
    PluginBroken,
    PluginDisabled,
    PluginEnabled,
)
from kernel.model.payload import encode
from kernel.plugin_host import PluginHost, open_store
from kernel.unused_tables import unused_tables
from kernel.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from kernel.config_changes import Changes
    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.event_bus import Subscription
    from kernel.model.duration import Duration
    from kernel.model.events import Event
    from kernel.model.job import Job
    from kernel.model.queue import Queue
    from kernel.model.run import Run
    from kernel.model.schedule import Schedule
    from kernel.plugin_host import Answer, Listener

log = logging.getLogger(__name__)

PLUGIN_STOP_SECONDS = 10.0

_WATCH_SECONDS = 1.0
_MOST_BYTES = 1024 * 1024


class Schedules:
    """``kernel.schedules``: schedules that are added while the kernel runs, kept in the store; and a hand on all of them."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def add(
        self, name: str, job: str, *, payload: dict[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Adds one: exactly one of ``cron=`` and ``every=``, and options as of a decorator. RequestError when it is wrong."""
        return await self._control.schedules_add(name=name, job=job, payload=payload, options=options)

    async def get(self, name: str) -> dict[str, Any]:
        """The schedule as ``mainspring schedules list --json`` shows it; UnknownNameError when there is none."""
        return await self._control.schedules_show(schedule=name)

    async def list(self) -> list[dict[str, Any]]:
        return await self._control.schedules_list()

    async def pause(self, name: str) -> None:
        """Its ticks are recorded as paused, and run nothing, until it is resumed."""
        await self._control.schedules_pause(schedule=name)

    async def resume(self, name: str) -> None:
        await self._control.schedules_resume(schedule=name)

    async def remove(self, name: str) -> None:
        """Removes one that was added; those of plugins follow their code."""
        await self._control.schedules_remove(schedule=name)

    async def trigger(self, name: str) -> dict[str, Any]:
        """Runs its job now, with its payload, beside its ticks; the run as JSON."""
        return await self._control.schedules_trigger(schedule=name)


class Values:
    """JSON values by key, kept in the store for one plugin: they survive a restart, and all kernels see the same."""

    def __init__(self, store: Store, plugin: str) -> None:
        self._store = store
        self._plugin = plugin

    async def get(self, *keys: str) -> dict[str, Any]:
        """Those that are there, of these keys or of all."""
        found = await self._store.get(self._plugin, keys or None)
        return {key: json.loads(text) for key, text in found.items()}

    async def put(self, values: Mapping[str, Any]) -> None:
        """Writes them; None deletes. NotJsonError for what JSON cannot carry unchanged."""
        texts = {key: None if value is None else encode(value, limit=_MOST_BYTES) for key, value in values.items()}
        await self._store.put(self._plugin, texts)


class Kernel:
    """A kernel on one store: ``async with Kernel.from_toml("plugins.toml") as kernel``."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        self.config = config
        self.id = str(uuid.uuid4())
        self.clock = clock or SystemClock()
        self._stack = AsyncExitStack()
        self._switching = asyncio.Lock()
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._watched: tuple[float, int] | None = None
        self._edits: set[asyncio.Task[tuple[str, ...]]] = set()
        self._editing = asyncio.Lock()
        self._config_problems: tuple[str, ...] = ()
        self._is_file_missing = False

    @classmethod
    def from_toml(cls, path: Path | str = "plugins.toml", *, clock: Clock | None = None) -> Self:
        """A kernel by this configuration; ConfigError when the file cannot be read at all. A test gives its ``clock``.

        What is wrong in it otherwise, ``start`` tells, together with what is wrong for its plugins.
        """
        return cls(read_config(path), clock=clock)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.stop()

    # Life

    async def start(self) -> None:
        """Loads plugins, opens the store, takes up the work. ConfigError or StoreError; then everything is closed again."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        config = self.config.kernel
        self.bus = EventBus(self.clock)
        self._stack.push_async_callback(self.bus.close)
        try:
            config.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            problem = (
                f"[kernel] run_dir: {config.run_dir} cannot be made: {error.strerror}; expected a folder to write in"
            )
            raise ConfigError(problem) from None
        self.catalog = Catalog()
        self.catalog.max_payload = config.max_payload
        self.host = PluginHost(
            mark_dir=config.run_dir / "importing",
            on_broken=self._plugin_broke,
            clock=self.clock,
            tell=self.bus.publish,
        )
        self._stack.callback(self.host.close)
        await self.host.load(self.config)
        self.store = await open_store(config.store)
        socket = config.run_dir / f"kernel-{self.id[:8]}.sock"
        now = self.clock.now()
        row = KernelRow(self.id, os.getpid(), platform.node(), _boot_id(), now, now, str(socket))
        await self.store.open(row)
        self._stack.push_async_callback(self.store.close)
        self.catalog.set_queues(self._queues())
        self.catalog.set_breakers(self.config.breakers)
        self.catalog.add(self.host.jobs())
        self.engine = Engine(
            kernel_id=self.id,
            store=self.store,
            catalog=self.catalog,
            bus=self.bus,
            clock=self.clock,
            concurrency=config.concurrency,
            why_unknown=self._why_unknown,
            max_result=config.max_result,
            code_of=self.host.code_of,
        )
        returned = await self.engine.recorder.rescue(self.id)
        self.control = Control(
            store=self.store,
            catalog=self.catalog,
            intake=self.engine.intake,
            recorder=self.engine.recorder,
            clock=self.clock,
            engine=self.engine,
            kernel=self,
        )
        self.schedules = Schedules(self.control)
        await self._tell_who_is_here()
        for note in unused_tables(self.config, self.catalog.jobs.values()):
            log.info("%s: %s", self.config.source.path, note)
        self._subscribe(self.host.listeners())
        self._stack.push_async_callback(self.host.stop, self)
        await self.host.start(self)
        self.engine.executors.use(self.host.executors())
        self.engine.put_around(self.host.around_attempt(), self.host.around_enqueue())
        self.engine.recorder.tell_lost(returned)
        await self.engine.start(self.host.schedules(), [state.name for state in self.host.states()])
        self.watchdog = Watchdog(
            self.bus,
            self.clock,
            run_of=self.engine.pool.run_of,
            plugin_of=self.host.plugin_of,
            on_blocked=self.engine.blocking.blocked,
        )
        self.watchdog.start()
        self._stack.callback(self.watchdog.stop)
        server = SocketServer(socket, self.control, self.bus)
        await server.start()
        self._stack.push_async_callback(server.stop)
        self._watched = _stamp(self.config.source.path)
        watcher = Periodic("configuration", _WATCH_SECONDS, self._look_at_file, SystemClock())
        await watcher.start()
        self._stack.push_async_callback(watcher.stop)
        self._stack.push_async_callback(self._end_edits)
        self.bus.publish(KernelStarted(self.clock.now(), self.id, os.getpid()))

    async def stop(self, grace: float | None = None, reason: str = "stopped") -> bool:
        """Timers, claiming, drain (``grace`` seconds, else kernel.shutdown_grace), cancel, plugins, store, in this order.

        True when every attempt ended by itself. Interrupted runs are queued again and lose no attempt.
        """
        self.bus.publish(KernelStopping(self.clock.now(), self.id, reason))
        noting = asyncio.create_task(self.engine.recorder.note_stop(self.id), name="mainspring:note-stop")
        try:
            is_drained = await self.engine.stop(self.config.kernel.shutdown_grace_seconds if grace is None else grace)
            await self.host.stop(self, within=PLUGIN_STOP_SECONDS)
        finally:
            noting.cancel()
            await asyncio.wait({noting})
            await self._stack.aclose()
        return is_drained

    def hurry(self, reason: str) -> None:
        """Cancels now what still runs, where ``stop`` would have waited."""
        self.engine.hurry(reason)

    # Work

    async def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Run:
        """The accepted run; when this returns it survives a crash. Options: priority, delay, at, queue, unique, expires,
        depends_on, on_parent_failure, tags.

        With ``unique``, while an unfinished run of the job has the key, the answer is that run, and ``is_new`` is False.
        RequestError (UnknownNameError, PayloadError) when the wish is wrong, StoreError when it was not written.
        """
        return await self.engine.intake.enqueue(job, payload, **options)

    async def enqueue_many(self, requests: Iterable[tuple[Any, ...]]) -> list[Run]:
        """All of (job, payload) or (job, payload, options), or none of them, in one round trip."""
        return await self.engine.intake.enqueue_many(wishes_of(requests))

    async def wait(self, run_id: str, timeout: Duration | None = None) -> Run:
        """The run once it has ended. TimeoutError when the time is over before."""
        return await wait_for(self.engine.recorder, run_id, timeout)

    # For plugins

    def publish(self, event: Event) -> None:
        """Tells an event to all who listen for its kind; never waits."""
        self.bus.publish(event)

    async def ask(
        self,
        hook: str,
        *,
        within: float | None = None,
        each: Callable[[str], Mapping[str, Any]] | None = None,
        **values: Any,
    ) -> list[Answer]:
        """What the other plugins' implementations of ``hook`` say, each by itself: one that fails is an answer too.

        ``within`` so many seconds, else the limit of all hooks. ``each`` makes of a plugin's name values for it alone.
        """
        return await self.host.ask(hook, values, within, each)

    def values(self, plugin: str) -> Values:
        """The plugin's own small table in the store."""
        return Values(self.store, plugin)

    def figures(self) -> dict[str, Any]:
        """What the kernel counts of itself, since its start, and how it stands; see kernel/figures.py."""
        return figures_of(self.engine, self.clock.now())

    def plugin_states(self) -> list[dict[str, Any]]:
        """Every plugin that was found: its state (enabled, off, broken, quarantined), and where and why."""
        return [state.as_json() for state in self.host.states()]

    def release_plugin(self, name: str) -> None:
        """Has the plugin's hooks called again; RequestError when it is not quarantined."""
        self.host.release(name)

    # Configuration that changes while the kernel runs

    async def reload(self) -> tuple[str, ...]:
        """Reads plugins.toml again and acts on what changed, told in lines. ConfigError: the edit is bad, nothing changed."""
        async with self._switching:
            try:
                prepared = await self.host.prepare(await asyncio.to_thread(read_config, self.config.source.path))
                if prepared.problems:
                    self.host.apply(prepared)
            except ConfigError as error:
                self._config_problems = tuple(error.problems)
                self.bus.publish(ConfigRejected(self.clock.now(), self._config_problems))
                raise
            grace = self.config.kernel.shutdown_grace_seconds
            for name in (*prepared.changes.disable, *prepared.changes.reconfigure):
                await self._switch_off(name, grace)
            self.host.apply(prepared)
            self.config = prepared.config
            await self._switch_on(prepared.changes)
            lines = prepared.changes.lines()
            was_rejected, self._config_problems = bool(self._config_problems), ()
            if was_rejected and not lines:
                # As loud as that it was rejected: a terminal shows no less.
                log.warning("plugins.toml is good again: it says what is in use")
            if lines or was_rejected:
                self.bus.publish(ConfigReloaded(self.clock.now(), lines))
            return lines

    async def resize_queue(self, queue: str, concurrency: int | None) -> tuple[str, ...]:
        """Sets the queue's concurrency in plugins.toml and acts on it, whatever becomes of who asked; what changed, in lines.

        ConfigError: the file cannot be used so, or could not before, and it is as it was.
        """
        from kernel.config_edit import set_concurrency  # noqa: PLC0415 - tomlkit takes time, and is seldom needed

        return await self._change_config(lambda path: set_concurrency(path, queue, concurrency))

    async def switch_plugin(self, name: str, *, enabled: bool) -> tuple[str, ...]:
        """The same of whether the plugin is on."""
        from kernel.config_edit import set_enabled  # noqa: PLC0415 - as above

        return await self._change_config(lambda path: set_enabled(path, name, enabled=enabled))

    def config_state(self) -> dict[str, Any]:
        """The ``path`` of plugins.toml, and the ``problems`` for which it is not used as it was last read."""
        return {"path": str(self.config.source.path.absolute()), "problems": list(self._config_problems)}

    async def _change_config(self, edit: Callable[[Path], bool]) -> tuple[str, ...]:
        task = asyncio.create_task(self._edit_config(edit), name="mainspring:edit")
        self._edits.add(task)
        task.add_done_callback(self._edits.discard)
        return await asyncio.shield(task)

    async def _edit_config(self, edit: Callable[[Path], bool]) -> tuple[str, ...]:
        from kernel.config_edit import put_back  # noqa: PLC0415 - as above

        path = self.config.source.path
        async with self._editing:
            before = await asyncio.to_thread(read_text, path)
            if not await asyncio.to_thread(edit, path):
                return ()
            edited = await asyncio.to_thread(read_text, path)
            try:
                return await self.reload()
            except ConfigError:
                await asyncio.to_thread(put_back, path, before, edited)
                raise

    async def _end_edits(self) -> None:
        for task in self._edits:
            task.cancel()
        await asyncio.gather(*self._edits, return_exceptions=True)

    async def _switch_off(self, name: str, grace: float) -> None:
        await self.engine.scheduler.look(plugin=name)
        await self.engine.drain_plugin(name, grace, self.host.executors_of(name))
        await self.host.stop(self, [name])
        for subscription in self._subscriptions.pop(name, []):
            await self.bus.unsubscribe(subscription)
        self.bus.publish(PluginDisabled(self.clock.now(), name))

    async def _switch_on(self, changes: Changes) -> None:
        fresh = (*changes.enable, *changes.reconfigure)
        self._subscribe(listener for listener in self.host.listeners() if listener.plugin in fresh)
        await self.host.start(self, fresh)
        self.engine.executors.use(self.host.executors())
        self.engine.put_around(self.host.around_attempt(), self.host.around_enqueue())
        states = {state.name: state for state in self.host.states()}
        self.catalog.set_queues(self._queues())
        self.catalog.set_breakers(self.config.breakers)
        for name in (*fresh, *changes.override):
            if states[name].is_enabled:
                self.catalog.add(states[name].jobs)
                await self.engine.scheduler.declare(name, states[name].schedules)
        for name in changes.enable:
            self.bus.publish(PluginEnabled(self.clock.now(), name))
        await self.engine.scheduler.refresh()
        self.engine.claimer.wake()
        await self._tell_who_is_here()

    async def _look_at_file(self) -> None:
        path = self.config.source.path
        stamp = _stamp(path)
        if stamp is None:
            if not self._is_file_missing:
                log.warning("%s is gone or cannot be reached: the kernel goes on with what it has read", path)
            self._is_file_missing = True
            return
        if self._is_file_missing:
            log.info("%s is back", path)
            self._is_file_missing = False
        if stamp == self._watched:
            return
        self._watched = stamp
        try:
            for line in await self.reload():
                log.info("plugins.toml: %s", line)
        except ConfigError as error:
            log.error("plugins.toml was changed and is not used:\n%s", error)  # noqa: TRY400 - the message says it all

    # Telling

    def _subscribe(self, listeners: Iterable[Listener]) -> None:
        for listener in listeners:
            subscription = self.bus.subscribe(listener.plugin, listener.kinds, listener.tell)
            self._subscriptions.setdefault(listener.plugin, []).append(subscription)

    def _plugin_broke(self, plugin: str, reason: str, place: str) -> None:
        states = {state.name: state.state for state in self.host.states()}
        if states.get(plugin) == "broken" and any(job.plugin == plugin for job in self.catalog.jobs.values()):
            self.catalog.remove(plugin, f"plugin {plugin} is broken: {reason}")
            self.engine.claimer.release(lambda run: run.job not in self.catalog.jobs, f"plugin {plugin} is broken")
        self.bus.publish(PluginBroken(self.clock.now(), plugin, reason, place))

    async def _tell_who_is_here(self) -> None:
        """Announces the jobs to clients, and the plugins to the command line."""
        jobs = [
            Announced(job.name, job.plugin, job.policies.queue, json.dumps(self._describe(job)))
            for job in self.catalog.jobs.values()
        ]
        await self.store.announce(self.id, jobs, self.clock.now())
        await self.store.put("kernel", {"plugins": json.dumps(self.plugin_states())})

    def _describe(self, job: Job) -> dict[str, Any]:
        catalog = self.catalog
        return describe_job(job, catalog.queue(job.policies.queue), catalog.max_payload, catalog.breaker_table)

    def _queues(self) -> list[Queue]:
        return list(self.config.queues.values())

    def _why_unknown(self, schedule: Schedule) -> str:
        """Why nothing runs for a schedule whose job is not in the catalog."""
        plugin = schedule.job.partition(".")[0]
        states = {state.name: state for state in self.host.states()}
        if plugin in states and not states[plugin].is_enabled:
            return f"plugin {plugin} is {states[plugin].state}"
        return "job unknown"


def _stamp(path: Path) -> tuple[float, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime, found.st_ino


def _boot_id() -> str:
    """What is new after each start of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
