"""``@job``, ``@cron``, ``@every`` and ``@after``: they note on a function what it shall be, and return it as it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Never, TypeVar, overload

from kernel.model.errors import ConfigError, nearest, shown
from kernel.model.job import POLICY_NAMES, Declaration, Keep, Policies, check_name, declare, place_of, policies
from kernel.model.schedule import CatchUp, Kind, Overlap, make_schedule

if TYPE_CHECKING:
    from datetime import datetime

    from kernel.model.breaker import Breaker
    from kernel.model.duration import Duration
    from kernel.model.rate import RateLimit
    from kernel.model.retry import Retry
    from kernel.model.unique import Unique

F = TypeVar("F", bound=Callable[..., Any])


class _NotGiven:
    def __repr__(self) -> str:
        return "..."


NOT_GIVEN: Any = _NotGiven()
"""The default of every option, for None is a value of some."""


@overload
def job(function: F, /) -> F: ...


@overload
def job(
    *,
    name: str = ...,
    queue: str = ...,
    priority: int = ...,
    concurrency: int | None = ...,
    concurrency_by: str | None = ...,
    concurrency_scope: Literal["all", "kernel"] = ...,
    retry: Retry | int = ...,
    timeout: Duration | None = ...,
    unique: Unique | str | None = ...,
    rate_limit: RateLimit | str | None = ...,
    rate_limit_by: str | None = ...,
    breaker: Breaker | str | None = ...,
    max_silence: Duration | None = ...,
    expires: Duration | None = ...,
    executor: str | None = ...,
    when_blocking: Literal["tell", "thread"] = ...,
    keep: Keep = ...,
    tags: Sequence[str] = ...,
) -> Callable[[F], F]: ...


def job(function: Any = None, /, **options: Any) -> Any:
    """Makes the function a job with these policies; ConfigError names function, place and option when one is wrong.

    Options: name, queue, priority, concurrency, concurrency_by, concurrency_scope, retry, timeout, unique, rate_limit,
    rate_limit_by, breaker, max_silence, expires, executor, when_blocking, keep, tags.
    """
    if function is not None:
        return _declare_job(function, {})
    return lambda decorated: _declare_job(decorated, options)


def cron(
    expression: str,
    *,
    name: str = NOT_GIVEN,
    timezone: str = NOT_GIVEN,
    jitter: Duration | None = NOT_GIVEN,
    start: datetime | str | None = NOT_GIVEN,
    end: datetime | str | None = NOT_GIVEN,
    catch_up: CatchUp = NOT_GIVEN,
    catch_up_window: Duration | None = NOT_GIVEN,
    catch_up_max: int = NOT_GIVEN,
    overlap: Overlap = NOT_GIVEN,
    payload: Mapping[str, Any] = NOT_GIVEN,
    paused: bool = NOT_GIVEN,
    **unknown: Never,
) -> Callable[[F], F]:
    """Enqueues the job when the cron expression is due, five fields or six with seconds first."""
    options = {
        "name": name, "timezone": timezone, "jitter": jitter, "start": start, "end": end, "catch_up": catch_up,
        "catch_up_window": catch_up_window, "catch_up_max": catch_up_max, "overlap": overlap, "payload": payload,
        "paused": paused,
    }  # fmt: skip
    return _schedule("cron", expression, options, unknown)


def every(
    duration: Duration,
    *,
    name: str = NOT_GIVEN,
    anchor: Literal["grid", "finish"] = NOT_GIVEN,
    jitter: Duration | None = NOT_GIVEN,
    start: datetime | str | None = NOT_GIVEN,
    end: datetime | str | None = NOT_GIVEN,
    catch_up: CatchUp = NOT_GIVEN,
    catch_up_window: Duration | None = NOT_GIVEN,
    catch_up_max: int = NOT_GIVEN,
    overlap: Overlap = NOT_GIVEN,
    payload: Mapping[str, Any] = NOT_GIVEN,
    paused: bool = NOT_GIVEN,
    **unknown: Never,
) -> Callable[[F], F]:
    """Enqueues the job at a steady pace; with ``anchor="finish"`` the wait begins when the last run ended."""
    options = {
        "name": name, "anchor": anchor, "jitter": jitter, "start": start, "end": end, "catch_up": catch_up,
        "catch_up_window": catch_up_window, "catch_up_max": catch_up_max, "overlap": overlap, "payload": payload,
        "paused": paused,
    }  # fmt: skip
    return _schedule("every", duration, options, unknown)


def after(
    duration: Duration,
    *,
    name: str = NOT_GIVEN,
    jitter: Duration | None = NOT_GIVEN,
    overlap: Overlap = NOT_GIVEN,
    payload: Mapping[str, Any] = NOT_GIVEN,
    paused: bool = NOT_GIVEN,
    **unknown: Never,
) -> Callable[[F], F]:
    """Enqueues the job once at each start of the kernel, so long after it."""
    options = {"name": name, "jitter": jitter, "overlap": overlap, "payload": payload, "paused": paused}
    return _schedule("after", duration, options, unknown)


def _declare_job(function: F, options: dict[str, Any]) -> F:
    _check_function("@job", function)
    try:
        _check_known("@job", options, POLICY_NAMES)
        declaration = declare(function)
        _check_is_first(declaration, options)
        declaration.policies = policies(declaration.policies, **options)
    except ConfigError as error:
        raise _named("@job", function, error) from None
    return function


def _schedule(kind: Kind, spec: Any, options: dict[str, Any], unknown: Mapping[str, Any]) -> Callable[[F], F]:
    given = {option: value for option, value in options.items() if value is not NOT_GIVEN}
    if callable(spec):
        example = '"0 3 * * *"' if kind == "cron" else '"60s"'
        raise _named(f"@{kind}", spec, ConfigError(f"it stands alone; expected @{kind}({example})"))

    def decorate(function: F) -> F:
        _check_function(f"@{kind}", function)
        try:
            _check_known(f"@{kind}", unknown, options)
            entry = _checked_entry(kind, spec, given, function)
            # Decorators are applied from the lowest up; the list keeps the order in which they are read.
            declare(function).schedules.insert(0, entry)
        except ConfigError as error:
            # The decorator's own name says already what its first argument is.
            raise _named(f"@{kind}", function, ConfigError(str(error).removeprefix(f"{kind}: "))) from None
        return function

    return decorate


def _checked_entry(kind: Kind, spec: Any, given: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    options = dict(given)
    name = options.pop("name", None)
    if name is not None:
        _naming_option("name", check_name, "schedule", name)
    label = name or function.__name__
    make_schedule(label, label, kind, spec, **options)
    return {"kind": kind, "spec": spec, "name": name, "options": options}


def _naming_option(option: str, check: Callable[..., object], *arguments: object) -> None:
    try:
        check(*arguments)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


def _check_is_first(declaration: Declaration, options: Mapping[str, Any]) -> None:
    if options and declaration.policies != Policies():
        raise ConfigError("it stands there twice; expected all policies in one")


def _check_known(decorator: str, given: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any]) -> None:
    for option in given:
        if option not in known:
            expected = ", ".join(known)
            raise ConfigError(
                f"{option}: no option of {decorator}; expected one of {expected}.{nearest(option, known)}"
            )


def _check_function(decorator: str, function: object) -> None:
    if not callable(function) or isinstance(function, type) or not hasattr(function, "__name__"):
        raise _named(decorator, function, ConfigError(f"found {shown(function)}; expected a function"))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise _named(decorator, function, ConfigError("it yields; expected a function that returns its result"))


def _named(decorator: str, function: object, error: ConfigError) -> ConfigError:
    place = place_of(function) if inspect.isroutine(function) else ""
    name = getattr(function, "__qualname__", None) or type(function).__name__
    return ConfigError(f"{place + ': ' if place else ''}{name}: {decorator}: {error}")
