"""What a plugin registers, its jobs and schedules, with the operator's tables of plugins.toml put over them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.config_values import plain, trying_as_text
from kernel.model.errors import ConfigError, PayloadError, nearest, shown
from kernel.model.job import (
    POLICY_NAMES,
    Job,
    Policies,
    check_executor,
    check_fields,
    check_name,
    check_on_loop,
    declaration_of,
    make_job,
    place_of,
    policies,
)
from kernel.model.schedule import SCHEDULE_OPTIONS, Schedule, make_schedule, override
from kernel.plugin_error import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kernel.config import PluginConfig
    from kernel.config_source import Key, Problem, Source

_SPECS = ("cron", "every", "after")
_NOT_OF_AFTER = ("timezone", "catch_up", "catch_up_window", "catch_up_max", "start", "end")


class Registered(NamedTuple):
    """The jobs and schedules of one plugin as the kernel shall use them."""

    jobs: tuple[Job, ...] = ()
    schedules: tuple[Schedule, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """The jobs and schedules of one plugin as its code has them."""

    jobs: Mapping[str, Job] = field(default_factory=dict)
    schedules: Mapping[str, DeclaredSchedule] = field(default_factory=dict)


class DeclaredSchedule(NamedTuple):
    job: Job
    kind: Any
    spec: Any
    options: Mapping[str, Any]

    def made(self, name: str, timezone: str, options: Mapping[str, Any]) -> Schedule:
        """The schedule; a cron that names no zone gets the kernel's."""
        zone = {"timezone": timezone} if self.kind == "cron" else {}
        return make_schedule(name, self.job.name, self.kind, self.spec, plugin=self.job.plugin, **{**zone, **options})


def declared_by(plugin: str, functions: object) -> Declared:
    """What ``register_jobs`` gave; PluginError or ConfigError when it is not a list of functions that can be jobs."""
    if functions is None:
        return Declared()
    if not isinstance(functions, list | tuple):
        raise ConfigError(f"register_jobs returned {shown(functions)}; expected a list of functions")
    jobs: dict[str, Job] = {}
    schedules: dict[str, DeclaredSchedule] = {}
    for function in functions:
        job = _job_of(plugin, function)
        short = job.name.removeprefix(f"{plugin}.")
        if short in jobs:
            raise PluginError(f'two jobs are named "{short}": {jobs[short].place} and {job.place}', job.place)
        jobs[short] = job
        _declare_schedules(short, job, function, schedules)
    return Declared(jobs, schedules)


def _job_of(plugin: str, function: Any) -> Job:
    try:
        return make_job(plugin, function)
    except ConfigError as error:
        raise PluginError(f"register_jobs: {error}", place_of(function)) from None


def _declare_schedules(short: str, job: Job, function: object, schedules: dict[str, DeclaredSchedule]) -> None:
    declaration = declaration_of(function)
    for entry in declaration.schedules if declaration else ():
        name = entry["name"] or short
        declared = DeclaredSchedule(job, entry["kind"], entry["spec"], entry["options"])
        if name in schedules:
            others = f"{schedules[name].job.place} and {job.place}"
            raise PluginError(
                f'two schedules are named "{name}": {others}; give one of them another name by name=', job.place
            )
        try:
            check_name("schedule", name)
            made = declared.made(f"{job.plugin}.{name}", "UTC", declared.options)
            job.parameters.check(job.name, made.payload)
        except (ConfigError, PayloadError) as error:
            raise PluginError(f'the schedule "{name}": {error}', job.place) from None
        schedules[name] = declared


class Overrider:
    """Puts one plugin's tables ``[plugins.x.jobs.y]`` and ``[plugins.x.schedules.y]`` over what its code declares."""

    def __init__(self, plugin: str, table: PluginConfig, source: Source, timezone: str) -> None:
        self.problems: list[Problem] = []
        self._plugin = plugin
        self._table = table
        self._source = source
        self._timezone = timezone

    def put_over(self, declared: Declared) -> Registered:
        """The result; what is wrong in a table is in ``problems``, and the code's own value stands."""
        self._refuse_unknown("jobs", "job", self._table.jobs, declared.jobs)
        self._refuse_unknown("schedules", "schedule", self._table.schedules, declared.schedules)
        return Registered(
            tuple(self._job(name, job) for name, job in declared.jobs.items()),
            tuple(self._schedule(name, one) for name, one in declared.schedules.items()),
        )

    def _refuse_unknown(self, kind: str, word: str, table: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        for name in table:
            if name not in known:
                expected = f"expected one of {', '.join(known)}." if known else "the plugin has none."
                text = f"no {word} of this name; {expected}{nearest(name, known)}"
                self.problems.append(self._source.in_table(("plugins", self._plugin, kind, name), text))

    def _job(self, name: str, job: Job) -> Job:
        path: Key = ("plugins", self._plugin, "jobs", name)
        found = job.policies
        for key, value in self._usable(path, self._table.jobs.get(name, {}), _POLICIES):
            try:
                found = trying_as_text(_policy(found, key), value)
                if key == "executor":
                    check_executor(found.executor, is_async=job.is_async)
            except ConfigError as error:
                self.problems.append(self._source.at(path, key, str(error).removeprefix(f"{key}: ")))
        if found == job.policies:
            return job
        try:
            check_fields(found, job.parameters)
            check_on_loop(found, is_async=job.is_async)
        except ConfigError as error:
            key, _, text = str(error).partition(": ")
            self.problems.append(self._source.at(path, key, text))
            return job
        return replace(job, policies=found)

    def _schedule(self, name: str, declared: DeclaredSchedule) -> Schedule:
        full = f"{self._plugin}.{name}"
        path: Key = ("plugins", self._plugin, "schedules", name)
        base = declared.made(full, self._timezone, declared.options)
        good: dict[str, Any] = {}
        before = len(self.problems)
        for key, value in self._usable(path, self._table.schedules.get(name, {}), _SPECS + SCHEDULE_OPTIONS):
            try:
                good[key] = trying_as_text(_option(base, key), value)
            except ConfigError as error:
                self.problems.append(self._source.at(path, key, str(error).removeprefix(f"{key}: ")))
        if not good or len(self.problems) > before:
            return base
        try:
            return self._overridden(full, declared, good)
        except (ConfigError, PayloadError) as error:
            self.problems.append(self._source.in_table(path, str(error)))
            return base

    def _overridden(self, full: str, declared: DeclaredSchedule, table: Mapping[str, Any]) -> Schedule:
        specs = [key for key in _SPECS if key in table]
        if len(specs) > 1:
            raise ConfigError(f"{' and '.join(specs)}: expected one of them")
        options = dict(declared.options)
        if specs and specs[0] != declared.kind:
            # The code's options were given for the other kind; those that cannot go with this one are dropped.
            declared = declared._replace(kind=specs[0])
            dropped = _NOT_OF_AFTER if specs[0] == "after" else ()
            options = {key: value for key, value in options.items() if key != "anchor" and key not in dropped}
        if specs:
            declared = declared._replace(spec=table[specs[0]])
        options |= {key: value for key, value in table.items() if key not in _SPECS}
        made = declared.made(full, self._timezone, options)
        declared.job.parameters.check(declared.job.name, made.payload)
        return made

    def _usable(self, path: Key, table: Mapping[str, Any], known: Sequence[str]) -> list[tuple[str, Any]]:
        usable = []
        for key, value in table.items():
            if key in known:
                usable.append((key, plain(value) if isinstance(value, dict | list) else value))
                continue
            text = f"nothing that can be set here; expected one of {', '.join(known)}.{nearest(key, known)}"
            self.problems.append(self._source.at(path, key, text))
        return usable


_POLICIES = tuple(name for name in POLICY_NAMES if name != "name")


def _policy(base: Policies, key: str) -> Callable[[Any], Policies]:
    return lambda value: policies(base, **{key: value})


def _option(base: Schedule, key: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        override(base, {key: value})
        return value

    return check


def functions_in(results: Sequence[object]) -> object:
    """The one answer of the plugin's ``register_jobs``, or the joint list of several."""
    if len(results) == 1:
        return results[0]
    joint: list[Callable[..., Any]] = []
    for result in results:
        if not isinstance(result, list | tuple):
            return result
        joint += result
    return joint
