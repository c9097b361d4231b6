"""The plugins' code, imported by a command itself: to check it, and to know jobs that no kernel has announced."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from kernel.config import error_of
from kernel.model.errors import RequestError
from kernel.plugin_host import PluginHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from kernel.config import Config
    from kernel.plugin_host import PluginState, Prepared


async def examine_plugins(config: Config) -> Prepared:
    """The plugins with what is wrong with them. What their code prints goes to stderr, not among the output."""
    with contextlib.redirect_stdout(sys.stderr):
        return await PluginHost().prepare(config)


async def prepare_plugins(config: Config) -> Prepared:
    """The same; ConfigError when plugins.toml does not fit them."""
    prepared = await examine_plugins(config)
    if prepared.problems:
        raise error_of(prepared.problems)
    return prepared


@contextlib.asynccontextmanager
async def loaded_plugins(config: Config) -> AsyncIterator[PluginHost]:
    """The plugins in place as a kernel has them, none of them started; ConfigError as above."""
    host = PluginHost()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            await host.load(config)
        yield host
    finally:
        host.close()


def refusal(job: str, states: Iterable[PluginState]) -> RequestError | None:
    """Why the plugin of a job that is not known takes no runs, if the plugin is known."""
    name = job.partition(".")[0]
    for state in states:
        if state.name == name and state.state == "broken":
            place = f" ({state.place})" if state.place else ""
            return RequestError(f"{job} takes no runs: plugin {name} is broken: {state.reason}{place}")
        if state.name == name and state.state == "off":
            return RequestError(
                f"{job} takes no runs: plugin {name} is off; `mainspring plugins enable {name}` switches it on"
            )
    return None
