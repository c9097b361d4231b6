"""A worker at work: one thread listens to the kernel, the main thread makes the attempts, one after the other."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import select
import signal
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from kernel.flow.answer import unloadable
from kernel.model.errors import ConfigError
from kernel.plugin_process import ProcessState
from kernel.worker.performer import Teller, attempt_of

if TYPE_CHECKING:
    import socket

    from kernel.flow.remote import RemoteAttempt

log = logging.getLogger(__name__)

_CHUNK = 65536
_LOOK_SECONDS = 1.0


class Program:
    """``received``: what has come already. The kernel's word is a line of JSON, and so is each of ours."""

    def __init__(self, connection: socket.socket, received: bytes, level: int) -> None:
        self._connection = connection
        self._received = received
        self._sending = threading.Lock()
        self._given: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._changing = threading.Lock()
        self._attempt: RemoteAttempt | None = None
        self._cancelled: tuple[str, str] | None = None
        """The last run that was to end, and why: the word may come before its attempt, or after it."""
        self._level = level
        self._pid = os.getpid()
        self._kernel = os.getppid()

    def run(self) -> None:
        """Until the kernel says that it is over. When the kernel is gone the process ends, whatever it does just then."""
        self._prepare()
        threading.Thread(target=self._listen, name="mainspring:kernel", daemon=True).start()
        is_last = False
        while not is_last and (given := self._given.get()) is not None:
            self._say({"kind": "begun"})
            answer, is_last = self._answer(*given)
            self._say({"kind": "answer", "text": answer, "is_last": is_last})

    def _prepare(self) -> None:
        root = logging.getLogger()
        root.handlers[:] = [Teller(self._send)]
        root.setLevel(self._level)
        logging.captureWarnings(capture=True)
        # A child that a job has forked does not speak for it.
        os.register_at_fork(after_in_child=lambda: _use(root, logging.StreamHandler()))
        with contextlib.suppress(AttributeError, OSError, ValueError):
            faulthandler.enable()  # a fault in C code: where it was, on stderr
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr] # suppressed

    def _answer(self, run: str, text: str) -> tuple[str, bool]:
        """The answer, and whether it is the last: a plugin that does not load is better tried in a new process."""
        try:
            attempt = attempt_of(text, self._send)
        except ConfigError as error:
            return unloadable(error), True
        with self._changing:
            self._attempt = attempt
            if self._cancelled is not None and self._cancelled[0] == run:
                attempt.cancel(self._cancelled[1])
        state = ProcessState()
        try:
            return attempt.make(), False
        finally:
            with self._changing:
                self._attempt = None
            for change in state.put_back():
                log.warning("%s, after an attempt", change)
            _flush()

    def _listen(self) -> None:
        try:
            while True:
                *lines, self._received = self._received.split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))
                self._await_word()
                more = self._connection.recv(_CHUNK)
                if not more:
                    break
                self._received += more
        finally:
            _die()

    def _await_word(self) -> None:
        """A child that the kernel has forked may hold our pipes open when the kernel is gone."""
        while not select.select([self._connection], [], [], _LOOK_SECONDS)[0]:
            if os.getppid() != self._kernel:
                _die()

    def _hear(self, message: dict[str, Any]) -> None:
        match message["kind"]:
            case "attempt":
                self._given.put((message["run"], message["text"]))
            case "end":
                self._given.put(None)
            case "cancel":
                with self._changing:
                    self._cancelled = message["run"], message["reason"]
                    if self._attempt is not None and self._attempt.run == message["run"]:
                        self._attempt.cancel(message["reason"])

    def _say(self, message: dict[str, Any]) -> None:
        self._send(json.dumps(message))

    def _send(self, line: str) -> None:
        if os.getpid() != self._pid:
            return
        try:
            with self._sending:
                self._connection.sendall(line.encode() + b"\n")
        except OSError:  # the kernel is gone, or the job has closed what is not its own
            _die()


def _use(root: logging.Logger, handler: logging.Handler) -> None:
    root.handlers[:] = [handler]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def _die() -> None:
    """With all that the job has started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
