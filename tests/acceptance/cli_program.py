"""The program from outside: a folder with plugins.toml and a plugin, commands run in it, a kernel with what it says."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import queue
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

LIMIT = 30.0
PLUGIN = '''
import asyncio, pathlib, threading, time
from kernel import Context, every, hookimpl, job

HERE = pathlib.Path(__file__).parent


@every("1h")
async def hourly(ctx: Context, name: str = "nobody") -> str:
    """Comes every hour."""
    return name


@job
async def greet(ctx: Context, name: str, *, loud: bool = False) -> str:
    ctx.log.info("greeting %s", name)
    return name.upper() if loud else name


@job(queue="naps")
async def nap(seconds: float = 600.0) -> str:
    await asyncio.sleep(seconds)
    return "rested"


@job
def block(seconds: float = 600.0) -> None:
    time.sleep(seconds)


@job
async def block_loop(seconds: float = 600.0) -> None:
    (HERE / "blocking").touch()
    time.sleep(seconds)


@job(retry=1)
async def fail() -> None:
    raise ValueError("no luck")


@job
async def leave() -> str:
    async def exit_from_a_task() -> None:
        raise SystemExit(3)

    task = asyncio.create_task(exit_from_a_task())
    await asyncio.sleep(0.01)
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "still here"


@job
async def chatter() -> None:
    print("said by print")


@hookimpl
def register_jobs():
    return [hourly, greet, nap, block, block_loop, fail, leave, chatter]
'''
CONFIG = """\
# what this file is for
[kernel]
store = "sqlite:///var/store.db"  # beside this file
shutdown_grace = "20s"

[plugins.shop]  # the shop
"""


class Done(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Place:
    """A folder in which the program is used."""

    def __init__(self, folder: Path, config: str = CONFIG, plugin: str = PLUGIN) -> None:
        self.folder = folder
        self.config = folder / "plugins.toml"
        self.store = folder / "var" / "store.db"
        self.config.write_text(config, encoding="utf-8")
        self.write_plugin("shop", plugin)

    def write_plugin(self, name: str, text: str) -> Path:
        package = self.folder / "plugins" / name
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(text, encoding="utf-8")
        return package

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Done:
        """A command and what came of it; whatever that is, it is no traceback."""
        ended = subprocess.run(
            [sys.executable, "-m", "kernel", *arguments],
            cwd=self.folder,
            env=_environment() | environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        return Done(ended.returncode, ended.stdout, ended.stderr)

    def good(self, *arguments: str, stdin: str = "") -> Done:
        """The same for one that must succeed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.status == 0, done
        return done

    def start(self, *arguments: str) -> Program:
        return Program(self.folder, arguments)

    def kernel(self, *arguments: str) -> Program:
        """A kernel that is up."""
        program = self.start("run", *arguments)
        try:
            program.wait_for("ready")
        except BaseException:
            program.kill()
            raise
        return program

    def enqueue(self, *arguments: str) -> str:
        """The run's id."""
        return self.good("enqueue", *arguments).lines[0]

    def state_of(self, run: str) -> str:
        state: str = self.good("runs", "show", run, "--json").json["state"]
        return state


def _heed_interrupts() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and the child would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Program:
    """A program that runs: ``with place.kernel() as kernel``. Its lines are read as they come."""

    def __init__(self, folder: Path, arguments: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kernel", *arguments],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_interrupts,  # noqa: PLW1509 - one call, before any thread of the child
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._new: queue.SimpleQueue[None] = queue.SimpleQueue()
        pairs = ((self._process.stdout, self.out), (self._process.stderr, self.err))
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in pairs]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, text: str, limit: float = LIMIT) -> str:
        """The first line of either stream that has ``text`` in it; AssertionError when none comes."""
        deadline = time.monotonic() + limit
        while True:
            ended = not any(reader.is_alive() for reader in self._readers)
            for line in [*self.out, *self.err]:
                if text in line:
                    return line
            assert not ended, f"ended without {text!r}: {self.out} {self.err}"
            assert time.monotonic() < deadline, f"no {text!r} within {limit} s: {self.out} {self.err}"
            self._wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def has_ended_after(self, number: signal.Signals) -> bool:
        """Whether it has ended; if not, it gets one more signal."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.poll() is not None

    def end(self, limit: float = LIMIT) -> int:
        """The exit status."""
        status = self._process.wait(limit)
        for reader in self._readers:
            reader.join(LIMIT)
        assert not any("Traceback" in line for line in self.err), self.err
        return status

    def stop(self) -> int:
        """Ended by one SIGTERM."""
        self.send(signal.SIGTERM)
        return self.end()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(LIMIT)
        for reader in self._readers:
            reader.join(LIMIT)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _wait(self) -> None:
        try:
            self._new.get(timeout=0.2)
        except queue.Empty:
            return

    def _read(self, stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))
            self._new.put(None)
        self._new.put(None)


class Terminal:
    """The program on a terminal of so many columns and rows."""

    def __init__(self, place: Place, *arguments: str, columns: int = 200, rows: int = 40, **environment: str) -> None:
        self.text = ""
        self._is_open, self._is_closing = True, False
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        self.modes_before = termios.tcgetattr(theirs)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kernel", *arguments],
            cwd=place.folder,
            env=_environment() | {"TERM": "xterm"} | environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # noqa: PLW1509 - makes it the controlling one
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        if self._is_open:
            os.close(self._ours)

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.text)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """The program gets a SIGWINCH, as the terminal is its own."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """Whether keys are read one by one, are shown, and so on."""
        return termios.tcgetattr(self._ours)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close_window(self) -> None:
        """The other side goes away: the program gets a SIGHUP."""
        self._is_closing = True
        wait_until(lambda: not self._reader.is_alive())
        os.close(self._ours)
        self._is_open = False

    def end(self) -> int:
        status = self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        return status

    def _read(self) -> None:
        while not self._is_closing:
            if not select.select([self._ours], [], [], 0.1)[0]:
                continue
            try:
                read = os.read(self._ours, 65536)
            except OSError:
                return
            self.text += read.decode(errors="replace")


def wait_until(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Asks again until it holds; AssertionError when it never does."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {limit} s"
        time.sleep(0.02)


def _environment() -> dict[str, str]:
    """Without what would colour, widen or redirect the program's output."""
    left_out = ("MAINSPRING_CONFIG", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    root = str(Path(__file__).parents[2])
    return kept | {"PYTHONPATH": root, "PYTHONUNBUFFERED": "", "PYTHONWARNINGS": "error"}
