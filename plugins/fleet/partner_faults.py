"""How the demo partner fails when it is told to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class FaultMode(StrEnum):
    NONE = "none"
    ERROR = "error"
    HANG = "hang"
    SLOW = "slow"
    RATE_LIMIT = "rate-limit"


class Fault(BaseModel):
    """Also the body of ``PUT /fail``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: FaultMode
    times: int | None = Field(default=None, ge=1, description="For so many requests; null is until told otherwise.")
    seconds: float = Field(default=2, ge=0, le=60, description="How long slow takes, and rate-limit asks to wait.")


NO_FAULT = Fault(mode=FaultMode.NONE)


class Faults:
    """The fault in force, used up request by request."""

    def __init__(self) -> None:
        self.current = NO_FAULT

    def take(self) -> Fault:
        """The fault of this request; the last of its times ends it."""
        fault = self.current
        if fault.times is not None:
            left = fault.times - 1
            self.current = fault.model_copy(update={"times": left}) if left else NO_FAULT
        return fault
