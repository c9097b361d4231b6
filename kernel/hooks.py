"""The hooks by which plugins join in: what each is, the marker ``hookimpl``, and the finding of them on a plugin."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from kernel.model.errors import nearest, shown
from kernel.model.job import place_of
from kernel.plugin_error import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kernel.contracts.executor import Executor
    from kernel.contracts.store import Store
    from kernel.flow.context import Context
    from kernel.model.check import Check
    from kernel.model.events import Event
    from kernel.model.notice import Notice
    from kernel.model.run import Run

PROJECT = "mainspring"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """All hooks; each is optional. Those in ``MAY_BE_ASYNC`` may be ``async def``."""

    @hookspec
    def register_jobs(self) -> list[Callable[..., Any]]:
        """The plugin's jobs: functions decorated with @job, @cron, @every or @after."""
        raise NotImplementedError

    @hookspec
    def start(self, kernel: Any) -> None:
        """The kernel is about to run; what the plugin needs in this process begins here."""

    @hookspec
    def stop(self, kernel: Any) -> None:
        """The plugin's jobs have ended; what ``start`` began ends here. Called in the reverse order of start."""

    @hookspec
    def on_event(self, event: Event) -> None:
        """Something happened. The annotation of ``event`` says what to be told: an event, or several as ``A | B``."""

    @hookspec
    def on_events(self, events: list[Event]) -> None:
        """The same for many at once: ``events: list[A | B]``."""

    @hookspec
    def send_notice(self, notice: Notice) -> None:
        """A message for people, after the rules of the notify plugin: pass it on."""

    @hookspec
    def check_health(self) -> list[Check] | None:
        """What the plugin knows of the health of what it looks after; asked for often, so that it should be known already."""

    @hookspec
    def around_attempt(self, ctx: Context) -> AbstractAsyncContextManager[Any]:
        """Stands around each attempt, in its task: what it sets by context variables the job sees.

        An error of the job goes through it, and cannot be held back.
        """
        raise NotImplementedError

    @hookspec
    def around_enqueue(self, runs: list[Run]) -> AbstractAsyncContextManager[Sequence[str] | None]:
        """Stands around the enqueueing of runs by a job or a program, in the task of who asks; ticks of schedules are none.

        What it gives, if anything, are tags that these runs get in addition.
        """
        raise NotImplementedError

    @hookspec
    def answer(self, question: str, about: dict[str, Any]) -> Any:
        """What somebody asks the running kernel: any JSON, or None when the question is not the plugin's own."""

    @hookspec
    def register_routes(self, app: Any) -> None:
        """Adds pages, cards and addresses of the plugin's own to the site: ``app`` is the web plugin's ``Extension``.

        It is the web plugin that asks this, when it starts and whenever a plugin comes or goes; the kernel itself never does.
        """

    @hookspec(firstresult=True)
    def open_store(self, url: str) -> Store | None:
        """The store of this URL, not opened yet, or None when it is of another kind."""

    @hookspec(firstresult=True)
    def open_executor(self, name: str) -> Executor | None:
        """What makes the attempts of jobs with this ``executor=``, not started yet; None when the name is not the plugin's."""

    @hookspec
    def register_commands(self, cli: Any) -> None:
        """Adds commands to the command line: ``cli`` is a typer application."""


NAMES = tuple(name for name in vars(Hooks) if not name.startswith("_"))
MAY_BE_ASYNC = frozenset({"start", "stop", "on_event", "on_events", "send_notice", "check_health", "answer"})
AROUND = frozenset({"around_attempt", "around_enqueue"})
"""Those that are async context managers."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One implementation of a hook by one plugin."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    positional: tuple[str, ...]
    by_name: tuple[str, ...]
    place: str

    def call(self, values: Mapping[str, Any]) -> Any:
        """Calls it with those of the ``values`` that it takes."""
        arguments = [values[name] for name in self.positional]
        return self.function(*arguments, **{name: values[name] for name in self.by_name})


def hooks_of(plugin: str, found: object) -> dict[str, list[Hook]]:
    """The hooks that ``found`` implements, by name; PluginError for what is marked as one and cannot be."""
    # A manager for each plugin: rolling a registration back is letting go of it.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    for attribute in marked(found):
        options = manager.parse_hookimpl_opts(found, attribute)
        if options is not None:
            _check_name(options["specname"] or attribute, getattr(found, attribute))
            _check_kind(options["specname"] or attribute, getattr(found, attribute), wraps=_wraps(options))
    try:
        manager.register(found, plugin)
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split()), "") from None
    callers = ((name, getattr(manager.hook, name)) for name in NAMES)
    return {
        name: [_hook(name, implementation) for implementation in reversed(caller.get_hookimpls())]
        for name, caller in callers
        if caller.get_hookimpls()
    }


def marked(found: object) -> list[str]:
    """The attributes of ``found`` that bear the marker."""
    manager = pluggy.PluginManager(PROJECT)
    return [name for name in dir(found) if manager.parse_hookimpl_opts(found, name) is not None]


def unmarked(found: object) -> list[str]:
    """Functions named like a hook that lack the marker; ``start`` and ``stop`` are too common as names to say."""
    names = set(NAMES) - {"start", "stop"} - set(marked(found))
    return sorted(name for name in names if inspect.isroutine(inspect.getattr_static(found, name, None)))


def _wraps(options: Mapping[str, Any]) -> bool:
    return bool(options["wrapper"] or options["hookwrapper"])


def _check_name(name: str, function: Callable[..., Any]) -> None:
    if name not in NAMES:
        raise PluginError(
            f"{shown(name)} is not a hook of this version; expected one of {', '.join(NAMES)}.{nearest(name, NAMES)}",
            place_of(function),
        )


def _check_kind(name: str, function: Callable[..., Any], *, wraps: bool) -> None:
    place = place_of(function)
    if wraps:
        raise PluginError(f"{name}: a hook wrapper is not called; expected a plain function", place)
    if name in AROUND and (
        inspect.isasyncgenfunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.iscoroutinefunction(function)
    ):
        raise PluginError(
            f"{name}: expected an async context manager: put @asynccontextmanager (of contextlib) between @hookimpl and "
            "an async def that yields once",
            place,
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"{name}: it yields; expected a function that returns", place)
    if inspect.iscoroutinefunction(function) and name not in MAY_BE_ASYNC:
        raise PluginError(f"{name}: it is async def; expected def", place)
    takes = list(inspect.signature(getattr(Hooks, name)).parameters)[1:]
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in takes and parameter.default is parameter.empty:
            raise PluginError(
                f"{name}({parameter}): no parameter of this hook; expected {name}({', '.join(takes)})", place
            )


def _hook(name: str, implementation: pluggy.HookImpl) -> Hook:
    function = implementation.function
    takes = list(inspect.signature(getattr(Hooks, name)).parameters)[1:]
    parameters = inspect.signature(function).parameters.values()
    return Hook(
        name=name,
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        positional=tuple(one.name for one in parameters if one.name in takes and one.kind is not one.KEYWORD_ONLY),
        by_name=tuple(one.name for one in parameters if one.name in takes and one.kind is one.KEYWORD_ONLY),
        place=place_of(function),
    )
