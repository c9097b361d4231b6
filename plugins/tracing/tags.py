"""The place of a trace in a run: the tag ``traceparent:…``, which every store keeps and every way of enqueueing takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "traceparent:"
_FIELD = "traceparent"


def trace_tags() -> list[str]:
    """The tag of the span that is current here; none without one."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return [PREFIX + carrier[_FIELD]] if _FIELD in carrier else []


def context_of(tags: Iterable[str]) -> Context:
    """The context that a run brings with it; an empty one when it brings none, or what is no traceparent."""
    given = next((tag.removeprefix(PREFIX) for tag in tags if tag.startswith(PREFIX)), None)
    carrier = {} if given is None else {_FIELD: given}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())
