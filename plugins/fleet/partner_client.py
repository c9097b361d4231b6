"""Speaks to the partner's HTTP API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from .car import CarUpdate

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from .car import Car

Amount = Annotated[int, Field(ge=0, le=10**12)]


class _Update(BaseModel):
    number: Annotated[int, Field(ge=1, le=10**15)]
    car_id: str
    price: Amount


class _Updates(BaseModel):
    updates: list[_Update]


class _Revenue(BaseModel):
    revenue: dict[str, Amount]


Answer = TypeVar("Answer", bound=BaseModel)


class PartnerError(Exception):
    """The partner did not do it; says in one line what was asked and what came back.

    ``status`` is None when no answer came, ``retry_after_seconds`` when the partner does not ask for a wait.
    """

    def __init__(
        self,
        request: str,
        problem: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.request, self.problem = request, problem
        self.status, self.retry_after_seconds = status, retry_after_seconds
        super().__init__(f"partner: {request}: {problem}")


class PartnerClient:
    """Connects at its first call, and keeps its connections until it is closed; no call waits for ever."""

    def __init__(self, base_url: str, *, timeout_seconds: float = 10) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._session: ClientSession | None = None

    async def sync_car(self, car: Car) -> None:
        body = {"title": car.title, "status": car.status, "price": car.price}
        await self._ask("POST", f"/cars/{quote(car.id, safe='')}/sync", json=body)

    async def fetch_car_updates(self, since: int = 0) -> list[CarUpdate]:
        """The next updates after the one with this number, oldest first."""
        request = f"/updates?since={since}"
        answer = _parsed(_Updates, f"GET {request}", await self._ask("GET", request))
        return [CarUpdate(update.number, update.car_id, update.price) for update in answer.updates]

    async def fetch_revenue(self) -> dict[str, int]:
        """What the partner's customers paid, in cents, by the cars' origin."""
        return _parsed(_Revenue, "GET /revenue", await self._ask("GET", "/revenue")).revenue

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, method: str, path: str, **options: Any) -> bytes:
        import aiohttp  # noqa: PLC0415 - slow to import, and not every kernel with a fleet gets here

        request = f"{method} {path}"
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(self._timeout_seconds))
        try:
            async with self._session.request(method, self._base_url + path, **options) as response:
                if response.ok:
                    return await response.read()
                raise PartnerError(
                    request,
                    f"answered {response.status} {response.reason}",
                    status=response.status,
                    retry_after_seconds=_seconds(response.headers.get("Retry-After")),
                )
        except TimeoutError as error:
            raise PartnerError(request, f"no answer within {self._timeout_seconds:g} s") from error
        except aiohttp.ClientError as error:
            raise PartnerError(request, f"{type(error).__name__}: {error}") from error


def _parsed(form: type[Answer], request: str, body: bytes) -> Answer:
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PartnerError(request, f"answered what was not expected: {place} {first['msg']}", status=200) from error


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as a number of seconds; its other form, a date, is left alone."""
    return float(retry_after) if retry_after and re.fullmatch("[0-9]{1,9}", retry_after) else None
