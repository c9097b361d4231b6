"""What an operator may set in ``[plugins.health]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kernel import ConfigError, seconds


def _length(value: object) -> float | None:
    try:
        return None if value is None else seconds(value)  # type: ignore[arg-type] # it refuses what is no duration
    except ConfigError as error:
        raise ValueError(str(error)) from None


Length = Annotated[float, BeforeValidator(_length, json_schema_input_type=str | float)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default_max_silence: Annotated[
        Length | None,
        Field(description="Of jobs with neither schedule nor max_silence, once they have run; none: never late."),
    ] = None
    failing_after: Annotated[
        int, Field(ge=1, le=1000, description="So many runs in a row must have failed for a job to be failing.")
    ] = 1
    long_factor: Annotated[
        float, Field(gt=1, le=1000, description="A run is long when it takes so many times the job's usual time.")
    ] = 3.0
    long_least: Annotated[Length, Field(description="A run that takes less than this is never long.")] = 60.0
