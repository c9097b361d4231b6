"""The next due instants of a cron expression, by the same rules as the kernel's schedules."""

from __future__ import annotations

from datetime import UTC, datetime

from kernel.model import cron


def upcoming(expr: str, *, timezone: str = "UTC", after: datetime | None = None, count: int = 5) -> list[datetime]:
    """``count`` instants after ``after`` (aware; now when None), in ``timezone``. ConfigError when expr or zone is wrong."""
    return cron.upcoming(expr, timezone=timezone, after=after or datetime.now(UTC), count=count)
