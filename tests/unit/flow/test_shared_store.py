"""What a kernel does with limits over all kernels, on a store that others may have open too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kernel.control import Control
from kernel.model.queue import Queue
from kernel.testing import settle
from plugins.memory.store import MemoryStore
from tests.flow_kit import job_of, running

if TYPE_CHECKING:
    from kernel.contracts.store import Claim, Claims, Finishes, KernelRow
    from tests.flow_kit import Flow


class SharedStore(MemoryStore):
    """Counts as PostgreSQL does; of limit ``tight`` so many places are others'."""

    def __init__(self, others: int = 0) -> None:
        super().__init__()
        self.others = others
        self.mine = 0
        self.claims: list[Claim] = []

    @property
    def is_shared(self) -> bool:
        return True

    async def claim(self, claim: Claim) -> Claims:
        self.claims.append(claim)
        room = max(claim.queue_limits.get("tight", 1 << 30) - self.others - self.mine, 0)
        queues = {name: min(limit, room) if name == "tight" else limit for name, limit in claim.queues.items()}
        claims = await super().claim(claim._replace(queues=queues))
        self.mine += sum(run.queue == "tight" for run in claims.runs)
        return claims

    async def finish(self, changes: object) -> Finishes:
        done = await super().finish(changes)  # type: ignore[arg-type] # as it was given
        self.mine -= sum(done.written)
        return done


TIGHT = Queue("tight", concurrency=2)


async def work() -> None: ...


async def test_when_a_run_has_ended_and_that_is_written_the_next_one_is_claimed_at_once() -> None:
    store = SharedStore(others=1)
    async with running(job_of(work, queue="tight"), store=store, queues=[TIGHT]) as flow:
        await flow.engine.intake.enqueue_many([("demo.work", None)] * 5)
        await settle()
        states = [run.state for run in await flow.runs()]

    assert states == ["completed"] * 5


async def test_what_takes_places_from_others_is_claimed_only_when_there_are_slots_for_it() -> None:
    store = SharedStore()
    gate = asyncio.Event()

    async def long() -> None:
        await gate.wait()

    async with running(
        job_of(long), job_of(work, queue="tight"), store=store, queues=[TIGHT], concurrency=3
    ) as flow:  # fmt: skip
        await flow.engine.intake.enqueue_many([("demo.long", None)] * 3)
        await settle()
        await flow.engine.intake.enqueue_many([("demo.work", None)] * 5)
        await settle()
        held = store.mine
        gate.set()
        await settle()
        states = [run.state for run in await flow.runs(queue="tight")]

    assert held == 1  # which takes the next slot
    assert states == ["completed"] * 5


@pytest.mark.parametrize(
    ("policies", "limits"),
    [
        ({"concurrency": 3}, {"demo.work": 3}),
        ({"concurrency": 3, "concurrency_scope": "kernel"}, {}),
        ({"executor": "process"}, {}),
        ({"executor": "process", "concurrency": 3}, {"demo.work": 3}),
    ],
)
async def test_a_limit_over_all_kernels_is_told_to_the_store(policies: dict[str, Any], limits: dict[str, int]) -> None:
    store = SharedStore()
    scoped = [TIGHT, Queue("own", concurrency=4, concurrency_scope="kernel")]
    async with running(job_of(work, **policies), store=store, queues=scoped):
        await settle()

    assert (store.claims[-1].job_limits, store.claims[-1].queue_limits) == (limits, {"tight": 2})


async def test_of_a_limit_in_each_kernel_explain_looks_at_all_that_are_alive() -> None:
    class TwoKernels(SharedStore):
        async def kernels(self) -> list[KernelRow]:
            [mine] = await super().kernels()
            return [mine, *([mine._replace(id="kernel-2")] if self.others else [])]

    store = TwoKernels()
    gate = asyncio.Event()

    async def long() -> None:
        await gate.wait()

    async with running(job_of(long, concurrency=1, concurrency_scope="kernel"), store=store) as flow:
        first, second = [run.id for run in await flow.engine.intake.enqueue_many([("demo.long", None)] * 2)]
        await settle()
        alone = await _why(flow, second)
        store.others = 1
        with_another = await _why(flow, second)
        gate.set()
        await settle()

    assert alone == ("limit", f"the job demo.long runs at most 1 at once in each kernel: held by {first}")
    assert with_another[0] == "waiting for a slot"


async def _why(flow: Flow, run: str) -> tuple[str, str]:
    engine = flow.engine
    control = Control(
        store=flow.store, catalog=flow.catalog, intake=engine.intake, recorder=engine.recorder, clock=flow.clock,
        engine=engine,
    )  # fmt: skip
    answer = await control.explain(subject=run)
    return answer["reason"], answer["text"]


async def test_on_a_store_of_one_kernel_its_rooms_are_all_there_is_to_heed() -> None:
    class OwnStore(SharedStore):
        @property
        def is_shared(self) -> bool:
            return False

    store = OwnStore()
    async with running(job_of(work, concurrency=3), store=store, queues=[TIGHT]):
        await settle()

    claim = store.claims[-1]
    assert (claim.job_limits, claim.queue_limits) == ({}, {})
    assert (claim.jobs, claim.queues) == ({"demo.work": 3}, {"tight": 2})
