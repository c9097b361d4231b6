"""A folder in which tests write small plugins, and a host that loads them."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

from kernel.config import Config, parse_config
from kernel.plugin_host import PluginHost, PluginState
from kernel.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.model.events import Event

GOOD = """
    from kernel import every, hookimpl, job

    heard = []

    @every("60s")
    async def work(ctx): ...

    @hookimpl
    def register_jobs():
        return [work]

    @hookimpl
    def start(kernel):
        heard.append("start")

    @hookimpl
    def stop(kernel):
        heard.append("stop")

    @hookimpl
    def on_event(event):
        heard.append(event)
"""


class PluginFolder:
    """``folder.write("name", text)`` makes a plugin; ``await folder.load()`` loads all of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "plugins"
        self.path.mkdir()
        self.broken: list[tuple[str, str, str]] = []
        self.told: list[Event] = []
        self.clock = FakeClock()
        self.host = self.new_host()

    def new_host(self, *, limit_seconds: float = 10.0, mark_dir: Path | None = None) -> PluginHost:
        return PluginHost(
            mark_dir=mark_dir,
            warn_seconds=limit_seconds / 2,
            limit_seconds=limit_seconds,
            on_broken=lambda plugin, reason, place: self.broken.append((plugin, reason, place)),
            clock=self.clock,
            tell=self.told.append,
        )

    def write(self, name: str, text: str, **files: str) -> Path:
        """A package whose ``__init__.py`` is ``text``; ``files`` are its other modules. The path of ``__init__.py``."""
        package = self.path / name
        package.mkdir(exist_ok=True)
        for file, content in {"__init__": text, **files}.items():
            (package / f"{file}.py").write_text(dedent(content))
        return package / "__init__.py"

    def config(self, text: str | None = None, **environment: str) -> Config:
        """The configuration in ``text``; without one every plugin there is gets a table."""
        if text is None:
            text = "".join(f"[plugins.{name}]\n" for name in self.names())
        return parse_config(dedent(text), self.root / "plugins.toml", environment)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir() if not path.name.startswith("_"))

    async def load(self, text: str | None = None, **environment: str) -> dict[str, PluginState]:
        """The plugins that were written, by name; installed ones are left out."""
        await self.host.load(self.config(text, **environment))
        return self.states()

    def states(self) -> dict[str, PluginState]:
        return {state.name: state for state in self.host.states() if str(self.path) in state.source}
