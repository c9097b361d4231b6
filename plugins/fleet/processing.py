"""Works out what each car may earn, several cars at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel import Context, GiveUp, Retry, after, job

from .car import CarStatus
from .telling import telling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .car import Car
    from .fleet import Fleet

_TYPICAL_HORSEPOWER = 100


def demand_of(revenue: Mapping[str, int]) -> dict[str, float]:
    """The share that the cars of each origin have in ``revenue``: what customers ask for."""
    total = sum(revenue.values())
    return {origin: amount / total for origin, amount in revenue.items()} if total else {}


def yearly_earnings(car: Car, demand: Mapping[str, float]) -> float:
    """What the car may earn in a year, in cents: the more, the livelier it is and the more its kind is asked for."""
    if car.status is CarStatus.RETIRED:
        return 0.0
    days_rented = 365 * (0.3 + 0.6 * demand.get(car.origin, 0.0))
    liveliness = (car.horsepower or _TYPICAL_HORSEPOWER) / car.weight
    return round(car.price * days_rented * (1 + liveliness), 2)


class Processing:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._demand: Mapping[str, float] | None = None

    async def _read_demand(self) -> Mapping[str, float]:
        self._demand = demand_of(await self._fleet.cars.revenue())
        return self._demand

    async def _compute(self, ctx: Context, car_id: str, *, anew: bool) -> float:
        car = await self._fleet.cars.by_id(car_id)
        if car is None:
            raise GiveUp(f"the fleet has no car {car_id!r}")
        await ctx.progress(0.3, f"works out what the {car.title} may earn")
        demand = self._demand if self._demand is not None and not anew else await self._read_demand()
        value = yearly_earnings(car, demand)
        await ctx.progress(0.8, "records it")
        await self._fleet.cars.record_computation(car_id, value, datetime.now(UTC))
        return value

    @after("5s")
    async def initialize_cache(self, ctx: Context) -> None:
        """Reads once for all cars what the work on each would have to read."""
        with telling(ctx, "initialize_cache", origins=0) as counts:
            counts["origins"] = len(await self._read_demand())

    @job(name="process-car", queue="car-processing", concurrency=5, retry=Retry(attempts=3, base="2s"))
    async def process_car(self, ctx: Context, car_id: str, *, force: bool = False) -> float:
        """What the car may earn in a year, in cents; with ``force`` worked out anew where that is known already."""
        with telling(ctx, "process_car", car_id=car_id, computed=False) as facts:
            value = None if force else await self._fleet.cars.computation_of(car_id)
            if value is None:
                value = await self._compute(ctx, car_id, anew=force)
                facts["computed"] = True
        return value
