"""The executors by name, and the attempts that are made by them: "process", and those that plugins have opened.

Called by the runner; what an attempt elsewhere logs and reports is handed to the kernel here.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
from typing import TYPE_CHECKING, Any

from kernel.flow.answer import from_text
from kernel.flow.remote import RemoteAttempt, facts_of
from kernel.flow.runner import outcome_surely
from kernel.model.errors import RequestError, StaleAttemptError
from kernel.model.outcome import Completed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from kernel.contracts.executor import Executor
    from kernel.flow.context import Context
    from kernel.flow.processes import ProcessPool
    from kernel.model.job import Job
    from kernel.model.outcome import Outcome
    from kernel.model.run import Claimed

log = logging.getLogger(__name__)

Made = tuple[str, BaseException | None]


class PluginWork:
    """One attempt as executors get it (contracts/executor.py). ``code``: how the job's plugin is loaded elsewhere."""

    def __init__(self, run: Claimed, job: Job, context: Context, code: str) -> None:
        self.run = run.id
        self.job = job.name
        self.plugin = job.plugin
        self.timeout_seconds = job.policies.timeout_seconds
        self.code = code
        self._job = job
        self._context = context
        self._facts = facts_of(context)
        self._loop = asyncio.get_running_loop()
        # What is told meanwhile belongs to the attempt, as if its own code had logged it.
        self._variables = contextvars.copy_context()
        self._here: list[RemoteAttempt] = []

    @property
    def cancelled(self) -> str | None:
        return self._context.cancelled

    def as_text(self) -> str:
        return json.dumps({"code": self.code, "job": self.job, "facts": self._facts})

    def here(self) -> str:
        attempt = RemoteAttempt(self._job, self._facts, self.tell, self._context.log)
        self._here.append(attempt)
        if (reason := self.cancelled) is not None:
            attempt.cancel(reason)
        return self._variables.copy().run(attempt.make)

    def tell(self, line: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self.hear, line)

    def cancel(self, reason: str) -> None:
        """The attempts that are made here are told to end."""
        for attempt in self._here:
            attempt.cancel(reason)

    def hear(self, line: str) -> None:
        """On the loop: takes what the attempt has told; what cannot be understood is left out."""
        with contextlib.suppress(ValueError, RecursionError, StaleAttemptError):
            self._variables.run(self._take, json.loads(line))

    def _take(self, told: Any) -> None:
        match told:
            case {"kind": "log", "own": True, "level": int(level), "text": str(text)}:
                self._context.log.log(level, "%s", text)
            case {
                "kind": "log",
                "logger": str(name),
                "level": int(level),
                "text": str(text),
                "at": int() | float() as at,
            }:
                relay(name, level, text, float(at), {"job": self.job, "run": self.run})
            case {"kind": "progress", "fraction": int() | float() as fraction, "text": str(text)} if 0 <= fraction <= 1:
                self._context.tell_progress(float(fraction), text)


def relay(name: str, level: int, text: str, at: float, extra: dict[str, Any]) -> None:
    """Logs here what was logged elsewhere at that time."""
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        record = logger.makeRecord(name, level, "(worker)", 0, text, (), None, extra=extra)
        record.created = at
        logger.handle(record)


class Executors:
    """``code_of``: how the plugin of a job is loaded elsewhere."""

    def __init__(self, processes: ProcessPool, code_of: Callable[[str], str], max_result: int) -> None:
        self._max_result = max_result
        self._processes = processes
        self._code_of = code_of
        self._by_name: dict[str, Executor] = {"process": processes}
        self._made_by: dict[str, tuple[str, Executor]] = {}
        self._held: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    def use(self, opened: Mapping[str, Executor]) -> None:
        """From here on these, which are started, and the kernel's own."""
        self._by_name = {**opened, "process": self._processes}
        self._held = frozenset()
        self._changed.set()

    def hold(self, names: Collection[str]) -> None:
        """These executors are about to go, or to be exchanged: attempts that begin wait for the next ``use``."""
        self._held |= frozenset(names)
        self._changed.clear()

    def is_made_by(self, run_id: str, names: Collection[str]) -> bool:
        """Whether one of these executors makes an attempt of this run just now."""
        return run_id in self._made_by and self._made_by[run_id][0] in names

    async def attempt(self, run: Claimed, job: Job, context: Context) -> Outcome:
        """Has ``run`` tried once. Raises CancelledError as ``Runner.attempt`` does, and what the executor raises."""
        name = job.policies.executor or ""
        while name in self._held:
            await self._changed.wait()
        executor = self._by_name.get(name)
        if executor is None:
            known = ", ".join(self._by_name)
            raise RequestError(
                f'the executor "{name}" of {job.name} is not there, its plugin may be broken; there are {known}'
            )
        work = PluginWork(run, job, context, self._code_of(job.plugin))
        self._made_by[run.id] = name, executor
        try:
            return await self._made(executor, work, job)
        finally:
            del self._made_by[run.id]

    def kill(self, run_id: str) -> bool:
        """Ends an attempt by force; False when no executor makes it."""
        if run_id not in self._made_by:
            return False
        try:
            self._made_by[run_id][1].kill(run_id)
        except Exception:
            log.exception("the executor of run %s failed to kill its attempt", run_id)
        return True

    async def _made(self, executor: Executor, work: PluginWork, job: Job) -> Outcome:
        # In a task of its own: its end is waited for, whoever cancels this one.
        making = asyncio.create_task(_surely(executor, work), name=f"mainspring:attempt:{work.run}")
        cancelled: asyncio.CancelledError | None = None
        while not making.done():
            try:
                await asyncio.wait({making})
            except asyncio.CancelledError as error:
                cancelled = error
                if work.cancelled is not None:
                    work.cancel(work.cancelled)
                making.cancel()
        if making.cancelled():
            raise cancelled or asyncio.CancelledError
        text, raised = making.result()
        if raised is not None:
            if cancelled is not None:
                raise cancelled
            return outcome_surely(raised, job)
        answer = from_text(text, job, self._max_result)
        if cancelled is not None and (answer.has_seen or not isinstance(answer.outcome, Completed)):
            raise cancelled
        return answer.outcome


async def _surely(executor: Executor, work: PluginWork) -> Made:
    """The answer, or what the executor raised: SystemExit and its like would leave the loop as they are."""
    try:
        return await executor.attempt(work), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - the border around a plugin's executor
        return "", error
