"""Payloads with types: what Python code enqueues arrives in the job as it was given, wherever the job runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from kernel import Client, Kernel, PayloadError, RunState
from kernel.config import load_config
from tests.flow_kit import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kernel import Context


class Size(Enum):
    SMALL = "small"


class Car(BaseModel):
    title: str
    price: Decimal


@dataclass
class Booking:
    car: Car
    days: list[date]
    size: Size | None = None


GIVEN: dict[str, Any] = {
    "booking": Booking(Car(title="Ford", price=Decimal("49.90")), [date(2026, 3, 1)], Size.SMALL),
    "at": datetime(2026, 3, 1, 9, tzinfo=UTC),
    "customer": UUID("0191e3b4-0000-7000-8000-000000000000"),
    "grace": timedelta(minutes=90),
}


def jobs_of(arrived: list[dict[str, Any]]) -> list[Callable[..., Any]]:
    async def on_loop(booking: Booking, at: datetime, customer: UUID, grace: timedelta | None = None) -> None:
        arrived.append({"booking": booking, "at": at, "customer": customer, "grace": grace})

    def in_thread(booking: Booking, at: datetime, customer: UUID, grace: timedelta | None = None) -> None:
        arrived.append({"booking": booking, "at": at, "customer": customer, "grace": grace})

    async def parent(ctx: Context) -> None:
        await ctx.enqueue("demo.on_loop", GIVEN)

    return [on_loop, in_thread, parent]


@pytest.mark.parametrize("job", ["on_loop", "in_thread"])
async def test_values_arrive_as_they_were_given(job: str) -> None:
    arrived: list[dict[str, Any]] = []
    async with running(*jobs_of(arrived)) as flow:
        done = await flow.ended(await flow.enqueue(f"demo.{job}", GIVEN))

    assert done.state == RunState.COMPLETED
    assert arrived == [GIVEN]
    assert [type(value) for value in arrived[0].values()] == [type(value) for value in GIVEN.values()]


async def test_a_job_may_enqueue_values_too() -> None:
    arrived: list[dict[str, Any]] = []
    async with running(*jobs_of(arrived)) as flow:
        await flow.ended(await flow.enqueue("demo.parent"))
        [run] = await flow.runs(job="demo.on_loop")
        await flow.ended(run)

    assert arrived == [GIVEN]


async def test_a_value_that_would_not_arrive_as_it_was_given_is_refused_and_nothing_is_written() -> None:
    async def work(title: str) -> None: ...

    async with running(work) as flow:
        with pytest.raises(PayloadError, match=r"demo.work: payload\.title: .* would arrive as '2026-03-01' \(str\)"):
            await flow.enqueue("demo.work", {"title": date(2026, 3, 1)})

        assert await flow.runs() == []


PLUGIN = """
from datetime import datetime
from pathlib import Path
from uuid import UUID

from kernel import hookimpl, job
from pydantic import BaseModel


class Car(BaseModel):
    title: str


@job(executor="process")
def elsewhere(at: datetime, ids: list[UUID], car: Car | None = None) -> list[str]:
    return [type(at).__name__, type(ids[0]).__name__, type(car).__name__]


@hookimpl
def register_jobs():
    return [elsewhere]
"""


async def test_values_arrive_in_another_process_too_and_a_client_gives_either(tmp_path: Path) -> None:
    package = tmp_path / "plugins" / "typed"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN)
    config = tmp_path / "plugins.toml"
    config.write_text('[kernel]\nstore = "sqlite:///store.db"\nplugin_dirs = ["plugins"]\n[plugins.typed]\n')
    at, ids = datetime(2026, 3, 1, 9, tzinfo=UTC), [UUID(int=7)]

    async with Kernel(load_config(config)) as kernel, Client(f"sqlite:///{tmp_path / 'store.db'}") as client:
        by_value = await kernel.enqueue("typed.elsewhere", {"at": at, "ids": ids})
        by_json = await client.enqueue(
            "typed.elsewhere", {"at": at.isoformat(), "ids": [str(ids[0])], "car": {"title": "Ford"}}
        )
        [by_client] = await client.enqueue_many(
            [("typed.elsewhere", {"at": at, "ids": ids, "car": Car(title="Ford", price=Decimal(1))})]
        )
        with pytest.raises(PayloadError, match=r"payload\.at: 'small'; expected an instant"):
            await client.enqueue("typed.elsewhere", {"at": Size.SMALL, "ids": []})
        done = [await kernel.wait(run.id, timeout="20s") for run in (by_value, by_json, by_client)]

    assert [run.result for run in done] == [
        ["datetime", "UUID", "NoneType"], ["datetime", "UUID", "Car"], ["datetime", "UUID", "Car"],
    ]  # fmt: skip
