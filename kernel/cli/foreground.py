"""A kernel in the foreground: from its start to the end that a signal brings, with what it says on the way."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from kernel.cli.line_writer import LineWriter
from kernel.cli.log_lines import LogHandler, install, log_renderer, short_line
from kernel.cli.loop_driver import drive
from kernel.cli.output import clean, has_colours, is_terminal, moment
from kernel.cli.run_lines import ENDS, ON_SCREEN, Screen, log_ends
from kernel.cli.service_manager import ServiceManager
from kernel.cli.stop_signals import StopSignals
from kernel.kernel import Kernel
from kernel.model.counted import counted
from kernel.model.errors import ConfigError
from kernel.process import HangGuard, dump_tasks, tune

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("kernel")

_NEXT_TICKS = 5


class Foreground:
    """``run`` gives the exit status; ConfigError or StoreError when the kernel cannot start."""

    def __init__(self, path: Path, log_format: str | None) -> None:
        self._path = path
        self._log_format = log_format

    def run(self) -> int:
        self._kernel = Kernel.from_toml(self._path)
        self._is_up = False
        self._had_terminal = is_terminal(sys.stdout)
        self._writer = LineWriter(sys.stdout)
        self._screen = self._prepare_output()
        self._signals = StopSignals(
            on_stop=self._on_stop,
            on_hurry=self._on_hurry,
            on_reload=self._on_reload,
            on_dump=dump_tasks,
            grace_seconds=lambda: self._kernel.config.kernel.shutdown_grace_seconds,
            force=self._force,
        )
        try:
            return drive(self._live())
        finally:
            self._signals.close()
            if not self._writer.close():
                _forget_stdout()

    def _prepare_output(self) -> Screen | None:
        """The screen on a terminal; None where it is logged."""
        form = self._log_format or self._kernel.config.kernel.log_format
        if self._log_format is None and is_terminal(sys.stdout):
            install(LogHandler(self._writer, short_line, self._is_for_screen))
            return Screen(self._writer, colours=has_colours(sys.stdout))
        install(LogHandler(self._writer, log_renderer(is_json=form == "json"), lambda _record: True))
        return None

    def _is_for_screen(self, record: logging.LogRecord) -> bool:
        """Beside the lines of runs: what went wrong, and what jobs say. What is broken from the start the welcome names."""
        if hasattr(record, "broken") and not self._is_up:
            return False
        return record.levelno > logging.INFO or hasattr(record, "job")

    async def _live(self) -> int:
        self._stopping = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()
        self._manager = ServiceManager(lambda: self._kernel.engine.is_working)
        self._signals.listen()
        if not await self._start():
            self._say("stopped before it had started")
            return 0
        self._is_up = True
        tune()
        guard = HangGuard(self._kernel.config.kernel.max_block_seconds)
        await guard.start()
        await self._tell_ready()
        await self._stopping.wait()
        self._manager.stopping("attempts end")
        is_drained = await self._kernel.stop(reason="signal")
        await self._manager.close()
        await guard.stop()
        is_drained = is_drained and self._signals.count < 2
        self._say("stopped" if is_drained else "stopped; attempts were cut short, and their runs are queued again")
        return 0 if is_drained else 1

    async def _start(self) -> bool:
        """False when a signal came before the kernel was up."""
        starting = asyncio.create_task(self._kernel.start(), name="mainspring:start")
        stopping = asyncio.create_task(self._stopping.wait(), name="mainspring:stopping")
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
        if starting.cancelled():
            return False
        starting.result()
        return True

    def _say(self, text: str) -> None:
        if self._screen is None:
            log.info(text)
        else:
            self._screen.say(text)

    # Signals, on the loop

    def _on_stop(self) -> None:
        grace = self._kernel.config.kernel.shutdown_grace_seconds
        self._say(f"stopping: attempts may end by themselves for {grace:g} s; a second signal cancels them now")
        self._stopping.set()

    def _on_hurry(self) -> None:
        log.warning("second signal: what still runs is cancelled now")
        if self._is_up:
            self._kernel.hurry("a second signal")

    def _on_reload(self) -> None:
        if self._had_terminal and not is_terminal(sys.stdout):
            # It is not asked to read its configuration: its window was closed.
            self._signals.stop()
            return
        if not self._is_up:
            return
        task = asyncio.create_task(self._reload(), name="mainspring:reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        self._manager.reloading()
        try:
            changes = await self._kernel.reload()
        except ConfigError as error:
            self._manager.reloaded("plugins.toml was changed and is not used")
            log.error("SIGHUP: plugins.toml is not used, nothing has changed:\n%s", error)  # noqa: TRY400 - the message says it all
            return
        self._manager.reloaded(self._status())
        for change in changes or ("nothing has changed",):
            log.info("SIGHUP: plugins.toml: %s", change)

    def _force(self, why: str) -> None:
        """Called in a thread of its own: the loop may be blocked."""
        log.error("the process is ended now: %s", why)
        self._writer.close()
        os._exit(1)

    # What it says at its start

    async def _tell_ready(self) -> None:
        kernel = self._kernel
        if self._screen is None:
            kernel.bus.subscribe("run", ENDS, log_ends)
        else:
            for line in await self._welcome(self._screen):
                self._screen.say(line)
            kernel.bus.subscribe("run", ON_SCREEN, self._screen.tell)
        await self._manager.ready(self._status())
        on = [state for state in kernel.plugin_states() if state["state"] in {"enabled", "quarantined"}]
        extra = {"pid": os.getpid(), "kernel": kernel.id, "store": kernel.store.url}
        what = f"{counted(len(on), 'plugin')}, {counted(len(kernel.host.jobs()), 'job')}"
        log.info("ready: %s", what, extra=extra)

    def _status(self) -> str:
        states = [state["state"] for state in self._kernel.plugin_states()]
        broken = f", {states.count('broken')} broken" if "broken" in states else ""
        resting = f", {states.count('quarantined')} quarantined" if "quarantined" in states else ""
        on = counted(states.count("enabled") + states.count("quarantined"), "plugin")
        return f"{on}{broken}{resting}, {counted(len(self._kernel.host.jobs()), 'job')}"

    async def _welcome(self, screen: Screen) -> list[str]:
        kernel = self._kernel
        lines = [f"mainspring {version('mainspring')}, pid {os.getpid()}, store {kernel.store.url}"]
        for state in kernel.plugin_states():
            if state["state"] == "off":
                continue
            what = f"{counted(len(state['jobs']), 'job')}, {counted(len(state['schedules']), 'schedule')}"
            if state["state"] == "broken":
                what = f"{state['reason']} ({state['place']})" if state["place"] else state["reason"]
            lines.append(f"  {screen.painted(state['state'], 9)}  {state['plugin']:<16}  {clean(what)}")
        ticking = [one for one in await kernel.control.schedules_list() if one["next_at"]]
        first = sorted(ticking, key=lambda one: str(one["next_at"]))[:_NEXT_TICKS]
        lines += [f"  next {moment(one['next_at'])}  {clean(one['schedule'])}  {one['when']}" for one in first]
        return [*lines, "ready; Ctrl-C stops it"]


def _forget_stdout() -> None:
    """Nobody reads it: to flush at the end what it still holds would be an error, or to wait for ever."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until the process ends
