"""What makes attempts elsewhere than on the loop or in a thread of the kernel: in other processes, on other machines.

The kernel has one of its own, "process"; a plugin answers the hook ``open_executor(name)`` with another.
"""

from __future__ import annotations

from typing import Protocol


class Work(Protocol):
    """One attempt to be made. Its end is told as a text, the answer, which executors carry and need not understand."""

    run: str
    """The run's id."""
    job: str
    """The job's full name."""
    timeout_seconds: float | None

    @property
    def cancelled(self) -> str | None:
        """Why the attempt should end; None while it may go on."""

    def as_text(self) -> str:
        """All that another process needs to make the attempt: there ``kernel.worker.perform(text)`` gives the answer.

        JSON. It holds the settings of the job's plugin, secrets too: not for logs, files or the command line.
        """

    def here(self) -> str:
        """Makes the attempt in the thread that calls, and gives the answer when it has ended. Never raises."""

    def tell(self, line: str) -> None:
        """What ``perform`` has told meanwhile (log, progress), handed on; from any thread."""


class Executor(Protocol):
    """Not started yet when it is opened. Whatever it raises fails the attempt, and the job's retry decides."""

    async def start(self) -> None:
        """Called once, after the ``start`` hooks of all plugins and before the first attempt."""

    async def stop(self) -> None:
        """Called once, when no attempt goes on or is waited for any longer; what still goes on elsewhere ends here."""

    async def attempt(self, work: Work) -> str:
        """The answer to ``work``. Many are made at once, as many as the limits of kernel, queue and job allow.

        Cancelled when the attempt shall end, ``work.cancelled`` says why: from then on it has five seconds, two when the
        kernel stops, to come back with an answer or by the CancelledError. What has not is killed.
        """

    def kill(self, run: str) -> None:
        """Ends the attempt of this run by force, so that ``attempt`` comes back soon; it does nothing when it cannot.

        A run whose attempt does not come back is told as stuck, and keeps its place until it does.
        """
