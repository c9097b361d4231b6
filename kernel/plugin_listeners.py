"""Which events a plugin's hooks want to be told: the annotation of the parameter is the subscription."""

from __future__ import annotations

import types
import typing
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kernel.model import events
from kernel.model.errors import ConfigError, shown
from kernel.model.events import Event, RunEvent
from kernel.plugin_error import PluginError

if typing.TYPE_CHECKING:
    from kernel.hooks import Hook

EXPECTED = "expected an event such as RunFailed, several as RunFailed | RunCompleted, or none for all"
_LISTS = (list, tuple, set, frozenset, Sequence, Iterable)


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """One plugin's ear for ``kinds`` and what is below them. ``call`` takes an event, or with ``batch`` a list of them.

    Neither ``call`` nor ``tell`` raises.
    """

    plugin: str
    call: Callable[[Any], Awaitable[None]]
    kinds: tuple[type[Event], ...]
    batch: bool

    async def tell(self, told: Sequence[Event]) -> None:
        """Tells it these events, one after the other or at once, as it takes them."""
        if self.batch:
            await self.call(list(told))
            return
        for event in told:
            await self.call(event)


def kinds_of(hook: Hook) -> tuple[type[Event], ...]:
    """The events that ``hook`` asks for; PluginError when its annotation names something else."""
    parameter = (*hook.positional, *hook.by_name)
    if not parameter:
        return (Event,)
    # Events are often imported for type checkers only; these names mean what they mean everywhere.
    known = {kind.__name__: kind for kind in (Event, RunEvent, *events.event_types())}
    try:
        hints = typing.get_type_hints(hook.function, localns=known)
    except Exception as error:  # noqa: BLE001 - an annotation is a plugin's code
        raise PluginError(f"{hook.name}: its annotation cannot be read: {error}; {EXPECTED}", hook.place) from None
    try:
        return _kinds_in(hints.get(parameter[0], Any), in_list=hook.name == "on_events")
    except ConfigError as error:
        raise PluginError(f"{hook.name}({parameter[0]}): {error}", hook.place) from None


def _kinds_in(hint: Any, *, in_list: bool) -> tuple[type[Event], ...]:
    if hint is Any or hint is object:
        return (Event,)
    origin = typing.get_origin(hint)
    if in_list and (origin in _LISTS or hint in _LISTS):
        return _kinds_in((*typing.get_args(hint), Event)[0], in_list=False)
    if origin in (typing.Union, types.UnionType):
        return tuple(dict.fromkeys(kind for part in typing.get_args(hint) for kind in _kinds_in(part, in_list=False)))
    if isinstance(hint, type) and issubclass(hint, Event) and not in_list:
        return (hint,)
    raise ConfigError(f"{shown(hint)}; {'expected list[RunFailed | RunCompleted], or list' if in_list else EXPECTED}")
