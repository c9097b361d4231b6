"""The events, as plugins import them: ``from kernel.events import RunFailed``."""

from kernel.model import events as _events
from kernel.model.events import *  # noqa: F403 - the same names, by their public address

__all__ = [_events.Event.__name__, _events.RunEvent.__name__, *(kind.__name__ for kind in _events.event_types())]  # noqa: PLE0604 - all are text
