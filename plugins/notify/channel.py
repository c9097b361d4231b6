"""What a channel is: something that takes one notice to people, or says why it could not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kernel import Notice


class DeliveryError(Exception):
    """The notice was not taken. The text has no secret in it: of a URL the host only.

    ``retry_after_seconds``: how long the other side asks to wait. ``is_final``: it will not be taken the next time either.
    """

    def __init__(self, problem: str, *, retry_after_seconds: float | None = None, is_final: bool = False) -> None:
        self.retry_after_seconds, self.is_final = retry_after_seconds, is_final
        super().__init__(problem)


class Channel(Protocol):
    async def send(self, notice: Notice) -> None:
        """DeliveryError when it was not taken; whatever else is raised counts as one. May be cut short at any time."""

    async def close(self) -> None: ...
