"""The next due instants of a cron expression, and how far apart they may be, by the same rules as the kernel's schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kernel.model import cron, cron_gap


def upcoming(expr: str, *, timezone: str = "UTC", after: datetime | None = None, count: int = 5) -> list[datetime]:
    """``count`` instants after ``after`` (aware; now when None), in ``timezone``. ConfigError when expr or zone is wrong."""
    return cron.upcoming(expr, timezone=timezone, after=after or datetime.now(UTC), count=count)


def longest_gap(expr: str, *, timezone: str = "UTC", name: str = "", after: datetime | None = None) -> timedelta | None:
    """The longest rest between two instants, a year ahead: a night, a weekend, a change of the clocks; None with fewer than
    two. It takes some 20 ms. ``name``: of the schedule, by which ``H`` is spread.
    """
    found = cron_gap.longest_gap(expr, timezone=timezone, name=name, after=(after or datetime.now(UTC)).timestamp())
    return None if found is None else timedelta(seconds=found)


def cron_in_words(expr: str, *, name: str = "") -> str:
    """Such as ``At 03:00 every day``. ConfigError when the expression is wrong. ``name``: of the schedule, for ``H``."""
    return cron.CronExpression.parse(expr, name=name).describe()
