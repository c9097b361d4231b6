"""One life of a kernel in a process of its own: under a load of every kind of work until it dies, or to the last run.

What callers are told is written down as they are told it; the jobs in ``jobs/chores.py`` write down that they begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import random
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import kernel.flow.pruner
import kernel.flow.watch
import kernel.flow.worker_pool
import kernel.model.loss
from kernel import Client, Kernel, StoreError
from kernel.config import load_config
from kernel.contracts.clock import SystemClock
from kernel.contracts.service import Periodic
from kernel.contracts.store import RunQuery
from kernel.control_socket import ask
from kernel.model.run import RunState
from plugins.sqlite.store import SqliteStore
from tests.acceptance.rig.evidence import lines_of, text_of
from tests.acceptance.rig.program import environment
from tests.acceptance.rig.trap import Trap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from kernel import Run
    from kernel.contracts.clock import Clock
    from tests.acceptance.rig.kill_points import Point
    from tests.acceptance.rig.trap import Spot

FINISHED, NOT_REACHED, NOT_FINISHED = 0, 3, 4
"""How a life ends that does not end by a kill."""
_LONGEST_SECONDS = 10.0
_LAST_SECONDS = 60.0
"""For what was lost twice, too: it is tried one at a time."""


@dataclass(frozen=True)
class Order:
    """``point`` None: no kill; it lives until every accepted run has ended."""

    folder: Path
    life: int
    seed: int
    point: Point | None = None
    spot: Spot = "before"
    nth: int = 1


def live(order: Order) -> int:
    """The exit status; does not return when it is killed."""
    longest = _LAST_SECONDS if order.point is None else _LONGEST_SECONDS
    faulthandler.dump_traceback_later(2 * longest + _LONGEST_SECONDS, exit=True)
    os.environ.update(environment(order.folder, order.life))
    if order.point is not None:
        Trap(order.point, order.spot, order.nth).set()
    # What comes seldom comes soon enough to be killed at.
    kernel.flow.worker_pool.GRACE_SECONDS = 0.1
    kernel.flow.watch._SWEEP_SECONDS = 0.0
    kernel.model.loss.FIRST_WAIT_SECONDS = kernel.model.loss.NEXT_WAIT_SECONDS = 0.1
    if order.point is None:  # in the lives before, none is up for so long that it would try what was lost twice
        kernel.model.loss.SETTLED_SECONDS = 0.1
    for module in (kernel.flow.watch, kernel.flow.pruner):
        setattr(module, Periodic.__name__, _Quick)
    return asyncio.run(_Life(order).run())


class _Quick(Periodic):
    def __init__(self, name: str, _seconds: float, turn: Callable[[], Awaitable[None]], clock: Clock) -> None:
        super().__init__(name, 0.1, turn, clock)


class StepClock(SystemClock):
    """The machine's, but that somebody may set it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class _Life:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._chance = random.Random(order.seed)  # noqa: S311 - it shuffles work
        self._words = os.open(order.folder / f"words-{order.life}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._clock = StepClock()
        self._is_stopping = False
        self._kernel = Kernel(load_config(order.folder / "plugins.toml"), clock=self._clock)

    async def run(self) -> int:
        if self._order.point is not None and self._order.point.function.endswith("_forget_notes"):
            await self._leave_note()
        await self._kernel.start()
        if self._order.point is None:
            return await self._to_the_end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_SECONDS), asyncio.TaskGroup() as group:
                for work in self._works():
                    group.create_task(self._again_and_again(work))
        return NOT_REACHED

    async def _leave_note(self) -> None:
        """Of a kernel that was killed while it stopped: the next one has to clear it away."""
        store = SqliteStore(self._order.folder / "store.db")
        await store.open(None)
        await store.put("kernel", {"stopping somebody": "true"})
        await store.close()

    async def _to_the_end(self) -> int:
        await self._accept("chores.quick", {"number": 0})
        lives = range(self._order.life + 1)
        words = [word for life in lives for word in lines_of(self._order.folder, "words", life)]
        ids = [word.run for word in words if word.what == "accepted"]
        deadline = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < deadline:
            states = await self._kernel.store.count(RunQuery(ids=ids))
            if all(RunState(state).is_final for state in states):
                await self._kernel.stop(grace=2.0)
                return FINISHED
            await asyncio.sleep(0.02)
        return NOT_FINISHED

    async def _again_and_again(self, work: Callable[[int], Awaitable[None]]) -> None:
        for number in count():
            try:
                await work(number)
            except StoreError:
                if not self._is_stopping:
                    raise
            await asyncio.sleep(0.01 + 0.03 * self._chance.random())

    def _works(self) -> list[Callable[[int], Awaitable[None]]]:
        works: list[Callable[[int], Awaitable[None]]] = [
            self._enqueue, self._enqueue_many, self._cancel_waiting, self._cancel_running, self._retry, self._schedules,
            self._expire, self._get_stuck, self._work_as_client, self._go_in_steps, self._trip_a_breaker, self._stay_alone,
            self._use_keys, self._keep_to_rates, self._fan_in, self._count,
        ]  # fmt: skip
        point = self._order.point
        if point is not None and point.file.endswith("scheduler.py") and point.call == "put_schedules":
            works.append(self._step_clock)
        if point is not None and point.function == "reset_breaker":
            works.append(self._reset_breaker)
        if point is not None and (point.is_passed or point.function.endswith("note_stop")):
            works.append(self._stop)
        return works

    # The kinds of work

    async def _enqueue(self, number: int) -> None:
        match number % 6:
            case 0:
                await self._accept("chores.thread", {"number": number}, priority=number % 10)
            case 1:
                await self._accept("chores.flaky")
            case 2:
                await self._accept("chores.sleepy", queue="tight")
            case 3:
                await self._accept("chores.slow", unique=f"key-{number % 4}")
            case 4:
                await self._accept("chores.quick", {"number": number}, delay=0.05)
            case _:
                await self._accept("chores.fleeting")

    async def _enqueue_many(self, number: int) -> None:
        runs = await self._kernel.enqueue_many([("chores.quick", {"number": one}) for one in range(number % 7 + 1)])
        for run in runs:
            self._say("accepted", run)

    async def _cancel_waiting(self, number: int) -> None:
        run = await self._accept("chores.quick", {"number": number}, delay="500ms")
        await self._kernel.control.runs_cancel(runs=[run.id])

    async def _cancel_running(self, _number: int) -> None:
        run = await self._accept("chores.slow", priority=0)
        await asyncio.sleep(0.03)
        await self._kernel.control.runs_cancel(runs=[run.id])

    async def _retry(self, _number: int) -> None:
        run = await self._accept("chores.hopeless")
        await self._kernel.wait(run.id, 5.0)
        self._say("retrying", run)
        await self._kernel.control.runs_retry(runs=[run.id])

    async def _schedules(self, number: int) -> None:
        schedules = self._kernel.schedules
        name = f"added-{self._order.life}-{number}"
        await schedules.add(name, "chores.quick", every="100ms", payload={"number": number})
        self._say(
            "accepted", await self._kernel.engine.intake.trigger(self._kernel.engine.scheduler.entries[name].schedule)
        )
        await schedules.pause(name)
        await schedules.resume(name)
        await asyncio.sleep(0.12)
        await schedules.remove(name)

    async def _expire(self, _number: int) -> None:
        await self._kernel.control.queues_pause(queue="parked")
        await self._accept("chores.expiring")
        await asyncio.sleep(0.06)
        await self._kernel.control.queues_resume(queue="parked")

    async def _get_stuck(self, _number: int) -> None:
        run = await self._accept("chores.stubborn")
        await self._kernel.wait(run.id, 5.0)

    async def _work_as_client(self, number: int) -> None:
        """As another process does, beside the kernel."""
        name = f"from-outside-{self._order.life}-{number}"
        async with Client(self._kernel.config.kernel.store) as client:
            self._say("accepted", await client.enqueue("chores.quick", {"number": number}))
            await client.control.schedules_add(
                name=name, job="chores.quick", payload={"number": 1}, options={"every": "1s"}
            )
            await client.control.schedules_pause(schedule=name)
            await client.control.schedules_remove(schedule=name)

    async def _go_in_steps(self, number: int) -> None:
        await self._accept_all([(("duties.stepwise", "duties.stepwise_thread", "duties.telling")[number % 3], {})] * 2)

    async def _trip_a_breaker(self, _number: int) -> None:
        for fails in (True, False):
            await self._accept_all([("duties.asking", {"life": self._order.life, "fails": fails})] * 2)

    async def _stay_alone(self, number: int) -> None:
        await self._accept("duties.alone", {"key": f"key-{number % 2}"})

    async def _use_keys(self, number: int) -> None:
        await self._accept_all([("duties.keyed", {"key": f"key-{number % 2}"})] * 2)

    async def _keep_to_rates(self, _number: int) -> None:
        await self._accept_all([("duties.rated", {})] * 4)

    async def _fan_in(self, number: int) -> None:
        """A child of four, one of which fails now and then, and a child of that one."""
        parents = [await self._accept("duties.parent", {"fails": number % 3 == one == 0}) for one in range(4)]
        for _ in range(2):
            ids = [parent.id for parent in parents]
            parents = [await self._accept("duties.child", {"parents": ids}, depends_on=parents)]
        await self._wait_for(parents)

    async def _count(self, _number: int) -> None:
        await self._accept("duties.counting")

    async def _reset_breaker(self, _number: int) -> None:
        """As the command line does, by the socket."""
        kernel = self._kernel
        os.write(self._words, text_of("resetting", "-", 0, "partner"))
        await ask(
            kernel.config.kernel.run_dir / f"kernel-{kernel.id[:8]}.sock", "breakers_reset", {"breaker": "partner"}
        )

    async def _step_clock(self, _number: int) -> None:
        os.write(self._words, text_of("stepping", "-", 0, "clock"))
        self._clock.ahead += 0.777
        await asyncio.sleep(1.5)

    async def _stop(self, _number: int) -> None:
        await asyncio.sleep(0.3)
        self._is_stopping = True
        await self._kernel.stop(grace=0.1)

    # What callers are told

    async def _accept(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Run:
        run = await self._kernel.enqueue(job, payload, **options)
        self._say("accepted", run)
        return run

    async def _accept_all(self, wishes: list[tuple[str, dict[str, Any]]]) -> None:
        """And waits until they have ended, so that no more is left over than the next lives can do."""
        await self._wait_for([await self._accept(job, payload) for job, payload in wishes])

    async def _wait_for(self, runs: list[Run]) -> None:
        """Not for ever: what was left over comes first, and a limit may hold these back."""
        with contextlib.suppress(TimeoutError):
            for run in runs:
                await self._kernel.wait(run.id, 2.0)

    def _say(self, what: str, run: Run) -> None:
        os.write(self._words, text_of(what, run.id, run.attempt, run.job))
