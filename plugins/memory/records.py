"""What runs have written down while they ran: recorded steps, and the end of their log."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kernel.contracts.store import LOG_BYTES, MOST_ATTEMPTS, AttemptRow, RunLog

if TYPE_CHECKING:
    from collections.abc import Iterable


class Record:
    """Of one run."""

    __slots__ = ("_bytes", "_lines", "attempts", "is_cut", "steps")

    def __init__(self) -> None:
        self.attempts: deque[AttemptRow] = deque(maxlen=MOST_ATTEMPTS)
        self.steps: dict[str, str] = {}
        self.is_cut = False
        self._lines: deque[str] = deque()
        self._bytes = 0

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def add_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._lines.append(line)
            self._bytes += _size(line)
        while self._bytes > LOG_BYTES:
            self._bytes -= _size(self._lines.popleft())
            self.is_cut = True


class Records:
    """Of all runs that have any."""

    def __init__(self) -> None:
        self._of: dict[str, Record] = {}

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._of

    def add_step(self, run_id: str, name: str, result: str) -> None:
        """A step that is recorded already stays as it is."""
        self._record(run_id).steps.setdefault(name, result)

    def add_log(self, run_id: str, text: str) -> None:
        # Only the end of a line of JSON is a line feed; splitlines() would split at other characters too.
        self._record(run_id).add_lines(part + "\n" for part in text.removesuffix("\n").split("\n"))

    def add_attempt(self, run_id: str, row: AttemptRow) -> None:
        self._record(run_id).attempts.append(row)

    def attempts(self, run_id: str) -> list[AttemptRow]:
        record = self._of.get(run_id)
        return [] if record is None else list(record.attempts)

    def steps(self, run_id: str) -> dict[str, str]:
        record = self._of.get(run_id)
        return {} if record is None else dict(record.steps)

    def log(self, run_id: str) -> RunLog:
        record = self._of.get(run_id)
        return RunLog("", is_cut=False) if record is None else RunLog(record.log, record.is_cut)

    def begin_anew(self, run_id: str) -> None:
        """Steps and attempts go: what follows is another piece of work."""
        record = self._of.get(run_id)
        if record is not None:
            record.steps.clear()
            record.attempts.clear()

    def forget(self, run_id: str) -> None:
        self._of.pop(run_id, None)

    def _record(self, run_id: str) -> Record:
        record = self._of.get(run_id)
        if record is None:
            record = self._of[run_id] = Record()
        return record


def _size(line: str) -> int:
    return len(line.encode("utf-8", "surrogatepass"))
