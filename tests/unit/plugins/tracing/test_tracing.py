"""Spans of enqueues and attempts, and the trace that goes with a run through the queue."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from kernel import Client, ConfigError, Kernel
from kernel.config import load_config
from kernel.contracts.store import RunQuery
from kernel.testing import FakeClock, until
from plugins.tracing import trace_tags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from kernel import Run

EXPORTER = InMemorySpanExporter()
SHOP = """
import asyncio
from datetime import timedelta
from kernel import Cancel, Context, Retry, Snooze, every, hookimpl, job
from opentelemetry import trace

@job(retry=Retry(attempts=2, base="1s"))
async def order(ctx: Context, fail: bool = False) -> str:
    with trace.get_tracer("shop").start_as_current_span("price"):
        pass
    if fail:
        raise ValueError("no stock")
    child = await ctx.enqueue("shop.ship")
    return child.id

@job
def ship(ctx: Context) -> str:
    return format(trace.get_current_span().get_span_context().trace_id, "032x")

@job
async def put_off(ctx: Context) -> None:
    if ctx.now() < ctx.run.enqueued_at + timedelta(seconds=1):
        raise Snooze("1s")
    raise Cancel("not wanted")

@job(timeout="5s", retry=1)
async def slow() -> None:
    await asyncio.Event().wait()

@every("60s")
async def tick(ctx: Context) -> None: ...

@job(executor="process", retry=1)
def apart() -> None:
    raise LookupError("far away")

@hookimpl
def register_jobs():
    return [order, ship, put_off, slow, tick, apart]
"""


@pytest.fixture(scope="module", autouse=True)
def provider() -> Iterator[TracerProvider]:
    """The one of this program: OpenTelemetry lets it be set once."""
    found = trace.get_tracer_provider()
    if not isinstance(found, TracerProvider):
        found = TracerProvider()
        trace.set_tracer_provider(found)
    found.add_span_processor(SimpleSpanProcessor(EXPORTER))
    yield found
    found.shutdown()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    EXPORTER.clear()


@asynccontextmanager
async def running(folder: Path, clock: FakeClock | None = None, tracing: str = "") -> AsyncIterator[Kernel]:
    async with Kernel(load_config(configured(folder, tracing)), clock=clock) as kernel:
        yield kernel


def configured(folder: Path, tracing: str = "") -> Path:
    package = folder / "plugins" / "shop"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(SHOP)
    file = folder / "plugins.toml"
    file.write_text(f'[kernel]\nstore = "sqlite:///store.db"\n[plugins.shop]\n[plugins.tracing]\n{tracing}\n')
    return file


def spans(name: str) -> list[ReadableSpan]:
    return [span for span in EXPORTER.get_finished_spans() if span.name == name]


def trace_of(span: ReadableSpan) -> str:
    return format(context_of(span).trace_id, "032x")


def context_of(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


async def done(kernel: Kernel, run: Run) -> Run:
    return await kernel.wait(run.id, timeout="10s")


async def waits_again(kernel: Kernel, run: Run) -> None:
    """Until the end of the attempt stands in the store; only then does time bring the next one."""
    limit = time.monotonic() + 10.0
    while (await kernel.store.runs(RunQuery(ids=[run.id])))[0].state == "running":
        assert time.monotonic() < limit
        await asyncio.sleep(0.002)


async def test_an_attempt_belongs_to_the_trace_of_its_enqueue_and_so_does_what_it_enqueues(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        order = await kernel.enqueue("shop.order")
        ship = await done(
            kernel, (await kernel.enqueue("shop.ship"))._replace(id=str((await done(kernel, order)).result))
        )

    [enqueued], [attempt], [price] = spans("enqueue shop.order"), spans("attempt shop.order"), spans("price")
    inner = next(span for span in spans("enqueue shop.ship") if span.parent is not None)
    shipped = next(span for span in spans("attempt shop.ship") if trace_of(span) == trace_of(enqueued))
    assert (enqueued.kind, attempt.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert enqueued.parent is None
    for span, parent in ((attempt, enqueued), (price, attempt), (inner, attempt), (shipped, inner)):
        assert span.parent is not None
        assert span.parent.span_id == context_of(parent).span_id
    assert ship.result == trace_of(enqueued)  # a job in a thread sees it too
    assert dict(attempt.attributes or {}) == {
        "messaging.system": "mainspring", "messaging.operation.type": "process", "messaging.destination.name": "default",
        "messaging.message.id": order.id, "mainspring.job": "shop.order", "mainspring.attempt": 1, "mainspring.schedule": "",
    }  # fmt: skip
    assert (enqueued.attributes or {})["messaging.message.id"] == order.id


async def test_the_trace_survives_a_restart_and_a_retry(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as kernel:
        run = await kernel.enqueue("shop.order", {"fail": True}, delay="1h")
    async with running(tmp_path, clock) as kernel:
        await clock.advance(3600)
        await until(lambda: len(spans("attempt shop.order")) == 1)
        await waits_again(kernel, run)
        for _ in range(4):
            await clock.advance(1)
        failed = await done(kernel, run)

    [enqueued], attempts = spans("enqueue shop.order"), spans("attempt shop.order")
    assert failed.state == "failed"
    assert [trace_of(span) for span in attempts] == [trace_of(enqueued)] * 2
    assert [(span.attributes or {})["mainspring.attempt"] for span in attempts] == [1, 2]
    assert attempts[0].status.status_code is StatusCode.ERROR
    assert attempts[0].status.description == "ValueError: no stock"
    assert [event.name for event in attempts[0].events] == ["exception"]


async def test_snoozed_and_cancelled_by_itself_is_no_failure(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as kernel:
        run = await kernel.enqueue("shop.put_off")
        await until(lambda: len(spans("attempt shop.put_off")) == 1)
        await waits_again(kernel, run)
        for _ in range(4):
            await clock.advance(1)
        await done(kernel, run)

    assert [(span.attributes or {})["mainspring.outcome"] for span in spans("attempt shop.put_off")] == [
        "snoozed",
        "cancelled",
    ]
    assert {span.status.status_code for span in spans("attempt shop.put_off")} == {StatusCode.UNSET}


async def test_a_timeout_says_so(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as kernel:
        run = await kernel.enqueue("shop.slow")
        await until(lambda: len(kernel.engine.pool.busy) == 1)
        await clock.advance(5)
        await done(kernel, run)

    [attempt] = spans("attempt shop.slow")
    assert attempt.status.description == "took longer than its timeout of 5 s"


async def test_an_attempt_in_another_process_has_its_span_here(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        await done(kernel, await kernel.enqueue("shop.apart"))

    [attempt] = spans("attempt shop.apart")
    assert attempt.status.description == "AttemptError: LookupError: far away"


async def test_a_tick_of_a_schedule_begins_a_trace_of_its_own(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as kernel:
        await clock.advance(61)
        await until(lambda: len(spans("attempt shop.tick")) == 1)
        assert kernel.engine is not None

    [attempt] = spans("attempt shop.tick")
    assert attempt.parent is None
    assert (attempt.attributes or {})["mainspring.schedule"] == "shop.tick"


async def test_many_at_once_have_one_span(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        runs = await kernel.enqueue_many([("shop.ship", {}), ("shop.put_off", {}, {"delay": "1h"})])
        await done(kernel, runs[0])

    [enqueued] = spans("enqueue 2 runs")
    [[tag]] = {run.tags for run in runs}
    assert tag.startswith(f"traceparent:00-{trace_of(enqueued)}-{context_of(enqueued).span_id:016x}-")
    assert trace_of(spans("attempt shop.ship")[0]) == trace_of(enqueued)


async def test_a_client_goes_without_and_may_give_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel, Client(f"sqlite:///{tmp_path / 'store.db'}") as client:
        plain = await client.enqueue("shop.ship")
        with trace.get_tracer("web").start_as_current_span("request") as request:
            traced = await client.enqueue("shop.ship", tags=trace_tags())
        await done(kernel, plain)
        shipped = await done(kernel, traced)

    assert (plain.tags, len(traced.tags)) == ((), 1)
    assert shipped.result == format(request.get_span_context().trace_id, "032x")
    assert trace_tags() == []


@pytest.mark.parametrize(
    "tag", ["traceparent:", "traceparent:nonsense", "traceparent:00-" + "0" * 32 + "-" + "0" * 16 + "-01"]
)
async def test_what_is_no_traceparent_is_left_aside(tmp_path: Path, tag: str) -> None:
    async with running(tmp_path) as kernel:
        run = await done(kernel, await kernel.enqueue("shop.ship", tags=[tag]))

    assert run.state == "completed"
    assert spans("attempt shop.ship")[0].parent is None


def problem_of(folder: Path, tracing: str = "") -> str:
    async def load() -> None:
        async with running(folder, tracing=tracing):
            pass

    with pytest.raises(ConfigError) as raised:
        asyncio.run(load())
    return str(raised.value)


def test_without_the_extra_the_configuration_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.delitem(sys.modules, "opentelemetry.sdk.trace")

    problem = problem_of(tmp_path)

    assert problem == (
        f"{tmp_path / 'plugins.toml'}:4: [plugins.tracing]: OpenTelemetry is not installed; expected it: "
        "`pip install 'mainspring[tracing]'`"
    )


def test_an_exporter_that_is_not_installed_is_named_with_those_that_are(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, 'exporter = "otlp"')

    assert problem == (
        f"{tmp_path / 'plugins.toml'}:5: [plugins.tracing] exporter: 'otlp': no exporter of this name is installed; "
        "expected one of console; `pip install opentelemetry-exporter-otlp` brings otlp"
    )


async def test_spans_go_to_the_exporter_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = InMemorySpanExporter()
    monkeypatch.setattr(ConsoleSpanExporter, "__new__", lambda _kind: mine)

    async with running(tmp_path, tracing='exporter = "console"\nservice_name = "shop"') as kernel:
        await done(kernel, await kernel.enqueue("shop.ship"))

    found = {span.name: span for span in mine.get_finished_spans()}  # written at the stop of the kernel at the latest
    assert found.keys() == {"enqueue shop.ship", "attempt shop.ship"}
    assert found["attempt shop.ship"].resource.attributes["service.name"] == "shop"
    assert spans("attempt shop.ship") == []
