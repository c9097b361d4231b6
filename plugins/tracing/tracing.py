"""The plugin's hooks. What needs OpenTelemetry stands in spans.py, and is loaded once it is known to be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel import hookimpl

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from kernel import Context, Run

    from .settings import Settings


class Plugin:
    def __init__(self, settings: Settings) -> None:
        from .spans import Spans  # noqa: PLC0415 - the settings have been checked by now, and so that the extra is there

        self._spans = Spans(settings)

    @hookimpl
    def start(self) -> None:
        self._spans.start()

    @hookimpl
    def stop(self) -> None:
        self._spans.stop()

    @hookimpl
    def around_enqueue(self, runs: list[Run]) -> AbstractAsyncContextManager[Any]:
        return self._spans.around_enqueue(runs)

    @hookimpl
    def around_attempt(self, ctx: Context) -> AbstractAsyncContextManager[Any]:
        return self._spans.around_attempt(ctx)
