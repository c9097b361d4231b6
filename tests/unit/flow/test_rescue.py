"""What is told, and written down, of runs whose kernel has come to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import Claim, KernelRow, RunQuery
from kernel.model.events import Event, RunFailed, RunLost, RunReleased
from kernel.model.run import Change, RunState
from kernel.testing import settle
from plugins.memory.store import MemoryStore
from tests.flow_kit import Flow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from kernel.model.run import Run

BOOT = "boot"


class Inherited(MemoryStore):
    """A store that outlives its kernels: ``dead`` is the row of the one that had claimed its runs, None if it signed out."""

    def __init__(self, dead: KernelRow | None) -> None:
        super().__init__()
        self._dead = dead
        self.left: list[str] = []

    async def rescue(
        self,
        kernel: str,
        decide: Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]],
    ) -> list[Run]:
        runs = [await self._run(run) for run in self.left]
        cancelled = (await self.finish(decide(self._dead, runs))).cancelled
        return [await self._run(run) for run in (*self.left, *(one.id for one in cancelled))]

    async def _run(self, run_id: str) -> Run:
        [found] = await self.runs(RunQuery(ids=[run_id]))
        return found


def dead(boot: str = BOOT) -> KernelRow:
    return KernelRow("dead", 1, "host", boot, 0.0, 0.0, "")


async def work() -> None: ...


async def rescued(
    row: KernelRow | None, losses: int, *, count: int = 1, stopping: bool = False
) -> tuple[list[Run], list[Event]]:
    """Runs that had been lost so often, as the next kernel takes them up, and what it tells."""
    store = Inherited(row)
    flow = Flow([work], store=store)
    store.left = [(await flow.engine.intake.enqueue("demo.work")).id for _ in range(count)]
    claim = Claim("dead", flow.clock.now(), count, {"demo.work": count}, {}, suspects=count)
    for before in range(losses):
        again = [
            Change(run.id, run.token, RunState.QUEUED, run.due, run.urgency, 1, 0, losses=before + 1)
            for run in (await store.claim(claim)).runs
        ]
        await store.finish(again)
    assert len((await store.claim(claim)).runs) == count
    if stopping:
        await flow.engine.recorder.note_stop("dead")
    told: list[Event] = []

    async def hear(events: Sequence[Event]) -> None:
        told.extend(events)

    await store.open(KernelRow("kernel-1", 1, "host", BOOT, 0.0, 0.0, ""))
    found = await flow.engine.recorder.rescue("kernel-1")
    flow.bus.subscribe("test", (Event,), hear)
    flow.engine.recorder.tell_lost(found)
    await settle()
    await flow.bus.close()
    assert not await store.get("kernel"), "the note of a kernel that is gone is cleared away"
    return found, told


async def test_a_loss_is_told_with_what_becomes_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    [run], told = await rescued(dead(), 0)

    assert (run.state, run.losses) == (RunState.QUEUED, 1)
    [event] = told
    assert isinstance(event, RunLost)
    assert (event.run, event.job, event.losses, event.reason) == (run.id, "demo.work", 1, "lost with its kernel")
    assert "1 run that had been claimed is queued again: lost with its kernel" in caplog.text


async def test_what_is_tried_alone_is_told_with_when(caplog: pytest.LogCaptureFixture) -> None:
    [run], [event] = await rescued(dead(), 1)

    assert (run.state, run.losses) == (RunState.SCHEDULED, 2)
    assert isinstance(event, RunLost)
    assert event.reason == "lost with its kernel twice; it is tried alone"
    assert (
        f"run {run.id} of demo.work: lost with its kernel twice; it is tried alone at 2026-01-01T00:00:10"
        in caplog.text
    )


async def test_the_last_loss_is_told_as_a_failure_too(caplog: pytest.LogCaptureFixture) -> None:
    [run], told = await rescued(dead(), 4)

    assert (run.state, run.reason, run.losses) == (RunState.FAILED, "lost", 5)
    lost, failed = told
    assert isinstance(lost, RunLost)
    assert isinstance(failed, RunFailed)
    assert (failed.reason, failed.error.partition(" ")[0]) == ("lost", "Lost:")
    assert f"run {run.id} of demo.work has failed: Lost: its kernel died 5 times" in caplog.text


async def test_what_a_kernel_left_that_had_stopped_is_told_as_given_back() -> None:
    [run], [event] = await rescued(None, 1)

    assert (run.state, run.losses) == (RunState.QUEUED, 1)
    assert isinstance(event, RunReleased)
    assert event.reason == "its kernel was stopped"


async def test_a_kernel_that_was_told_to_stop_and_killed_before_it_had_costs_its_runs_nothing() -> None:
    [run], [event] = await rescued(dead(), 1, stopping=True)

    assert (run.state, run.losses) == (RunState.QUEUED, 1)
    assert isinstance(event, RunReleased)


async def test_a_machine_that_was_restarted_is_told_and_costs_nothing() -> None:
    [run], [event] = await rescued(dead("another boot"), 3)

    assert (run.state, run.losses) == (RunState.QUEUED, 3)
    assert isinstance(event, RunLost)
    assert (event.losses, event.reason) == (3, "the machine was restarted")


async def test_of_many_that_are_tried_alone_the_log_names_a_page(caplog: pytest.LogCaptureFixture) -> None:
    await rescued(dead(), 1, count=25)

    assert caplog.text.count("it is tried alone at") == 20
    assert "and so for 5 more lost runs" in caplog.text
