"""What a plugin declares otherwise than before, on the same grid of ticks."""

from __future__ import annotations

import asyncio

from kernel.testing import settle
from tests.flow_kit import TroubledStore, every, running


async def work() -> None: ...


async def test_a_tick_that_falls_due_while_a_changed_definition_is_taken_is_not_lost() -> None:
    store = TroubledStore()
    async with running(work, schedules=[every(10)], store=store) as flow:
        flow.clock.skip(10)
        store.after["look"] = asyncio.Event()
        declaring = asyncio.create_task(flow.engine.scheduler.declare("demo", [every(10, catch_up_max=5)]))
        await settle()
        flow.clock.skip(10)
        store.after.pop("look").set()
        await declaring
        await flow.clock.advance(10)

        assert sum(tick.count for tick in await flow.ticks()) == 3
