"""New code comes while the old one still runs, one kernel after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.testing import until
from tests.acceptance.rig.works import LIMIT, Works, at_work, stop

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
from kernel import Context, every, hookimpl, job
from tests.acceptance.rig.jobs.works import write


@job
async def sell(ctx: Context, seconds: float) -> int:
    write("CHORES_JOURNAL", "begun", ctx)
    return ctx.attempt


@hookimpl
def register_jobs():
    return JOBS


JOBS = [sell]
"""
MORE = """
@job(concurrency=4, concurrency_scope="kernel")
async def fresh(ctx: Context, seconds: float) -> int:
    write("CHORES_JOURNAL", "begun", ctx)
    return ctx.attempt


@every("1s", catch_up="all", catch_up_max=1000, overlap="allow")
async def beat(ctx: Context) -> int:
    write("CHORES_JOURNAL", "begun", ctx)
    return ctx.attempt


JOBS += [fresh, beat]
"""


@pytest.mark.timeout(300)
async def test_new_code_takes_the_place_of_the_old_one_kernel_after_the_other(
    tmp_path: Path, postgres_url: str
) -> None:
    works = Works(tmp_path, postgres_url, plugins="[plugins.works]\n[plugins.shop]")
    code = tmp_path / "plugins" / "shop.py"
    code.write_text(SHOP)
    async with at_work(works.member(), works.member()) as (first, second):
        await works.enqueue(700, 0.05)
        await works.enqueue(300, 0.0, "shop.sell")
        await until(lambda: works.over() > 50, LIMIT)

        code.write_text(SHOP + MORE)
        await stop(first)
        async with at_work(works.member()) as (third,):
            await works.enqueue(200, 0.0, "shop.fresh")
            await works.enqueue(300, 0.0, "shop.sell")
            await until(lambda: sum(line.job == "shop.beat" for line in third.journal) >= 3, LIMIT)
            await works.all_ended()
            await works.has_members(second, third)

            await works.enqueue(300, 0.05)
            await stop(second)
            async with at_work(works.member()) as (fourth,):
                await works.take_part(fourth, job="shop.fresh")
                await works.all_ended()
                await works.has_members(third, fourth)
                await stop(third, fourth)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert not {line.job for program in (first, second) for line in program.journal} & {"shop.fresh", "shop.beat"}
