"""Plugins as they should not be: each way of failing breaks that one plugin, says where and why, and harms no other."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent, indent
from typing import TYPE_CHECKING

import pytest

from kernel.model.events import KernelStarted, PluginQuarantined
from kernel.plugin_quarantine import HOOKS, MOST_FAULTS
from tests.unit.plugin_folder import GOOD, PluginFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.plugin_host import PluginState

EVENT = KernelStarted(1.0, "k", 1)
LIMIT_SECONDS = 0.5

HEAD = """
from kernel import *
from kernel import every, hookimpl, job
import asyncio, os, signal, sys, threading, time
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[PluginFolder]:
    found = PluginFolder(tmp_path)
    found.write("good", GOOD)
    yield found
    found.host.close()


def text_of(hook: str, *lines: str) -> str:
    """A plugin whose ``hook``, as ``def start(kernel)``, has these lines as its body."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"{HEAD}\n@hookimpl\n{hook}:\n{body}"


async def life_of(folder: PluginFolder) -> dict[str, PluginState]:
    """Everything that a plugin goes through, five times for events; its states at the end."""
    states = await folder.load()
    await folder.host.start(None)
    for _ in range(MOST_FAULTS):
        for listener in folder.host.listeners():
            await listener.tell([EVENT])
    states = folder.states()
    await folder.host.stop(None)
    return states | {state.name: state for state in folder.host.states() if state.state == "broken"}


def assert_quarantined(state: PluginState, hook: str) -> None:
    assert state.state == "quarantined"
    assert state.reason.startswith(f"5 faults of its hooks within 10 m, the last one: {hook}: ")
    assert [fault.hook for fault in state.faults] == [hook.removeprefix("async ")] * MOST_FAULTS


def is_in(folder: PluginFolder, module: object) -> bool:
    return str(getattr(module, "__file__", "")).startswith(str(folder.root))


def assert_good_is_unharmed(folder: PluginFolder) -> None:
    (module,) = [module for name, module in sys.modules.items() if name.endswith(".good") and is_in(folder, module)]
    assert module.heard == ["start", *[EVENT] * MOST_FAULTS, "stop"]
    assert {state.name: state.state for state in folder.host.states()}["good"] == "enabled"
    assert [job.name for job in folder.host.jobs() if job.plugin == "good"] == ["good.work"]


def line_in(folder: PluginFolder, text: str, name: str = "bad") -> str:
    """The place of the line that is marked ``here``, as file:line."""
    line = next(number for number, line in enumerate(dedent(text).splitlines(), 1) if "# here" in line)
    return f"{folder.path / name / '__init__.py'}:{line}"


RAISED = {
    "an error": ("raise ValueError('it is\\nso')", "ValueError: it is so"),
    "an error without text": ("raise ValueError", "ValueError"),
    "SystemExit": ("sys.exit(3)", "SystemExit: 3"),
    "exit": ("raise SystemExit", "SystemExit"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
    "StopIteration": ("raise StopIteration(1)", "StopIteration"),
    "StopAsyncIteration": ("raise StopAsyncIteration", "StopAsyncIteration"),
    "CancelledError": ("raise asyncio.CancelledError", "CancelledError"),
    "BaseException": ("raise BaseException('bare')", "BaseException: bare"),
    "a group": (
        "raise BaseExceptionGroup('two', [SystemExit(), ValueError()])",
        "BaseExceptionGroup: two (2 sub-exceptions)",
    ),
    "MemoryError": ("raise MemoryError", "MemoryError"),
    "an error whose text raises": (
        "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
        "Odd: its text cannot be read: __str__ raises ZeroDivisionError",
    ),
    "an error whose text ends the program": (
        "raise type('Odd', (Exception,), {'__str__': lambda self: sys.exit()})",
        "Odd: its text cannot be read: __str__ raises SystemExit",
    ),
    "an error whose text is no text": (
        "raise type('Odd', (Exception,), {'__str__': lambda self: 5})",
        "Odd: its text cannot be read: __str__ raises TypeError",
    ),
    "an error of a megabyte": ("raise ValueError('x' * 1_000_000)", "ValueError: xxx"),
    "an error with control characters": ("raise ValueError('\\x1b[2J\\r\\u202e')", "ValueError: [2J"),
    "endless recursion": ("f = lambda: f(); f()", "RecursionError"),
}

WHERE = {
    "import": ("", "import"),
    "Plugin()": ("class Plugin:\n    def __init__(self, settings):\n        {}", "Plugin()"),
    "register_jobs": ("@hookimpl\ndef register_jobs():\n    {}", "register_jobs"),
    "start": ("@hookimpl\ndef start(kernel):\n    {}", "start"),
    "async start": ("@hookimpl\nasync def start(kernel):\n    {}", "start"),
    "stop": ("@hookimpl\ndef stop(kernel):\n    {}", "stop"),
    "async stop": ("@hookimpl\nasync def stop(kernel):\n    {}", "stop"),
    "on_event": ("@hookimpl\ndef on_event(event):\n    {}", "on_event"),
    "async on_event": ("@hookimpl\nasync def on_event(event):\n    {}", "on_event"),
    "on_events": ("@hookimpl\ndef on_events(events):\n    {}", "on_events"),
}


@pytest.mark.parametrize("where", WHERE.keys())
async def test_whatever_a_plugin_raises_breaks_only_itself(folder: PluginFolder, where: str) -> None:
    template, hook = WHERE[where]
    names = {what: f"bad{number}" for number, what in enumerate(RAISED)}
    texts = {what: HEAD + (template or "{}").format(f"{raising}  # here") for what, (raising, _) in RAISED.items()}
    for what, text in texts.items():
        folder.write(names[what], text)

    states = await life_of(folder)

    for what, (_, expected) in RAISED.items():
        bad = states[names[what]]
        if hook in HOOKS:
            assert_quarantined(bad, hook)
        else:
            assert bad.state == "broken", what
            assert bad.reason.startswith(f"{hook}: "), what
        assert bad.reason.isprintable(), what
        assert len(bad.reason) < 550, what
        assert expected in bad.reason, what
        assert bad.place == line_in(folder, texts[what], names[what]), what
    told = [(event.plugin, event.place) for event in folder.told if isinstance(event, PluginQuarantined)]
    told += [(plugin, place) for plugin, _, place in folder.broken]
    assert sorted(told) == sorted((name, states[name].place) for name in names.values())
    assert_good_is_unharmed(folder)


BAD_CODE: dict[str, tuple[str, str]] = {
    "a syntax error": ("def register_jobs(:  # here", "import: SyntaxError: "),
    "a wrong indentation": ("if True:\nx = 1  # here", "import: IndentationError: "),
    "a name that is not there": (
        "nothing_of_this_name  # here",
        "import: NameError: name 'nothing_of_this_name' is not defined",
    ),
    "a module that is not there": (
        "import nothing_of_this_name  # here",
        "import: ModuleNotFoundError: No module named",
    ),
    "a name that the kernel has not": (
        "from kernel import Nothing  # here",
        "import: ImportError: cannot import name 'Nothing'",
    ),
    "an import of its neighbour": ("from ..good import work  # here", "import: "),
    "bad options of a decorator": (
        "@job(timeout='soon')  # here\ndef work(): ...",
        "import: work: @job: timeout: 'soon' is no duration",
    ),
    "a bad cron": ("@cron('0 25 * * *')  # here\ndef work(): ...", "import: work: @cron: "),
    "a misspelt hook": (
        "@hookimpl  # here\ndef on_evnet(event): ...",
        "'on_evnet' is not a hook of this version; expected one of register_jobs, ",
    ),
    "a hook of a later version": (
        "@hookimpl  # here\ndef around_kernel(notice): ...",
        "'around_kernel' is not a hook of this version",
    ),
    "a hook under a wrong name": (
        "@hookimpl(specname='strat')  # here\ndef begin(kernel): ...",
        "'strat' is not a hook of this version; expected",
    ),
    "a misspelt parameter": (
        "@hookimpl  # here\ndef on_event(evnt): ...",
        "on_event(evnt): no parameter of this hook; expected on_event(event)",
    ),
    "a parameter too many": (
        "@hookimpl  # here\ndef start(kernel, loop): ...",
        "start(loop): no parameter of this hook; expected start(kernel)",
    ),
    "a parameter by name too many": ("@hookimpl  # here\ndef start(kernel, *, loop): ...", "start(loop): no parameter"),
    "any parameters": ("@hookimpl  # here\ndef start(*args): ...", "start(*args): no parameter"),
    "a hook that yields": ("@hookimpl  # here\ndef start(kernel):\n    yield", "start: it yields"),
    "a wrapper": (
        "@hookimpl(wrapper=True)  # here\ndef start(kernel):\n    yield",
        "start: a hook wrapper is not called",
    ),
    "an async register_jobs": (
        "@hookimpl  # here\nasync def register_jobs():\n    return []",
        "register_jobs: it is async def; expected def",
    ),
    "an annotation that is no event": (
        "@hookimpl  # here\ndef on_event(event: int): ...",
        "on_event(event): <class 'int'>; expected an event such as RunFailed",
    ),
    "an annotation that is nothing": (
        "@hookimpl  # here\ndef on_event(event: 'RunFialed'): ...",
        "on_event: its annotation cannot be read: name 'RunFialed' is not defined",
    ),
    "one event for many": (
        "from kernel.model.events import RunFailed\n@hookimpl  # here\ndef on_events(events: RunFailed): ...",
        "on_events(events): <class 'kernel.model.events.RunFailed'>; expected list[",
    ),
    "hooks beside the class": (
        "@hookimpl  # here\ndef start(kernel): ...\nclass Plugin: ...",
        "start: beside class Plugin; expected its hooks to be methods of that class",
    ),
    "a class with other arguments": ("class Plugin:\n    def __init__(self, a, b): ...", "Plugin(): TypeError: "),
    "requires as a text": ("requires = 'good'", "requires: found 'good'; expected names of plugins"),
    "requires of numbers": ("requires = [1]", "requires: found [1]; expected names of plugins"),
    "Settings that are no model": ("class Settings: ...", "Settings: Settings: found <class"),
    "Settings with a key of the kernel": (
        "from pydantic import BaseModel\nclass Settings(BaseModel):\n    enabled: int = 1",
        "Settings: Settings.enabled: this key of the table is the kernel's",
    ),
    "a validator that raises": (
        """
from pydantic import BaseModel, model_validator
class Settings(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def check(cls, values):
        raise SystemExit  # here
""",
        "Settings: SystemExit",
    ),
    "another thing in its place": ("sys.modules[__name__] = object()\nraise ValueError  # here", "import: ValueError"),
    "a thread of its own that dies": ("raise ImportError('x') from ValueError('y')  # here", "import: ImportError: x"),
}


@pytest.mark.parametrize(("text", "expected"), BAD_CODE.values(), ids=BAD_CODE.keys())
async def test_bad_code_breaks_the_plugin_and_names_the_line(folder: PluginFolder, text: str, expected: str) -> None:
    folder.write("bad", f"{HEAD}\n{text}\n")

    bad = (await life_of(folder))["bad"]

    assert bad.state == "broken"
    assert bad.reason.startswith(expected)
    mark = line_in(folder, f"{HEAD}\n{text}\n") if "# here" in text else f"{folder.path / 'bad' / '__init__.py'}:"
    assert bad.place.startswith(mark)
    assert_good_is_unharmed(folder)


async def test_a_misspelt_hook_is_told_with_the_nearest_name(folder: PluginFolder) -> None:
    folder.write("bad", text_of("def on_evnet(event)", "pass"))

    states = await folder.load()

    assert states["bad"].reason.endswith('open_store, open_executor, register_commands. Did you mean "on_event"?')


RUBBISH: dict[str, tuple[str, str]] = {
    "a number": ("return 5", "register_jobs returned 5; expected a list of functions"),
    "a text": ("return 'work'", "register_jobs returned 'work'; expected"),
    "a function alone": ("return work", "register_jobs returned <function work"),
    "a generator": ("return (one for one in [work])", "register_jobs returned <generator"),
    "a coroutine": ("async def f(): ...\n    return f()", ""),
    "a function that is no job": (
        "return [print]",
        "register_jobs: <built-in function print> is no job: expected a function decorated",
    ),
    "a class": ("return [int]", "register_jobs: <class 'int'> is no job"),
    "None in a list": ("return [None]", "register_jobs: None is no job"),
    "a list of lists": ("return [[work]]", "is no job"),
    "one job twice": ("return [work, work]", 'two jobs are named "work": '),
    "two jobs of one name": ("return [work, other]", 'two jobs are named "work": '),
    "two schedules of one name": ("return [twice]", 'two schedules are named "twice": '),
    "two schedules that clash": ("return [work, named]", 'two schedules are named "work": '),
    "a job that cannot take a payload": (
        "return [by_place]",
        "register_jobs: by_place: the parameter 'x' can only be given by position",
    ),
    "a job with an annotation that is nothing": ("return [lost]", "register_jobs: lost: an annotation names 'Nowhere'"),
    "a schedule whose job needs a payload": (
        "return [needs]",
        'the schedule "needs": bad.needs: payload.city: is missing',
    ),
    "a payload that does not fit": (
        "return [wrong]",
        "the schedule \"wrong\": bad.wrong: payload.n: 'x'; expected an integer",
    ),
    "something whose repr raises": (
        "return type('Odd', (), {'__repr__': lambda self: 1 / 0})()",
        "register_jobs returned <Odd whose repr raises ZeroDivisionError>",
    ),
    "a list that cannot be gone through": (
        "return type('Odd', (list,), {'__iter__': lambda self: sys.exit()})([1])",
        "register_jobs: SystemExit",
    ),
}

JOBS = """
@every("1s")
def work(): ...
@job(name="work")
def other(): ...
@every("1s")
@every("2s")
def twice(): ...
@every("1s", name="work")
def named(): ...
@job
def by_place(x, /): ...
@job
def lost(x: "Nowhere"): ...
@every("1s")
def needs(city: str): ...
@every("1s", payload={"n": "x"})
def wrong(n: int): ...
"""


@pytest.mark.parametrize(("line", "expected"), RUBBISH.values(), ids=RUBBISH.keys())
async def test_a_bad_answer_of_register_jobs_breaks_the_plugin(folder: PluginFolder, line: str, expected: str) -> None:
    folder.write("bad", f"{HEAD}{JOBS}\n@hookimpl\ndef register_jobs():\n    {line}\n")

    states = await life_of(folder)

    if expected:
        assert states["bad"].state == "broken"
        assert expected in states["bad"].reason
        assert states["bad"].place.startswith(str(folder.path / "bad"))
    assert (states["bad"].jobs, states["bad"].schedules) == ((), ())
    assert_good_is_unharmed(folder)


# What hangs.

HANGS = {
    "import": f"{HEAD}\nthreading.Event().wait()  # here\n",
    "import that loops": f"{HEAD}\nwhile True: time.sleep(0.01)  # here\n",
    "Plugin()": f"{HEAD}\nclass Plugin:\n    def __init__(self, settings):\n        threading.Event().wait()  # here\n",
    "register_jobs": text_of("def register_jobs()", "threading.Event().wait()  # here"),
    "start": text_of("def start(kernel)", "threading.Event().wait()  # here"),
    "async start": text_of("async def start(kernel)", "await asyncio.Event().wait()  # here"),
    "async start that swallows its cancellation": "over = False\n"
    + text_of(
        "async def start(kernel)",
        "while not over:",
        "    try:",
        "        await asyncio.sleep(3600)  # here",
        "    except BaseException:",
        "        pass",
    ),
    "stop": text_of("def stop(kernel)", "threading.Event().wait()  # here"),
    "async stop": text_of("async def stop(kernel)", "await asyncio.Event().wait()  # here"),
    "on_event": text_of("def on_event(event)", "threading.Event().wait()  # here"),
    "async on_event": text_of("async def on_event(event)", "await asyncio.Event().wait()  # here"),
}


@pytest.mark.parametrize("text", HANGS.values(), ids=HANGS.keys())
async def test_what_hangs_is_cut_at_the_limit_and_named_with_the_line_it_hangs_in(
    folder: PluginFolder, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder.host = folder.new_host(limit_seconds=LIMIT_SECONDS)
    folder.write("bad", text)

    bad = (await life_of(folder))["bad"]

    assert bad.state == ("quarantined" if "on_event" in text else "broken")
    assert "has not returned within 0.5 s" in bad.reason
    assert bad.place == line_in(folder, text)
    assert "takes longer than 0.25 s" in caplog.text
    assert_good_is_unharmed(folder)
    for module in [module for name, module in sys.modules.items() if name.endswith(".bad")]:
        vars(module)["over"] = True  # or the loop of this test could not be closed


async def test_stopping_keeps_within_its_time_whatever_hangs(folder: PluginFolder) -> None:
    for name in ("bad", "bed", "bid"):
        folder.write(name, text_of("async def stop(kernel)", "await asyncio.Event().wait()"))
    await folder.load()
    await folder.host.start(None)
    began = time.monotonic()

    await folder.host.stop(None, within=0.3)

    assert time.monotonic() - began < 5  # each of them may take 10
    assert sorted(plugin for plugin, _, _ in folder.broken) == ["bad", "bed", "bid"]


async def test_a_hook_that_hangs_does_not_keep_the_next_one_waiting(folder: PluginFolder) -> None:
    folder.host = folder.new_host(limit_seconds=LIMIT_SECONDS)
    folder.write(
        "bad",
        text_of("def on_event(event)", "threading.Event().wait()")
        + "stopped = []\n@hookimpl\ndef stop(kernel):\n    kernel.append('stopped')\n",
    )
    story: list[str] = []
    await folder.load()
    await folder.host.start(story)

    for listener in folder.host.listeners():
        await listener.tell([EVENT, EVENT, EVENT])
    await folder.host.stop(story)

    assert story == ["stopped"]


# What a broken plugin leaves behind.


async def test_a_plugin_that_fails_to_import_leaves_no_module_behind(folder: PluginFolder) -> None:
    folder.write("bad", "from . import part\nraise ValueError", part="x = 1")

    await folder.load()

    assert [name for name, module in sys.modules.items() if ".bad" in name and is_in(folder, module)] == []


async def test_a_plugin_that_fails_to_start_has_its_jobs_taken_back(folder: PluginFolder) -> None:
    folder.write("bad", dedent(GOOD).replace('heard.append("start")', "raise OSError"))
    await folder.load()
    before = [job.name for job in folder.host.jobs()]

    await folder.host.start(None)

    assert before == ["bad.work", "good.work"]
    assert [job.name for job in folder.host.jobs()] == ["good.work"]
    assert [schedule.name for schedule in folder.host.schedules()] == ["good.work"]
    assert [listener.plugin for listener in folder.host.listeners()] == ["good"]


async def test_what_needs_a_plugin_that_failed_to_start_does_not_start(folder: PluginFolder) -> None:
    folder.write("bad", text_of("def start(kernel)", "raise OSError"))
    folder.write("after", "requires = ['bad']\n" + dedent(GOOD))

    await folder.load()
    await folder.host.start(None)

    assert folder.states()["after"].reason == 'requires "bad", which is broken'
    assert folder.host.jobs()[0].name == "good.work"


async def test_a_plugin_that_fails_as_a_listener_keeps_its_jobs_and_is_told_nothing_more(folder: PluginFolder) -> None:
    folder.write("bad", dedent(GOOD).replace("heard.append(event)", "heard.append(event)\n    raise KeyError(event)"))
    await folder.load()

    for listener in folder.host.listeners():
        await listener.tell([EVENT] * (MOST_FAULTS + 2))

    bad = folder.states()["bad"]
    assert bad.state == "quarantined"
    assert bad.reason.endswith(", its jobs go on")
    assert [job.name for job in bad.jobs] == ["bad.work"]
    assert [job.name for job in folder.host.jobs()] == ["bad.work", "good.work"]
    (module,) = [module for name, module in sys.modules.items() if name.endswith(".bad") and is_in(folder, module)]
    assert len(module.heard) == MOST_FAULTS
    assert folder.broken == []


async def test_telling_that_a_plugin_is_broken_may_fail_too(
    folder: PluginFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write("bad", "raise ValueError")
    folder.host._on_broken = lambda *_: 1 / 0  # type: ignore[assignment] # a listener with a fault

    states = await folder.load()

    assert states["bad"].state == "broken"
    assert "telling so failed" in caplog.text


async def test_secrets_of_the_configuration_are_not_shown_by_the_errors_of_a_plugin(folder: PluginFolder) -> None:
    folder.write(
        "bad",
        """
        from pydantic import BaseModel
        class Settings(BaseModel):
            password: str
        class Plugin:
            def __init__(self, settings):
                raise ConnectionError(f"cannot log in with {settings.password}")
        """,
    )

    states = await folder.load('[plugins.bad]\npassword = "${PW}"', PW="canary-4711")

    assert states["bad"].reason == "Plugin(): ConnectionError: cannot log in with ***"


# What a plugin does to the process.


async def test_what_a_plugin_changes_for_the_whole_process_is_put_back_and_noted(
    folder: PluginFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write(
        "bad",
        f"""{HEAD}
os.chdir("/")
os.umask(0)
sys.path.insert(0, "/nowhere")
@hookimpl
async def start(kernel):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
""",
    )
    before = (Path.cwd(), signal.getsignal(signal.SIGTERM))
    mask = os.umask(0o022)

    try:
        await folder.load()
        await folder.host.start(None)

        after = (Path.cwd(), signal.getsignal(signal.SIGTERM))
        assert after == before
        assert "/nowhere" not in sys.path
        assert folder.states()["bad"].note == (
            "the working folder was changed, and put back; the umask was changed, and put back; "
            "sys.path was changed, and put back; "
            "the handler of SIGTERM was changed, and put back"
        )
        assert "plugin bad: the umask was changed" in caplog.text
    finally:
        assert os.umask(mask) == 0o022


async def test_a_plugin_that_forks_gets_no_second_kernel(folder: PluginFolder) -> None:
    folder.write("bad", "import os, warnings\nwarnings.simplefilter('ignore')\nCHILD = os.fork()\n")

    states = await folder.load()
    module = next(module for name, module in sys.modules.items() if name.endswith(".bad") and hasattr(module, "CHILD"))
    _, status = await asyncio.to_thread(os.waitpid, module.CHILD, 0)

    assert states["bad"].state == "enabled"
    assert os.waitstatus_to_exitcode(status) == 70


async def test_a_signal_handler_cannot_be_set_by_def_hooks(folder: PluginFolder) -> None:
    folder.write("bad", f"{HEAD}\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n")

    states = await folder.load()

    assert states["bad"].reason.startswith("import: ValueError: signal only works in main thread")


START = """
import asyncio, sys
from pathlib import Path
from kernel.config import load_config
from kernel.plugin_host import PluginHost

async def main():
    root = Path(sys.argv[1])
    host = PluginHost(mark_dir=root / "run" / "importing")
    await host.load(load_config(root / "plugins.toml"))
    await host.start(None)
    for state in host.states():
        if str(root) in state.source:
            print(state.name, state.state, state.reason)

asyncio.run(main())
"""


def start_of(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START, str(root)], capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize("where", ["import", "start"])
def test_a_plugin_that_kills_three_starts_is_left_out_of_the_fourth_until_its_code_changes(
    folder: PluginFolder, where: str
) -> None:
    killing = "os.kill(os.getpid(), 9)" if where == "import" else "@hookimpl\ndef start(kernel):\n    os._exit(9)"
    path = folder.write("bad", f"{HEAD}\n{killing}\n")
    (folder.root / "plugins.toml").write_text("[plugins.bad]\n[plugins.good]\n")

    deaths = [start_of(folder.root).returncode for _ in range(3)]
    fourth = start_of(folder.root)
    path.write_text("x = 1\n")
    fifth = start_of(folder.root)

    mark = folder.root / "run" / "importing" / ("bad" if where == "import" else "bad.start")
    assert deaths == [-9 if where == "import" else 9] * 3
    assert fourth.stdout.splitlines() == [
        f"bad broken 3 starts of the kernel died in it; mend its code, or delete {mark} to try it again",
        "good enabled ",
    ]
    assert fifth.stdout.splitlines() == ["bad enabled ", "good enabled "]
    assert list(mark.parent.iterdir()) == []


@pytest.mark.parametrize("where", ["import", "start"])
def test_kernels_that_start_in_one_folder_while_others_still_do_are_not_taken_for_dead(
    folder: PluginFolder, where: str
) -> None:
    here = folder.root / "here"
    here.mkdir()
    waits = (
        f"from pathlib import Path\nhere = Path({str(here)!r})\n(here / f'in-{{os.getpid()}}').touch()\n"
        "while not (here / 'go').exists():\n    time.sleep(0.02)\n"
    )
    text = waits if where == "import" else f"@hookimpl\ndef start(kernel):\n{indent(waits, '    ')}"
    folder.write("slow", f"{HEAD}\n{text}\n")
    (folder.root / "plugins.toml").write_text("[plugins.slow]\n")

    with ThreadPoolExecutor(5) as threads:
        starts = []
        for number in range(5):
            starts.append(threads.submit(start_of, folder.root))
            while len(list(here.glob("in-*"))) <= number and not starts[-1].done():
                time.sleep(0.02)
        (here / "go").touch()
        said = [start.result().stdout for start in starts]

    assert said == ["good off \nslow enabled \n"] * 5
    assert list((folder.root / "run" / "importing").iterdir()) == []


async def test_marks_that_cannot_be_written_do_no_harm(folder: PluginFolder, caplog: pytest.LogCaptureFixture) -> None:
    (folder.root / "run").write_text("a file")
    folder.host = folder.new_host(mark_dir=folder.root / "run")

    states = await folder.load()

    assert states["good"].state == "enabled"
    assert "cannot be written" in caplog.text


# All at once.


async def test_a_good_plugin_works_among_all_the_bad_ones_at_once(
    folder: PluginFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    folder.host = folder.new_host(limit_seconds=1.0)
    texts = {
        f"raises{n}": HEAD + (template or "{}").format(RAISED["SystemExit"][0])
        for n, (template, _) in enumerate(WHERE.values())
    }
    texts |= {f"code{n}": f"{HEAD}\n{text}\n" for n, (text, _) in enumerate(BAD_CODE.values())}
    texts |= {f"hangs{n}": HANGS[name] for n, name in enumerate(("import", "async start", "on_event"))}
    texts |= {"dup": GOOD, "Dup": GOOD, "bad-name": GOOD, "a": "requires = ['b']", "b": "requires = ['a']"}
    for name, text in texts.items():
        folder.write(name, text)
    tables = "".join(f"[plugins.{name}]\n" for name in folder.names() if name not in ("bad-name", "Dup"))

    await folder.load(tables)
    await folder.host.start(None)
    for _ in range(MOST_FAULTS):
        for listener in folder.host.listeners():
            await listener.tell([EVENT])
    await folder.host.stop(None)

    states = folder.states()
    assert {name for name, state in states.items() if state.state not in {"broken", "quarantined"}} == {"good"}
    assert all(state.reason for name, state in states.items() if name != "good")
    assert_good_is_unharmed(folder)
