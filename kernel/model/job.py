"""Jobs: a named function with its policies, and the decorators' notes from which the kernel makes them."""

from __future__ import annotations

import inspect
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from kernel.model.breaker import Breaker, breaker
from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, shown
from kernel.model.parameters import Parameters
from kernel.model.rate import RateLimit, rate_limit
from kernel.model.retry import Retry
from kernel.model.unique import Unique, unique

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}", re.ASCII)
"""What a job, queue, plugin or schedule of a plugin may be called; a full job name joins two by a dot."""
Scope = Literal["all", "kernel"]
"""Whether a concurrency holds over all kernels on one store, or for each kernel."""
WhenBlocking = Literal["tell", "thread"]
"""What becomes of an ``async def`` job that blocks the event loop again and again."""
CORES = max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
"""How many runs of a job go on in processes at once, unless its concurrency says otherwise."""


@dataclass(frozen=True, init=False)
class Keep:
    """How long finished runs stay in the store: completed ones, failed (cancelled, expired) ones, and the most of both.

    ``count`` is the most of one job; ``Keep(completed="1d", failed="7d", count=10_000)`` are the defaults.
    """

    completed_seconds: float
    failed_seconds: float
    count: int

    def __init__(self, completed: Duration = "24h", failed: Duration = "7d", count: int = 10_000) -> None:
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ConfigError(f"Keep(count={shown(count)}): expected a whole number, 0 or more")
        object.__setattr__(self, "completed_seconds", seconds(completed, zero=True, option="Keep(completed)"))
        object.__setattr__(self, "failed_seconds", seconds(failed, zero=True, option="Keep(failed)"))
        object.__setattr__(self, "count", count)

    def as_json(self) -> dict[str, Any]:
        """The arguments that make it again."""
        return {"completed": self.completed_seconds, "failed": self.failed_seconds, "count": self.count}


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of a job. None is no limit. ``…_by`` names a payload field: the limit holds for each of its values."""

    name: str | None = None
    queue: str = "default"
    priority: int = 5
    concurrency: int | None = None
    concurrency_by: str | None = None
    concurrency_scope: Scope = "all"
    retry: Retry = field(default_factory=Retry)
    timeout_seconds: float | None = 600.0
    unique: Unique | None = None
    rate_limit: RateLimit | None = None
    rate_limit_by: str | None = None
    breaker: Breaker | None = None
    max_silence_seconds: float | None = None
    expires_seconds: float | None = None
    executor: str | None = None
    when_blocking: WhenBlocking = "tell"
    keep: Keep = field(default_factory=Keep)
    tags: tuple[str, ...] = ()
    is_plain: bool = field(init=False, compare=False, repr=False)
    """Whether they give a run nothing but queue and priority: then making one takes little."""

    @property
    def at_once(self) -> int | None:
        """The concurrency, also that of a job which says none and has one by its executor."""
        return CORES if self.concurrency is None and self.executor == "process" else self.concurrency

    @property
    def scope(self) -> Scope:
        """Over what ``at_once`` holds: what comes from an executor is a matter of the machine, and so of each kernel."""
        return "kernel" if self.concurrency is None else self.concurrency_scope

    def __post_init__(self) -> None:
        given = (self.expires_seconds, self.unique, self.concurrency_by, self.rate_limit_by, self.tags or None)
        object.__setattr__(self, "is_plain", all(one is None for one in given))


POLICY_NAMES = (
    "name", "queue", "priority", "concurrency", "concurrency_by", "concurrency_scope", "retry", "timeout", "unique",
    "rate_limit", "rate_limit_by", "breaker", "max_silence", "expires", "executor", "when_blocking", "keep", "tags",
)  # fmt: skip


def policies(base: Policies | None = None, **given: Any) -> Policies:
    """``base`` with the policies ``given`` (as of ``@job`` or of a table in plugins.toml) checked and put in."""
    base = base or Policies()
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _CHECKS:
            raise ConfigError(f"{name}: no policy of a job; expected one of {', '.join(POLICY_NAMES)}")
        try:
            field_name, checked = _CHECKS[name](value, base)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None
        values[field_name] = checked
    return replace(base, **values)


def check_name(kind: str, value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ConfigError(f"{shown(value)} is no name of a {kind}: expected letters, digits, _ and -, at most 100")
    return value


def check_priority(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9:
        raise ConfigError(f"{shown(value)} is no priority: expected a whole number from 0 (first) to 9 (last)")
    return value


def check_concurrency(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 100_000:
        raise ConfigError(f"{shown(value)} is no concurrency: expected a whole number from 1 to 100,000")
    return value


def check_scope(value: object) -> Scope:
    for scope in get_args(Scope):
        if value == scope:
            return scope  # type: ignore[no-any-return] # get_args knows no types
    raise ConfigError(f'{shown(value)}: expected "all" (over all kernels together) or "kernel" (in each of them)')


def check_tags(value: object) -> tuple[str, ...]:
    if (
        isinstance(value, list | tuple)
        and len(value) <= 20
        and all(isinstance(tag, str) and 0 < len(tag) <= 100 and tag.isprintable() for tag in value)
    ):
        return tuple(value)
    raise ConfigError(f"{shown(value)}: expected at most 20 printable texts of 1 to 100 characters")


def _check_retry(value: object, base: Retry) -> Retry:
    if isinstance(value, Retry):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"attempts": value}
    if isinstance(value, dict):
        try:
            # A table says what shall be different: which errors are tried again only the code can say.
            return Retry(**base.arguments() | value)
        except TypeError:
            known = "attempts, backoff, base, factor, cap, jitter"
            raise ConfigError(f"{shown(value)}: expected a table of {known}") from None
    raise ConfigError(f'{shown(value)}: expected Retry(attempts=3, base="2s") or a table of its fields')


def _check_keep(value: object, base: Keep) -> Keep:
    if isinstance(value, Keep):
        return value
    if isinstance(value, dict) and value.keys() <= {"completed", "failed", "count"}:
        return Keep(**base.as_json() | value)
    raise ConfigError(f'{shown(value)}: expected Keep(completed="1d", failed="7d", count=10_000) or a table of these')


def _check_field(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.isidentifier()):
        return value
    raise ConfigError(f"{shown(value)}: expected the name of a payload field")


def _check_when_blocking(value: object) -> WhenBlocking:
    for one in get_args(WhenBlocking):
        if value == one:
            return one  # type: ignore[no-any-return] # get_args knows no types
    raise ConfigError(
        f'{shown(value)}: expected "tell" (it is told, no more) or "thread" (then its attempts move to threads)'
    )


def _check_executor(value: object) -> str | None:
    return None if value is None else check_name("job's executor", value)


def _limit(value: Any) -> float | None:
    return None if value is None else seconds(value)


_CHECKS: dict[str, Callable[[Any, Policies], tuple[str, Any]]] = {
    "name": lambda value, _: ("name", check_name("job", value)),
    "queue": lambda value, _: ("queue", check_name("queue", value)),
    "priority": lambda value, _: ("priority", check_priority(value)),
    "concurrency": lambda value, _: ("concurrency", check_concurrency(value)),
    "concurrency_by": lambda value, _: ("concurrency_by", _check_field(value)),
    "concurrency_scope": lambda value, _: ("concurrency_scope", check_scope(value)),
    "unique": lambda value, base: ("unique", unique(value, base.unique)),
    "rate_limit": lambda value, _: ("rate_limit", rate_limit(value)),
    "rate_limit_by": lambda value, _: ("rate_limit_by", _check_field(value)),
    "breaker": lambda value, base: ("breaker", breaker(value, base.breaker)),
    "executor": lambda value, _: ("executor", _check_executor(value)),
    "when_blocking": lambda value, _: ("when_blocking", _check_when_blocking(value)),
    "retry": lambda value, base: ("retry", _check_retry(value, base.retry)),
    "timeout": lambda value, _: ("timeout_seconds", _limit(value)),
    "max_silence": lambda value, _: ("max_silence_seconds", _limit(value)),
    "expires": lambda value, _: ("expires_seconds", _limit(value)),
    "keep": lambda value, base: ("keep", _check_keep(value, base.keep)),
    "tags": lambda value, _: ("tags", check_tags(value)),
}


@dataclass(slots=True)
class Declaration:
    """What the decorators wrote down on a function."""

    policies: Policies = field(default_factory=Policies)
    schedules: list[dict[str, Any]] = field(default_factory=list)


_MARK = "__mainspring__"


def declaration_of(function: object) -> Declaration | None:
    """The declaration that the decorators left on ``function``, if any."""
    found = getattr(function, _MARK, None)
    return found if isinstance(found, Declaration) else None


def declare(function: Callable[..., Any]) -> Declaration:
    """The function's declaration, begun if there is none."""
    found = declaration_of(function)
    if found is None:
        found = Declaration()
        try:
            setattr(function, _MARK, found)
        except AttributeError:
            raise ConfigError(f"{shown(function)} cannot be a job: expected a function") from None
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A job as the kernel runs it. ``name`` is the full one, ``<plugin>.<name>``."""

    name: str
    plugin: str
    function: Callable[..., Any]
    policies: Policies
    parameters: Parameters
    is_async: bool
    place: str = ""

    @property
    def retry(self) -> Retry:
        return self.policies.retry


def make_job(plugin: str, function: Callable[..., Any], override: dict[str, Any] | None = None) -> Job:
    """The job of a decorated function, with the operator's ``override`` of its policies; or ConfigError."""
    declared = declaration_of(function)
    if declared is None:
        raise ConfigError(
            f"{shown(function)} is no job: expected a function decorated with @job, @cron, @every or @after"
        )
    found = policies(declared.policies, **(override or {}))
    short = found.name or check_name("job", getattr(function, "__name__", None))
    parameters = Parameters.of(function)
    check_fields(found, parameters)
    is_async = inspect.iscoroutinefunction(function)
    try:
        check_executor(found.executor, is_async=is_async)
    except ConfigError as error:
        raise ConfigError(f"{short}: executor: {error}") from None
    try:
        check_on_loop(found, is_async=is_async)
    except ConfigError as error:
        raise ConfigError(f"{short}: {error}") from None
    return Job(
        name=f"{plugin}.{short}",
        plugin=plugin,
        function=function,
        policies=found,
        parameters=parameters,
        is_async=is_async,
        place=place_of(function),
    )


def check_executor(name: str | None, *, is_async: bool) -> None:
    """Which other names there are, the plugins decide."""
    if name == "thread" and is_async:
        raise ConfigError(
            '"thread": an async def does not run in a thread of its own; expected "process", the name of a plugin\'s '
            "executor, or none: then it runs on the loop"
        )


def check_on_loop(found: Policies, *, is_async: bool) -> None:
    """ConfigError, beginning with the policy's name, for what only a job on the loop can do."""
    if found.when_blocking == "thread" and (not is_async or found.executor is not None):
        raise ConfigError(
            'when_blocking: "thread": the job does not run on the loop, and so cannot block it; expected this of an '
            "async def job without executor"
        )


def check_fields(found: Policies, parameters: Parameters) -> None:
    """Payload fields that policies name must be parameters; a limit by a field needs the limit itself.

    ConfigError begins with the policy's name.
    """
    by = found.unique.by if found.unique is not None else ()
    named = {"concurrency_by": (found.concurrency_by,), "rate_limit_by": (found.rate_limit_by,), "unique": by}
    for option, names in named.items():
        try:
            parameters.check_names(name for name in names if name is not None)
        except ConfigError as error:
            raise ConfigError(f"{option}: {error}") from None
    if found.concurrency_by is not None and found.concurrency is None:
        raise ConfigError("concurrency_by: expected concurrency too: how many runs of one value may run at once")
    if found.concurrency_by is not None and found.concurrency_scope != "all":
        raise ConfigError(
            'concurrency_scope: "kernel" does not go with concurrency_by: what is counted for each value is counted over '
            "all kernels; leave one of the two out"
        )
    if found.rate_limit_by is not None and found.rate_limit is None:
        raise ConfigError('rate_limit_by: expected rate_limit too: how many of one value may begin, as "100/1m"')


def place_of(function: object) -> str:
    """``file:line`` of a function, or an empty text."""
    code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""
