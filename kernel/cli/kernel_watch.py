"""While a command waits for a run: whether there is a kernel at all that could bring it on."""

from typing import TYPE_CHECKING

from kernel.cli.output import tell

if TYPE_CHECKING:
    from kernel.cli.desk import Desk


class KernelWatch:
    """Says in a line that no kernel is alive, and in another that there is one again."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk
        self.is_alive = True

    async def look(self) -> None:
        """To be called again and again. With a store that lives in the kernel, every question to it tells the same."""
        if self._desk.is_store_in_kernel:
            return
        was_alive, self.is_alive = self.is_alive, bool(await self._desk.sockets())
        if was_alive and not self.is_alive:
            tell("no kernel is alive: the run waits in the store until there is one; `mainspring run` starts it")
        elif self.is_alive and not was_alive:
            tell("a kernel is alive again")
