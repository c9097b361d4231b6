"""A server that a test may harm, and how a test tells how long something took."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.postgres_server import execute, new_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.postgres_server import Server

Tell: TypeAlias = "Callable[[str, float], None]"


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    """A server that a test may stop; it runs again when the test ends."""
    server = new_server(is_safe=True)
    yield server
    server.remove()


@pytest.fixture
def own_url(own_server: Server) -> str:
    """Of its database, with nothing in it."""
    execute(own_server.url(), "DROP SCHEMA IF EXISTS mainspring CASCADE")
    return own_server.url()


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Prints how long something took, and has it recorded with the test."""

    def told(what: str, seconds: float) -> None:
        record_property(what, round(seconds, 1))
        print(f"\n{what}: {seconds:.1f} s", flush=True)  # noqa: T201 - asked for by -s

    return told
