"""Which executors there are, and what is said of a name that nobody answers, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.model.errors import ConfigError
from tests.unit.plugin_folder import PluginFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = """
    from kernel import hookimpl

    opened = []

    class Good:
        async def start(self): opened.append("started")
        async def stop(self): opened.append("stopped")
        async def attempt(self, work): ...
        def kill(self, run): ...

    @hookimpl
    def open_executor(name):
        opened.append(name)
        return Good() if name == "dask" else None
"""


def shop(executor: str, how: str = "def") -> str:
    return f"""
        from kernel import hookimpl, job

        @job(executor={executor!r})
        {how} work(): ...

        @hookimpl
        def register_jobs():
            return [work]
    """


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[PluginFolder]:
    found = PluginFolder(tmp_path)
    yield found
    found.host.close()


@pytest.mark.parametrize(("executor", "how"), [("thread", "def"), ("process", "def"), ("process", "async def")])
async def test_the_kernel_s_own_executors_are_there(folder: PluginFolder, executor: str, how: str) -> None:
    folder.write("shop", shop(executor, how))

    [job] = (await folder.load())["shop"].jobs

    assert job.policies.executor == executor


async def test_an_executor_is_opened_once_and_only_when_a_job_asks_for_it(folder: PluginFolder) -> None:
    folder.write("good", GOOD)
    folder.write("shop", shop("dask"))
    folder.write("other", shop("dask"))

    states = await folder.load()
    await folder.host.start(None)
    module = folder.host._plugins["good"].module

    assert states["shop"].state == states["other"].state == "enabled"
    assert module is not None
    assert module.opened == ["dask", "started"]
    assert [*folder.host.executors()] == ["dask"]

    await folder.host.stop(None)
    assert module.opened == ["dask", "started", "stopped"]
    assert not folder.host.executors()


async def test_an_unknown_executor_breaks_the_plugin_whose_code_asks_for_it(folder: PluginFolder) -> None:
    folder.write("good", GOOD)
    folder.write("one", shop("dask"))
    place = folder.write("shop", shop("daks"))

    state = (await folder.load())["shop"]

    assert state.state == "broken"
    assert state.place == f"{place}:4"
    assert state.reason == (
        "job work: executor: 'daks': no executor of this name; expected one of thread, process, dask, or a name that a "
        'plugin\'s hook open_executor answers. Did you mean "dask"?'
    )


async def test_what_requires_a_plugin_that_is_broken_so_is_broken_too(folder: PluginFolder) -> None:
    folder.write("shop", shop("nowhere"))
    folder.write("above", 'requires = ["shop"]')

    states = await folder.load()

    assert states["above"].state == "broken"
    assert "shop" in states["above"].reason


async def test_an_unknown_executor_in_plugins_toml_is_told_with_its_line(folder: PluginFolder) -> None:
    folder.write("shop", shop("process"))

    with pytest.raises(ConfigError) as caught:
        await folder.load('[plugins.shop.jobs.work]\ntimeout = "5s"\nexecutor = "proces"\n')

    [problem] = caught.value.problems
    assert problem.startswith(
        f"{folder.root / 'plugins.toml'}:3: [plugins.shop.jobs.work] executor: 'proces': no executor of this name"
    )
    assert problem.endswith('Did you mean "process"?')


async def test_a_thread_for_async_def_is_refused_in_the_code_and_in_plugins_toml(folder: PluginFolder) -> None:
    place = folder.write("shop", shop("thread", "async def"))
    state = (await folder.load())["shop"]

    assert (state.state, state.place) == ("broken", f"{place}:4")
    assert 'register_jobs: work: executor: "thread": an async def does not run in a thread of its own' in state.reason

    folder.write("lower", shop("process", "async def"))
    with pytest.raises(ConfigError) as caught:
        await folder.load('[plugins.lower.jobs.work]\nexecutor = "thread"\n')
    [problem] = caught.value.problems
    assert ':2: [plugins.lower.jobs.work] executor: "thread": an async def' in problem
    assert 'expected "process"' in problem


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise OSError('no route')", "open_executor: OSError: no route"),
        ("return 5", "open_executor('dask'): found 5; expected an object with async def start(), stop() and attempt"),
        ("import time; time.sleep(600)", "open_executor: has not returned within 0.3 s"),
    ],
)
async def test_a_hook_that_fails_breaks_its_plugin_and_the_next_one_is_asked(
    folder: PluginFolder, body: str, told: str
) -> None:
    folder.host = folder.new_host(limit_seconds=0.3)
    folder.write("bad", f"from kernel import hookimpl\n@hookimpl\ndef open_executor(name):\n    {body}")
    folder.write("good", GOOD)
    folder.write("shop", shop("dask"))

    states = await folder.load()

    assert states["bad"].state == "broken"
    assert told in states["bad"].reason
    assert states["shop"].state == "enabled"


async def test_an_executor_that_was_opened_stays_when_another_plugin_changes(folder: PluginFolder) -> None:
    folder.write("good", GOOD)
    folder.write("shop", shop("dask"))
    await folder.load()
    await folder.host.start(None)
    before = folder.host.executors()["dask"]

    folder.write("later", shop("dask"))
    await folder.load()
    await folder.host.start(None, ["later"])

    assert folder.host.executors()["dask"] is before
