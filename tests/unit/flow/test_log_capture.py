"""What a job logs is kept with its run, from wherever it logs and whatever the levels of the loggers; other lines are not."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kernel.testing import settle
from tests.flow_kit import Flow, job_of, running

if TYPE_CHECKING:
    from kernel import Context

log = logging.getLogger("shop.cars")


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise ValueError("not even that")


async def lines_of(flow: Flow, run: Any) -> list[tuple[str, str]]:
    kept = await flow.store.log(run.id)
    lines = [json.loads(line) for line in kept.text.split("\n") if line]
    return [(line["level"], line["text"]) for line in lines]


@pytest.fixture
def _quiet_root() -> Any:
    root = logging.getLogger()
    before, level = root.level, logging.ERROR
    root.setLevel(level)
    yield
    root.setLevel(before)


@pytest.mark.usefixtures("_quiet_root")
async def test_ctx_log_keeps_lines_from_info_on_whatever_level_the_root_logger_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(ctx: Context) -> None:
        assert (ctx.log.isEnabledFor(logging.DEBUG), ctx.log.isEnabledFor(logging.INFO)) == (False, True)
        ctx.log.debug("not kept")
        ctx.log.info("kept %s", "one")
        log.info("below the level of the loggers")
        log.error("above it")

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

        assert await lines_of(flow, run) == [("info", "kept one"), ("error", "above it")]
    assert "kept one" not in caplog.messages


async def test_a_line_of_ctx_log_is_kept_once_and_goes_to_the_standard_logging_as_the_callers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(ctx: Context) -> None:
        ctx.log.warning("low on %s", "fuel")

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

        assert await lines_of(flow, run) == [("warning", "low on fuel")]
    [record] = [record for record in caplog.records if record.message == "low on fuel"]
    assert (record.filename, record.funcName) == ("test_log_capture.py", "work")


async def test_lines_of_the_standard_logging_are_kept_from_tasks_and_threads_of_the_job() -> None:
    async def work() -> None:
        log.warning("from the job")
        await asyncio.create_task(tell("from its task"))
        await asyncio.to_thread(log.warning, "from its thread")
        thread = threading.Thread(target=contextvars.copy_context().run, args=(log.warning, "from a thread of its own"))
        thread.start()
        await asyncio.to_thread(thread.join)

    async def tell(text: str) -> None:
        log.warning(text)

    def work_def() -> None:
        log.warning("from a def job")

    async with running(work, work_def) as flow:
        first = await flow.ended(await flow.enqueue())
        second = await flow.ended(await flow.enqueue("demo.work_def"))

        assert [text for _, text in await lines_of(flow, first)] == [
            "from the job", "from its task", "from its thread", "from a thread of its own",
        ]  # fmt: skip
        assert await lines_of(flow, second) == [("warning", "from a def job")]


async def test_every_run_has_its_own_lines_though_a_worker_serves_many_and_leaves_tasks_behind() -> None:
    tasks: list[asyncio.Task[None]] = []
    workers: set[Any] = set()
    may_log = asyncio.Event()

    async def late(number: int) -> None:
        await may_log.wait()
        log.warning("late %d", number)

    async def work(number: int) -> None:
        workers.add(asyncio.current_task())
        log.warning("number %d", number)
        tasks.append(asyncio.create_task(late(number)))
        if number == 9:
            may_log.set()
            await asyncio.gather(*tasks)

    async with running(work, concurrency=1) as flow:
        runs = [await flow.enqueue("demo.work", {"number": number}) for number in range(10)]
        for run in runs:
            await flow.ended(run)
        kept = [[text for _, text in await lines_of(flow, run)] for run in runs]

    assert len(workers) == 1
    assert kept == [*([f"number {number}"] for number in range(9)), ["number 9", "late 9"]]


async def test_what_no_job_logs_is_kept_with_no_run() -> None:
    opened = asyncio.Event()

    async def work(ctx: Context) -> None:
        ctx.log.info("mine")
        await opened.wait()

    async with running(work) as flow:
        run = await flow.enqueue()
        log.error("somebody else's")
        opened.set()
        await flow.ended(run)

        assert await lines_of(flow, run) == [("info", "mine")]


async def test_two_kernels_in_one_process_keep_each_its_own_lines_once() -> None:
    async def work() -> None:
        log.warning("said once")

    async with running(work, name="kernel-1") as one, running(work, name="kernel-2") as two:
        first, second = await one.ended(await one.enqueue()), await two.ended(await two.enqueue())

        assert await lines_of(one, first) == await lines_of(two, second) == [("warning", "said once")]


async def test_what_a_job_tells_people_stands_in_its_log() -> None:
    async def work(ctx: Context) -> None:
        ctx.notify_error("the partner does not answer", partner="ACME")

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

        assert await lines_of(flow, run) == [("error", "demo.work: the partner does not answer partner=ACME")]


async def test_an_error_is_kept_with_its_traceback_whatever_its_message_does() -> None:
    async def work(ctx: Context) -> None:
        try:
            raise UnreadableError  # noqa: TRY301 - what is logged is told where it is caught
        except UnreadableError as error:
            ctx.log.exception("by ctx")
            ctx.log.error("given", exc_info=error)  # noqa: TRY400 - given, as a job may do
            log.exception("by logging")

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())
        lines = await lines_of(flow, run)

    assert [text.partition("\n")[0] for _, text in lines] == ["by ctx", "given", "by logging"]
    assert all("Traceback (most recent call last)" in text and "UnreadableError" in text for _, text in lines)


async def test_arguments_that_do_not_fit_lose_no_line_and_raise_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    async def work(ctx: Context) -> None:
        ctx.log.info("%d cars", "many")
        log.warning("%s %s", "one")  # noqa: PLE1206 - what a job may get wrong

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())
        lines = await lines_of(flow, run)

    assert run.state == "completed"
    assert lines == [
        ("info", "'%d cars' (its arguments do not fit: TypeError)"),
        ("warning", "'%s %s' (its arguments do not fit: TypeError)"),
    ]
    assert caplog.messages == []


async def test_a_level_may_have_any_name() -> None:
    loud = logging.getLogger("shop.loud")
    loud.setLevel(logging.INFO)
    names = {21: "\ud800", 22: 5}
    for level, name in names.items():
        logging.addLevelName(level, name)  # type: ignore[arg-type] # what a plugin may get wrong

    async def work(ctx: Context) -> None:
        for level in names:
            ctx.log.log(level, "by ctx")
            loud.log(level, "by logging")

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())
        lines = await lines_of(flow, run)

    assert lines == [(name, text) for name in ("\\ud800", "5") for text in ("by ctx", "by logging")]


async def test_a_finalizer_that_logs_in_the_middle_of_a_line_does_no_harm() -> None:
    class Loud:
        def __str__(self) -> str:
            log.warning("inner")
            return "outer"

    async def work(ctx: Context) -> None:
        ctx.log.info("%s", Loud())

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

        assert [text for _, text in await lines_of(flow, run)] == ["inner", "outer"]


async def test_a_kernel_that_has_stopped_leaves_no_handler_behind() -> None:
    before = list(logging.getLogger().handlers)

    async with running(job_of(settle, name="work")):
        during = list(logging.getLogger().handlers)

    assert len(during) == len(before) + 1
    assert logging.getLogger().handlers == before
