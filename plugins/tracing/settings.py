"""What an operator may set in ``[plugins.tracing]``."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

_GROUP = "opentelemetry_traces_exporter"


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    exporter: Annotated[
        str | None,
        Field(
            description='Where spans go: "console", "otlp", or another exporter that is installed. Without it they go to'
            " the tracer provider that the program has set."
        ),
    ] = None
    service_name: Annotated[
        str, Field(min_length=1, max_length=200, description="The name under which the spans are shown.")
    ] = "mainspring"

    @field_validator("exporter")
    @classmethod
    def _is_installed(cls, exporter: str | None) -> str | None:
        known = exporters()
        if exporter is None or exporter in known or not is_there():
            return exporter
        hint = "; `pip install opentelemetry-exporter-otlp` brings otlp" if exporter.startswith("otlp") else ""
        raise PydanticCustomError(
            "exporter",
            "{found}: no exporter of this name is installed; expected one of {known}{hint}",
            {"found": repr(exporter[:100]), "known": ", ".join(sorted(known)), "hint": hint},
        )

    @model_validator(mode="after")
    def _has_the_extra(self) -> Self:
        if not is_there():
            raise PydanticCustomError(
                "extra", "OpenTelemetry is not installed; expected it: `pip install 'mainspring[tracing]'`"
            )
        return self


def is_there() -> bool:
    """Whether the extra is installed."""
    try:
        return find_spec("opentelemetry.sdk.trace") is not None
    except ModuleNotFoundError:
        return False


def exporters() -> dict[str, EntryPoint]:
    """Those that are installed, by the name under which OpenTelemetry knows them."""
    return {one.name: one for one in entry_points(group=_GROUP)}
