"""Keeps the fleet and the partner of one mind: changed cars go to the partner, new prices come back."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from kernel import BreakerOpen, Context, Retry, RetryAfter, cron, every, job

from .partner_client import PartnerError
from .telling import telling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .car import CarUpdate
    from .fleet import Fleet

    Fetch = Callable[[int], Awaitable[list[CarUpdate]]]

_CARS_AT_ONCE = 100


class Sync:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def _send_cars(self, counts: dict[str, Any]) -> None:
        """Marks each car as soon as the partner has it: what follows may fail."""
        for car in await self._fleet.cars.needing_sync(_CARS_AT_ONCE):
            await self._fleet.partner.sync_car(car)
            await self._fleet.cars.mark_synced([car])
            counts["sent"] += 1

    async def _take_updates(self, counts: dict[str, Any], fetch: Fetch) -> None:
        updates = await fetch(await self._fleet.cars.latest_update())
        counts["received"] += len(updates)
        counts["applied"] += await self._fleet.cars.apply_updates(updates)

    @every("60s")
    @job(max_silence="5h")
    async def sync_car_data(self, ctx: Context) -> None:
        # A partner that fails is told, and no failure of the run: the next tick, in a minute, sends what is left.
        with suppress(PartnerError), telling(ctx, "sync_car_data", reaches_partner=True, sent=0) as counts:
            await self._send_cars(counts)
            if not counts["sent"]:
                # Asked all the same, so that people hear within a minute of a partner that is down, or is back.
                await self._fleet.partner.fetch_car_updates(await self._fleet.cars.latest_update())

    @cron("0 */6 * * *")
    @job(retry=Retry(attempts=3, base="1s"))
    async def sync_with_retry(self, ctx: Context) -> dict[str, int]:
        try:
            with telling(ctx, "sync_with_retry", reaches_partner=True, sent=0, received=0, applied=0) as counts:
                await self._send_cars(counts)
                await self._take_updates(counts, self._fleet.partner.fetch_car_updates)
        except PartnerError as error:
            if error.retry_after_seconds is not None:
                raise RetryAfter(error.retry_after_seconds) from error
            raise
        return counts

    @cron("0 */2 * * *")
    async def sync_with_external_api(self, ctx: Context) -> None:
        breaker = ctx.breaker("partner", failure_threshold=5, recovery_timeout="60s", success_threshold=3)
        try:
            # As above: what the partner did not tell now it tells in two hours.
            with (
                suppress(PartnerError),
                telling(ctx, "sync_with_external_api", reaches_partner=True, received=0, applied=0) as counts,
            ):
                # Nothing but the partner's own part: a fault of the fleet's table is no reason to leave the partner alone.
                await self._take_updates(counts, partial(breaker.call, self._fleet.partner.fetch_car_updates))
        except BreakerOpen as error:
            ctx.log.warning("the sync with the external API is skipped: %s", error)
