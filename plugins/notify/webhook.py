"""The channel ``webhook``: notices as JSON, by POST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .poster import Headers, Poster, WebhookUrl
from .wording import title_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from kernel import Notice


class WebhookSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["webhook"]
    url: Annotated[
        WebhookUrl, Field(description="Where the JSON goes, http or https; it is never shown but for its host.")
    ]
    headers: Annotated[Headers, Field(description="Further headers of the request, for a token say.")] = {}


class WebhookChannel:
    def __init__(self, settings: WebhookSettings, allowed: Collection[str], timeout_seconds: float) -> None:
        self._poster = Poster(settings.url, settings.headers, allowed, timeout_seconds)

    async def send(self, notice: Notice) -> None:
        await self._poster.post({"title": title_of(notice), **notice.as_json()})

    async def close(self) -> None:
        await self._poster.close()
