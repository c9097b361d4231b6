"""Spans of enqueues and attempts for OpenTelemetry; the trace goes with a run through the queue, as a tag."""

from __future__ import annotations

from .settings import Settings
from .tracing import Plugin


def trace_tags() -> list[str]:
    """The tag of the span that is current here, none without one: ``client.enqueue(job, payload, tags=trace_tags())``."""
    from .tags import trace_tags  # noqa: PLC0415 - the plugin can be imported without the extra, to say that it is missing

    return trace_tags()


__all__ = ["Plugin", "Settings", "trace_tags"]
