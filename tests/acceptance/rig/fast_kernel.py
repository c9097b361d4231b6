"""A kernel whose time passes faster than ours, started anew whenever it is taken down, as a service manager does.

``Restarted`` is what a test holds; run as a program this module is that service manager. Each kernel is a process forked
from it, so that a start costs no imports.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kernel import Kernel
from kernel.contracts.clock import SystemClock
from tests.acceptance.rig.kill_points import ROOT
from tests.acceptance.rig.program import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from kernel.contracts.clock import Timer


class FastClock(SystemClock):
    """The machine's own, ``speed`` times as fast since ``since`` (epoch seconds)."""

    def __init__(self, speed: float, since: float) -> None:
        self._speed = speed
        self._since = since

    def now(self) -> float:
        return self._since + (super().now() - self._since) * self._speed

    def elapsed(self) -> float:
        return super().elapsed() * self._speed

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return super().call_in(seconds / self._speed, callback)


class Restarted:
    """In a folder with a plugins.toml. ``deaths`` are the statuses of the kernels that were taken down, as -9."""

    def __init__(self, folder: Path, speed: float) -> None:
        self._folder = folder
        self._speed = speed

    def __enter__(self) -> Self:
        self._log = (self._folder / "restarted.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._folder), str(self._speed)],
            cwd=ROOT,
            env=os.environ | environment(self._folder, 0),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30.0)
        self._log.close()

    @property
    def deaths(self) -> list[int]:
        return [int(line.split()[1]) for line in self.log.splitlines() if line.startswith("died:")]

    @property
    def log(self) -> str:
        return (self._folder / "restarted.log").read_text("utf-8", "replace")


async def _live(folder: Path, clock: FastClock) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with Kernel.from_toml(folder / "plugins.toml", clock=clock):
        print("up", flush=True)  # noqa: T201 - for who reads the log
        await stopping.wait()


def _fork(folder: Path, clock: FastClock, blocked: set[signal.Signals]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        asyncio.run(_live(folder, clock))
        status = 0
    except BaseException:  # noqa: BLE001 - this process must not go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    folder, speed = Path(sys.argv[1]), float(sys.argv[2])
    clock = FastClock(speed, time.time())
    signals = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    while True:
        child = _fork(folder, clock, signals)
        if signal.sigwait(signals) == signal.SIGTERM:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            return
        print("died:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - for who reads the log


if __name__ == "__main__":
    main()
