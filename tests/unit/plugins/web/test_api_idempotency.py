"""``Idempotency-Key``: asked once or ten times, before and after a crash, a wish makes one run."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from kernel import StoreError
from kernel.flow.pruner import Pruner
from kernel.testing import FakeClock
from plugins.web import idempotency
from tests.unit.plugins.web.web_kit import TOKEN, running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plugins.web.web_kit import Reply, Web

RUNS = "/api/v1/runs"
WISH = {"job": "demo.greets", "payload": {"name": "Eva"}}


async def ask(web: Web, key: str = "order-17", wish: Any = None, **headers: str) -> Reply:
    return await web.post(RUNS, json=wish or WISH, idempotency_key=key, **headers)


async def count(web: Web) -> int:
    return len(json.loads((await web.get(RUNS)).text)["items"])


def run_of(reply: Reply) -> str:
    assert reply.status in {200, 201}, reply.text
    return str(json.loads(reply.text)["id"])


def sqlite(folder: Path) -> str:
    return f'[kernel] store = "sqlite:///{folder}/store.db"'


async def test_the_same_key_and_body_give_the_same_run(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        first = await ask(web)
        again = await ask(web)
        assert (first.status, again.status, run_of(again)) == (201, 201, run_of(first))
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert json.loads(again.text)["is_new"] is True
        assert run_of(await ask(web, "order-18")) != run_of(first)
        assert await count(web) == 2


async def test_the_same_key_with_another_body_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await ask(web)
        reply = await ask(web, wish=WISH | {"priority": 1})
        assert reply.status == 422
        assert "another body" in json.loads(reply.text)["detail"]
        assert await count(web) == 1


async def test_equal_requests_at_once_make_one_run(tmp_path: Path) -> None:
    async with running(tmp_path, sqlite(tmp_path)) as web:
        replies = await asyncio.gather(*(ask(web) for _ in range(20)))
        assert len({run_of(reply) for reply in replies}) == 1
        assert sum("Idempotency-Replayed" not in reply.headers for reply in replies) == 1
        assert await count(web) == 1


async def test_a_wish_that_was_wrong_may_be_mended_under_its_key(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        assert (await ask(web, wish={"job": "demo.greets", "payload": {"nam": "Eva"}})).status == 422
        assert (await ask(web)).status == 201


async def test_keys_of_two_people_are_not_the_same(tmp_path: Path) -> None:
    async with running(tmp_path, f'users.eva.token = "{TOKEN}"', f'users.bob.token = "{TOKEN[::-1]}"') as web:
        eva = await ask(web, authorization=f"Bearer {TOKEN}")
        bob = await ask(web, authorization=f"Bearer {TOKEN[::-1]}")
        assert run_of(eva) != run_of(bob)


async def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, sqlite(tmp_path)) as web:
        run = run_of(await ask(web))
        await web.kernel.wait(run, timeout=10)
    async with running(tmp_path, sqlite(tmp_path)) as web:
        again = await ask(web)
        assert (run_of(again), again.headers["Idempotency-Replayed"]) == (run, "true")
        assert json.loads(again.text)["state"] == "completed"
        assert await count(web) == 1


@pytest.mark.parametrize("step", ["before the run", "after the run"])
async def test_a_crash_at_any_step_leaves_one_run_for_who_asks_again(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, sqlite(tmp_path)) as web:
        control = web.kernel.control
        enqueue = control.enqueue

        async def crash(**wish: Any) -> Any:
            if step == "after the run":
                await enqueue(**wish)
            raise StoreError("the process has died here")

        monkeypatch.setattr(control, "enqueue", crash)
        assert (await ask(web)).status == 503
        monkeypatch.undo()
        assert await count(web) == (step == "after the run")
    async with running(tmp_path, sqlite(tmp_path)) as web:
        replies = [await ask(web), await ask(web)]
        assert len({run_of(reply) for reply in replies}) == 1
        assert await count(web) == 1


async def test_a_run_that_is_no_longer_kept_is_not_made_again(tmp_path: Path) -> None:
    async with running(
        tmp_path, sqlite(tmp_path), "[plugins.demo.jobs.greets]", "keep = {completed = 0, failed = 0, count = 0}"
    ) as web:
        run = run_of(await ask(web))
        await web.kernel.wait(run, timeout=10)
        kernel = web.kernel
        while await count(web):
            await Pruner(kernel.store, kernel.catalog, kernel.clock).turn()
        reply = await ask(web)
        assert reply.status == 410
        assert run in json.loads(reply.text)["detail"]
        assert await count(web) == 0


async def test_a_unique_run_that_was_there_is_the_answer_both_times(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        there = await web.kernel.enqueue("demo.ok", delay="1h", unique="one")
        wish = {"job": "demo.ok", "unique": "one"}
        replies = [await ask(web, wish=wish), await ask(web, wish=wish)]
        assert [(reply.status, run_of(reply)) for reply in replies] == [(200, there.id)] * 2


async def test_a_key_is_forgotten_after_a_day_and_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MOST_KEYS", 2)
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as web:
        keys = web.site.idempotency
        first = run_of(await ask(web, "a"))
        for key in "bc":
            await ask(web, key)
            clock.skip(1.0)
        await keys.sweep()
        assert len(await web.kernel.values("web.idempotency").get()) == 2
        assert run_of(await ask(web, "a")) != first
        clock.skip(idempotency.KEPT_SECONDS)
        await keys.sweep()
        assert await web.kernel.values("web.idempotency").get() == {}


@pytest.mark.parametrize("key", ["a b", "ä", "x" * 201])
async def test_a_key_that_is_none_is_refused(tmp_path: Path, key: str) -> None:
    async with running(tmp_path) as web:
        reply = await ask(web, key)
        assert reply.status == 422
        assert json.loads(reply.text)["errors"][0]["at"] == "header.Idempotency-Key"
        assert await count(web) == 0
