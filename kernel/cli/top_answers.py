"""Asks for what ``mainspring top`` shows: the store, and for their health the kernels of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from kernel.cli.desk import ANSWER_SECONDS, Desk, ask_soon
from kernel.cli.top_picture import MOST_ROWS, Rates, empty_picture, picture_of
from kernel.model.errors import MainspringError

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

_MOST_RUNS = 200
"""Of the running ones, so that of these the longest can be shown first."""


class Answers:
    """``async with Answers(path) as answers: await answers.look(0.5)``. What fails is asked anew the next time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.store = ""
        """Its address, as soon as that is known."""
        self._desk: Desk | None = None
        self._asking: dict[Path, asyncio.Task[Json]] = {}
        self._said: dict[Path, Json] = {}
        self._rates = Rates()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._close()

    async def look(self, patience: float) -> Json:
        """What is now. A kernel that says nothing within ``patience`` seconds is shown as it last said.

        StoreError when the store does not answer, or no kernel that has it; ConfigError when plugins.toml is wrong.
        """
        if self._desk is None or (self._desk.missing_store is not None and self._desk.missing_store.exists()):
            await self._close()
            self._desk = await Desk(self._path).__aenter__()
            self.store = self._desk.shown_store
        desk = self._desk
        if desk.missing_store is not None:
            text = f"no store at {desk.missing_store} yet: start `mainspring run`, or enqueue"
            return empty_picture(self.store, text)
        try:
            return await self._ask_all(desk, patience)
        except (MainspringError, OSError):
            with contextlib.suppress(MainspringError, OSError):
                await self._close()
            raise

    async def _close(self) -> None:
        desk, self._desk = self._desk, None
        if desk is not None:
            await desk.__aexit__(None, None, None)

    async def _ask_all(self, desk: Desk, patience: float) -> Json:
        sockets = await desk.sockets()
        # One kernel has all runs of its memory; the desk would look for it anew at each question.
        only = sockets[0] if desk.is_store_in_kernel and sockets else None

        async def ask(operation: str, **arguments: Any) -> Any:
            if only is None:
                return await desk.call(operation, **arguments)
            return await ask_soon(only, operation, arguments)

        kernels = await ask("kernels")
        lost = {one["kernel"][:8] for one in kernels if one["state"] == "lost"}
        ids = {one["kernel"][:8]: one["kernel"] for one in kernels}
        await self._ask_kernels({path for path in sockets if _short_id(path) not in lost}, patience)
        said = {ids[_short_id(path)]: one for path, one in self._said.items() if _short_id(path) in ids}
        counts = {kernel: answer["ended"] for kernel, answer in said.items() if "ended" in answer}
        rates = self._rates.take(time.monotonic(), counts)
        return picture_of(
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            self.store,
            kernels=kernels,
            said=said,
            rates=rates,
            running=await ask("runs_list", state="running", limit=_MOST_RUNS),
            failed=await ask("runs_list", state="failed", limit=MOST_ROWS),
            queues=await ask("queues_list"),
            schedules=await ask("schedules_list"),
        )

    async def _ask_kernels(self, sockets: set[Path], patience: float) -> None:
        for path in self._asking.keys() | self._said.keys():
            if path not in sockets:
                self._said.pop(path, None)
                if task := self._asking.pop(path, None):
                    task.cancel()
        for path in sockets - self._asking.keys():
            self._asking[path] = asyncio.create_task(_health(path))
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=patience)
        for path, task in list(self._asking.items()):
            if task.done():
                del self._asking[path]
                self._said[path] = task.result()


async def _health(socket: Path) -> Json:
    """What is the matter with a kernel that does not answer comes first in the line, as the end may be cut."""
    try:
        answer: Json = await ask_soon(socket, "health", {})
    except TimeoutError:
        problem = f"does not answer within {ANSWER_SECONDS:g} s: its loop is blocked, or the process is stopped"
    except OSError as error:
        problem = f"cannot be reached: {error.strerror}: {socket}"
    except MainspringError as error:
        problem = f"cannot say how it is: {error}"
    else:
        return answer
    return {"healthy": False, "problems": [f"kernel {_short_id(socket)} {problem}"]}


def _short_id(socket: Path) -> str:
    return socket.stem.removeprefix("kernel-")
