"""A kernel with the web plugin on a free port, a demo plugin, and a client that asks as a browser would."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientTimeout, CookieJar
from yarl import URL

from kernel import Kernel
from kernel.config import load_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from kernel.contracts.clock import Clock

TOKEN = "a-token-of-the-tests-0123456789"  # noqa: S105 - of nobody
PAGES = ["/", "/runs", "/schedules", "/queues", "/jobs", "/health", "/plugins"]
DEMO = """
import asyncio
from typing import Literal
from kernel import Context, every, hookimpl, job

is_over = asyncio.Event()

@job
async def ok(ctx: Context) -> str:
    ctx.log.info("it went well")
    return "done"

@job(retry=1)
async def fails() -> None:
    raise ValueError("no such customer")

@job(queue="naps")
async def slow(ctx: Context, fraction: float = 0.5) -> None:
    await ctx.progress(fraction, "half of it")
    await is_over.wait()

@job(tags=["mail"])
async def greets(name: str, times: int = 1, tone: Literal["kind", "short"] = "kind", loud: bool = False) -> str:
    return " ".join([f"hello {name}"] * times)

@every("10m")
async def sweep() -> None: ...

@hookimpl
def register_jobs():
    return [ok, fails, slow, greets, sweep]
"""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Web:
    """``url`` has no slash at its end. Cookies are kept as a browser keeps them."""

    kernel: Kernel
    server: Any
    session: ClientSession
    folder: Path

    @property
    def url(self) -> str:
        return str(self.server.url).removesuffix("/")

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def site(self) -> Any:
        return self.server.site

    async def get(self, path: str, **headers: str) -> Reply:
        """``Accept`` as a browser sends it, unless told otherwise (``accept=``); redirects are not followed."""
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, form: Any = None, *, json: Any = None, **headers: str) -> Reply:
        """A form, or JSON, from a page of the site; ``origin="…"`` names another origin, ``origin=""`` sends none."""
        return await self.ask("POST", path, form=form, json=json, headers=headers)

    async def ask(
        self, method: str, path: str, *, form: Any = None, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Names of headers with ``_`` for ``-``; an empty value leaves the header out. The path goes as it is written."""
        wanted = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        if method not in {"GET", "HEAD"}:
            wanted["Origin"] = self.url
        wanted |= {name.replace("_", "-").title(): value for name, value in (headers or {}).items()}
        wanted = {name: value for name, value in wanted.items() if value}
        address = URL(self.url + path, encoded=True)
        async with self.session.request(
            method, address, data=form, json=json, headers=wanted, allow_redirects=False
        ) as response:
            # Where a name may be broken disturbs who looks for it.
            text = (await response.text(errors="replace")).replace("<wbr>", "")
            return Reply(response.status, response.headers, text)


def plugin_of(kernel: Kernel, name: str = "web") -> Any:
    """The plugin's object."""
    return kernel.host._plugins[name]._object


@asynccontextmanager
async def running(
    folder: Path, *lines: str, plugins: Mapping[str, str] | None = None, clock: Clock | None = None
) -> AsyncIterator[Web]:
    """With these lines in the table of web, the plugin ``demo``, and ``plugins``: the text of a file each, by name.

    A line that begins with ``[`` opens a table of its own; lines for ``[kernel]`` go there: ``[kernel] concurrency = 4``.
    """
    (folder / "plugins").mkdir(exist_ok=True)
    files = {"demo": DEMO, **(plugins or {})}
    for name, text in files.items():
        (folder / "plugins" / f"{name}.py").write_text(dedent(text), encoding="utf-8")
    file = folder / "plugins.toml"
    of_kernel = [line.removeprefix("[kernel]").strip() for line in lines if line.startswith("[kernel]")]
    of_web = [line for line in lines if not line.startswith("[kernel]")]
    listen = [] if any(line.startswith("listen") for line in of_web) else ['listen = "127.0.0.1:0"']
    if not any(line.startswith("store") for line in of_kernel):
        of_kernel.append('store = "memory://"')
    tables = [f"[plugins.{name}]" for name in files]
    text = "\n".join(["[kernel]", *of_kernel, *tables, "[plugins.web]", *listen, *of_web, ""])
    file.write_text(text, encoding="utf-8")
    async with Kernel(load_config(file), clock=clock) as kernel:
        server = plugin_of(kernel)._server
        # unsafe: cookies of addresses that are numbers are kept too, as browsers do.
        async with ClientSession(
            cookie_jar=CookieJar(unsafe=True), timeout=ClientTimeout(total=30), auto_decompress=True
        ) as session:
            try:
                yield Web(kernel, server, session, folder)
            finally:
                kernel.hurry("the test is over")  # or a run of demo.slow would hold up the end
