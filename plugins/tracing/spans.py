"""A span around each enqueue, and one around each attempt, which belongs to the trace of its enqueue."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from kernel import Cancel, Snooze

from .settings import exporters
from .tags import context_of, trace_tags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from opentelemetry.trace import Span

    from kernel import Context, Run

    from .settings import Settings

log = logging.getLogger(__name__)


class Spans:
    """Loaded when the extra is there: all that needs OpenTelemetry."""

    def __init__(self, settings: Settings) -> None:
        self._own: TracerProvider | None = None
        if settings.exporter is not None:
            self._own = TracerProvider(resource=Resource.create({"service.name": settings.service_name}))
            self._own.add_span_processor(BatchSpanProcessor(exporters()[settings.exporter].load()()))
        self._tracer = trace.get_tracer("mainspring", tracer_provider=self._own)

    def start(self) -> None:
        provider = trace.get_tracer_provider()
        if not isinstance(provider, trace.ProxyTracerProvider):
            return
        if self._own is not None:
            # So that what jobs trace by themselves goes the same way.
            trace.set_tracer_provider(self._own)
        else:
            log.warning(
                "no spans are kept: this program has set no tracer provider; set [plugins.tracing] exporter, or start it by "
                "`opentelemetry-instrument mainspring run`"
            )

    def stop(self) -> None:
        if self._own is not None:
            self._own.shutdown()

    @asynccontextmanager
    async def around_enqueue(self, runs: list[Run]) -> AsyncIterator[list[str]]:
        jobs = sorted({run.job for run in runs})
        name = f"enqueue {jobs[0]}" if len(jobs) == 1 else f"enqueue {len(runs)} runs"
        attributes: dict[str, Any] = {
            "messaging.system": "mainspring",
            "messaging.operation.type": "send",
            "messaging.destination.name": ", ".join(sorted({run.queue for run in runs})),
        }
        if len(runs) == 1:
            attributes |= {"messaging.message.id": runs[0].id, "mainspring.job": runs[0].job}
        else:
            attributes["messaging.batch.message_count"] = len(runs)
        with self._tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes):
            yield trace_tags()

    @asynccontextmanager
    async def around_attempt(self, ctx: Context) -> AsyncIterator[None]:
        run = ctx.run
        with self._tracer.start_as_current_span(
            f"attempt {run.job}",
            context=context_of(run.tags),
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": "mainspring",
                "messaging.operation.type": "process",
                "messaging.destination.name": run.queue,
                "messaging.message.id": run.id,
                "mainspring.job": run.job,
                "mainspring.attempt": run.attempt,
                "mainspring.schedule": run.schedule or "",
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _note(span, error, ctx.cancelled)
                raise


def _note(span: Span, error: BaseException, cancelled: str | None) -> None:
    """Snoozed and cancelled by itself is no failure."""
    if isinstance(error, Snooze | Cancel):
        span.set_attribute("mainspring.outcome", "snoozed" if isinstance(error, Snooze) else "cancelled")
    elif isinstance(error, asyncio.CancelledError) and cancelled is not None:
        span.set_attribute("mainspring.outcome", "cut short")
        span.set_status(Status(StatusCode.ERROR, cancelled))
    else:
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
