"""How every job of the fleet tells people what it did."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kernel import BreakerOpen

from .partner_client import PartnerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel import Context


@contextmanager
def telling(ctx: Context, operation: str, *, reaches_partner: bool = False, **facts: Any) -> Iterator[dict[str, Any]]:
    """Tells how the block ended and how long it took; an error is told and goes on its way.

    That the partner fails is one incident, whichever job meets it; it is over when a block that ``reaches_partner`` ends well.
    ``facts`` are told too, as they are when the block ends: it gets them to count in. A call that a breaker does not
    let through is no error that people need to hear of: its failures were told when it opened.
    """
    started = time.monotonic()
    try:
        yield facts
    except BreakerOpen:
        raise
    except Exception as error:
        incident = {"incident": "partner"} if isinstance(error, PartnerError) else {}
        ctx.notify_error(error, operation=operation, **facts, duration_seconds=_since(started), **incident)
        raise
    words = operation.replace("_", " ")
    incident = {"incident": "partner"} if reaches_partner else {}
    ctx.notify_info(f"{words} completed", operation=operation, **facts, duration_seconds=_since(started), **incident)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
