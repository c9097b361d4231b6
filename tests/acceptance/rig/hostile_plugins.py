"""Plugins as they should not be, one for each way and hook, with the words by which each is found out.

``state`` and ``reason``: as ``plugins list`` shows it while the kernel runs. ``said``: in the log, by its end.
"""

from __future__ import annotations

from typing import NamedTuple

HEAD = """\
import asyncio, contextlib, os, signal, sys, threading, time
from kernel import *
from kernel import Context, after, events, every, hookimpl, job
"""


class Hostile(NamedTuple):
    text: str
    state: str = "enabled"
    reason: str = ""
    said: str = ""


def hook(head: str, *body: str) -> str:
    return f"@hookimpl\n{head}:\n" + "".join(f"    {line}\n" for line in body)


def with_job(*body: str, head: str = "async def work(ctx: Context)", options: str = "retry=1, timeout='1s'") -> str:
    lines = "".join(f"    {line}\n" for line in body)
    return f"@job({options})\n{head}:\n{lines}\n@hookimpl\ndef register_jobs():\n    return [work]\n"


def around(name: str, parameter: str, *body: str) -> str:
    return hook(f"async def {name}({parameter})", *body).replace(
        "@hookimpl\n", "@hookimpl\n@contextlib.asynccontextmanager\n"
    )


# Giving the others their turns: what takes none is a job that blocks.
FLOOD = ("for n in range(10_000):", "    if n % 50 == 0: await asyncio.sleep(0)")
ODD = "raise type('Odd', (Exception,), {'__str__': lambda self: sys.exit()})"

PLUGINS: dict[str, Hostile] = {
    # G1: raises
    "import_raises": Hostile("raise ValueError('no')", "broken", "import: ValueError: no"),
    "import_exits": Hostile("sys.exit(3)", "broken", "import: SystemExit: 3"),
    "no_python": Hostile("def work(:", "broken", "import: SyntaxError"),
    "settings_wrong": Hostile("class Settings: ...", "broken", "Settings: found"),
    "settings_raise": Hostile(
        "from pydantic import BaseModel, model_validator\nclass Settings(BaseModel):\n"
        "    @model_validator(mode='before')\n    @classmethod\n    def check(cls, values):\n        raise KeyboardInterrupt",
        "broken",
        "Settings: KeyboardInterrupt",
    ),
    "instance_raises": Hostile(
        "class Plugin:\n    def __init__(self):\n        raise BaseException('bare')",
        "broken",
        "Plugin(): BaseException: bare",
    ),
    "register_raises": Hostile(
        hook("def register_jobs()", "raise GeneratorExit"), "broken", "register_jobs: GeneratorExit"
    ),
    "register_nonsense": Hostile(hook("def register_jobs()", "return 5"), "broken", "register_jobs"),
    "start_raises": Hostile(hook("async def start(kernel)", ODD), "broken", "__str__ raises SystemExit"),
    "stop_raises": Hostile(
        hook("def stop(kernel)", "raise StopIteration"), said="plugin stop_raises is broken: stop: StopIteration"
    ),
    "on_event_raises": Hostile(
        hook("async def on_event(event)", "raise StopAsyncIteration"), "quarantined", "on_event: StopAsyncIteration"
    ),
    "on_events_raises": Hostile(
        hook("def on_events(events)", "raise MemoryError"), "quarantined", "on_events: MemoryError"
    ),
    "send_notice_raises": Hostile(
        hook("def send_notice(notice)", "raise OSError('gone')"), "quarantined", "send_notice: OSError: gone"
    ),
    "check_health_raises": Hostile(
        hook("def check_health()", "raise asyncio.CancelledError"), "quarantined", "check_health: CancelledError"
    ),
    "around_attempt_raises": Hostile(
        around("around_attempt", "ctx", "yield", "raise RecursionError"),
        "quarantined",
        "around_attempt: RecursionError",
    ),
    "around_enqueue_nonsense": Hostile(
        around("around_enqueue", "runs", "yield 5"),
        "quarantined",
        "around_enqueue: 5: expected at most 20 printable texts",
    ),
    "executor_raises": Hostile(
        hook("def open_executor(name)", "raise ImportError('pool')") + with_job("...", options="executor='pool'"),
        "broken",
        "open_executor: ImportError: pool",
    ),
    # G2: never returns
    "import_hangs": Hostile("threading.Event().wait()", "broken", "import: has not returned within 1 s"),
    "register_loops": Hostile(
        hook("def register_jobs()", "while True: time.sleep(0.01)"),
        "broken",
        "register_jobs: has not returned within 1 s",
    ),
    "start_waits": Hostile(
        hook("async def start(kernel)", "await asyncio.Event().wait()"), "broken", "start: has not returned within 1 s"
    ),
    "stop_waits": Hostile(hook("def stop(kernel)", "threading.Event().wait()"), said="stop: has not returned within"),
    "check_health_waits": Hostile(
        hook("async def check_health()", "await asyncio.Event().wait()"),
        "quarantined",
        "check_health: has not returned within 1 s",
    ),
    "job_never_ends": Hostile(
        with_job("while True: time.sleep(0.05)", head="def work()"), said="of job_never_ends.work is stuck"
    ),
    "job_blocks": Hostile(with_job("time.sleep(0.9)"), said="job job_blocks.work, run"),
    "hook_blocks": Hostile(
        "heard = []\n"
        + hook(
            "async def on_event(event: events.RunCompleted)", "heard.append(1)", "len(heard) == 1 and time.sleep(0.9)"
        ),
        said="by plugin hook_blocks, at",
    ),
    # G3: swallows its cancellation
    "job_swallows": Hostile(
        with_job(
            "while True:", "    try:", "        await asyncio.sleep(3600)", "    except BaseException:", "        pass"
        ),
        said="of job_swallows.work is stuck",
    ),
    "start_swallows": Hostile(
        hook(
            "async def start(kernel)",
            "while True:",
            "    try:",
            "        await asyncio.sleep(3600)",
            "    except BaseException:",
            "        pass",
        ),
        "broken",
        "start: has not returned within 1 s",
    ),
    # G4: the process
    "a_killer": Hostile("os._exit(9)", "broken", "3 starts of the kernel died in it"),
    "job_kills_worker": Hostile(
        with_job("os.abort()", head="def work()", options="executor='process', retry=1"), said="job_kills_worker.work"
    ),
    "job_exits": Hostile(with_job("sys.exit(5)"), said="SystemExit: 5"),
    "task_exits": Hostile(
        with_job(
            "async def leave(): raise SystemExit(7)", "task = asyncio.create_task(leave())", "await asyncio.sleep(0.1)"
        ),
        said="a task has raised SystemExit to the event loop (",
    ),
    "stops_the_loop": Hostile(
        with_job("asyncio.get_running_loop().stop()"), said="a job has called stop() of the event loop ("
    ),
    "changes_umask": Hostile("os.umask(0)", reason="the umask was changed, and put back"),
    "changes_folder": Hostile("os.chdir('/')", reason="the working folder was changed, and put back"),
    "changes_path": Hostile("sys.path.insert(0, '/nowhere')", reason="sys.path was changed, and put back"),
    "takes_signals": Hostile(
        hook("async def start(kernel)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"),
        reason="the handler of SIGTERM was changed, and put back",
    ),
    "closes_files": Hostile("os.close(0)", reason="file descriptor 0 was closed"),
    # G5: leaves things behind
    "leaves_tasks": Hostile(
        "tasks = []\nasync def wait(): await asyncio.Event().wait()\n"
        + hook("async def start(kernel)", "tasks.extend(asyncio.create_task(wait()) for _ in range(500))"),
        said="plugin leaves_tasks: 500 tasks left running when it was stopped (",
    ),
    "leaves_threads": Hostile(
        hook(
            "def start(kernel)",
            "for _ in range(50): threading.Thread(target=lambda: time.sleep(3600), daemon=True).start()",
        ),
        said="plugin leaves_threads: 50 threads left running when it was stopped (",
    ),
    "thread_raises": Hostile(
        "def fall(): raise ZeroDivisionError('thread')\n"
        + hook("def start(kernel)", "threading.Thread(target=fall).start()"),
        said="plugins/thread_raises/__init__.py",
    ),
    "awaits_nobody": Hostile(
        "async def fall(): raise ZeroDivisionError('task')\n"
        + with_job("asyncio.create_task(fall())", "await asyncio.sleep(0.05)"),
        said="plugins/awaits_nobody/__init__.py",
    ),
    # G6: floods
    "floods_enqueues": Hostile(
        "@job(queue='flood', expires='1s')\nasync def drop(): ...\n"
        + with_job(
            "for _ in range(2_000): await ctx.enqueue('floods_enqueues.drop', delay='1h')", options="retry=1"
        ).replace("[work]", "[work, drop]"),
        said="floods_enqueues.work",
    ),
    "floods_logs": Hostile(with_job(*FLOOD, "    ctx.log.warning('again and again')"), said="again and again"),
    "floods_notices": Hostile(
        with_job(*FLOOD, "    ctx.notify_info('hear, hear')"), said="floods_notices.work: hear, hear"
    ),
    "floods_events": Hostile(
        hook("async def start(kernel)", "for n in range(30_000): kernel.publish(events.QueueResumed(1.0, 'x'))")
        + hook("async def on_event(event: events.QueueResumed)", "await asyncio.sleep(3600)"),
        said="floods_events does not keep up",
    ),
    # G7: does not fit
    "needs_nobody": Hostile("requires = ['nobody']", "broken", 'requires "nobody": no plugin of this name'),
    "round": Hostile("requires = ['about']", "broken", "about"),
    "about": Hostile("requires = ['round']", "broken", "round"),
    "Twin": Hostile("", "broken", "twin"),
    "twin": Hostile("", "broken", "Twin"),
}

COMMANDS_RAISE = hook("def register_commands(cli)", "raise AttributeError('cli')")
"""Called by the command line alone, and so not one of them."""

GOOD = '''
from kernel import Context, after, every, hookimpl


@every("2s", overlap="allow")
async def beat(ctx: Context) -> None: ...


@after("100ms")
async def drive(ctx: Context) -> None:
    """Calls what is called again and again, and runs what waits to be run."""
    kernel = kernels[0]
    for _ in range(6):
        await kernel.ask("check_health")
        await kernel.ask("send_notice", notice=None)
    for info in await kernel.control.jobs():
        if info["job"].endswith(".work"):
            await kernel.enqueue(info["job"])


kernels = []


@hookimpl
def register_jobs():
    return [beat, drive]


@hookimpl
def start(kernel):
    kernels.append(kernel)
'''
