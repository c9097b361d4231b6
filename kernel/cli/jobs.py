"""``mainspring jobs``: what can be enqueued."""

import shlex
from typing import Annotated, Any

import typer

from kernel.cli.command import AsJson, at_desk, example, group
from kernel.cli.output import Column, as_json_text, moment, print_fields, print_json, print_table

_COLUMNS = [
    Column("JOB"), Column("QUEUE"), Column("PRIORITY", is_number=True), Column("ATTEMPTS", is_number=True),
    Column("TIMEOUT", is_number=True), Column("LIMITS"), Column("PARAMETERS", is_whole=False),
    Column("ABOUT", is_whole=False),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    jobs = group(app, "jobs", "Lists the jobs that can be enqueued, with their policies.", works_alone=True)
    jobs.callback(epilog=example("jobs", "jobs --json"))(list_jobs)
    jobs.command("show", epilog=example("jobs show fleet.process-car"))(show)


def list_jobs(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Lists the jobs that can be enqueued, with their policies."""
    if context.invoked_subcommand is not None:
        return
    found = at_desk(context, lambda desk: desk.jobs())
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, [_row(job) for job in found], empty="no jobs: no plugin that has any is enabled")


def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The job's full name, as `jobs` has it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Shows one job: policies, schedules and payload.

    The payload as JSON Schema, with an example of a command that enqueues it.
    """
    from kernel.cli.example_payload import example_payload  # noqa: PLC0415 - at first use, as the model
    from kernel.cli.job_words import policy_words  # noqa: PLC0415 - as above

    job = at_desk(context, lambda desk: desk.job(name))
    job["example"] = example_payload(job["payload"])
    if as_json:
        print_json(job)
        return
    fields = {"job": job["job"], "about": job["about"] or "-", **policy_words(job)}
    if job["schedules"]:
        fields["schedules"] = "\n".join(_schedule(one) for one in job["schedules"])
    place = {"declared": job["place"]} if job["place"] else {}
    payload = as_json_text(job["payload"], indent=2) if job["payload"].get("properties") else "none"
    print_fields({**fields, **place, "payload": payload, "example": _enqueue_line(job)})


def _schedule(schedule: dict[str, Any]) -> str:
    following = "" if schedule["next_at"] is None else f", next at {moment(schedule['next_at'])}"
    return f"{schedule['schedule']}: {schedule['when']}{', paused' if schedule['paused'] else following}"


def _enqueue_line(job: dict[str, Any]) -> str:
    line = f"mainspring enqueue {shlex.quote(job['job'])}"
    return f"{line} --payload {shlex.quote(as_json_text(job['example']))}" if job["example"] else line


def _row(job: dict[str, Any]) -> list[Any]:
    from kernel.model.duration import words  # noqa: PLC0415 - at first use, as all of the model here

    timeout = job["timeout_seconds"]
    return [
        job["job"], job["queue"], job["priority"], job["retry"]["attempts"],
        "none" if timeout is None else words(timeout), _limits(job), _parameters(job["payload"]), job["about"],
    ]  # fmt: skip


def _limits(job: dict[str, Any]) -> str:
    """`5 at once each tenant, 100/60s`."""
    limits = []
    scope = " a kernel" if job.get("concurrency_scope") == "kernel" else ""
    for limit, by in (
        (job["concurrency"], job.get("concurrency_by")),
        (job.get("rate_limit"), job.get("rate_limit_by")),
    ):
        if limit is not None:
            at_once = f" at once{scope}" if isinstance(limit, int) else ""
            limits.append(f"{limit}{at_once}{f' each {by}' if by is not None else ''}")
    return ", ".join(limits)


def _parameters(schema: dict[str, Any]) -> str:
    """`car_id, force?`: those with a default bear a question mark."""
    needed = schema.get("required", [])
    return ", ".join(name if name in needed else f"{name}?" for name in schema.get("properties", {}))
