"""What the API answers: the models of which OpenAPI is made. The values come from ``kernel.control`` as they are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

Instant = Annotated[str, Field(description="ISO 8601 in UTC.", examples=["2026-01-31T02:30:00+00:00"])]
RunId = Annotated[str, Field(description="The id of a run.", examples=["0199b4a2-7c1e-7d3a-9f54-2b8d1c0e6a77"])]


class Answer(BaseModel):
    """What is there is what is described: no other fields come."""

    model_config = ConfigDict(extra="forbid")


class Mistake(Answer):
    at: Annotated[str, Field(description="Where it stands, as `body.job`, `query.limit` or `path.run`.")]
    text: Annotated[str, Field(description="What was found, and what was expected.")]


class ProblemDetails(BaseModel):
    """Problem details for HTTP APIs, RFC 9457."""

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str = ""
    errors: list[Mistake] = Field(default_factory=list, description="Of several mistakes each with its place.")


# Runs


class Failure(Answer):
    type: str
    message: str
    traceback: str


class Run(Answer):
    """``payload``, ``result``: any JSON. ``attempt``: how many have begun."""

    id: RunId
    job: str
    queue: str
    priority: int
    state: Literal[
        "scheduled", "blocked", "queued", "running", "retrying", "completed", "failed", "cancelled", "expired"
    ]
    payload: Any
    enqueued_at: Instant
    due_at: Instant
    expires_at: Instant | None
    started_at: Instant | None
    finished_at: Instant | None
    attempt: int
    failures: int
    kernel: str | None
    result: Any
    error: Failure | None
    reason: str | None
    degraded: bool
    notes: list[str]
    stuck: bool
    losses: int
    progress: float | None
    progress_text: str | None
    unique: str | None
    tags: list[str]
    schedule: str | None
    tick_at: Instant | None
    folded: int


class Runs(Answer):
    items: list[Run]
    next: Annotated[str | None, Field(description="The `cursor` of the next page; null on the last one.")]


class Step(Answer):
    name: str
    result: Any


class LogLine(Answer):
    at: str | None
    attempt: int | None
    level: str | None
    text: str


class Attempt(Answer):
    attempt: int
    started_at: Instant | None
    ended_at: Instant | None
    outcome: str
    error: Failure | None
    reason: str | None
    kernel: str | None


class RunRecord(Run):
    """A run with all that was written down of it."""

    attempts: Annotated[list[Attempt], Field(description="Oldest first.")]
    steps: list[Step]
    steps_left_out: int
    log: list[LogLine]
    log_is_cut: bool


class EnqueuedRun(Run):
    is_new: Annotated[bool, Field(description="False when a run with the same unique key was there already.")]
    note: Annotated[str | None, Field(description="A word on what is unusual, as a queue that nothing else has.")]


class Branch(Answer):
    """``branches``, ``more`` and ``states`` are missing where the tree was not followed further."""

    run: RunId
    job: str | None
    state: str | None
    is_open: bool
    on_failure: str
    branches: list[Branch] = Field(default_factory=list)
    more: int = 0
    states: dict[str, int] = Field(default_factory=dict)


class Branches(Answer):
    branches: list[Branch]
    more: Annotated[int, Field(description="How many there are that are not named.")]
    states: dict[str, int]


class Tree(Answer):
    run: RunId
    depends_on: Branches
    needed_by: Branches


class Ended(Answer):
    id: RunId
    job: str
    queue: str
    before: str
    after: str
    held_by: str | None


class EndedRuns(Answer):
    items: list[Ended]


class Cancelled(Answer):
    """How many; `told`: those that run, and are told to end."""

    runs: int
    cancelled: int
    told: int
    left: int
    dependents: int


class Retried(Answer):
    """How many; `held`: another run has their unique key; `unready`: a run that they depend on has not completed."""

    runs: int
    retried: int
    held: int
    unready: int
    left: int


# Schedules


class Schedule(Answer):
    schedule: str
    job: str
    when: str
    kind: str
    spec: str
    timezone: str
    next_at: Instant | None
    paused: bool
    job_known: bool
    dynamic: Annotated[bool, Field(description="Added by hand; of a plugin's code otherwise.")]
    plugin: str | None
    catch_up: str
    overlap: str
    anchor: str
    jitter_seconds: float
    payload: Any
    looked_until: Instant | None


class Schedules(Answer):
    items: list[Schedule]


class Tick(Answer):
    schedule: str
    first_at: Instant
    last_at: Instant
    count: int
    result: str
    reason: str | None
    run: str | None
    state: Annotated[str | None, Field(description="Of the run, while it is kept.")]
    degraded: bool


class Ticks(Answer):
    ticks: list[Tick]
    is_cut: Annotated[bool, Field(description="There are more than `limit`.")]


class ComingTick(Answer):
    schedule: str
    job: str
    at: Instant


class MoreTicks(Answer):
    schedule: str
    more: int
    is_exact: bool


class ComingTicks(Answer):
    ticks: list[ComingTick]
    more: Annotated[list[MoreTicks], Field(description="How many come after these, by schedule.")]


# What is run, where, and what holds it back


class Unique(Answer):
    key: str | None
    by: list[str]
    within: float | None
    on_conflict: str


class JobBreaker(Answer):
    name: str
    failure_threshold: int
    recovery_timeout: float
    success_threshold: int
    when_open: str


class Retry(Answer):
    attempts: int
    backoff: str
    base_seconds: float
    factor: float
    cap_seconds: float
    jitter: float


class Keep(Answer):
    completed: float
    failed: float
    count: int


class Job(Answer):
    job: str
    plugin: str
    queue: str
    queue_concurrency: int | None
    queue_concurrency_scope: str
    queue_max_waiting: int | None
    queue_rate_limit: str | None
    priority: int
    concurrency: int | None
    concurrency_by: str | None
    concurrency_scope: str
    rate_limit: str | None
    rate_limit_by: str | None
    unique: Unique | None
    breaker: JobBreaker | None
    retry: Retry
    timeout_seconds: float | None
    max_silence_seconds: float | None
    expires_seconds: float | None
    keep: Keep
    tags: list[str]
    when_blocking: str | None
    kind: str
    place: str
    about: str
    payload: Annotated[dict[str, Any], Field(description="JSON Schema of the payload.")]
    max_payload: int
    defaults: dict[str, Any]


class Jobs(Answer):
    items: list[Job]


class Queue(Answer):
    queue: str
    queued: int
    scheduled: int
    retrying: int
    blocked: int
    running: int
    concurrency: int | None
    concurrency_scope: str
    max_waiting: int | None
    rate_limit: str | None
    oldest_due_at: Instant | None
    paused: bool
    paused_until: Annotated[Instant | None, Field(description="null: until it is resumed.")]


class Queues(Answer):
    items: list[Queue]


class Breaker(Answer):
    breaker: str
    state: str
    failures: int | None
    successes: int
    opened_at: Instant | None
    until: Instant | None
    probe: str | None
    error: str | None
    failure_threshold: int | None
    recovery_seconds: float | None
    success_threshold: int | None
    jobs: list[str]


class Breakers(Answer):
    items: list[Breaker]


# The kernel


class Fault(Answer):
    at: Instant | None
    hook: str
    reason: str
    place: str


class Plugin(Answer):
    plugin: str
    state: str
    source: str
    reason: str
    place: str
    note: str
    jobs: list[str]
    schedules: list[str]
    requires: list[str]
    version: str
    about: str
    faults: list[Fault]


class Plugins(Answer):
    items: list[Plugin]


class Kernel(Answer):
    kernel: str
    state: Literal["alive", "stopping", "lost"]
    host: str
    pid: int
    started_at: Instant
    seen_at: Instant
    seen_seconds: float
    running: int


class Kernels(Answer):
    items: list[Kernel]


class Check(Answer):
    plugin: str | None
    subject: str
    verdict: str
    ok: bool
    text: str
    since: Instant | None
    details: dict[str, Any]


class Health(Answer):
    store: str
    healthy: bool
    problems: list[str]
    checks: list[Check]
    loop_lag_seconds: float
    running: int
    concurrency: int
    claimed: int
    ended: Annotated[dict[str, int], Field(description="State -> how many attempts this kernel has brought to it.")]
    degraded_last_hour: dict[str, int]
    breakers: Any
    outcomes_unwritten: int
    schedules: int
    next_look_at: Instant | None
    events_dropped: dict[str, int]


class RunExplained(Answer):
    run: RunId
    job: str
    state: str
    reason: str
    text: str
    until: Instant | None


class ScheduleExplained(Answer):
    schedule: str
    job: str
    asked_at: Instant
    next_at: Instant | None
    reason: str
    text: str
    tick_at: Instant | None
    result: str | None
    run: str | None


class Explained(RootModel[RunExplained | ScheduleExplained]):
    """Why a run has not begun or how it ended, or what became of a schedule's tick."""


class Changes(Answer):
    changes: Annotated[list[str], Field(description="What changed, in lines.")]


# Probes


class Alive(Answer):
    alive: Literal[True]


class Ready(Answer):
    ready: bool
    problems: Annotated[int, Field(description="How many.")]
    details: list[str] = Field(default_factory=list, description="In words; only for who is logged in.")


class Described(BaseModel):
    """OpenAPI 3.1."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
