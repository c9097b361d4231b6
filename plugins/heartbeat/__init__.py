"""Dead man's switches: tells services outside that jobs, and the kernel itself, do their work."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kernel import Check as HealthCheck
from kernel import Periodic, UnknownNameError, hookimpl
from kernel.events import (
    ConfigReloaded,
    KernelStarted,
    RunCompleted,
    RunExpired,
    RunFailed,
    RunStarted,
    ServiceRecovered,
    ServiceTroubled,
)

from .dialects import Ping
from .settings import Settings
from .target import Sender, Target

if TYPE_CHECKING:
    from kernel import Kernel

    from .settings import Check

__all__ = ["Plugin", "Settings"]

log = logging.getLogger(__name__)

_STOP_SECONDS = 2.0
_STALL_SECONDS = 10.0


class Plugin:
    """One target for the kernel and one for each watched job: a service that hangs keeps the others waiting for nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kernel: Kernel | None = None
        self._own: Target | None = None
        self._targets: dict[str, Target] = {}
        self._withheld = False
        self._unknown: set[str] = set()
        if not settings.watched:
            self.on_events = None  # type: ignore[assignment,method-assign] # then it need not be told of any run

    @hookimpl
    async def start(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._sender = Sender()
        self._targets = {job: self._target(kernel, job, check) for job, check in self._settings.watched.items()}
        if self._settings.kernel is not None:
            self._own = self._target(kernel, "the kernel", self._settings.kernel)
            self._beats = Periodic("heartbeat", self._settings.every, self._beat, kernel.clock)
            await self._beats.start()

    @hookimpl
    async def stop(self) -> None:
        if self._kernel is None:
            return
        if self._own is not None:
            await self._beats.stop()
        self._kernel = None
        await asyncio.gather(*(target.stop(_STOP_SECONDS) for target in self._all()))
        await self._sender.close()

    @hookimpl
    async def on_events(self, events: list[RunStarted | RunCompleted | RunFailed | RunExpired]) -> None:
        targets = {} if self._kernel is None else self._targets
        for event in events:
            if event.job in targets and (ping := _ping_of(event)) is not None:
                targets[event.job].tell(ping)

    @hookimpl
    async def on_event(self, event: KernelStarted | ConfigReloaded) -> None:
        if self._kernel is not None:
            await self._check_names(self._kernel)
            if isinstance(event, KernelStarted):
                await self._beat()

    @hookimpl
    def check_health(self) -> list[HealthCheck]:
        """Of the services. That one of them is down is no reason to take the kernel for unhealthy."""
        return [self._check_of(target) for target in self._all()]

    def _check_of(self, target: Target) -> HealthCheck:
        verdict, text = "healthy", f"{target.host} is told"
        if target.problem:
            verdict, text = "degraded", f"{target.host} {target.problem}"
        elif target.name in self._unknown:
            verdict, text = "degraded", f"no such job, or its plugin is off: {target.host} is told nothing"
        elif not target.was_told:
            text = f"no ping yet to {target.host}"
        return HealthCheck(f"heartbeat of {target.name}", verdict, ok=True, text=text)

    # The kernel's own

    async def _beat(self) -> None:
        """Called on the loop: that it turns is clear from that."""
        if self._kernel is None or self._own is None:
            return
        overdue = self._kernel.figures()["schedules_overdue_seconds"]
        if overdue < _STALL_SECONDS:
            self._withheld = False
            self._own.tell(Ping("success"))
        elif not self._withheld:
            self._withheld = True
            log.error(
                "the kernel's heartbeat is withheld: a tick has been due for %.0f s and the schedules have not been looked at",
                overdue,
            )  # fmt: skip

    # Targets

    def _all(self) -> list[Target]:
        return [*([self._own] if self._own is not None else []), *self._targets.values()]

    def _target(self, kernel: Kernel, name: str, check: Check) -> Target:
        clock = kernel.clock

        async def sleep(seconds: float) -> None:
            over = asyncio.Event()
            timer = clock.call_in(seconds, over.set)
            try:
                await over.wait()
            finally:
                timer.cancel()

        return Target(
            name,
            check,
            self._sender,
            sleep=sleep,
            elapsed=clock.elapsed,
            on_trouble=self._tell_trouble,
            on_recovery=self._tell_recovery,
        )

    def _tell_trouble(self, target: Target, problem: str) -> None:
        log.warning("the heartbeat of %s does not arrive: %s %s", target.name, target.host, problem)
        if self._kernel is not None:
            service = f"{target.host} (heartbeat of {target.name})"
            self._kernel.publish(ServiceTroubled(self._kernel.clock.now(), "heartbeat", service, problem))

    def _tell_recovery(self, target: Target, seconds: float) -> None:
        log.warning("the heartbeat of %s arrives again at %s after %.0f s", target.name, target.host, seconds)
        if self._kernel is not None:
            service = f"{target.host} (heartbeat of {target.name})"
            self._kernel.publish(ServiceRecovered(self._kernel.clock.now(), "heartbeat", service, seconds))

    async def _check_names(self, kernel: Kernel) -> None:
        """A job that is misspelt would be watched by nobody; one whose plugin is off may come back. Told once each."""
        known = {str(job["job"]) for job in await kernel.control.jobs()}
        for name in self._targets.keys() - known - self._unknown:
            problem = kernel.config.source.at(
                ("plugins", "heartbeat", "watched"), name, str(UnknownNameError("job", name, known))
            )
            log.warning("%s", problem.text)
        self._unknown = self._targets.keys() - known


def _ping_of(event: RunStarted | RunCompleted | RunFailed | RunExpired) -> Ping | None:
    match event:
        case RunStarted(run=run, attempt=1):
            return Ping("start", run)
        case RunCompleted(run=run, seconds=seconds):
            return Ping("success", run, seconds)
        case RunFailed(run=run, seconds=seconds):
            return Ping("failure", run, seconds)
        case RunExpired(run=run):
            return Ping("failure", run)
    return None  # a later attempt of a run that has been told
