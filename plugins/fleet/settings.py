"""What an operator may set in ``[plugins.fleet]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator

from .car_store import POSTGRES_SCHEMES, SQLITE_SCHEME

_DATABASE = "var/fleet.db"


class Settings(BaseModel):
    # A rejected value is not repeated in the error: it may be a URL with a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    database: Annotated[
        SecretStr,
        Field(
            description="Where the cars are kept: the path of a SQLite file, or a postgresql:// URL."
            " Its tables are created when they are missing.",
            json_schema_extra={"default": _DATABASE},
        ),
    ] = SecretStr(_DATABASE)
    demo: Annotated[bool, Field(description="Fill the table of cars, if it is empty, with some 400 car models.")] = True
    partner_url: Annotated[
        HttpUrl | None,
        Field(description="The partner's HTTP API; without one the fleet runs a demo partner of its own."),
    ] = None
    partner_port: Annotated[
        int,
        Field(ge=0, le=65535, description="The port of the demo partner on 127.0.0.1; 0 takes a free one."),
    ] = 0
    maintenance_after_days: Annotated[
        int, Field(ge=1, le=3650, description="A car needs its maintenance when the last one is older.")
    ] = 90

    @field_validator("database")
    @classmethod
    def _is_a_known_database(cls, database: SecretStr) -> SecretStr:
        location = database.get_secret_value()
        path = location.removeprefix(SQLITE_SCHEME)
        if not location.startswith(POSTGRES_SCHEMES) and ("://" in path or path in ("", ":memory:")):
            raise ValueError("expected the path of a SQLite file or a postgresql:// URL")
        return database
