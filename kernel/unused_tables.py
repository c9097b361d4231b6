"""Tables of plugins.toml that nobody uses, as far as can be seen: a misspelt name would else be taken for another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.model.errors import nearest
from kernel.model.job import Policies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.config import Config
    from kernel.model.job import Job


def unused_tables(config: Config, jobs: Iterable[Job]) -> list[str]:
    """A note for each. Names may be used that no job declares: a queue by ``enqueue``, a breaker by ``ctx.breaker``."""
    policies = [job.policies for job in jobs]
    queues = {policy.queue for policy in policies}
    known = queues | {Policies().queue}
    breakers = {policy.breaker.name for policy in policies if policy.breaker is not None}
    notes = [
        f"[queues.{name}]: no job of an enabled plugin has this queue; runs may be enqueued into it by name."
        + nearest(name, queues)
        for name in sorted(config.queues.keys() - known)
    ]
    near = {name: nearest(name, breakers) for name in sorted(config.breakers.keys() - breakers)}
    # Without a near one it may well be a breaker of calls in code.
    return notes + [
        f"[breakers.{name}]: no job of an enabled plugin has this breaker as its policy.{meant}"
        for name, meant in near.items()
        if meant
    ]
