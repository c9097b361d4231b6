"""The family of errors, by who can act on them; each builds its message from data and keeps the data."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """`` Did you mean "health"?`` with a leading blank, or nothing when no known word is near."""
    name = nearest_name(word, known)
    return f' Did you mean "{name}"?' if name else ""


def nearest_name(word: str, known: Iterable[str]) -> str | None:
    folded = {name.casefold(): name for name in sorted(known)}
    match = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def shown(value: object, limit: int = 60) -> str:
    """A value as found, for a message: one line, cut, and safe whatever its ``__repr__`` does."""
    try:
        text = repr(value)
    except BaseException as error:  # noqa: BLE001 - a hostile __repr__ must not replace the message, nor end the process
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return printable(text, limit)


def printable(text: str, limit: int) -> str:
    """``text`` in one line that any terminal and file takes, cut to ``limit`` characters."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def describe(error: BaseException) -> str:
    """``Type: message`` in one line, whatever the error's ``__str__`` does."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - a hostile __str__ must not hide the error, nor end the process
        text = "(its message cannot be read)"
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {first[:500]}" if first else type(error).__name__


class MainspringError(Exception):
    """The root of all errors that Mainspring raises on purpose."""


class ConfigError(MainspringError):
    """The operator can mend it: plugins.toml, a plugin's declarations, the command line's options."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class RequestError(MainspringError):
    """The caller can mend it: an unknown job, a payload that does not fit, an option out of bounds."""


class UnknownNameError(RequestError):
    """A name that nothing bears; says the nearest one."""

    def __init__(self, kind: str, name: str, known: Iterable[str] = (), *, hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"no {kind} named {shown(name)}.{nearest(name, self.known)}{' ' + hint if hint else ''}")

    @property
    def nearest(self) -> str | None:
        """The known name that may have been meant."""
        return nearest_name(self.name, self.known)


class ScheduleExistsError(RequestError):
    """A schedule of this name is there, whoever has added it."""

    def __init__(self, schedule: str) -> None:
        self.schedule = schedule
        super().__init__(f'there is a schedule named "{schedule}" already: remove it first, or choose another name')


class PayloadError(RequestError):
    """A payload that is not JSON, too large, or not what the job's parameters ask for."""

    def __init__(self, job: str, path: str, found: str, expected: str) -> None:
        self.job, self.path, self.found, self.expected = job, printable(path, 200), found, expected
        super().__init__(f"{job}: payload{self.path}: {found}; expected {expected}")


class StoreError(MainspringError):
    """The store did not do it; trying again may help."""


class StoreFullError(StoreError):
    """A queue or the disk has no room; nothing was accepted."""


class StoreLockedError(ConfigError):
    """Another kernel holds this store."""


class AttemptError(MainspringError):
    """Becomes an outcome of the attempt."""


class CrashError(AttemptError):
    """The process that made the attempt has died, was killed, or could not be started."""


class RetryAfter(AttemptError):  # noqa: N818 - reads as what it asks for: ``raise RetryAfter("30s")``
    """Fail this attempt, for this reason, and wait this long, instead of the backoff, before the next."""

    def __init__(self, wait: Any, reason: str = "") -> None:
        from kernel.model.duration import seconds  # noqa: PLC0415 - duration raises errors of this module

        self.wait_seconds = seconds(wait, zero=True, option="RetryAfter")
        super().__init__(reason or f"try again after {self.wait_seconds:g} s")


class Snooze(AttemptError):  # noqa: N818 - as above
    """Put the run off for this long; costs no attempt of its retry."""

    def __init__(self, wait: Any) -> None:
        from kernel.model.duration import seconds  # noqa: PLC0415 - as above

        self.wait_seconds = seconds(wait, zero=True, option="Snooze")
        super().__init__(f"snoozed for {self.wait_seconds:g} s")


class Cancel(AttemptError):  # noqa: N818 - as above
    """End the run as cancelled."""


class GiveUp(AttemptError):  # noqa: N818 - as above
    """Fail the run with no further attempt."""


class BreakerOpen(AttemptError):  # noqa: N818 - says how things stand: ``except BreakerOpen``
    """A call was not made, for the circuit breaker ``breaker`` lets none through. Nothing of it has begun.

    ``until``: from when one may be let through, epoch seconds; ``wait_seconds`` from now until then. With a probe under
    way nobody knows, and it is 0. A job that does not catch it fails; its retry waits so long at the least.
    """

    def __init__(self, breaker: str, until: float, wait_seconds: float, why: str = "") -> None:
        self.breaker, self.until, self.wait_seconds, self.why = breaker, until, wait_seconds, why
        super().__init__(f"the circuit breaker {breaker} is open{f': {why}' if why else ''}")


class StaleAttemptError(AttemptError):
    """What this attempt writes is refused: the run has been claimed anew, or has ended. Its outcome will be refused too."""

    def __init__(self, run: str, attempt: int) -> None:
        self.run, self.attempt = run, attempt
        super().__init__(f"run {run} is no longer this attempt's ({attempt}): it has been claimed anew, or has ended")
