"""``mainspring run --reload``: runs the kernel as a process of its own, and starts it anew when Python code changes."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import kernel
from kernel.cli.output import tell
from kernel.config import read_config
from kernel.model.errors import ConfigError, RequestError

if TYPE_CHECKING:
    from types import FrameType

_LOOK_SECONDS = 0.2
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Reloader:
    """``run`` gives the last kernel's exit status. Signals go on to the kernel; SIGTERM and SIGINT end it all."""

    def __init__(self, path: Path, log_format: str | None) -> None:
        self._path = path
        self._arguments = ["run"] if log_format is None else ["run", "--log-format", log_format]
        self._changes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_ending = False
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        try:
            import watchfiles  # noqa: F401, PLC0415 - an extra that only --reload needs
        except ImportError:
            raise RequestError("--reload needs the package watchfiles: pip install 'mainspring[reload]'") from None
        stop = threading.Event()
        for number in _SIGNALS:
            signal.signal(number, self._pass_on)
        for folder, is_deep in self._folders().items():
            threading.Thread(target=self._watch, args=(folder, stop), kwargs={"is_deep": is_deep}, daemon=True).start()
        try:
            return self._supervise()
        finally:
            stop.set()

    def _supervise(self) -> int:
        status = 0
        while not self._is_ending:
            while not self._changes.empty():
                self._changes.get()  # one edit often makes several
            child = self._child = self._start()
            if self._is_ending:
                child.terminate()  # the signal came while it was started
            changed = self._wait_for_change(child)
            if changed is not None and child.poll() is None:
                tell(f"{changed} changed: the kernel is started anew")
                child.terminate()
            status = child.wait()
            if changed is None and not self._is_ending:
                tell(f"the kernel ended with status {status}; it is started anew when a file changes")
                self._wait_while_down()
        return status if status >= 0 else 128 - status

    def _start(self) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C reaches this process alone, which passes it on once.
        command = [sys.executable, "-m", "kernel", "--config", str(self._path), *self._arguments]
        return subprocess.Popen(command, process_group=0)  # noqa: S603 - this program itself

    def _wait_for_change(self, child: subprocess.Popen[bytes]) -> str | None:
        """What has changed; None when the kernel ended, or is about to, by a signal."""
        while child.poll() is None and not self._is_ending:
            if changed := self._next_change():
                return changed
        return None

    def _wait_while_down(self) -> None:
        while not self._is_ending:
            if self._next_change():
                return

    def _next_change(self) -> str | None:
        try:
            return self._changes.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return None

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self._is_ending = self._is_ending or number != signal.SIGHUP
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    def _folders(self) -> dict[Path, bool]:
        """What is watched: plugins and this program with all below, and the files beside plugins.toml."""
        folders = {self._path.parent.absolute(): False}
        try:
            plugin_dirs = read_config(self._path).kernel.plugin_dirs
        except ConfigError:
            plugin_dirs = ()
        package = Path(kernel.__file__).parent
        deep = [*plugin_dirs, package, package.with_name("plugins")]
        return folders | {folder.absolute(): True for folder in deep if folder.is_dir()}

    def _watch(self, folder: Path, stop: threading.Event, *, is_deep: bool) -> None:
        from watchfiles import PythonFilter, watch  # noqa: PLC0415 - an extra that only --reload needs

        wanted = PythonFilter(extra_extensions=[] if is_deep else [self._path.suffix or ".toml"])
        for changes in watch(folder, watch_filter=wanted, stop_event=stop, recursive=is_deep):
            for _, path in sorted(changes):
                if self._matters(Path(path)):
                    self._changes.put(path)

    def _matters(self, path: Path) -> bool:
        """plugins.toml is read again by a running kernel itself; one that is down may start with the mended file."""
        if path.suffix == ".py":
            return True
        return path.name == self._path.name and self._child is not None and self._child.poll() is not None
