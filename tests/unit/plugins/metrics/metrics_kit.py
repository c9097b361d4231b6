"""A kernel with the metrics on, and their text as prometheus-client's own parsers read it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kernel import Kernel
from kernel.config import load_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kernel.contracts.clock import Clock

JOBS = """
import asyncio
from kernel import Breaker, Context, RequestError, Retry, every, hookimpl, job

@every("10s")
async def tick(ctx: Context) -> None: ...

@job(queue="naps")
async def nap(seconds: float = 600.0) -> None:
    await asyncio.sleep(seconds)

@job(retry=Retry(2, base="1s", jitter=0))
async def fails() -> None:
    raise ValueError("no")

@job(breaker="partner", retry=1)
async def calls() -> None:
    raise ValueError("no")

@job
async def without(ctx: Context) -> None:
    async def extra(): raise ValueError("no")
    await ctx.optional("extra", extra)

@hookimpl
def register_jobs():
    return [tick, nap, fails, calls, without]
"""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str, *, openmetrics: bool = False) -> Samples:
    """(name, labels) -> value; an error when the text is not what its format says."""
    parse: Any = parse_openmetrics if openmetrics else parse_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


@asynccontextmanager
async def running(folder: Path, *lines: str, clock: Clock | None = None) -> AsyncIterator[Kernel]:
    """With the plugin ``demo`` and these lines in the table of metrics."""
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "demo.py").write_text(JOBS, encoding="utf-8")
    file = folder / "plugins.toml"
    head = ["[kernel]", 'store = "memory://"', "[breakers.partner]", "failure_threshold = 1", "[plugins.demo]"]
    file.write_text("\n".join([*head, "[plugins.metrics]", *lines]), encoding="utf-8")
    async with Kernel(load_config(file), clock=clock) as kernel:
        yield kernel


def plugin_of(kernel: Kernel) -> Any:
    """The plugin's object, as a web plugin would have it."""
    return kernel.host._plugins["metrics"]._object


async def scrape(kernel: Kernel) -> Samples:
    """What it tells now, not a second ago."""
    plugin = plugin_of(kernel)
    plugin._taken_at = -10.0
    text, _ = await plugin.exposition("")
    return read(text.decode())
