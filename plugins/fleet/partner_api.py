"""A partner for the demo: an HTTP API on loopback that can be told to fail.

Imports aiohttp: import this file only where the partner is started.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import ValidationError

from .partner_faults import Fault, FaultMode, Faults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .car import Car

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# It has no login, so it listens nowhere else.
_HOST = "127.0.0.1"
_SEED = 1983
_UPDATES_AT_ONCE = 5
_STOP_SECONDS = 2


class PartnerApi:
    """Knows the cars it is given; what it makes up about them is the same at every start.

    ``POST /cars/{id}/sync``, ``GET /updates?since=NUMBER`` and ``GET /revenue`` obey ``PUT /fail``;
    ``GET /`` tells its state and never fails.
    """

    def __init__(self, cars: Sequence[Car], *, port: int = 0) -> None:
        self._cars = cars
        self._port = port
        self._faults = Faults()
        self._answered: Counter[str] = Counter()
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen, and return the URL; OSError when the port is taken."""
        self._stopping.clear()
        # A request whose caller has gone must not hang on.
        runner = web.AppRunner(
            self._make_app(), access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_SECONDS
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, _HOST, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return f"http://{_HOST}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Answer what hangs, and close the port."""
        self._stopping.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[self._fail_as_told], client_max_size=64 * 1024)
        app.router.add_get("/", self._tell_state)
        app.router.add_put("/fail", self._set_fault)
        app.router.add_post("/cars/{id}/sync", self._sync)
        app.router.add_get("/updates", self._updates)
        app.router.add_get("/revenue", self._revenue)
        return app

    @web.middleware
    async def _fail_as_told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in ("/", "/fail"):
            return await handler(request)
        fault = self._faults.take()
        if fault.mode is not FaultMode.NONE:
            self._answered[fault.mode] += 1
        match fault.mode:
            case FaultMode.ERROR:
                return _problem(503, "told to fail")
            case FaultMode.RATE_LIMIT:
                return _problem(429, "told to limit the rate", {"Retry-After": str(math.ceil(fault.seconds))})
            case FaultMode.HANG:
                await self._stopping.wait()
                return _problem(503, "the partner is stopping")
            case FaultMode.SLOW:
                await self._wait(fault.seconds)
            case FaultMode.NONE:
                pass
        return await handler(request)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _tell_state(self, _: web.Request) -> web.Response:
        state = {"fail": self._faults.current.model_dump(mode="json"), "answered": dict(self._answered)}
        return web.json_response(state)

    async def _set_fault(self, request: web.Request) -> web.Response:
        try:
            self._faults.current = Fault.model_validate_json(await request.read())
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            return _problem(400, "; ".join(problems))
        return web.json_response(self._faults.current.model_dump(mode="json"))

    async def _sync(self, request: web.Request) -> web.Response:
        self._answered["sync"] += 1
        return web.json_response({"synced": request.match_info["id"]})

    async def _updates(self, request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not re.fullmatch("[0-9]{1,15}", since):
            return _problem(400, "since: expected the number of an update, 0 or more")
        self._answered["updates"] += 1
        numbers = range(int(since) + 1, int(since) + 1 + _UPDATES_AT_ONCE)
        return web.json_response({"updates": [self._update(number) for number in numbers] if self._cars else []})

    def _update(self, number: int) -> dict[str, Any]:
        """The update of this number, which is the same whenever it is asked for."""
        random = Random(f"{_SEED}:{number}")  # noqa: S311 - a demo, no secret
        car = random.choice(self._cars)
        return {"number": number, "car_id": car.id, "price": round(car.price * random.uniform(0.8, 1.2))}

    async def _revenue(self, _: web.Request) -> web.Response:
        """What the partner's customers paid last week: each car was theirs for up to three days."""
        self._answered["revenue"] += 1
        random = Random(_SEED)  # noqa: S311 - a demo, no secret
        revenue: Counter[str] = Counter()
        for car in self._cars:
            revenue[car.origin] += car.price * random.randint(0, 3)
        return web.json_response({"revenue": revenue})


def _problem(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)
