"""What a car of the fleet is, and what becomes known about one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime


class CarStatus(StrEnum):
    AVAILABLE = "AVAILABLE"
    RENTED = "RENTED"
    MAINTENANCE = "MAINTENANCE"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True)
class Car:
    """A car as the fleet's table has it; ``price`` is in cents a day, ``weight`` in pounds."""

    id: str
    title: str
    status: CarStatus
    last_maintenance_at: datetime
    needs_sync: bool
    price: int
    origin: str
    year: int
    horsepower: int | None
    weight: int


@dataclass(frozen=True, slots=True)
class CarUpdate:
    """A new price from the partner, who numbers the updates in the order they were made."""

    number: int
    car_id: str
    price: int


@dataclass(frozen=True, slots=True)
class Reminder:
    """That a car needs its maintenance; at most one for a car and a day."""

    car_id: str
    day: date
    sent_at: datetime
    message: str
