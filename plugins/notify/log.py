"""The channel ``log``: notices as lines of the kernel's own log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from .wording import title_of

if TYPE_CHECKING:
    from kernel import Notice

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["log"] = "log"


class LogChannel:
    """The title, and the other lines of the text: traceback and the run's own lines the log has already."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(f"mainspring.notice.{name}")

    async def send(self, notice: Notice) -> None:
        told = {name: value for name, value in (("job", notice.job), ("run", notice.run)) if value}
        more = "".join(f"\n{line}" for line in notice.text.splitlines()[1:])
        self._log.log(_LEVELS[notice.severity], "notice: %s%s", title_of(notice), more, extra=told)

    async def close(self) -> None:
        """Nothing is open."""
