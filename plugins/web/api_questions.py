"""What the API is asked: bodies and query parameters. A field that is not here is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MOST_ON_A_PAGE = 500
MOST_IDS = 10_000
_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Moment = Annotated[
    str,
    Field(
        min_length=1,
        max_length=60,
        description='ISO 8601 as "2026-01-31T02:30:00Z", epoch seconds, or how long ago as "2h".',
    ),
]
_Duration = Annotated[
    str | float,
    Field(description='As "30s", "10m" or "25h", or seconds.', examples=["10m"], union_mode="left_to_right"),
]
_Id = Annotated[str, Field(min_length=1, max_length=100)]


def _one_line(text: str) -> str:
    """Rows of some stores cannot have such characters, and no name has any."""
    if not text.isprintable():
        raise ValueError("expected printable text in one line")
    return text


Line = Annotated[_Text, AfterValidator(_one_line)]
Reason = Annotated[Line, Field(description="Is kept with the runs.")]


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def given(self) -> dict[str, Any]:
        """The fields that were asked for, as control takes them."""
        return self.model_dump(exclude_unset=True, exclude_none=True)


class RunFilter(Question):
    state: Annotated[Line | None, Field(description="One or several, as `failed,expired`.")] = None
    job: Line | None = None
    queue: Line | None = None
    schedule: Line | None = None
    tag: Line | None = None
    since: Annotated[_Moment | None, Field(description="Enqueued at this instant or later.")] = None
    until: Annotated[_Moment | None, Field(description="Enqueued before this instant.")] = None
    error: Annotated[Line | None, Field(description="A text of the error, or of the reason.")] = None


class RunsWanted(RunFilter):
    limit: Annotated[int, Field(ge=1, le=MOST_ON_A_PAGE)] = 50
    cursor: Annotated[
        Annotated[_Id, AfterValidator(_one_line)] | None, Field(description="`next` of the page before.")
    ] = None


class Wait(Question):
    timeout: Annotated[float, Field(ge=0, le=60, description="Seconds; the run as it is when they are over.")] = 30.0


class Enqueue(Question):
    """``payload``: the job's parameters by name. ``delay`` and ``at``: one of the two."""

    job: Line
    payload: dict[str, Any] | None = None
    priority: Annotated[int | None, Field(ge=0, le=9, description="0 first, 9 last.")] = None
    delay: _Duration | None = None
    at: Annotated[str | None, Field(description="ISO 8601 with an offset.", examples=["2026-01-31T09:00:00+01:00"])] = (
        None
    )
    queue: Line | None = None
    unique: Annotated[
        Line | dict[str, Any] | None,
        Field(description="A key, or a table of `key`, `by`, `within`, `on_conflict`; see docs/queueing.md."),
    ] = None
    expires: _Duration | None = None
    depends_on: Annotated[list[_Id] | None, Field(max_length=MOST_IDS, description="Runs that must end first.")] = None
    on_parent_failure: Literal["cancel", "run"] | None = None
    tags: Annotated[list[Line] | None, Field(max_length=20)] = None

    @model_validator(mode="after")
    def _has_one_time(self) -> Self:
        if self.delay is not None and self.at is not None:
            raise ValueError("delay and at: expected one of the two")
        return self


class Why(Question):
    reason: Reason = "cancelled by hand"


class BulkRetry(Question):
    """``ids``: those that are not there, or cannot be retried, are left alone and counted."""

    ids: Annotated[list[_Id] | None, Field(min_length=1, max_length=MOST_IDS)] = None
    filter: Annotated[RunFilter | None, Field(description="With at least one field.")] = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("expected one of ids and filter")
        if self.filter is not None and not self.filter.given():
            raise ValueError("filter: expected at least one field, lest all runs be meant")
        return self


class BulkCancel(BulkRetry):
    reason: Reason = "cancelled by hand"


class Pause(Question):
    duration: Annotated[_Duration | None, Field(description="Without it, until it is resumed.")] = None


class Resize(Question):
    concurrency: Annotated[int | None, Field(ge=1, description="null is no limit.")]


class NewSchedule(Question):
    """Exactly one of ``cron`` and ``every``; the rest as of a decorator."""

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)]
    job: Line
    cron: Annotated[Line | None, Field(examples=["0 3 * * *"])] = None
    every: _Duration | None = None
    payload: dict[str, Any] | None = None
    timezone: Annotated[Line | None, Field(examples=["Europe/Berlin"])] = None
    jitter: _Duration | None = None
    start: Annotated[Line | None, Field(description="ISO 8601.")] = None
    end: Annotated[Line | None, Field(description="ISO 8601.")] = None
    catch_up: Literal["skip", "latest", "all"] | None = None
    catch_up_window: _Duration | None = None
    catch_up_max: Annotated[int | None, Field(ge=1)] = None
    overlap: Literal["skip", "queue", "allow", "replace"] | None = None
    anchor: Literal["grid", "finish"] | None = None
    paused: bool | None = None

    @model_validator(mode="after")
    def _has_one_time(self) -> Self:
        if (self.cron is None) == (self.every is None):
            raise ValueError("expected one of cron and every")
        return self


class Span(Question):
    since: _Moment = "24h"
    until: _Moment = "0s"
    schedule: Line | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 1_000


class SpanOfOne(Question):
    since: _Moment = "24h"
    until: _Moment = "0s"
    limit: Annotated[int, Field(ge=1, le=1_000)] = 1_000


class Ahead(Question):
    until: Annotated[
        str,
        Field(min_length=1, max_length=60, description='ISO 8601, epoch seconds, or how far ahead as "12h".'),
    ] = "24h"
    limit: Annotated[int, Field(ge=1, le=1_000)] = 1_000


class Explain(Question):
    subject: Annotated[Line, Field(description="The id of a run, or the name of a schedule.")]
    at: Annotated[
        Line | None, Field(description="Of a schedule: the tick at or last before this instant, ISO 8601.")
    ] = None


class Follow(Question):
    kinds: Annotated[
        Annotated[str, Field(max_length=2_000)] | None,
        Field(description="Names of events, as `RunFailed,RunCompleted`; all without it."),
    ] = None
    job: Annotated[Line | None, Field(description="Of events that tell of a job only those of this one.")] = None
