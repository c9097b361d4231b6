"""The hooks that stand around attempts and enqueueing: entered in the task, told of errors, and never in the way."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Context
from kernel import plugin_around as around
from kernel.flow.runner import Runner
from kernel.model.events import PluginFaulted
from tests.flow_kit import job_of, running
from tests.unit.plugin_folder import PluginFolder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from kernel.model.run import Run
    from tests.flow_kit import Flow

HEAD = """
import asyncio, contextvars
from contextlib import asynccontextmanager, contextmanager
from kernel import hookimpl

story = []
colour = contextvars.ContextVar("colour", default="none")
"""
GOOD = (
    HEAD
    + """
@hookimpl
@asynccontextmanager
async def around_attempt(ctx):
    token = colour.set(ctx.run.job)
    story.append(("begin", ctx.attempt))
    try:
        yield
    except BaseException as error:
        story.append(("end", type(error).__name__, str(error)))
        raise
    else:
        story.append(("end",))
    finally:
        colour.reset(token)

@hookimpl
@asynccontextmanager
async def around_enqueue(runs):
    story.append(("enqueue", [run.job for run in runs]))
    try:
        yield ["seen"]
    except Exception as error:
        story.append(("refused", str(error)))
        raise
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[PluginFolder]:
    found = PluginFolder(tmp_path)
    yield found
    found.host.close()


def module_of(folder: PluginFolder, name: str) -> Any:
    (module,) = [
        module
        for full, module in sys.modules.items()
        if full.endswith(f".{name}") and str(getattr(module, "__file__", "")).startswith(str(folder.root))
    ]
    return module


@asynccontextmanager
async def flow_with(folder: PluginFolder, *jobs: Any) -> AsyncIterator[Flow]:
    await folder.load()
    async with running(*jobs) as flow:
        flow.engine.put_around(folder.host.around_attempt(), folder.host.around_enqueue())
        yield flow


async def fine() -> str:
    return "fine"


async def fails() -> None:
    raise ValueError("no")


def in_thread() -> None:
    raise LookupError("there")


async def test_it_stands_around_each_attempt_and_each_enqueue(folder: PluginFolder) -> None:
    folder.write("good", GOOD)

    async def looks(ctx: Context) -> str:
        await ctx.enqueue("demo.fine")
        return str(module_of(folder, "good").colour.get())

    async with flow_with(folder, job_of(looks), fine) as flow:
        ended = await flow.ended(await flow.enqueue("demo.looks", tags=["mine"]))
        for run in await flow.runs():
            await flow.ended(run)

    assert (ended.result, ended.tags) == ("demo.looks", ("mine", "seen"))
    assert module_of(folder, "good").story == [
        ("enqueue", ["demo.looks"]), ("begin", 1), ("enqueue", ["demo.fine"]), ("end",), ("begin", 1), ("end",),
    ]  # fmt: skip


async def test_many_at_once_are_one_enqueue(folder: PluginFolder) -> None:
    folder.write("good", GOOD)
    async with flow_with(folder, fine) as flow:
        runs = await flow.engine.intake.enqueue_many([("demo.fine", {}), ("demo.fine", {}, {"delay": "1h"})])

    assert [run.tags for run in runs] == [("seen",), ("seen",)]
    assert module_of(folder, "good").story[0] == ("enqueue", ["demo.fine", "demo.fine"])


@pytest.mark.parametrize(
    ("function", "told"), [(fails, ("end", "ValueError", "no")), (in_thread, ("end", "LookupError", "there"))]
)
async def test_an_error_of_the_job_goes_through_it(folder: PluginFolder, function: Any, told: Any) -> None:
    folder.write("good", GOOD)
    async with flow_with(folder, job_of(function, retry=1)) as flow:
        ended = await flow.ended(await flow.enqueue(f"demo.{function.__name__}"))

    assert ended.state == "failed"
    assert module_of(folder, "good").story[-1] == told
    assert folder.told == []


async def test_a_cancelled_attempt_goes_through_it_as_cancelled(folder: PluginFolder) -> None:
    folder.write("good", GOOD)

    async def sleeps() -> None:
        await asyncio.Event().wait()

    async with flow_with(folder, job_of(sleeps)) as flow:
        run = await flow.enqueue("demo.sleeps")
        await flow.cancel(run)
        ended = await flow.ended(run)

    assert ended.state == "cancelled"
    assert module_of(folder, "good").story[-1][:2] == ("end", "CancelledError")


async def test_nobody_with_the_hook_leaves_the_runner_as_it_is(folder: PluginFolder) -> None:
    folder.write("plain", "")
    async with flow_with(folder, fine) as flow:
        assert type(flow.engine.pool.runner) is Runner
        assert flow.engine.intake.around is None


def manager(*lines: str) -> str:
    return "@asynccontextmanager\nasync def around_attempt(ctx):\n" + "".join(f"    {line}\n" for line in lines)


TRY = ("try:", "    yield")
BAD = {
    "raises before": (manager("raise OSError('x')  # here", "yield"), "OSError: x"),
    "ends the program": (manager("raise SystemExit(3)  # here", "yield"), "SystemExit: 3"),
    "another error": (manager(*TRY, "finally:", "    raise OSError('z')  # here"), "OSError: z"),
    "yields twice": (manager(*TRY, "except Exception: pass", "yield"), "RuntimeError: generator didn't stop"),
    "hangs before": (manager("await asyncio.Event().wait()  # here", "yield"), "has not returned within 0.2 s"),
    "hangs after": (
        manager(*TRY, "finally:", "    await asyncio.Event().wait()  # here"),
        "has not returned within 0.2 s",
    ),
    "cancels": (manager("raise asyncio.CancelledError  # here", "yield"), "CancelledError"),
    "is a number": ("def around_attempt(ctx):\n    return 5", "found 5; expected an async context manager"),
    "is a plain one": ("@contextmanager\ndef around_attempt(ctx):\n    yield", "expected an async context manager"),
}


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("function", [fine, fails])
async def test_one_that_misbehaves_changes_no_outcome_and_is_named(
    folder: PluginFolder, monkeypatch: pytest.MonkeyPatch, text: str, expected: str, function: Any
) -> None:
    monkeypatch.setattr(around, "LIMIT_SECONDS", 0.2)
    whole = f"{HEAD}\n@hookimpl\n{text}\n"
    path = folder.write("bad", whole)
    folder.write("good", GOOD)

    async with flow_with(folder, job_of(function, retry=1)) as flow:
        ended = await flow.ended(await flow.enqueue(f"demo.{function.__name__}"))

    assert_outcome(ended, function)
    assert len(module_of(folder, "good").story) == 3
    [told] = folder.told
    assert isinstance(told, PluginFaulted)
    assert (told.plugin, told.hook) == ("bad", "around_attempt")
    assert told.reason.startswith("around_attempt: ")
    assert expected in told.reason
    marked = [number for number, line in enumerate(whole.splitlines(), 1) if "# here" in line]
    assert told.place.startswith(f"{path}:{marked[0] if marked else ''}")


async def test_one_that_swallows_the_error_of_the_job_changes_nothing(folder: PluginFolder) -> None:
    folder.write("bad", f"{HEAD}\n@hookimpl\n{manager(*TRY, 'except BaseException: pass')}")

    async with flow_with(folder, job_of(fails, retry=1)) as flow:
        ended = await flow.ended(await flow.enqueue("demo.fails"))

    assert_outcome(ended, fails)
    assert folder.told == []


async def test_one_that_raises_the_error_of_the_job_again_does_no_wrong(folder: PluginFolder) -> None:
    text = """
class Around:
    async def __aenter__(self): ...
    async def __aexit__(self, kind, error, traceback):
        if error is not None:
            raise error

@hookimpl
def around_attempt(ctx):
    return Around()
"""
    folder.write("good", HEAD + text)

    async with flow_with(folder, job_of(fails, retry=1)) as flow:
        ended = await flow.ended(await flow.enqueue("demo.fails"))

    assert_outcome(ended, fails)
    assert folder.told == []


def assert_outcome(ended: Run, function: Any) -> None:
    if function is fine:
        assert (ended.state, ended.result) == ("completed", "fine")
    else:
        assert ended.error is not None
        assert (ended.state, ended.error.type, ended.error.message) == ("failed", "ValueError", "no")


async def test_after_five_faults_it_is_not_called_any_more(folder: PluginFolder) -> None:
    folder.write(
        "bad",
        f"{HEAD}\n@hookimpl\n{manager('story.append(1)', 'raise OSError', 'yield')}",
    )

    async with flow_with(folder, fine) as flow:
        for _ in range(8):
            assert (await flow.ended(await flow.enqueue("demo.fine"))).state == "completed"

    assert len(module_of(folder, "bad").story) == 5
    assert folder.states()["bad"].state == "quarantined"


async def test_a_cancelled_attempt_is_not_a_fault_of_what_stands_around_it(folder: PluginFolder) -> None:
    folder.write(
        "slow",
        f"{HEAD}\n@hookimpl\n{manager('await asyncio.sleep(3)', 'yield')}",
    )
    folder.write("good", GOOD)

    async with flow_with(folder, fine) as flow:
        run = await flow.enqueue("demo.fine")
        await flow.cancel(run)
        assert (await flow.ended(run)).state == "cancelled"

    assert folder.told == []
    assert next(entry for entry in module_of(folder, "good").story if entry[0] == "end")[1] == "CancelledError"


@pytest.mark.parametrize("given", ["5", "[5]", "'x' * 200", "['x'] * 30"])
async def test_tags_that_are_none_are_a_fault_and_the_run_is_enqueued(folder: PluginFolder, given: str) -> None:
    folder.write("bad", f"{HEAD}\n@hookimpl\n@asynccontextmanager\nasync def around_enqueue(runs):\n    yield {given}")

    async with flow_with(folder, fine) as flow:
        run = await flow.enqueue("demo.fine")

    assert run.tags == ()
    assert [event.hook for event in folder.told if isinstance(event, PluginFaulted)] == ["around_enqueue"]


async def test_an_enqueue_that_is_refused_goes_through_it(folder: PluginFolder) -> None:
    folder.write("good", GOOD)
    async with flow_with(folder, fine) as flow:
        with pytest.raises(Exception, match="no run") as raised:
            await flow.engine.intake.enqueue("demo.fine", depends_on=["nobody"])

    assert module_of(folder, "good").story[-1] == ("refused", str(raised.value))


@pytest.mark.parametrize(
    "text",
    [
        "async def around_attempt(ctx):\n    yield",
        "async def around_attempt(ctx): ...",
        "def around_attempt(ctx):\n    yield",
    ],
)
async def test_a_forgotten_decorator_is_said_at_load(folder: PluginFolder, text: str) -> None:
    folder.write("bad", f"{HEAD}\n@hookimpl\n{text}")

    states = await folder.load()

    assert states["bad"].state == "broken"
    assert states["bad"].reason.startswith(
        "around_attempt: expected an async context manager: put @asynccontextmanager (of contextlib) between @hookimpl and"
    )
