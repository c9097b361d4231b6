"""The program itself, `python -m kernel run`, as an operator or a service manager has it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kernel.control_socket import ask
from kernel.testing import until
from tests.acceptance.rig.evidence import lines_of
from tests.acceptance.rig.kill_points import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any

    from tests.acceptance.rig.evidence import Line

JOBS = Path(__file__).with_name("jobs")


def write_config(folder: Path, *kernel: str, plugins: str = "[plugins.chores]") -> Path:
    """plugins.toml with the jobs of ``rig/jobs`` on a SQLite file ``store.db`` beside it; ``kernel``: lines of its table."""
    path = folder / "plugins.toml"
    lines = [
        "[kernel]", 'store = "sqlite:///store.db"', f'plugin_dirs = ["{JOBS}"]', "concurrency = 20", *kernel,
        "[queues.tight]", "concurrency = 2", plugins,
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'store.db'}"


def environment(folder: Path, life: int) -> Mapping[str, str]:
    """What the jobs are told."""
    return {
        "CHORES_LIFE": str(life),
        "CHORES_JOURNAL": str(folder / f"journal-{life}"),
        "CHORES_DEEDS": str(folder / f"deeds-{life}"),
    }


class Program:
    """One process in a folder with a plugins.toml; killed at the end if it is still there.

    ``module``: the program, or one that does something to it first.
    """

    def __init__(
        self,
        folder: Path,
        life: int = 0,
        *,
        output: int | None = None,
        module: str = "kernel",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.life = life
        self._log = folder / f"life-{life}.log"
        self._output = output
        self._module = module
        self._environment = environment or {}

    def __enter__(self) -> Self:
        self.born_at = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._module, "--config", str(self.folder / "plugins.toml"), "run"],
                cwd=self.folder,
                env={**os.environ, **environment(self.folder, self.life), "PYTHONPATH": str(ROOT), **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log if self._output is None else self._output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @property
    def journal(self) -> list[Line]:
        return lines_of(self.folder, "journal", self.life)

    def began(self, run: str) -> bool:
        return any(line.run == run for line in self.journal)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def stands_still(self) -> bool:
        """Whether a SIGSTOP has come to it, and to all of its threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    async def ready(self) -> Self:
        await self.says("ready: ")
        return self

    async def says(self, text: str, limit: float = 10.0) -> None:
        """Waits until the log has this, as a regular expression."""
        try:
            await until(lambda: re.search(text, self.log) is not None or self.process.poll() is not None, limit)
        except AssertionError:
            raise AssertionError(f"it does not say {text!r}:\n{self.log[-4000:]}") from None
        assert re.search(text, self.log), (
            f"it ended with {self.process.returncode} and did not say {text!r}:\n{self.log}"
        )

    async def ended(self, limit: float) -> int:
        """Its exit status, within so many seconds."""
        try:
            await until(lambda: self.process.poll() is not None, limit)
        except AssertionError:
            raise AssertionError(f"it has not ended within {limit:g} s:\n{self.log[-4000:]}") from None
        assert self.process.returncode is not None
        return self.process.returncode

    async def ask(self, operation: str, **arguments: Any) -> Any:
        """One operation of control, by the socket of this process."""
        for socket in self.folder.glob("kernel-*.sock"):
            try:
                return await ask(socket, operation, arguments)
            except ConnectionRefusedError:
                continue  # left behind by one that was killed
        raise AssertionError("no kernel listens")
