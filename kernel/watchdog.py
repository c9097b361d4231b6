"""Names what blocks the event loop: a thread that looks at the loop's stack when it has had no turn for half a second."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from kernel.model.duration import words
from kernel.model.events import LoopBlocked

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from kernel.contracts.clock import Clock
    from kernel.flow.event_bus import EventBus
    from kernel.model.run import Claimed

log = logging.getLogger(__name__)

BLOCKED_SECONDS = 0.5
"""From so long on a turn of the loop counts as a block."""
_BEAT_SECONDS = 0.2


class Blocker(NamedTuple):
    """Whoever was found on the loop: empty texts where that is not known. ``place`` is ``file:line``."""

    plugin: str
    job: str
    run: str
    place: str

    def __str__(self) -> str:
        who = [f"job {self.job}, run {self.run}" if self.job else "", f"plugin {self.plugin}" if self.plugin else ""]
        return f"{', '.join(part for part in who if part) or 'code of no plugin'}, at {self.place}"


class Watchdog:
    """Beats on the loop, looks from a thread. A block is told in the log while it lasts, and as an event when it is over.

    ``run_of``: the run that a task works on. ``plugin_of``: the plugin that a file belongs to, or an empty text.
    ``on_blocked``: told the name of a job that has blocked.
    """

    def __init__(
        self,
        bus: EventBus,
        clock: Clock,
        *,
        run_of: Callable[[asyncio.Task[object]], Claimed | None],
        plugin_of: Callable[[str], str],
        on_blocked: Callable[[str], None] = lambda _job: None,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._run_of = run_of
        self._plugin_of = plugin_of
        self._on_blocked = on_blocked
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._beat = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self.seconds_by_job: defaultdict[str, float] = defaultdict(float)
        """How long each job (or ``plugin NAME``) has blocked the loop, in all."""
        self.blocks_by_job: Counter[str] = Counter()

    def start(self) -> None:
        self._turn()
        threading.Thread(target=self._watch, name="mainspring-watchdog", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        self._beat = time.monotonic()
        self._timer = self._loop.call_later(_BEAT_SECONDS, self._turn)

    # In the thread

    def _watch(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):
            beat = self._beat
            late = time.monotonic() - beat - _BEAT_SECONDS
            if late < BLOCKED_SECONDS:
                continue
            blocker = self._blocker()
            if beat == self._beat:  # it is still so: what was found is what blocks
                log.warning("the event loop is blocked for %s by %s", words(round(late, 1)), blocker)
                self._wait_until_over(beat, blocker)

    def _wait_until_over(self, beat: float, blocker: Blocker) -> None:
        while self._beat == beat and not self._ended.wait(0.02):
            pass
        seconds = time.monotonic() - beat
        if not self._ended.is_set():
            self._loop.call_soon_threadsafe(self._tell, blocker, seconds)

    def _blocker(self) -> Blocker:
        try:
            task = asyncio.current_task(self._loop)
            run = None if task is None else self._run_of(task)
            frame = sys._current_frames().get(self._ident)  # noqa: SLF001 - as documented
            plugin, place, others = self._place_in(frame)
        except Exception:
            log.exception("who blocks the loop could not be found out")
            return Blocker("", "", "", "an unknown place")
        # A hook of another plugin may stand around an attempt: what it does the job is not to blame for.
        if run is None or (plugin and run.job.partition(".")[0] not in others):
            return Blocker(plugin, "", "", place)
        return Blocker(plugin or run.job.partition(".")[0], run.job, run.id, place)

    def _place_in(self, frame: FrameType | None) -> tuple[str, str, set[str]]:
        """The innermost frame that is a plugin's own, else the innermost of all; and all plugins that are on the stack."""
        found = [(one.f_code.co_filename, line) for one, line in traceback.walk_stack(frame)]
        owners = [(plugin, f"{name}:{line}") for name, line in found if (plugin := self._plugin_of(name))]
        if owners:
            return *owners[0], {plugin for plugin, _ in owners}
        return "", f"{found[0][0]}:{found[0][1]}" if found else "an unknown place", set()

    # On the loop

    def _tell(self, blocker: Blocker, seconds: float) -> None:
        name = blocker.job or (f"plugin {blocker.plugin}" if blocker.plugin else "unknown")
        self.seconds_by_job[name] += seconds
        self.blocks_by_job[name] += 1
        log.warning("the event loop was blocked for %s by %s", words(round(seconds, 1)), blocker)
        if blocker.job:
            self._on_blocked(blocker.job)
        self._bus.publish(
            LoopBlocked(self._clock.now(), blocker.plugin, blocker.job, blocker.run, blocker.place, seconds)
        )
