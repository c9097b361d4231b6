"""``Idempotency-Key``: a wish that is asked again, since its answer was lost say, makes no second run.

The id of the run is written down under the key before the run is made with it. So whoever asks again, after a crash
too, finds the run, or makes it under the id that was meant for it: a store leaves alone what is there already.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from kernel import Periodic, RequestError, UnknownNameError

from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from kernel import Kernel

KEY_HEADER = "Idempotency-Key"
KEPT_SECONDS = 24 * 3600.0
MOST_KEYS = 100_000
"""That one kernel keeps; past them the oldest go."""
SWEEP_SECONDS = 600.0
_KEY = re.compile(r"[!-~]{1,200}")
_BATCH = 1_000

Row = dict[str, Any]
"""``body``: a digest of the wish. ``run``: the id meant for it. ``done``: whether that was enqueued. ``is_new`` and ``note``:
as it was told then; where ``is_new`` is False, ``run`` is the one that was there."""


def key_of(request: web.Request) -> str | None:
    given = request.headers.getall(KEY_HEADER, [])
    if not given:
        return None
    if len(given) > 1 or _KEY.fullmatch(given[0]) is None:
        text = f"expected one {KEY_HEADER} of 1 to 200 printable ASCII characters without blanks"
        raise Problem(422, "Wrong request", text, errors=[{"at": f"header.{KEY_HEADER}", "text": text}])
    return given[0]


class Idempotency:
    """Keys are each user's own. Kernels that share a store know one another's keys."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        # Not among the plugin's other values, which are read whole every few seconds.
        self._values = kernel.values("web.idempotency")
        self._locks: dict[str, tuple[asyncio.Lock, list[None]]] = {}
        self._kept: OrderedDict[str, float] = OrderedDict()
        self._sweeping = Periodic("web", SWEEP_SECONDS, self.sweep, kernel.clock)

    async def start(self) -> None:
        rows = await self._values.get()
        self._kept.update(sorted(((key, float(row["at"])) for key, row in rows.items()), key=lambda one: one[1]))
        # Before this kernel begins any run: what it had enqueued when it was killed is there still.
        for key, row in rows.items():
            if not row["done"] and await self._found(row["run"]) is not None:
                await self._values.put({key: row | {"done": True}})
        await self._sweeping.start()

    async def stop(self) -> None:
        await self._sweeping.stop()

    async def once(self, who: str, key: str, wish: Row, enqueue: Callable[[str], Awaitable[Row]]) -> tuple[Row, bool]:
        """The run as it is now with what was told of it, and whether it had been made before. One at a time for a key."""
        name = _digest([who, key])
        body = _digest(wish)
        lock, users = self._locks.setdefault(name, (asyncio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                # Whoever hangs up in the middle leaves it as a crash would: the next one goes on from there.
                return await self._once(name, body, enqueue)
        finally:
            users.pop()
            if not users:
                del self._locks[name]

    async def _once(self, name: str, body: str, enqueue: Callable[[str], Awaitable[Row]]) -> tuple[Row, bool]:
        row: Row | None = (await self._values.get(name)).get(name)
        if row is not None and self._kernel.clock.now() - row["at"] >= KEPT_SECONDS:
            row = None
        if row is None:
            row = {"body": body, "run": self._kernel.control.fresh_id(), "at": self._kernel.clock.now(), "done": False}
            await self._values.put({name: row})
            self._kept[name] = row["at"]
            self._kept.move_to_end(name)
        elif row["body"] != body:
            text = f"this {KEY_HEADER} was given with another body; expected the same body, or another key"
            raise Problem(422, "Another body", text)
        run = await self._found(row["run"])
        if run is not None:
            return run | {"is_new": row.get("is_new", True), "note": row.get("note")}, True
        if row["done"]:
            raise Problem(
                410, "No longer kept", f"run {row['run']} was the answer; it has ended, and is no longer kept"
            )
        try:
            made = await enqueue(row["run"])
        except RequestError:  # it was not made, and the wish has to be another one
            await self._values.put({name: None})
            raise
        told = {"run": made["id"], "done": True, "is_new": made["is_new"], "note": made["note"]}
        await self._values.put({name: row | told})
        return made, False

    async def _found(self, run: str) -> Row | None:
        try:
            return await self._kernel.control.wait(run=run, timeout=0)
        except UnknownNameError:
            return None

    async def sweep(self) -> None:
        """Forgets keys that are over, and the oldest of too many."""
        oldest = self._kernel.clock.now() - KEPT_SECONDS
        while self._kept:
            over: list[str] = []
            for name, at in self._kept.items():
                is_over = at <= oldest or len(self._kept) - len(over) > MOST_KEYS
                if not is_over or len(over) == _BATCH:
                    break
                over.append(name)
            if not over:
                return
            await self._values.put(dict.fromkeys(over))
            for name in over:
                del self._kept[name]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:40]
