"""The channel ``apprise``: whatever Apprise speaks to, by its URLs. Needs ``pip install mainspring[apprise]``."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from .channel import DeliveryError
from .wording import text_of, title_of

if TYPE_CHECKING:
    from kernel import Notice

_TYPES = {"info": "info", "warning": "warning", "error": "failure"}


class AppriseSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["apprise"]
    urls: Annotated[
        list[SecretStr],
        Field(min_length=1, max_length=50, description='As "tgram://TOKEN/CHAT"; they are never shown.'),
    ]

    @field_validator("urls")
    @classmethod
    def _are_known(cls, urls: list[SecretStr]) -> list[SecretStr]:
        if importlib.util.find_spec("apprise") is None:
            raise ValueError("Apprise is not installed; expected `pip install 'mainspring[apprise]'`")
        for number, url in enumerate(urls, start=1):
            if _opened([url]) is None:
                raise ValueError(f"the {number}. is no URL that Apprise knows; expected one as tgram://TOKEN/CHAT")
        return urls


class AppriseChannel:
    """Apprise sends in threads of its own, to where its URLs say: what ``allow_hosts`` says holds for webhooks alone."""

    def __init__(self, settings: AppriseSettings) -> None:
        self._urls = settings.urls
        self._apprise: Any = None

    async def send(self, notice: Notice) -> None:
        if self._apprise is None:
            self._apprise = _opened(self._urls)
        kind = "success" if notice.state == "recovered" else _TYPES[notice.severity]
        if not await self._apprise.async_notify(title=title_of(notice), body=text_of(notice), notify_type=kind):
            count = len(self._urls)
            raise DeliveryError(
                f"Apprise could not send it to {'its URL' if count == 1 else f'all of its {count} URLs'}"
            )

    async def close(self) -> None:
        """Nothing is open."""


def _opened(urls: list[SecretStr]) -> Any:
    """What sends to these; None when one of them is none that Apprise knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports itself, where warnings are made errors
        import apprise  # noqa: PLC0415 - an extra, and slow to import

        # It would log the URLs.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        found = apprise.Apprise()
        return found if all(found.add(url.get_secret_value()) for url in urls) else None
