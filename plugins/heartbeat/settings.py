"""What an operator may set in ``[plugins.heartbeat]``."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from kernel import ConfigError, seconds

from .dialects import DIALECTS, dialect_of, split

_DIALECTS = ", ".join(DIALECTS)


def _duration(value: Any) -> float:
    try:
        found = seconds(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    if found < 1:
        raise ValueError("expected at least a second")
    return found


class Check(BaseModel):
    """A check of a service: its URL, and in which words it wants to be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Before `url`, whose check needs it.
    dialect: Annotated[
        str | None, Field(description="Where the host does not tell it.", json_schema_extra={"enum": [*DIALECTS, None]})
    ] = None
    url: Annotated[SecretStr, Field(description="As the service shows it.")]

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_url(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"url": value}
        if not isinstance(value, dict):
            raise ValueError('expected a URL as text, or a table { url = "…", dialect = "…" }')  # noqa: TRY004 - of these pydantic makes its errors
        return value

    @field_validator("dialect")
    @classmethod
    def _is_known(cls, dialect: str | None) -> str | None:
        if dialect is not None and dialect not in DIALECTS:
            near = get_close_matches(dialect.casefold(), DIALECTS, n=1)
            raise ValueError(f"expected one of {_DIALECTS}" + (f'. Did you mean "{near[0]}"?' if near else ""))
        return dialect

    @field_validator("url")
    @classmethod
    def _is_usable(cls, url: SecretStr, info: Any) -> SecretStr:
        parts = split(url.get_secret_value())
        if "dialect" in info.data and info.data["dialect"] is None and dialect_of(parts) is None:
            raise ValueError(
                f"{parts.hostname} does not tell which service it is; expected beside it dialect = one of {_DIALECTS}"
            )
        return url


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kernel: Annotated[
        Check | None, Field(description="Told that the kernel does its work; silence means that it does not.")
    ] = None
    every: Annotated[
        float,
        BeforeValidator(_duration),
        Field(description="How often the kernel tells it.", json_schema_extra={"type": ["string", "number"]}),
    ] = 60.0
    watched: Annotated[
        dict[str, Check],
        Field(
            description="Job -> the check that is told of its runs, as a URL or a table.",
            json_schema_extra={"propertyNames": {"format": "job"}},
        ),
    ] = Field(default_factory=dict)
