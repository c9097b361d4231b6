"""The demo partner and the client that speaks to it, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, web

from plugins.fleet.demo import demo_cars
from plugins.fleet.partner_api import PartnerApi
from plugins.fleet.partner_client import PartnerClient, PartnerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CARS = demo_cars(datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Where a partner runs."""
    partner = PartnerApi(CARS)
    yield await partner.start()
    await partner.stop()


@pytest.fixture
async def client(url: str) -> AsyncIterator[PartnerClient]:
    client = PartnerClient(url)
    yield client
    await client.close()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def tell(http: ClientSession, url: str, fault: dict[str, Any]) -> int:
    async with http.put(f"{url}/fail", json=fault) as response:
        return response.status


async def state_of(http: ClientSession, url: str) -> Any:
    async with http.get(url) as response:
        return await response.json()


async def test_a_car_is_synced(client: PartnerClient, http: ClientSession, url: str) -> None:
    await client.sync_car(CARS[0])
    await client.sync_car(CARS[1])

    assert (await state_of(http, url))["answered"] == {"sync": 2}


async def test_an_id_is_one_piece_of_the_path_whatever_is_in_it(client: PartnerClient) -> None:
    await client.sync_car(replace(CARS[0], id="a/b?c#d %e/../ü"))


async def test_updates_go_on_from_the_one_that_is_known(client: PartnerClient) -> None:
    first = await client.fetch_car_updates()
    second = await client.fetch_car_updates(since=first[-1].number)
    first_again = await client.fetch_car_updates()

    assert [update.number for update in first + second] == list(range(1, 11))
    assert first == first_again
    assert {update.car_id for update in first} <= {car.id for car in CARS}


async def test_revenue_is_told_by_origin(client: PartnerClient) -> None:
    revenue = await client.fetch_revenue()

    assert set(revenue) == {"USA", "Europe", "Japan"}
    assert revenue == await client.fetch_revenue()


async def test_told_to_fail_it_fails_until_told_otherwise(client: PartnerClient, http: ClientSession, url: str) -> None:
    await tell(http, url, {"mode": "error"})

    for _ in range(2):
        with pytest.raises(PartnerError) as caught:
            await client.sync_car(CARS[0])
        assert str(caught.value) == "partner: POST /cars/1/sync: answered 503 Service Unavailable"
        assert (caught.value.status, caught.value.retry_after_seconds) == (503, None)
    await tell(http, url, {"mode": "none"})
    await client.sync_car(CARS[0])

    assert (await state_of(http, url))["answered"] == {"error": 2, "sync": 1}


async def test_told_to_fail_twice_it_fails_twice(client: PartnerClient, http: ClientSession, url: str) -> None:
    await tell(http, url, {"mode": "error", "times": 2})

    for _ in range(2):
        with pytest.raises(PartnerError):
            await client.fetch_revenue()

    assert await client.fetch_revenue()
    assert (await state_of(http, url))["fail"]["mode"] == "none"


async def test_a_rate_limit_says_how_long_to_wait(client: PartnerClient, http: ClientSession, url: str) -> None:
    await tell(http, url, {"mode": "rate-limit", "times": 1, "seconds": 30})

    with pytest.raises(PartnerError, match="answered 429 Too Many Requests") as caught:
        await client.fetch_car_updates()

    assert (caught.value.status, caught.value.retry_after_seconds) == (429, 30)


async def test_a_partner_that_hangs_is_given_up_after_the_timeout(http: ClientSession, url: str) -> None:
    await tell(http, url, {"mode": "hang"})
    client = PartnerClient(url, timeout_seconds=0.05)

    with pytest.raises(PartnerError, match=r"^partner: GET /revenue: no answer within 0\.05 s$") as caught:
        await client.fetch_revenue()
    await client.close()

    assert caught.value.status is None


async def test_a_partner_that_is_stopped_answers_what_hangs() -> None:
    partner = PartnerApi(CARS)
    url = await partner.start()
    client = PartnerClient(url)
    async with ClientSession() as http:
        await tell(http, url, {"mode": "hang"})
        asking = asyncio.ensure_future(client.fetch_revenue())
        while not (await state_of(http, url))["answered"]:
            pass
        await partner.stop()

    with pytest.raises(PartnerError) as caught:
        await asking
    await client.close()

    assert caught.value.status == 503


async def test_a_slow_partner_answers_in_the_end(client: PartnerClient, http: ClientSession, url: str) -> None:
    await tell(http, url, {"mode": "slow", "seconds": 0.01})

    await client.sync_car(CARS[0])

    assert (await state_of(http, url))["answered"] == {"slow": 1, "sync": 1}


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"mode": "explode"},
        {"mode": "error", "times": 0},
        {"mode": "slow", "seconds": -1},
        {"mode": "slow", "seconds": 61},
        {"mode": "error", "time": 1},
    ],
)
async def test_a_fault_that_it_does_not_know_is_refused_and_changes_nothing(
    http: ClientSession, url: str, fault: dict[str, Any]
) -> None:
    before = await state_of(http, url)

    assert await tell(http, url, fault) == 400
    assert await state_of(http, url) == before


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "9" * 16, "", "²"])
async def test_updates_since_no_number_are_refused(http: ClientSession, url: str, since: str) -> None:
    async with http.get(f"{url}/updates", params={"since": since}) as response:
        assert response.status == 400


async def test_a_partner_without_cars_has_no_news() -> None:
    partner = PartnerApi([])
    client = PartnerClient(await partner.start())

    assert (await client.fetch_car_updates(), await client.fetch_revenue()) == ([], {})

    await client.close()
    await partner.stop()


async def test_it_listens_on_loopback_only_and_frees_its_port_when_stopped() -> None:
    partner = PartnerApi(CARS)
    address = urlsplit(await partner.start())
    with pytest.raises(OSError, match="in use"):
        await PartnerApi(CARS, port=address.port or 0).start()
    await partner.stop()
    await partner.stop()

    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((address.hostname, address.port))
    assert address.hostname == "127.0.0.1"


async def test_a_stopped_partner_can_be_started_again() -> None:
    partner = PartnerApi(CARS)
    await partner.start()
    await partner.stop()
    client = PartnerClient(await partner.start())

    assert await client.fetch_revenue()

    await client.close()
    await partner.stop()


async def test_a_partner_that_is_not_there_is_told_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = PartnerClient(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(PartnerError, match=r"^partner: GET /revenue: .*Cannot connect to host") as caught:
            await client.fetch_revenue()
    await client.close()

    assert "\n" not in str(caught.value)
    assert caught.value.status is None


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        "{}",
        '{"updates": [{"number": 1, "car_id": "1", "price": -1}]}',
        '{"updates": [{"number": 1, "car_id": "1", "price": NaN}]}',
    ],
)
async def test_an_answer_of_another_form_is_an_error_of_the_partner(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.router.add_get("/updates", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = PartnerClient(f"http://127.0.0.1:{runner.addresses[0][1]}")

    with pytest.raises(PartnerError, match="answered what was not expected: ") as caught:
        await client.fetch_car_updates()
    await client.close()
    await runner.cleanup()

    assert "\n" not in str(caught.value)


async def test_a_client_that_was_never_used_is_closed_in_peace() -> None:
    client = PartnerClient("http://127.0.0.1:1")

    await client.close()
    await client.close()
