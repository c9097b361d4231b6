"""What this process remembers of the store from one transaction to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .places import Full
from .room import Room

if TYPE_CHECKING:
    from kernel.model.run import Claimed


class Known:
    """``claimed``: by id, what was claimed here and has not been finished; it saves writing what is so already.

    ``is_busy``: the last claim got all that it wanted, so the next one may, too.

    ``full``: limits over all kernels that were used up a moment ago; it saves counting them for each claim.
    """

    def __init__(self) -> None:
        self.room = Room()
        self.full = Full()
        self.is_busy = False
        self.claimed: dict[str, Claimed] = {}
