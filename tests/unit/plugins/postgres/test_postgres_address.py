"""The URL: its options are checked, and its password is shown nowhere."""

from __future__ import annotations

import pytest

from kernel.model.errors import ConfigError
from plugins.postgres import open_store
from plugins.postgres.address import address_of
from plugins.postgres.statements import Statements

CANARY = "canary-7f3a"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "PostgreSQL"])
def test_the_plugin_opens_its_schemes_and_no_others(scheme: str) -> None:
    assert open_store(f"{scheme}://localhost/main") is not None
    assert open_store("sqlite:///main.db") is None
    assert open_store("postgresqlx://localhost/main") is None


def test_options_of_ours_are_taken_and_those_of_the_server_passed_on() -> None:
    address = address_of("postgresql://me@db:5433/main?schema=jobs&pool=9&poll_only=true&sslmode=require")

    assert (address.schema, address.pool, address.poll_only) == ("jobs", 9, True)
    assert address.dsn == "postgresql://me@db:5433/main?sslmode=require"


def test_without_options_there_are_defaults() -> None:
    address = address_of("postgresql:///main")

    assert (address.schema, address.pool, address.poll_only) == ("mainspring", 4, False)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{CANARY}@db/main",
        f"postgresql://me@db/main?password={CANARY}",
        f"postgresql://me:{CANARY}@[::1]:5432/main?schema=a&sslpassword={CANARY}",
    ],
)
def test_the_password_is_shown_nowhere(url: str) -> None:
    address = address_of(url)

    assert CANARY in address.dsn
    assert CANARY not in address.url + repr(address) + str(address)
    assert "db" in address.url or "::1" in address.url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://me:{CANARY}@db:port/main", "no valid PostgreSQL URL"),
        (f"postgresql://me:{CANARY}@[db/main", "no valid PostgreSQL URL"),
        (f"postgresql://me:{CANARY}@db/main?schema", "no valid PostgreSQL URL"),
        (f"postgresql://me:{CANARY}#@db/main", "%23"),
        (f"postgresql://me:{CANARY}@db/main?shema=a", 'Did you mean "schema"'),
        (f"postgresql://me:{CANARY}@db/main?work_mem=1GB", "no option"),
        (f"postgresql://me:{CANARY}@db/main?schema=a;drop", "schema="),
        (f"postgresql://me:{CANARY}@db/main?schema=A", "schema="),
        (f'postgresql://me:{CANARY}@db/main?schema=a"b', "schema="),
        (f"postgresql://me:{CANARY}@db/main?schema=pg_catalog", "schema="),
        (f"postgresql://me:{CANARY}@db/main?schema={'a' * 41}", "schema="),
        (f"postgresql://me:{CANARY}@db/main?pool=1", "from 2 to 100"),
        (f"postgresql://me:{CANARY}@db/main?pool=many", "from 2 to 100"),
        (f"postgresql://me:{CANARY}@db/main?pool=²", "from 2 to 100"),
        (f"postgresql://me:{CANARY}@db/main?poll_only=maybe", "true or false"),
    ],
)
def test_a_wrong_url_is_an_error_in_one_line_without_the_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        address_of(url)

    assert said in str(caught.value)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_statements_are_those_of_the_stores_schema() -> None:
    statement = Statements("jobs")["claim"]

    assert "jobs.run" in statement
    assert "mainspring." not in statement
