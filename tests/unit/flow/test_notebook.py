"""What running attempts tell is written in batches, in time, and before their outcomes; trouble loses nothing."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import LOG_BYTES, Entry
from kernel.flow.page import LINE_BYTES
from kernel.model.errors import StoreError
from kernel.model.events import RunCompleted, RunLogged, RunProgressed, StoreTroubled
from kernel.testing import settle, until
from tests.flow_kit import Flow, TroubledStore, job_of, running

if TYPE_CHECKING:
    from kernel import Context

log = logging.getLogger("shop.cars")


class WatchedStore(TroubledStore):
    """Keeps what each call of ``record`` was given, and in which order it came among the finishes."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[list[Entry]] = []

    async def record(self, entries: Any) -> list[bool]:
        self.recorded.append(list(entries))
        answers: list[bool] = await self.carry_out("record", entries)
        return answers


async def lines_of(flow: Flow, run: Any) -> list[dict[str, Any]]:
    kept = await flow.store.log(run.id)
    return [json.loads(line) for line in kept.text.removesuffix("\n").split("\n") if line]


async def texts_of(flow: Flow, run: Any) -> list[str]:
    return [line["text"] for line in await lines_of(flow, run)]


async def test_a_run_that_tells_nothing_costs_no_call_of_the_store() -> None:
    async def work(ctx: Context) -> str:
        return ctx.run.id

    store = WatchedStore()
    async with running(work, store=store) as flow:
        await flow.enqueue()
        await flow.clock.advance(5)

        assert (store.recorded, flow.engine.notebook.is_written) == ([], True)


async def test_log_lines_are_in_the_store_half_a_second_later_while_the_run_goes_on() -> None:
    opened = asyncio.Event()

    async def work(ctx: Context) -> None:
        ctx.log.info("one of %d", 2)
        ctx.log.warning("two of 2")
        await opened.wait()

    async with running(work) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(0.4)
        early = await texts_of(flow, run)
        await flow.clock.advance(0.2)
        lines = await lines_of(flow, run)
        told = flow.told(RunLogged)
        opened.set()
        await flow.ended(run)

    assert early == []
    assert lines == [
        {"at": "2026-01-01T00:00:00+00:00", "attempt": 1, "level": "info", "text": "one of 2"},
        {"at": "2026-01-01T00:00:00+00:00", "attempt": 1, "level": "warning", "text": "two of 2"},
    ]
    assert [(event.run, event.attempt, list(event.lines), event.left_out) for event in told] == [(run.id, 1, lines, 0)]


async def test_lines_of_all_runs_travel_in_one_call() -> None:
    opened = asyncio.Event()

    async def work(ctx: Context) -> None:
        ctx.log.info("begun")
        await opened.wait()

    store = WatchedStore()
    async with running(work, store=store) as flow:
        runs = [await flow.enqueue() for _ in range(8)]
        await flow.clock.advance(0.5)
        batches = [[entry.id for entry in batch] for batch in store.recorded]
        opened.set()
        for run in runs:
            await flow.ended(run)

    assert batches == [[run.id for run in runs]]


async def test_what_a_run_told_last_is_in_the_store_before_its_end_and_told_before_it() -> None:
    async def work(ctx: Context) -> None:
        await ctx.progress(0.5, "half")
        await ctx.progress(1, "all")
        ctx.log.info("the last line")

    store = WatchedStore()
    async with running(work, store=store) as flow:
        run = await flow.ended(await flow.enqueue())
        texts = await texts_of(flow, run)
        await settle()
        order = [type(event) for event in flow.events if isinstance(event, RunLogged | RunProgressed | RunCompleted)]

    assert (texts, run.progress, run.progress_text) == (["the last line"], 1.0, "all")
    assert order == [RunProgressed, RunLogged, RunCompleted]
    assert [call for call in store.calls if call in ("record", "finish")] == ["record", "finish"]


async def test_progress_is_written_at_once_and_then_at_most_every_quarter_of_a_second() -> None:
    goes_on = asyncio.Event()

    async def work(ctx: Context) -> None:
        await ctx.progress(0.1)
        await goes_on.wait()
        for step in range(2, 9):
            await ctx.progress(step / 10)
        await asyncio.Event().wait()

    store = WatchedStore()
    async with running(work, store=store) as flow:
        await flow.enqueue()
        first = [entry.progress for batch in store.recorded for entry in batch]
        goes_on.set()
        await flow.clock.advance(0.2)
        second = [entry.progress for batch in store.recorded for entry in batch]
        await flow.clock.advance(0.06)
        third = [entry.progress for batch in store.recorded for entry in batch]
        told = [(event.fraction, event.text) for event in flow.told(RunProgressed)]

    assert (first, second, third) == ([(0.1, "")], [(0.1, "")], [(0.1, ""), (0.8, "")])
    assert told == [(0.1, ""), (0.8, "")]


async def test_what_leaves_for_another_reason_takes_no_progress_along_that_would_come_too_soon() -> None:
    async def work(ctx: Context) -> None:
        await ctx.progress(0.1)
        await ctx.step("one", str)
        await ctx.progress(0.2)
        await ctx.step("two", str)
        await asyncio.Event().wait()

    store = WatchedStore()
    async with running(work, store=store) as flow:
        await flow.enqueue()
        entries = [entry for batch in store.recorded for entry in batch]
        await flow.clock.advance(0.3)
        later = [entry.progress for batch in store.recorded for entry in batch if entry.progress is not None]

    assert [entry.step[0] for entry in entries if entry.step is not None] == ["one", "two"]
    assert [entry.progress for entry in entries if entry.progress is not None] == [(0.1, "")]
    assert later == [(0.1, ""), (0.2, "")]


async def test_the_last_progress_is_kept_however_soon_it_comes_after_another() -> None:
    async def work(ctx: Context) -> None:
        await ctx.progress(0.9)
        await ctx.step("one", str)
        await ctx.progress(1.0, "all")

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert (run.progress, run.progress_text) == (1.0, "all")


async def test_a_line_is_not_kept_waiting_by_later_ones_of_other_runs() -> None:
    async def work(ctx: Context) -> None:
        ctx.log.info("begun")
        await asyncio.Event().wait()

    async with running(work) as flow:
        first = await flow.enqueue()
        await flow.clock.advance(0.4)
        second = await flow.enqueue()
        await flow.clock.advance(0.1)

        assert await texts_of(flow, first) == ["begun"]
        assert await texts_of(flow, second) == ["begun"]


async def test_lines_wait_out_a_trouble_of_the_store_and_are_written_once() -> None:
    opened = asyncio.Event()

    async def work(ctx: Context) -> None:
        ctx.log.info("before")
        await opened.wait()
        ctx.log.info("during")

    store = TroubledStore()
    async with running(work, store=store) as flow:
        run = await flow.enqueue()
        store.failing["record"] = StoreError("the disk is full")
        await flow.clock.advance(0.6)
        tries = store.calls.count("record")
        troubled = flow.told(StoreTroubled)
        del store.failing["record"]
        opened.set()
        await flow.ended(run)
        await flow.clock.advance(10)
        texts = await texts_of(flow, run)

    assert tries >= 1
    assert len(troubled) == 1
    assert texts == ["before", "during"]


async def test_an_outcome_waits_for_what_is_on_its_way_and_is_not_held_up_when_that_fails() -> None:
    opened = asyncio.Event()

    async def work(ctx: Context) -> None:
        ctx.log.info("on its way")
        await opened.wait()

    store = TroubledStore()
    async with running(work, store=store) as flow:
        run = await flow.enqueue()
        store.before["record"] = asyncio.Event()
        await flow.clock.advance(0.5)
        opened.set()
        await settle()
        finished_before = store.calls.count("finish")
        store.failing["record"] = StoreError("not this time")
        store.before["record"].set()
        await settle()
        del store.failing["record"]
        ended = await flow.ended(run)
        texts = await texts_of(flow, run)

    assert finished_before == 0
    assert ended.state == "completed"
    assert len(texts) <= 1


async def test_an_error_of_the_store_that_no_trying_mends_costs_the_lines_and_not_the_outcome() -> None:
    async def work(ctx: Context) -> None:
        ctx.log.info("lost")

    store = TroubledStore()
    store.failing["record"] = ValueError("a defect")
    async with running(work, store=store) as flow:
        run = await flow.ended(await flow.enqueue())
        texts = await texts_of(flow, run)

    assert (run.state, texts) == ("completed", [])


async def test_outcomes_that_are_written_late_do_not_repeat_what_was_told() -> None:
    async def work(ctx: Context) -> None:
        ctx.log.info("once")

    store = TroubledStore()
    store.failing["finish"] = StoreError("not yet")
    async with running(work, store=store) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(1)
        del store.failing["finish"]
        await flow.clock.advance(10)
        run = await flow.ended(run)
        texts = await texts_of(flow, run)

    assert texts == ["once"]


async def test_a_line_is_cut_at_8_kib_and_may_hold_anything() -> None:
    async def work(ctx: Context) -> None:
        ctx.log.info("ü" * LINE_BYTES)
        ctx.log.info("\x1b[2J\x00\ud800\u2028\r\nend")

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())
        texts = await texts_of(flow, run)

    assert len(texts) == 2
    assert len(texts[0].encode()) <= LINE_BYTES
    assert texts[0].endswith("ü…")
    assert texts[1] == "\x1b[2J\x00\\ud800\u2028\r\nend"


async def test_of_a_flood_the_newest_lines_are_kept_and_the_others_counted() -> None:
    def work(ctx: Context) -> None:
        for number in range(20_000):
            ctx.log.info("line %d", number)

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())
        kept = await flow.store.log(run.id)
        texts = await texts_of(flow, run)

    assert texts[-1] == "line 19999"
    assert texts[0].endswith("lines were dropped here, as more came than could be written")
    assert int(texts[0].split()[0].replace(",", "")) + len(texts) - 1 == 20_000
    assert len(kept.text.encode()) <= LOG_BYTES
    assert not kept.is_cut


async def test_an_event_of_many_lines_has_the_newest_and_says_how_many_others_there_are() -> None:
    async def work(ctx: Context) -> None:
        for number in range(30):
            ctx.log.info("%02d %s", number, "x" * 997)

    async with running(work) as flow:
        await flow.ended(await flow.enqueue())
        await settle()
        [event] = flow.told(RunLogged)

    assert [line["text"][:2] for line in event.lines] == [f"{number:02d}" for number in range(21, 30)]
    assert event.left_out == 21


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_flood_neither_blocks_the_loop_nor_grows_memory(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # the test's own would keep every line

    def flood() -> None:
        for number in range(30_000):
            log.warning("line %d of very many", number)

    async def flood_beside() -> None:
        await asyncio.to_thread(flood)

    job = job_of(flood if kind == "def" else flood_beside, name="work")
    async with running(job, listen=False) as flow:
        run = await flow.enqueue()
        tracemalloc.start()
        lags = []
        while (await flow.run(run)).state != "completed":
            begin = time.monotonic()
            await asyncio.sleep(0.005)
            lags.append(time.monotonic() - begin - 0.005)
            await flow.clock.advance(0.05)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        texts = await texts_of(flow, run)

    assert peak < 2 * 1024 * 1024
    assert sorted(lags)[len(lags) * 9 // 10] < 0.1
    assert texts[-1] == "line 29999 of very many"


async def test_what_a_thread_tells_after_its_run_has_ended_is_nobodys() -> None:
    may_log, has_logged = threading.Event(), threading.Event()

    async def leave() -> None:
        def late() -> None:
            may_log.wait(10)
            log.warning("too late")
            has_logged.set()

        threading.Thread(target=contextvars.copy_context().run, args=(late,), daemon=True).start()
        log.warning("in time")

    async def work() -> None:
        may_log.set()
        while not has_logged.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.001)

    async with running(leave, work, concurrency=1) as flow:
        first = await flow.ended(await flow.enqueue("demo.leave"))
        second = await flow.ended(await flow.enqueue("demo.work"))
        await flow.clock.advance(1)

        assert (await texts_of(flow, first), await texts_of(flow, second)) == (["in time"], [])


async def test_what_has_been_told_can_be_written_without_waiting() -> None:
    async def work(ctx: Context) -> None:
        ctx.log.info("said")
        await ctx.progress(0.1)
        await ctx.step("one", str)
        await ctx.progress(0.2)
        await asyncio.Event().wait()

    async with running(work) as flow:
        run = await flow.enqueue()
        await flow.engine.notebook.drain()

        assert await texts_of(flow, run) == ["said"]
        assert (await flow.run(run)).progress == 0.1


async def test_lines_of_an_attempt_that_does_not_end_are_written_when_the_kernel_stops() -> None:
    may_end = asyncio.Event()

    async def work(ctx: Context) -> None:
        ctx.log.info("said before the end")
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    flow = await Flow([work]).start()
    run = await flow.enqueue()
    await flow.stop()

    assert await texts_of(flow, run) == ["said before the end"]
    may_end.set()
    await until(lambda: not flow.engine.pool.busy and not flow.engine.pool.stuck)
