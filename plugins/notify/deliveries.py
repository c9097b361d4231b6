"""The outboxes of all channels, and of the other plugins that take notices; which notice goes into which."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .apprise import AppriseChannel, AppriseSettings
from .log import LogChannel
from .mail import MailChannel, MailSettings
from .outbox import CHANNEL_FAILED, Outbox
from .rules import channels_for
from .slack import SlackChannel, SlackSettings
from .webhook import WebhookChannel, WebhookSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kernel import Kernel, Notice

    from .channel import Channel
    from .incidents import Message
    from .settings import Settings

log = logging.getLogger(__name__)

STOP_SECONDS = 3.0
_PLUGINS = " plugins"
"""No name of a channel begins with a blank."""


class PluginsChannel:
    """The hook ``send_notice`` of all other plugins. One that fails has no second try: the others would get it twice."""

    def __init__(self, kernel: Kernel, timeout_seconds: float) -> None:
        self._kernel = kernel
        self._timeout_seconds = timeout_seconds

    async def send(self, notice: Notice) -> None:
        for answer in await self._kernel.ask("send_notice", within=self._timeout_seconds, notice=notice):
            if answer.error is not None:
                log.warning("the plugin %s did not take a notice: %s", answer.plugin, answer.error)

    async def close(self) -> None:
        """Nothing is open."""


class Deliveries:
    """``on_change``, ``on_trouble`` and ``on_works`` as of an outbox."""

    def __init__(
        self,
        settings: Settings,
        kernel: Kernel,
        on_change: Callable[[], None],
        on_trouble: Callable[[str, str], None],
        on_works: Callable[[str], None],
    ) -> None:
        self._rules = settings.ways()
        channels: dict[str, Channel] = {
            name: _opened(name, found, settings) for name, found in settings.all_channels().items()
        }
        channels[_PLUGINS] = PluginsChannel(kernel, settings.timeout)
        self.outboxes = {
            name: Outbox(
                name, channel, kernel.clock, timeout_seconds=settings.timeout, per_minute=settings.per_minute,
                on_change=on_change, on_trouble=on_trouble, on_works=on_works,
            )
            for name, channel in channels.items()
        }  # fmt: skip

    def start(self, waiting: Mapping[str, Sequence[Notice]], failing: Collection[str] = ()) -> None:
        """``failing``: the incidents that are open; those of channels are over when these take a notice."""
        for name, outbox in self.outboxes.items():
            outbox.start(waiting.get(name, ()), has_failed=key_of_channel(name) in failing)

    async def stop(self) -> None:
        await asyncio.gather(*(outbox.stop(STOP_SECONDS) for outbox in self.outboxes.values()))

    def names_for(self, message: Message) -> list[str]:
        """The outboxes for it: none when no rule lets it through."""
        notice = message.notice
        if message.told is not None:
            return [name for name in message.told if name in self.outboxes]
        names = channels_for(self._rules, message.severity, notice.job, message.kind)
        # A channel that does not work is not told of that by itself.
        names = [name for name in names if notice.key != key_of_channel(name)]
        return [*names, _PLUGINS] if names else []


def key_of_channel(name: str) -> str:
    """The incident that the channel does not work."""
    return f"{CHANNEL_FAILED} {name}"


def _opened(name: str, settings: Any, all_settings: Settings) -> Channel:
    match settings:
        case WebhookSettings():
            return WebhookChannel(settings, all_settings.allowed, all_settings.timeout)
        case SlackSettings():
            return SlackChannel(settings, all_settings.allowed, all_settings.timeout)
        case MailSettings():
            return MailChannel(settings, all_settings.timeout)
        case AppriseSettings():
            return AppriseChannel(settings)
        case _:
            return LogChannel(name)
