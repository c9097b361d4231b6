"""Metrics of the kernel for Prometheus."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from kernel import hookimpl

from .loop_lag import LoopLag
from .page import Page
from .readings import Readings
from .runs import Counted, Runs, histogram
from .settings import Settings, address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from kernel import Kernel
    from kernel.events import ConfigReloaded, KernelStarted

__all__ = ["Plugin", "Settings"]

_FRESH_SECONDS = 1.0


class Plugin:
    """Counts what it is told, and writes it down when it is asked to: on a page, by a command, or by the hook ``answer``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs = Runs()
        self._lag = LoopLag()
        self._page: Page | None = None
        self._readings: Readings | None = None
        self._kernel: Kernel | None = None
        self._taken_at = -_FRESH_SECONDS
        self._taking = asyncio.Lock()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    @hookimpl
    async def start(self, kernel: Kernel) -> None:
        self._kernel, self._readings = kernel, Readings(kernel)
        self._registry.register(self)
        self._lag.start()
        if self._settings.listen is not None:
            self._page = Page(*address_of(self._settings.listen), self.exposition)
            await self._page.start()

    @hookimpl
    async def stop(self) -> None:
        self._lag.stop()
        if self._page is not None:
            await self._page.stop()
        if self._readings is not None:
            self._registry.unregister(self)
            self._kernel = self._readings = None

    @hookimpl
    async def on_events(self, events: list[Counted]) -> None:
        self._runs.take(events)

    @hookimpl
    async def on_event(self, event: KernelStarted | ConfigReloaded) -> None:  # noqa: ARG002 - its type is the subscription
        for job in [] if self._kernel is None else await self._kernel.control.jobs():
            self._runs.know(job["job"], job["queue"])

    @hookimpl
    async def answer(self, question: str, about: dict[str, Any]) -> dict[str, str] | None:
        """To the question ``metrics``: the text, and its content type by ``accept``, the header of HTTP."""
        if question != "metrics" or self._readings is None:
            return None
        text, kind = await self.exposition(str(about.get("accept", "")))
        return {"text": text.decode(), "content_type": kind}

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        from .command import metrics  # noqa: PLC0415 - a kernel needs no typer

        cli.command("metrics", epilog="\b\nExamples:\n  mainspring metrics\n  mainspring metrics --openmetrics")(
            metrics
        )

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics as text, and its content type: what ``GET /metrics`` answers to this Accept header."""
        write, kind = choose_encoder(accept)
        async with self._taking:  # those who come together share one reading
            if self._readings is not None and time.monotonic() - self._taken_at >= _FRESH_SECONDS:
                await self._readings.take()
                self._taken_at = time.monotonic()
        return await asyncio.to_thread(write, self._registry), kind

    def collect(self) -> Iterator[Metric]:
        """For the registry, in a thread."""
        yield from self._runs.families()
        yield histogram(
            "mainspring_loop_lag_seconds",
            "How late the event loop gave a timer its turn.",
            None,
            [("", self._lag.lags)],
        )
        if self._readings is not None:
            yield from self._readings.families()
