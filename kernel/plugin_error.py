"""What went wrong in a plugin, as one line with its place."""

from __future__ import annotations

from kernel.model.errors import ConfigError


class PluginError(ConfigError):
    """A plugin failed; ``reason`` is one line, ``place`` is file:line of its own deepest frame, or empty."""

    def __init__(self, reason: str, place: str = "") -> None:
        self.reason, self.place = reason, place
        super().__init__(f"{reason} ({place})" if place else reason)
