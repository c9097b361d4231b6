"""The plugins of a kernel: found, loaded, told of events, started and stopped. Whatever one does, the others go on.

A change of configuration has two steps: ``prepare`` checks and loads all that is new while nothing changes, ``apply``
puts it in place. A plugin is broken by what it does wrong; what is wrong in plugins.toml is the configuration's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.config import Config, PluginConfig, error_of
from kernel.config_changes import Changes, diff
from kernel.config_schema import config_schema
from kernel.contracts.clock import SystemClock
from kernel.model.errors import RequestError, UnknownNameError
from kernel.model.job import check_tags
from kernel.plugin import Plugin, PluginState
from kernel.plugin_around import Around
from kernel.plugin_breakers import clashing_breakers
from kernel.plugin_copy import written
from kernel.plugin_error import PluginError
from kernel.plugin_executors import OWN, HookError, is_opened, start_executors, unknown
from kernel.plugin_finder import Found, Refused, find_plugins
from kernel.plugin_guard import Guard
from kernel.plugin_leftovers import left_behind
from kernel.plugin_listeners import Listener
from kernel.plugin_marks import Marks
from kernel.plugin_order import in_order, unmet
from kernel.plugin_problems import missing_folders, unknown_plugins, unknown_store
from kernel.plugin_quarantine import HOOKS, Quarantine
from kernel.plugin_store import open_store, store_plugin_name

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.config_source import Problem
    from kernel.contracts.clock import Clock
    from kernel.contracts.executor import Executor
    from kernel.hooks import Hook
    from kernel.model.events import Event
    from kernel.model.job import Job
    from kernel.model.schedule import Schedule
    from kernel.plugin_registrations import Registered

log = logging.getLogger(__name__)

_TURN_SECONDS = 0.5

OnBroken = Callable[[str, str, str], None]
_OFF = PluginConfig(enabled=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration ready to be applied, unless it has ``problems``. ``states`` is how its plugins stand."""

    config: Config
    changes: Changes
    problems: tuple[Problem, ...]
    plugins: Mapping[str, Plugin] = field(repr=False)
    registered: Mapping[str, Registered] = field(repr=False)
    refused: tuple[Refused, ...] = ()

    @property
    def states(self) -> list[PluginState]:
        return _states(self.plugins.values(), self.refused, self.registered, self.config)


STORE_NOTE = "serves as the store all the same: kernel.store names it"


class Answer(NamedTuple):
    """What one plugin's hook gave back, or how it failed."""

    plugin: str
    value: Any = None
    error: PluginError | None = None


class PluginHost:
    """For one loop, and one change at a time. ``on_broken(plugin, reason, place)`` is told of what breaks, ``tell`` of faults
    and quarantines, as events.
    """

    def __init__(
        self,
        *,
        mark_dir: Path | None = None,
        warn_seconds: float = 5.0,
        limit_seconds: float = 30.0,
        on_broken: OnBroken | None = None,
        clock: Clock | None = None,
        tell: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self._marks = Marks(mark_dir)
        self._warn_seconds = warn_seconds
        self._limit_seconds = limit_seconds
        self._on_broken = on_broken
        self._clock = clock or SystemClock()
        self._tell = tell
        self._config: Config | None = None
        self._plugins: dict[str, Plugin] = {}
        self._refused: tuple[Refused, ...] = ()

    # Loading

    async def load(self, config: Config) -> list[PluginState]:
        """``prepare`` and ``apply`` in one: for the start, when nothing runs yet."""
        self.apply(await self.prepare(config))
        return self.states()

    async def prepare(self, config: Config) -> Prepared:
        """Finds, imports and makes what ``config`` asks for and is not there yet; nothing of what is in use changes."""
        finding = await asyncio.to_thread(find_plugins, config.kernel.plugin_dirs)
        problems = [*config.problems, *unknown_plugins(config, finding), *missing_folders(config, finding)]
        plugins = {name: self._candidate(found, config) for name, found in finding.plugins.items()}
        for plugin in self._new(plugins):
            if _table(config, plugin.name).enabled:
                await plugin.load()
        names = in_order(plugins, {one.name for one in finding.refused}, self._broken_copy)
        registered = {}
        for name in names:
            table = _table(config, name)
            # What it requires may have broken only now.
            if reason := unmet(plugins[name], plugins):
                plugins[name] = self._broken_copy(plugins[name], reason)
            elif not self._is_kept(plugins[name]):
                problems += await plugins[name].make(table, config)
            if not plugins[name].is_broken:
                registered[name], wrong = plugins[name].registered_by(table, config)
                problems += wrong
        problems += self._share_breakers(plugins, registered, config)
        problems += await self._open_executors(plugins, registered, config)
        plugins = {name: plugins[name] for name in names} | plugins
        problems += unknown_store(config, finding, plugins.values())
        changes = self._changes(config, plugins, registered)
        return Prepared(config, changes, tuple(problems), plugins, registered, tuple(finding.refused))

    def apply(self, prepared: Prepared) -> None:
        """Puts it in place; ConfigError with all its problems, and nothing has changed."""
        if prepared.problems:
            for plugin in self._new(prepared.plugins):
                plugin.forget() if self._is_alone(plugin) else plugin.let_go()
            raise error_of(prepared.problems)
        before, refused_before = self._plugins, set(self._refused)
        self._plugins, self._refused = dict(prepared.plugins), prepared.refused
        self._config = prepared.config
        for name, registered in prepared.registered.items():
            if not self._plugins[name].is_broken:
                self._plugins[name].registered = registered
        for name, old in before.items():
            if self._plugins.get(name) is not old:
                old.let_go()
        for plugin in self._plugins.values():
            if plugin.is_broken and before.get(plugin.name) is not plugin:
                self._tell_broken(plugin)
        for one in sorted(set(self._refused) - refused_before):
            _log_broken(one.name, one.reason, one.source)

    # What the plugins are and have

    def states(self) -> list[PluginState]:
        """All plugins that were found, by name."""
        return _states(self._plugins.values(), self._refused, {}, self._config)

    def jobs(self) -> list[Job]:
        return [job for plugin in self._plugins.values() for job in plugin.registered.jobs]

    def schedules(self) -> list[Schedule]:
        return [schedule for plugin in self._plugins.values() for schedule in plugin.registered.schedules]

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of plugins.toml, with the settings, jobs and schedules of the enabled plugins."""
        return config_schema({name: plugin.parts() for name, plugin in self._plugins.items()})

    def listeners(self) -> list[Listener]:
        """The ears of all plugins. What fails in one, or hangs, is a fault of its plugin; a quarantined one hears nothing."""
        return [
            Listener(plugin.name, self._ear(plugin, hook), kinds, batch=hook.name == "on_events")
            for plugin in self._plugins.values()
            for hook, kinds in plugin.kinds.items()
        ]

    def plugin_of(self, filename: str) -> str:
        """The plugin that the file belongs to, or an empty text."""
        return next((plugin.name for plugin in self._plugins.values() if plugin.guard.owns(filename)), "")

    def hooks(self, name: str) -> list[tuple[Plugin, Hook]]:
        """The implementations of one hook, in the order of loading; of those that are called again and again without the
        quarantined ones.
        """
        return [
            (plugin, hook)
            for plugin in self._plugins.values()
            if not (plugin.quarantine.is_on and name in HOOKS)
            for hook in plugin.hooks.get(name, [])
        ]

    def around_attempt(self) -> Around | None:
        """What stands around attempts; None when nobody has the hook."""
        found = self._around("around_attempt")
        return Around("ctx", found) if found else None

    def around_enqueue(self) -> Around | None:
        """What stands around enqueueing, and gives tags; None when nobody has the hook."""
        found = self._around("around_enqueue")
        return Around("runs", found, lambda given: check_tags(given or ())) if found else None

    def _around(self, name: str) -> list[tuple[Plugin, Hook]]:
        return [(plugin, hook) for plugin in self._plugins.values() for hook in plugin.hooks.get(name, [])]

    def release(self, name: str) -> None:
        """Lets the plugin out of quarantine; RequestError when it is in none."""
        if name not in self._plugins:
            raise UnknownNameError("plugin", name, self._plugins)
        if not self._plugins[name].quarantine.release("released by hand"):
            state = self._plugins[name].as_state().state
            raise RequestError(f"plugin {name} is {state}: expected one that is quarantined")

    async def ask(
        self,
        name: str,
        values: Mapping[str, Any],
        within: float | None = None,
        each: Callable[[str], Mapping[str, Any]] | None = None,
    ) -> list[Answer]:
        """What each implementation of this hook says to ``values``, all asked at once; in the order of loading.

        ``each``: values that are a plugin's own, by its name.
        """
        asked = (
            _answer(plugin, hook, {**values, **(each(plugin.name) if each is not None else {})}, within)
            for plugin, hook in self.hooks(name)
        )
        return list(await asyncio.gather(*asked))

    def executors(self) -> dict[str, Executor]:
        """Those of plugins that are started, by name."""
        return {name: plugin.executors[name] for plugin in self._plugins.values() for name in plugin.running_executors}

    def executors_of(self, name: str) -> frozenset[str]:
        """The names of those that this plugin runs."""
        return frozenset(self._plugins[name].running_executors) if name in self._plugins else frozenset()

    def code_of(self, name: str) -> str:
        """How another process loads the plugin, with its settings; see kernel/plugin_copy.py."""
        plugin = self._plugins[name]
        if not plugin.code and self._config is not None:
            plugin.code = written(plugin.found, _table(self._config, name).settings, self._config.source)
        return plugin.code

    # Running

    async def start(self, kernel: Any, names: Iterable[str] | None = None) -> None:
        """Starts the enabled ones, all or those named, what they require first; one that fails is broken."""
        for plugin in self._chosen(names):
            if plugin.state != "enabled" or plugin.is_started:
                continue
            try:
                if reason := unmet(plugin, self._plugins):
                    raise PluginError(reason)  # noqa: TRY301 - it ends as a failure of start does
                await plugin.start(kernel)
            except PluginError as error:
                plugin.break_(error.reason, error.place)
                self._tell_broken(plugin)
        for plugin in self._plugins.values():
            if plugin.is_started:
                await self._start_executors(plugin)

    async def _start_executors(self, plugin: Plugin) -> None:
        """One that is in use already may have been asked for another: by jobs that have only come now."""
        try:
            await start_executors(plugin)
        except PluginError as error:
            plugin.break_(error.reason, error.place)
            self._tell_broken(plugin)

    async def stop(self, kernel: Any, names: Iterable[str] | None = None, *, within: float | None = None) -> None:
        """Stops the started ones in reverse order, all ``within`` so many seconds; failures are only reported."""
        loop = asyncio.get_running_loop()
        end = None if within is None else loop.time() + within
        for plugin in reversed(self._chosen(names)):
            if not plugin.is_started:
                continue
            try:
                await plugin.stop(kernel, None if end is None else max(end - loop.time(), 0.05))
            except PluginError as error:
                plugin.break_(error.reason, error.place)
                self._tell_broken(plugin)
            for text in left_behind(plugin.guard, plugin.tasks_before):
                log.warning("plugin %s: %s", plugin.name, text, extra={"plugin": plugin.name})

    async def register_commands(self, cli: Any) -> None:
        """Lets the plugins add their commands to the typer application."""
        for plugin, hook in self.hooks("register_commands"):
            try:
                await plugin.call(hook, {"cli": cli})
            except PluginError as error:
                plugin.break_(error.reason, error.place)
                self._tell_broken(plugin)

    def close(self) -> None:
        """Lets all the plugins' threads end."""
        for plugin in self._plugins.values():
            plugin.let_go()

    # The steps

    def _candidate(self, found: Found, config: Config) -> Plugin:
        """The record in use when it can stay as it is, else a new one, with the code that is loaded already."""
        old = self._plugins.get(found.name)
        table = _table(config, found.name)
        if old is not None and old.found == found and self._may_stay(old, table):
            return old
        guard = Guard(
            found.name,
            (found.root,) if found.root else (),
            warn_seconds=self._warn_seconds,
            limit_seconds=self._limit_seconds,
            scrub=config.source.scrub,
        )
        new = Plugin(found, guard, self._marks, Quarantine(found.name, self._clock, self._tell_surely))
        if old is not None and old.found == found:
            new.use_module_of(old)
        return new

    def _may_stay(self, old: Plugin, table: PluginConfig) -> bool:
        if self._config is None or old.state != "enabled":
            return False
        return table.enabled and _table(self._config, old.name).settings == table.settings

    def _is_kept(self, plugin: Plugin) -> bool:
        return self._plugins.get(plugin.name) is plugin

    def _new(self, plugins: Mapping[str, Plugin]) -> list[Plugin]:
        return [plugin for plugin in plugins.values() if not self._is_kept(plugin)]

    def _is_alone(self, plugin: Plugin) -> bool:
        """Whether no record in use has the same module."""
        old = self._plugins.get(plugin.name)
        return old is None or old.module is not plugin.module

    def _share_breakers(
        self, plugins: dict[str, Plugin], registered: Mapping[str, Registered], config: Config
    ) -> list[Problem]:
        """A job that means something else by a breaker than others breaks its plugin, if it is new and its code says so."""
        problems = []
        names = sorted(registered, key=lambda name: not self._is_kept(plugins[name]))
        jobs = [job for name in names for job in registered[name].jobs]
        for job, first, reason in clashing_breakers(jobs, config.breakers):
            overridden = next((one for one in (job, first) if _is_overridden(one, "breaker", config)), None)
            if overridden is not None:
                path = ("plugins", overridden.plugin, "jobs", overridden.name.removeprefix(f"{overridden.plugin}."))
                problems.append(config.source.at(path, "breaker", reason))
            elif self._is_kept(plugins[job.plugin]):
                problems.append(config.source.in_table(("breakers",), reason))
            else:
                plugins[job.plugin] = self._broken_copy(plugins[job.plugin], reason, job.place)
        return problems

    async def _open_executors(
        self, plugins: dict[str, Plugin], registered: dict[str, Registered], config: Config
    ) -> list[Problem]:
        """Has those opened that jobs ask for. A job that asks for what nobody has breaks its plugin, if its code asks."""
        problems = []
        for name, job in [(name, job) for name, one in registered.items() for job in one.jobs]:
            executor = job.policies.executor
            if executor is None or executor in OWN or plugins[name].is_broken:
                continue
            if await self._is_opened(executor, plugins) or plugins[name].is_broken:
                continue
            short = job.name.removeprefix(f"{name}.")
            text = unknown(executor, plugins.values())
            if "executor" in _table(config, name).jobs.get(short, {}):
                problems.append(config.source.at(("plugins", name, "jobs", short), "executor", text))
            else:
                plugins[name] = self._broken_copy(plugins[name], f"job {short}: executor: {text}", job.place)
        for name in list(registered):
            if not plugins[name].is_broken and (reason := unmet(plugins[name], plugins)):
                plugins[name] = self._broken_copy(plugins[name], reason)
            if plugins[name].is_broken:
                del registered[name]
        return problems

    async def _is_opened(self, executor: str, plugins: dict[str, Plugin]) -> bool:
        while True:
            try:
                return await is_opened(executor, plugins.values())
            except HookError as error:
                plugins[error.plugin] = self._broken_copy(plugins[error.plugin], error.reason, error.place)

    def _broken_copy(self, plugin: Plugin, reason: str, place: str = "") -> Plugin:
        """The plugin broken; one in use is left as it is, for the change may yet be refused."""
        if self._is_kept(plugin):
            guard = Guard(plugin.name, plugin.guard.roots, scrub=plugin.guard.scrub)
            copy = Plugin(plugin.found, guard, self._marks)
            copy.use_module_of(plugin)
            plugin = copy
        plugin.break_(reason, place)
        return plugin

    def _changes(self, config: Config, plugins: Mapping[str, Plugin], registered: Mapping[str, Registered]) -> Changes:
        old = self._config
        was = {name for name, plugin in self._plugins.items() if plugin.state == "enabled"}
        live = {name for name, plugin in self._plugins.items() if plugin.is_started or plugin.registered.jobs} | was
        now = [name for name, plugin in plugins.items() if plugin.state == "enabled"]
        kept = [name for name in now if self._is_kept(plugins[name])]
        return replace(
            diff(old, config) if old is not None else Changes(),
            enable=tuple(name for name in now if name not in live),
            disable=tuple(name for name in self._plugins if name in live and name not in now),
            reconfigure=tuple(name for name in now if name in live and name not in kept),
            override=tuple(name for name in kept if registered[name] != plugins[name].registered),
        )

    def _chosen(self, names: Iterable[str] | None) -> list[Plugin]:
        chosen = None if names is None else set(names)
        return [plugin for name, plugin in self._plugins.items() if chosen is None or name in chosen]

    def _ear(self, plugin: Plugin, hook: Hook) -> Callable[[Any], Any]:
        parameter = "events" if hook.name == "on_events" else "event"

        async def hear(told: Any) -> None:
            if hook in plugin.kinds and not plugin.quarantine.is_on:
                with contextlib.suppress(PluginError):  # told, and counted, as a fault of the plugin
                    await plugin.call(hook, {parameter: told})

        return hear

    def _tell_surely(self, event: Event) -> None:
        try:
            self._tell(event)
        except Exception:
            log.exception("telling of %s failed", event.name)

    def _tell_broken(self, plugin: Plugin) -> None:
        _log_broken(plugin.name, plugin.reason, plugin.place)
        if self._on_broken is None:
            return
        try:
            self._on_broken(plugin.name, plugin.reason, plugin.place)
        except Exception:
            log.exception("plugin %s is broken, and telling so failed", plugin.name)


def _log_broken(name: str, reason: str, place: str) -> None:
    where = f" ({place})" if place else ""
    log.error("plugin %s is broken: %s%s", name, reason, where, extra={"plugin": name, "broken": True})


async def _answer(plugin: Plugin, hook: Hook, values: Mapping[str, Any], within: float | None) -> Answer:
    try:
        # Its own limit ends a call; but a def hook waits for its turn, behind another one of the plugin that may hang.
        async with asyncio.timeout(None if within is None else within + _TURN_SECONDS):
            return Answer(plugin.name, await plugin.call(hook, dict(values), within))
    except PluginError as error:
        return Answer(plugin.name, error=error)
    except TimeoutError:
        reason = f"{hook.name}: not begun within {within:g} s, for another hook of the plugin has not returned"
        return Answer(plugin.name, error=PluginError(reason, hook.place))


def _is_overridden(job: Job, policy: str, config: Config) -> bool:
    return policy in _table(config, job.plugin).jobs.get(job.name.removeprefix(f"{job.plugin}."), {})


def _table(config: Config, name: str) -> PluginConfig:
    return config.plugins.get(name, _OFF)


def _states(
    plugins: Iterable[Plugin], refused: Iterable[Refused], registered: Mapping[str, Registered], config: Config | None
) -> list[PluginState]:
    states = [plugin.as_state() for plugin in plugins]
    states = [
        replace(state, jobs=registered[state.name].jobs, schedules=registered[state.name].schedules)
        if state.name in registered and state.is_enabled
        else state
        for state in states
    ]
    if config is not None:
        store = store_plugin_name(config.kernel.store)
        states = [
            replace(state, note=STORE_NOTE) if state.name == store and state.state == "off" else state
            for state in states
        ]
    states += [PluginState(one.name, "broken", one.source, one.reason) for one in refused]
    return sorted(states, key=lambda state: state.name)


__all__ = ["Listener", "PluginHost", "PluginState", "Prepared", "open_store"]
