"""Runs in several steps over the lives of kernels, on a real file: shut down, failed, retried by hand, with much to tell."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from kernel import Context, Retry
from kernel.contracts.store import LOG_BYTES
from kernel.testing import FakeClock, until
from plugins.sqlite.store import SqliteStore
from tests.flow_kit import Flow, job_of

if TYPE_CHECKING:
    from pathlib import Path


class Shop:
    """Ships an order in three steps; what is in ``broken`` fails or hangs there."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failing: set[str] = set()
        self.hanging: set[str] = set()

    async def ship(self, ctx: Context, order: str) -> list[Any]:
        results = [await ctx.step(name, self._do, name, order) for name in ("reserve", "charge", "send")]
        ctx.log.info("shipped %s", order)
        return results

    async def _do(self, name: str, order: str) -> dict[str, str]:
        if name in self.hanging:
            await asyncio.Event().wait()
        if name in self.failing:
            raise ConnectionError(f"{name}: no answer")
        self.done.append(name)
        return {name: order}


ALL = [{"reserve": "o-1"}, {"charge": "o-1"}, {"send": "o-1"}]


def life(folder: Path, clock: FakeClock, shop: Shop, **options: Any) -> Flow:
    """One life of a kernel on the same file."""

    async def ship(ctx: Context, order: str) -> list[Any]:
        return await shop.ship(ctx, order)

    job = job_of(ship, name="ship", **{"retry": Retry(attempts=2, base="1s", jitter=0)} | options)
    return Flow([job], store=SqliteStore(folder / "store.db"), clock=clock)


async def test_a_run_that_a_shutdown_interrupts_goes_on_after_its_last_step_in_the_next_life(tmp_path: Path) -> None:
    clock, shop = FakeClock(), Shop()
    shop.hanging = {"charge"}
    first = await life(tmp_path, clock, shop).start()
    run = await first.enqueue("demo.ship", {"order": "o-1"})
    await until(lambda: shop.done == ["reserve"])
    await first.stop()
    await first.store.close()

    shop.hanging = set()
    second = await life(tmp_path, clock, shop).start()
    ended = await second.ended(run)
    await second.stop()
    await second.store.close()

    assert shop.done == ["reserve", "charge", "send"]
    assert (ended.state, ended.failures, ended.result) == ("completed", 0, ALL)


async def test_a_failed_run_that_is_retried_by_hand_does_what_is_left(tmp_path: Path) -> None:
    clock, shop = FakeClock(), Shop()
    shop.failing = {"send"}
    flow = await life(tmp_path, clock, shop, retry=1).start()
    run = await flow.enqueue("demo.ship", {"order": "o-1"})
    failed = await flow.ended(run)
    shop.failing = set()
    await flow.engine.recorder.retry([run.id])
    ended = await flow.until_state(run, "completed")
    await flow.stop()
    await flow.store.close()

    assert failed.error is not None
    assert failed.error.message == "send: no answer"
    assert shop.done == ["reserve", "charge", "send"]
    assert ended.result == ALL


async def test_what_a_run_told_is_shown_with_it_whichever_attempt_told_it(tmp_path: Path) -> None:
    async def work(ctx: Context) -> str:
        ctx.log.info("attempt %d begins", ctx.attempt)
        await ctx.progress(ctx.attempt / 3, "on and on")
        await ctx.step("once", str, ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("again")
        return "done"

    flow = Flow([job_of(work, retry=Retry(attempts=3, base="1s", jitter=0))], store=SqliteStore(tmp_path / "s.db"))
    await flow.start()
    run = await flow.enqueue()
    for attempt in (1, 2):
        while (await flow.until_state(run, "retrying")).attempt < attempt:  # noqa: ASYNC110 - the store tells it
            await asyncio.sleep(0.001)
        await flow.clock.advance(10)
    await flow.ended(run)
    found = await flow.control.runs_show(run=run.id)
    await flow.stop()
    await flow.store.close()

    assert [(line["attempt"], line["text"]) for line in found["log"]] == [
        (1, "attempt 1 begins"), (2, "attempt 2 begins"), (3, "attempt 3 begins"),
    ]  # fmt: skip
    assert found["steps"] == [{"name": "once", "result": "1"}]
    assert (found["progress"], found["progress_text"], found["log_is_cut"]) == (1.0, "on and on", False)
    json.dumps(found)


async def test_of_a_long_log_and_of_large_steps_the_last_are_shown(tmp_path: Path) -> None:
    async def work(ctx: Context) -> None:
        for number in range(40):
            await ctx.step(f"step {number}", lambda: "x" * 60_000)
            for _ in range(40):
                ctx.log.info("%d %s", number, "y" * 100)

    flow = Flow([work], store=SqliteStore(tmp_path / "store.db"))
    await flow.start()
    run = await flow.ended(await flow.enqueue())
    found = await flow.control.runs_show(run=run.id)
    kept = await flow.store.log(run.id)
    await flow.stop()
    await flow.store.close()

    assert run.state == "completed"
    assert found["log_is_cut"] is True
    assert len(kept.text.encode()) <= LOG_BYTES
    assert found["log"][-1]["text"].startswith("39 ")
    assert found["steps"][-1]["name"] == "step 39"
    assert len(found["steps"]) + found["steps_left_out"] == 40
    assert len(json.dumps(found)) < 2_000_000
