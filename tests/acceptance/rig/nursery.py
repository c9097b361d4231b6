"""Lives of kernels, one after another, each in a process forked from one that has imported everything already.

``Nursery`` is what a test holds; run as a program this module is the process that forks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.acceptance.rig.kill_points import ROOT, Point
from tests.acceptance.rig.life import Order, live

if TYPE_CHECKING:
    from types import TracebackType


class Ended(NamedTuple):
    """``status``: as of ``Popen.returncode``, -9 for a kill. ``log``: what it printed."""

    status: int
    born_at: float
    log: str


class Nursery:
    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def bear(self, order: Order) -> Ended:
        """One life, to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order), default=str) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Ended(answer["status"], answer["born_at"], _log_of(order).read_text("utf-8"))


def _log_of(order: Order) -> Path:
    return order.folder / f"life-{order.life}.log"


def _order_of(values: dict[str, Any]) -> Order:
    point = None if values["point"] is None else Point(*values["point"])
    return Order(**values | {"folder": Path(values["folder"]), "point": point})


def _fork(order: Order) -> int:
    child = os.fork()
    if child:
        return child
    log = os.open(_log_of(order), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in (1, 2):
        os.dup2(log, number)
    status = 1
    try:
        status = live(order)
    except BaseException:  # noqa: BLE001 - this process must not go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    for line in sys.stdin:
        order = _order_of(json.loads(line))
        born_at = time.monotonic()
        _, status = os.waitpid(_fork(order), 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "born_at": born_at}), flush=True)  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
