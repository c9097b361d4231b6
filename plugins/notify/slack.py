"""The channel ``slack``: notices as ``{"text": …}``, which Slack, Mattermost, Rocket.Chat, Zulip and Discord (``/slack``) take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .poster import Poster, WebhookUrl
from .wording import text_of, title_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from kernel import Notice

_CHARACTERS = 3_500
"""Of a message of 4,000, beyond which Slack cuts it."""


class SlackSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["slack"]
    url: Annotated[WebhookUrl, Field(description="The incoming webhook; it is never shown but for its host.")]


class SlackChannel:
    def __init__(self, settings: SlackSettings, allowed: Collection[str], timeout_seconds: float) -> None:
        self._poster = Poster(settings.url, {}, allowed, timeout_seconds)

    async def send(self, notice: Notice) -> None:
        await self._poster.post({"text": _message(notice)})

    async def close(self) -> None:
        await self._poster.close()


def _message(notice: Notice) -> str:
    # These three are what Slack asks to be written so; without them a text could mention everybody.
    title, text = (
        part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for part in (title_of(notice), text_of(notice))
    )
    text = text.replace("```", "'''")
    text = text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "…"
    return f"*{title}*\n```{text}```"
