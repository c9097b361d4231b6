"""One plugin on its way from a file to its hooks and jobs, every step of it behind its guard."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from kernel.config_schema import PluginParts
from kernel.contracts.clock import SystemClock
from kernel.hooks import Hook, hooks_of, marked, unmarked
from kernel.model.errors import shown
from kernel.model.job import place_of
from kernel.plugin_error import PluginError
from kernel.plugin_executors import stop_executors
from kernel.plugin_finder import Found, forget, import_plugin, imported_under, stamp_of
from kernel.plugin_listeners import kinds_of
from kernel.plugin_quarantine import HOOKS, Fault, Quarantine
from kernel.plugin_registrations import Declared, Overrider, Registered, declared_by, functions_in
from kernel.plugin_settings import Checked, check_settings, settings_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import BaseModel

    from kernel.config import Config, PluginConfig
    from kernel.config_source import Problem
    from kernel.contracts.executor import Executor
    from kernel.model.events import Event
    from kernel.model.job import Job
    from kernel.model.schedule import Schedule
    from kernel.plugin_guard import Guard
    from kernel.plugin_marks import Marks

log = logging.getLogger(__name__)

WRONG_SETTINGS = "its settings in plugins.toml are wrong"
State = Literal["enabled", "off", "broken", "quarantined"]


@dataclass(frozen=True, slots=True)
class PluginState:
    """A plugin as lists show it. ``reason`` and ``place`` (file:line): why it is broken or quarantined; ``note``: what else
    is so; ``faults``: of its hooks, in the last ten minutes.
    """

    name: str
    state: State
    source: str
    reason: str = ""
    place: str = ""
    note: str = ""
    jobs: tuple[Job, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    requires: tuple[str, ...] = ()
    version: str = ""
    doc: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def is_enabled(self) -> bool:
        """Whether its jobs run; of a quarantined one they do."""
        return self.state in {"enabled", "quarantined"}

    def as_json(self) -> dict[str, Any]:
        """The plugin as commands and the API show it."""
        return {
            "plugin": self.name,
            "state": self.state,
            "source": self.source,
            "reason": self.reason,
            "place": self.place,
            "note": self.note,
            "jobs": [job.name for job in self.jobs],
            "schedules": [schedule.name for schedule in self.schedules],
            "requires": list(self.requires),
            "version": self.version,
            "about": self.doc,
            "faults": [fault.as_json() for fault in self.faults],
        }


class Plugin:
    """The record of one plugin; ``PluginError`` leaves no method, it becomes the state ``broken``."""

    def __init__(self, found: Found, guard: Guard, marks: Marks, quarantine: Quarantine | None = None) -> None:
        self.name = found.name
        self.found = found
        self.guard = guard
        self.quarantine = quarantine or Quarantine(found.name, SystemClock(), lambda _event: None)
        self.state: State = "off"
        self.reason = ""
        self.place = ""
        self.module: ModuleType | None = None
        self.model: type[BaseModel] | None = None
        self.requires: tuple[str, ...] = ()
        self.hooks: dict[str, list[Hook]] = {}
        self.kinds: dict[Hook, tuple[type[Event], ...]] = {}
        self.declared = Declared()
        self.registered = Registered()
        self.executors: dict[str, Executor] = {}
        """Those that its hook has opened, by name."""
        self.running_executors: set[str] = set()
        self.code = ""
        """How another process loads it; made at first use."""
        self.is_started = False
        self.tasks_before: WeakSet[asyncio.Task[Any]] = WeakSet()
        """What there was when it was started."""
        self.stamp = 0
        self._marks = marks
        self._imported_before: frozenset[str] = frozenset()
        """What others had imported of it, as a test or an embedding program may: it is not ours to forget."""
        self._object: Any = None
        self._notes: list[str] = []

    def as_state(self) -> PluginState:
        names = vars(self.module) if self.module is not None else {}
        rests = self.state == "enabled" and self.quarantine.is_on
        return PluginState(
            name=self.name,
            state="quarantined" if rests else self.state,
            source=self.found.source,
            reason=self.quarantine.reason if rests else self.reason,
            place=self.quarantine.place if rests else self.place,
            note="; ".join(dict.fromkeys(self._notes + self.guard.notes)),
            jobs=self.registered.jobs,
            schedules=self.registered.schedules,
            requires=self.requires,
            version=self.found.version or _text(names.get("__version__")),
            doc=_text(names.get("__doc__")).strip().partition("\n")[0],
            faults=self.quarantine.faults if self.state == "enabled" else (),
        )

    def parts(self) -> PluginParts:
        """What its table in plugins.toml may speak of."""
        return PluginParts(self.state == "enabled", self.model, self.declared.jobs, self.declared.schedules)

    @property
    def is_broken(self) -> bool:
        return self.state == "broken"

    def break_(self, reason: str, place: str = "") -> None:
        """Broken: what it registered is taken back."""
        self.state, self.reason, self.place = "broken", reason, place or self.found.place
        self.hooks, self.kinds = {}, {}
        self.declared, self.registered = Declared(), Registered()
        self.guard.close()
        self.quarantine.close()

    def use_module_of(self, other: Plugin) -> None:
        """Takes the code that is loaded already; new code needs a new process, or a plugin that was broken."""
        self.stamp = stamp_of(self.found)
        if other.module is None:
            return
        if other.is_broken and self.stamp != other.stamp:
            forget(self.found.module)
            return
        self.module, self.requires = other.module, other.requires
        if self.stamp != other.stamp:
            self.stamp = other.stamp
            self._notes.append("its files changed since they were loaded: restart the kernel to use them")

    async def load(self) -> None:
        """Imports it and reads ``requires``."""
        self.state = "enabled"
        with self._breaking():
            if self.module is None:
                self.stamp = stamp_of(self.found)
                if refusal := self._marks.refusal(self.name, self.stamp):
                    raise PluginError(refusal)
                self._imported_before = imported_under(self.found.module)
                with self._marks.while_running(self.name, self.stamp), self.guard.keeping_the_process():
                    self.module = await self.guard.in_thread("import", _imported, self.found)
            self.requires = await self.guard.in_thread("import", _requires_of, self.module)

    async def make(self, table: PluginConfig, config: Config) -> list[Problem]:
        """Settings, instance, hooks, jobs. What is wrong in plugins.toml comes back; wrong code breaks it."""
        with self._breaking(), self._marks.while_running(self.name, self.stamp), self.guard.keeping_the_process():
            self.model = await self.guard.in_thread("Settings", settings_model, self.module)
            checked: Checked = await self.guard.in_thread(
                "Settings", check_settings, self.name, self.model, table.settings, config.source
            )
            if checked.problems:
                self.break_(WRONG_SETTINGS)
                return checked.problems
            self._object = await self.guard.in_thread("Plugin()", _instance, self.module, self.model, checked.settings)
            self.hooks = await self.guard.in_thread("hooks", _hooks_in, self.name, self.module, self._object)
            self._notes += await self.guard.in_thread("hooks", _doubts, self.module, self.model, self._object)
            self.kinds = await self.guard.in_thread("on_event", self._subscriptions)
            results = [
                await self.guard.in_thread("register_jobs", hook.call, {})
                for hook in self.hooks.get("register_jobs", [])
            ]
            if results:
                self.declared = await self.guard.in_thread(
                    "register_jobs", declared_by, self.name, functions_in(results)
                )
        return []

    def registered_by(self, table: PluginConfig, config: Config) -> tuple[Registered, list[Problem]]:
        """Its jobs and schedules with the operator's tables put over them."""
        overrider = Overrider(self.name, table, config.source, config.kernel.timezone)
        registered = overrider.put_over(self.declared)
        return registered, overrider.problems

    async def call(self, hook: Hook, values: dict[str, Any], within: float | None = None) -> Any:
        """One hook's result; PluginError when it fails, which counts as a fault where the hook is called again and again."""
        call = self.guard.on_loop if hook.is_async else self.guard.in_thread
        try:
            return await call(hook.name, hook.call, values, within=within)
        except PluginError as error:
            if hook.name in HOOKS and hook in self.hooks.get(hook.name, ()):
                self.quarantine.fault(hook.name, error)
            raise

    async def start(self, kernel: Any) -> None:
        """PluginError when a hook fails; what it had begun by then is its own to end."""
        self.tasks_before = WeakSet(asyncio.all_tasks())
        with self._marks.while_running(self.name, self.stamp, starting=True), self.guard.keeping_the_process():
            for hook in self.hooks.get("start", []):
                await self.call(hook, {"kernel": kernel})
        self.is_started = True

    async def stop(self, kernel: Any, within: float | None = None) -> None:
        self.is_started = False
        try:
            await stop_executors(self, within)
        finally:
            for hook in self.hooks.get("stop", []):
                await self.call(hook, {"kernel": kernel}, within)

    def let_go(self) -> None:
        """Ends its thread."""
        self.guard.close()
        self.quarantine.close()

    def forget(self) -> None:
        """As if it had never been imported."""
        self.let_go()
        if self.module is not None:
            forget(self.found.module, but=self._imported_before)

    def _subscriptions(self) -> dict[Hook, tuple[type[Event], ...]]:
        return {hook: kinds_of(hook) for name in ("on_event", "on_events") for hook in self.hooks.get(name, [])}

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        try:
            yield
        except PluginError as error:
            if self.module is None:
                forget(self.found.module, but=self._imported_before)
            self.break_(error.reason, error.place)


def _imported(found: Found) -> ModuleType:
    module = import_plugin(found)
    if type(module) is not ModuleType:
        raise PluginError(f"import: found {shown(module)}; expected a module")
    return module


def _requires_of(module: ModuleType) -> tuple[str, ...]:
    found = vars(module).get("requires", ())
    if isinstance(found, list | tuple) and all(isinstance(name, str) for name in found):
        return tuple(dict.fromkeys(found))
    raise PluginError(f'requires: found {shown(found)}; expected names of plugins, as ["health"]')


def _instance(module: ModuleType, model: type | None, settings: Any) -> Any:
    """The plugin: an instance of the package's own class ``Plugin``, else the module."""
    kind = _plugin_class(module)
    if kind is None:
        return module
    if model is None and not _takes(kind, settings):
        return kind()
    return kind(settings)


def _plugin_class(module: ModuleType) -> type | None:
    """A class of this name that was merely imported, to inherit from it say, is not the plugin."""
    found = vars(module).get("Plugin")
    if not isinstance(found, type):
        return None
    name = module.__name__
    return found if found.__module__ == name or found.__module__.startswith(f"{name}.") else None


def _takes(function: Callable[..., Any], *arguments: Any) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def _hooks_in(name: str, module: ModuleType, found: object) -> dict[str, list[Hook]]:
    if found is not module and (lost := marked(module)):
        place = place_of(getattr(module, lost[0]))
        raise PluginError(
            f"{', '.join(lost)}: beside class Plugin; expected its hooks to be methods of that class", place
        )
    return hooks_of(name, found)


def _doubts(module: ModuleType, model: type | None, found: object) -> list[str]:
    """What is allowed and hardly meant."""
    doubts = [f"{name} lacks @hookimpl, so it is not called" for name in unmarked(found)]
    if model is not None and found is module:
        doubts.append("nothing gets its Settings: there is no class Plugin")
    return doubts


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
