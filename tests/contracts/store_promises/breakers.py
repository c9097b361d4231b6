"""Breakers: rows that all kernels share, each written only on top of the version that its writer has seen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import BreakerRow
from tests.contracts.store_promises.samples import KERNEL, NOW

if TYPE_CHECKING:
    from kernel.contracts.store import Store

CLOSED = BreakerRow("partner-api", 1, "closed")


class Breakers:
    async def test_an_empty_store_has_no_breakers(self, store: Store) -> None:
        assert await store.breakers() == []

    @pytest.mark.parametrize(
        "row",
        [
            CLOSED,
            BreakerRow("partner-api", 1, "open", NOW, NOW + 60.123456, 0, None, "TimeoutError: no answer in 5 s"),
            BreakerRow('Käufer\'s "API" 🚗', 1, "half_open", NOW, NOW + 60, 2, KERNEL.id, ""),
        ],
    )
    async def test_a_breaker_that_was_put_is_there_as_it_was_given(self, store: Store, row: BreakerRow) -> None:
        assert await store.put_breaker(row)

        assert await store.breakers() == [row]

    async def test_the_next_version_takes_the_place_of_the_one_before_whole(self, store: Store) -> None:
        await store.put_breaker(BreakerRow("partner-api", 1, "half_open", NOW, NOW + 60, 2, KERNEL.id, "E"))

        assert await store.put_breaker(CLOSED._replace(version=2))

        assert await store.breakers() == [CLOSED._replace(version=2)]

    @pytest.mark.parametrize("version", [0, 1, 2, 4, 5])
    async def test_another_version_than_the_next_is_refused_and_changes_nothing(
        self, store: Store, version: int
    ) -> None:
        for there in (1, 2):
            await store.put_breaker(CLOSED._replace(version=there))

        assert not await store.put_breaker(BreakerRow("partner-api", version, "open", NOW, NOW + 60))

        assert await store.breakers() == [CLOSED._replace(version=2)]

    @pytest.mark.parametrize("version", [0, 2])
    async def test_the_first_version_of_a_breaker_is_one(self, store: Store, version: int) -> None:
        assert not await store.put_breaker(CLOSED._replace(version=version))

        assert await store.breakers() == []

    async def test_of_two_kernels_that_write_at_once_one_is_first(self, store: Store) -> None:
        rows = [BreakerRow("partner-api", 1, "open", NOW + number) for number in range(5)]

        answers = await asyncio.gather(*(store.put_breaker(row) for row in rows))

        assert answers.count(True) == 1
        assert await store.breakers() == [rows[answers.index(True)]]

    async def test_breakers_are_versioned_each_by_itself_and_told_by_name(self, store: Store) -> None:
        for name in ("b", "c", "a"):
            assert await store.put_breaker(CLOSED._replace(name=name))
        assert await store.put_breaker(CLOSED._replace(name="b", version=2))

        assert [(row.name, row.version) for row in await store.breakers()] == [("a", 1), ("b", 2), ("c", 1)]
