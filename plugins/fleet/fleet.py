"""What the fleet's jobs work with: the cars, and the partner."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from .car_store import POSTGRES_SCHEMES, SQLITE_SCHEME, make_car_store
from .demo import demo_cars
from .partner_client import PartnerClient

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from .car import Car
    from .car_store import CarStore
    from .settings import Settings

log = logging.getLogger(__name__)


class Fleet:
    """``cars`` and ``partner`` are there from ``open`` to ``close``; it may be opened again."""

    cars: CarStore
    partner: PartnerClient

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened = AsyncExitStack()

    async def open(self, folder: Path, now: datetime) -> None:
        """When it fails, or is cut short, nothing stays open.

        A relative path of the database begins at ``folder``. The dates of the demo's cars lie before ``now``.
        """
        demo = demo_cars(now) if self._settings.demo else []
        async with AsyncExitStack() as opened:
            cars = make_car_store(self._database(folder))
            opened.push_async_callback(cars.close)
            await cars.open()
            if added := await cars.fill_if_empty(demo):
                log.info("the fleet's table was empty: the cars of the demo were added, %d", added)
            partner = PartnerClient(await self._partner_url(demo, opened))
            opened.push_async_callback(partner.close)
            self.cars, self.partner, self._opened = cars, partner, opened.pop_all()

    async def close(self) -> None:
        await self._opened.aclose()

    def _database(self, folder: Path) -> str:
        location = self._settings.database.get_secret_value()
        if location.startswith(POSTGRES_SCHEMES):
            return location
        return str(folder / location.removeprefix(SQLITE_SCHEME))

    async def _partner_url(self, demo: Sequence[Car], opened: AsyncExitStack) -> str:
        if self._settings.partner_url is not None:
            return str(self._settings.partner_url)
        url = await self._start_demo_partner(demo, self._settings.partner_port, opened)
        log.info("the demo partner listens on %s", url)
        return url

    async def _start_demo_partner(self, demo: Sequence[Car], port: int, opened: AsyncExitStack) -> str:
        from .partner_api import PartnerApi  # noqa: PLC0415 - aiohttp is slow to import

        partner = PartnerApi(demo, port=port)
        opened.push_async_callback(partner.stop)
        try:
            return await partner.start()
        except OSError as error:
            if port == 0:
                raise
            # Another kernel's demo, most likely; that is no reason to be without one.
            log.warning("the demo partner cannot have port %d (%s) and takes a free one", port, error.strerror)
            return await self._start_demo_partner(demo, 0, opened)
