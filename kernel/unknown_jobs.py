"""Keys of plugins' settings that are to be names of jobs, and are none: nothing would ever happen to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.model.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from kernel.config import Config
    from kernel.plugin import PluginState

FORMAT = {"propertyNames": {"format": "job"}}
"""What a setting has as ``json_schema_extra`` whose keys are names of jobs."""


def unknown_jobs(
    config: Config, models: Mapping[str, type[BaseModel] | None], states: list[PluginState]
) -> tuple[list[str], list[str]]:
    """What is wrong, with its line; and as notes those of plugins that are off: they may be switched on again.

    Nothing is said of the jobs of a plugin that is broken: they are not known.
    """
    jobs = {job.name for state in states for job in state.jobs}
    stands = {state.name: state.state for state in states}
    problems, notes = [], []
    for plugin, setting, job in _named(config, models):
        standing = stands.get(job.partition(".")[0])
        if job in jobs or standing == "broken":
            continue
        at = ("plugins", plugin, setting)
        if standing == "off":
            text = f"the plugin {job.partition('.')[0]} is off, so no job of this name runs"
            notes.append(config.source.at(at, job, text).text)
        else:
            problems.append(config.source.at(at, job, str(UnknownNameError("job", job, jobs))).text)
    return problems, notes


def _named(config: Config, models: Mapping[str, type[BaseModel] | None]) -> Iterator[tuple[str, str, str]]:
    """Plugin, setting and the job it names."""
    for plugin, model in models.items():
        table = config.plugins.get(plugin)
        if model is None or table is None or not table.enabled:
            continue
        for name, info in model.model_fields.items():
            extra, value = info.json_schema_extra, table.settings.get(name)
            if isinstance(extra, dict) and extra.items() >= FORMAT.items() and isinstance(value, dict):
                yield from ((plugin, name, job) for job in value)
