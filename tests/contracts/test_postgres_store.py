"""The PostgreSQL store keeps what every durable store promises."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from plugins.postgres.store import PostgresStore
from tests.contracts.store_contract import DurableStoreContract, MakeStore
from tests.contracts.store_promises.samples import KERNEL
from tests.postgres_server import Databases, execute, in_a_thread, with_options

if TYPE_CHECKING:
    from kernel.contracts.store import Store

_LATER = (
    "CREATE OR REPLACE FUNCTION {}.clock() RETURNS float8 LANGUAGE sql "
    "AS 'SELECT extract(epoch FROM clock_timestamp())::float8 + 1e9'"
)
_RUN_OUT = "UPDATE {}.kernel SET lease_until = 0 WHERE id <> '{}'"
_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN
        SELECT tablename FROM pg_tables
        WHERE schemaname = '{0}' AND tablename NOT IN ('mainspring_schema', 'signal', 'state')
    LOOP
        EXECUTE format('DELETE FROM {0}.%I', name);
    END LOOP;
END $$
"""


class Schemas:
    """Stores' schemas of one database, made once and emptied for each test: what takes long is to make one."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._made: set[str] = set()

    def url(self, number: int) -> str:
        """Of an empty store. The promises are about instants to come: the database's clock is set past them."""
        schema = f"store_{number}"
        url = with_options(self._database, schema=schema)
        if schema in self._made:
            execute(self._database, _EMPTY.format(schema))
        else:
            self._made.add(schema)
            in_a_thread(PostgresStore(url).upgrade)
            execute(self._database, _LATER.format(schema))
        return url


@pytest.fixture(scope="module")
def schemas(databases: Databases) -> Schemas:
    return Schemas(databases.new())


class TestPostgresStore(DurableStoreContract):
    shared = True

    async def until_dead(self, store: Store) -> None:
        """A lease lasts for half a minute; here it has run out."""
        schema = parse_qs(urlsplit(store.url).query)["schema"][0]
        execute(store.url.split("&schema=")[0], _RUN_OUT.format(schema, KERNEL.id))

    @pytest.fixture
    def make_store(self, schemas: Schemas) -> MakeStore:
        places: dict[str, str] = {}

        def make(place: str = "main") -> Store:
            if place not in places:
                places[place] = schemas.url(len(places))
            return PostgresStore(places[place])

        return make
