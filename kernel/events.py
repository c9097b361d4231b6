"""The events, as plugins import them: ``from kernel.events import RunFailed``."""

from kernel.model import events as _events
from kernel.model.events import *  # noqa: F403 - the same names, by their public address

_NAMES = (_events.Event, _events.RunEvent, _events.Completion, *_events.event_types())
__all__ = [kind.__name__ for kind in _NAMES]
