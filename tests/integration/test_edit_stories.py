"""plugins.toml changed through a running kernel: it holds at once and after a restart, or nothing has changed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kernel import ConfigError, Kernel, RequestError, UnknownNameError
from kernel.config import load_config
from tests.flow_kit import running as flow_running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


JOBS = """
import asyncio
from kernel import hookimpl, job

begun, may_end = asyncio.Queue(), asyncio.Event()

@job(queue="mail")
async def send() -> None:
    begun.put_nowait(1)
    await may_end.wait()

@hookimpl
def register_jobs():
    return [send]
"""
SPARE = """
from kernel import hookimpl, job

@job
async def work() -> None: ...

@hookimpl
def register_jobs():
    return [work]
"""
FILE = """# of the tests
[kernel]
store = "memory://"
shutdown_grace = "0s"

[queues.mail] # slow
concurrency = 5 # few

[plugins.demo]
"""


@asynccontextmanager
async def running(folder: Path, text: str = FILE) -> AsyncIterator[Kernel]:
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "demo.py").write_text(JOBS, encoding="utf-8")
    (folder / "plugins" / "spare.py").write_text(SPARE, encoding="utf-8")
    (folder / "plugins.toml").write_text(text, encoding="utf-8")
    async with Kernel(load_config(folder / "plugins.toml")) as kernel:
        yield kernel


async def limit_of(kernel: Kernel, queue: str = "mail") -> Any:
    return next(one["concurrency"] for one in await kernel.control.queues_list() if one["queue"] == queue)


async def test_a_resized_queue_holds_at_once_and_stands_in_the_file(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        lines = await kernel.control.queues_resize(queue="mail", concurrency=12)
        after = await limit_of(kernel)

    assert (lines, after) == (["queue mail changed"], 12)
    assert (tmp_path / "plugins.toml").read_text() == FILE.replace("concurrency = 5", "concurrency = 12")


async def test_a_queue_without_limit_has_none_and_no_key(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        await kernel.control.queues_resize(queue="mail", concurrency=None)
        after = await limit_of(kernel)

    assert after is None
    assert "concurrency" not in (tmp_path / "plugins.toml").read_text()


async def test_more_runs_begin_as_soon_as_the_queue_is_larger(tmp_path: Path) -> None:
    async with running(tmp_path, FILE.replace("= 5", "= 1")) as kernel:
        for _ in range(2):
            await kernel.enqueue("demo.send")
        begun: Any = kernel.host._plugins["demo"].module.begun  # type: ignore[union-attr] # it is enabled
        await begun.get()
        await kernel.control.queues_resize(queue="mail", concurrency=2)
        async with asyncio.timeout(10):
            await begun.get()


@pytest.mark.parametrize(
    ("queue", "concurrency", "told"),
    [
        ("mial", 3, "no queue named 'mial'. Did you mean \"mail\"?"),
        ("mail", 0, "queues resize: 0 is no concurrency: expected a whole number from 1 to 100,000"),
        ("mail", "3", "'3' is no concurrency"),
        ("mail", True, "True is no concurrency"),
    ],
)
async def test_a_wrong_size_is_refused(tmp_path: Path, queue: str, concurrency: Any, told: str) -> None:
    async with running(tmp_path) as kernel:
        with pytest.raises(RequestError) as caught:
            await kernel.control.queues_resize(queue=queue, concurrency=concurrency)

    assert told in str(caught.value)
    assert (tmp_path / "plugins.toml").read_text() == FILE


async def test_a_plugin_is_switched_on_and_off_again(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        on = await kernel.control.plugins_enable(plugin="spare")
        jobs = {one["job"] for one in await kernel.control.jobs()}
        off = await kernel.control.plugins_disable(plugin="spare")

    assert (on["state"], off["state"]) == ("enabled", "off")
    assert jobs == {"demo.send", "spare.work"}
    assert (tmp_path / "plugins.toml").read_text() == FILE + "\n[plugins.spare]\nenabled = false\n"


async def test_an_unknown_plugin_is_told_with_the_nearest(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        with pytest.raises(UnknownNameError, match=r"no plugin named 'spear'\. Did you mean \"spare\""):
            await kernel.control.plugins_enable(plugin="spear")


async def test_where_the_file_was_wrong_already_nothing_is_changed_and_its_problems_are_told(tmp_path: Path) -> None:
    path = tmp_path / "plugins.toml"
    wrong = FILE.replace("[kernel]", "[kernel]\nconcurency = 3")
    async with running(tmp_path) as kernel:
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(ConfigError, match="concurency"):
            await kernel.control.queues_resize(queue="mail", concurrency=9)
        after, state = await limit_of(kernel), await kernel.control.config()
        text = path.read_text()
        path.write_text(FILE, encoding="utf-8")
        await kernel.reload()
        mended = await kernel.control.config()

    assert (after, text) == (5, wrong)
    assert state["path"] == str(path)
    assert "concurency" in state["problems"][0]
    assert mended["problems"] == []


async def test_an_edit_is_carried_out_when_who_asked_has_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        asked = asyncio.create_task(kernel.control.plugins_enable(plugin="spare"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await kernel.control.queues_resize(queue="mail", concurrency=8)  # one edit after another
        states = {one["plugin"]: one["state"] for one in await kernel.control.plugins()}

    assert asked.cancelled()
    assert states["spare"] == "enabled"


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("queues_resize", {"queue": "default", "concurrency": 3}),
        ("plugins_enable", {"plugin": "demo"}),
        ("plugins_disable", {"plugin": "demo"}),
        ("config", {}),
    ],
)
async def test_without_a_running_kernel_it_is_refused(operation: str, given: dict[str, Any]) -> None:
    async with flow_running() as flow:
        with pytest.raises(RequestError, match="only a running kernel"):
            await flow.control.call(operation, given)
