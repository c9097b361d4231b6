"""How a run's progress, steps and log look: in `runs show`, and line by line while it goes on."""

from typing import Any

from kernel.cli.output import as_json_text, clean, moment
from kernel.model.counted import counted

Json = dict[str, Any]

_MOST_ATTEMPTS = 10


def record_fields(run: Json) -> dict[str, str]:
    """Taken out of what `runs_show` gives, as fields to be printed; what there is none of is left out."""
    fields = {
        "progress": progress_text(run),
        "steps": "\n".join(_step_lines(run.pop("steps"), run.pop("steps_left_out"))),
        "log": "\n".join(_log_lines(run.pop("log"), is_cut=run.pop("log_is_cut"))),
    }
    del run["progress"], run["progress_text"]
    return {name: text for name, text in fields.items() if text}


def attempt_fields(attempts: list[Json]) -> dict[str, str]:
    """The last attempts, a line each; none for a run that had one, of which the other fields tell."""
    if len(attempts) < 2:
        return {}
    lines = [_attempt_line(one) for one in attempts[-_MOST_ATTEMPTS:]]
    left_out = len(attempts) - len(lines)
    if left_out:
        lines.insert(0, f"({counted(left_out, 'earlier attempt is', 'earlier attempts are')} left out)")
    return {"attempts": "\n".join(lines)}


def _attempt_line(one: Json) -> str:
    error = one["error"]
    said = f"{error['type']}: {error['message']}" if error else one["reason"] or ""
    first = clean((said.splitlines() or [""])[0])
    return f"{one['attempt']}  {moment(one['started_at'])}  {one['outcome']:<11}  {first}".rstrip()


def progress_text(run: Json) -> str:
    """`40%  what it says`; empty for a run that has told nothing."""
    if run["progress"] is None:
        return ""
    return f"{run['progress']:.0%}  {clean(run['progress_text'] or '')}".rstrip()


def log_line(line: Json) -> str:
    """One line of the log; what stands in several lines is indented. No character of it drives the terminal."""
    first, *others = (clean(part) for part in line["text"].splitlines() or [""])
    if line["at"] is None:
        return "\n".join([first, *others])
    head = f"{moment(line['at'])}  attempt {line['attempt']}  {clean(line['level']):<7}  {first}".rstrip()
    return "\n".join([head, *(f"    {part}" for part in others)])


def new_lines(before: list[Json], now: list[Json]) -> list[Json]:
    """What has been added to a log, of which the oldest lines may be gone by now."""
    for start in range(len(before)):
        if before[start:] == now[: len(before) - start]:
            return now[len(before) - start :]
    return now


def _step_lines(steps: list[Json], left_out: int) -> list[str]:
    lines = [f"{clean(step['name'])}  {clean(as_json_text(step['result']))}" for step in steps]
    return [f"({counted(left_out, 'earlier step is', 'earlier steps are')} left out)", *lines] if left_out else lines


def _log_lines(lines: list[Json], *, is_cut: bool) -> list[str]:
    shown = [log_line(line) for line in lines]
    return ["(older lines are gone)", *shown] if is_cut else shown
