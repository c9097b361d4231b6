"""Mainspring's kernel: what plugins and embedding programs import.

Plugins: ``job, cron, every, after, hookimpl, Context, Retry, Keep, Unique, RateLimit, Breaker``, the errors by which an
attempt ends otherwise than by a result (``RetryAfter, Snooze, Cancel, GiveUp``), ``BreakerOpen``, and the events.
Programs: ``Kernel, Client, upcoming`` and ``Run``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel import events
    from kernel.blocking_client import BlockingClient
    from kernel.cli.job_words import policy_words
    from kernel.cli.plugin_question import ask_kernels
    from kernel.client import Client
    from kernel.contracts.service import Periodic
    from kernel.decorators import after, cron, every, job
    from kernel.flow.context import Context
    from kernel.hooks import hookimpl
    from kernel.kernel import Kernel
    from kernel.model.breaker import Breaker
    from kernel.model.check import Check
    from kernel.model.duration import Duration, seconds, words
    from kernel.model.errors import (
        BreakerOpen,
        Cancel,
        ConfigError,
        CrashError,
        GiveUp,
        MainspringError,
        PayloadError,
        RequestError,
        RetryAfter,
        ScheduleExistsError,
        Snooze,
        StoreError,
        StoreFullError,
        UnknownNameError,
    )
    from kernel.model.job import Keep
    from kernel.model.notice import Notice
    from kernel.model.rate import RateLimit
    from kernel.model.retry import Retry
    from kernel.model.run import Run, RunState
    from kernel.model.tally import Tally
    from kernel.model.unique import Unique
    from kernel.upcoming import cron_in_words, longest_gap, upcoming

_HOMES = {
    "kernel.decorators": ("job", "cron", "every", "after"),
    "kernel.hooks": ("hookimpl",),
    "kernel.flow.context": ("Context",),
    "kernel.model.retry": ("Retry",),
    "kernel.model.job": ("Keep",),
    "kernel.model.breaker": ("Breaker",),
    "kernel.model.unique": ("Unique",),
    "kernel.model.notice": ("Notice",),
    "kernel.model.rate": ("RateLimit",),
    "kernel.model.run": ("Run", "RunState"),
    "kernel.kernel": ("Kernel",),
    "kernel.client": ("Client",),
    "kernel.blocking_client": ("BlockingClient",),
    "kernel.upcoming": ("upcoming", "longest_gap", "cron_in_words"),
    "kernel.contracts.service": ("Periodic",),
    "kernel.model.duration": ("Duration", "seconds", "words"),
    "kernel.model.tally": ("Tally",),
    "kernel.cli.plugin_question": ("ask_kernels",),
    "kernel.cli.job_words": ("policy_words",),
    "kernel.model.check": ("Check",),
    "kernel.model.errors": (
        "RetryAfter", "Snooze", "Cancel", "GiveUp", "BreakerOpen", "CrashError", "MainspringError", "ConfigError", "RequestError",
        "UnknownNameError", "PayloadError", "ScheduleExistsError", "StoreError", "StoreFullError",
    ),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # At first use: a command that needs no pydantic, or a plugin that needs no asyncio, does not wait for it.
    if name == "events":
        return import_module("kernel.events")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kernel' has no attribute {name!r}")
    found = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


__all__ = [
    "job", "cron", "every", "after", "hookimpl", "Context", "Retry", "Keep", "Unique", "RateLimit", "Breaker",
    "RetryAfter", "Snooze", "Cancel", "GiveUp", "BreakerOpen", "CrashError",
    "Check",
    "Periodic", "Tally", "Duration", "seconds", "words", "ask_kernels", "policy_words",
    "events", "Notice", "Run", "RunState", "Kernel", "Client", "BlockingClient", "upcoming", "longest_gap", "cron_in_words",
    "MainspringError", "ConfigError", "RequestError", "UnknownNameError", "PayloadError", "ScheduleExistsError", "StoreError",
    "StoreFullError",
]  # fmt: skip
