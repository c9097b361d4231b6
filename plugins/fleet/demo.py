"""A fleet to begin with: real car models (CARS.md), with made-up prices, states and dates."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from .car import Car, CarStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_MODELS = Path(__file__).with_name("cars.csv")
_SEED = 1970
_DAYS_SINCE_MAINTENANCE = 120
_STATUSES = {
    CarStatus.AVAILABLE: 60,
    CarStatus.RENTED: 25,
    CarStatus.MAINTENANCE: 10,
    CarStatus.RETIRED: 5,
}


def demo_cars(now: datetime) -> list[Car]:
    """The same cars at every call, but for their dates, which lie up to 120 days before ``now``.

    After 90 days without maintenance some 60 of them need it.
    """
    random = Random(_SEED)  # noqa: S311 - a demo, no secret
    with _MODELS.open(encoding="utf-8", newline="") as lines:
        return [_car(number, model, now, random) for number, model in enumerate(csv.DictReader(lines), start=1)]


def _car(number: int, model: Mapping[str, str], now: datetime, random: Random) -> Car:
    return Car(
        id=str(number),
        title=f"{model['name']} ({model['year']})",
        status=random.choices(list(_STATUSES), list(_STATUSES.values()))[0],
        last_maintenance_at=now - timedelta(days=random.uniform(0, _DAYS_SINCE_MAINTENANCE)),
        needs_sync=random.random() < 0.1,
        price=random.randrange(1900, 8000, 100),
        origin=model["origin"],
        year=int(model["year"]),
        horsepower=int(model["horsepower"]) if model["horsepower"] else None,
        weight=int(model["weight"]),
    )
