"""A kernel with the web plugin and a demo plugin, filled with what pages have trouble with."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernel.model.run import FINAL
from tests.browser.hostile_strings import HOSTILE
from tests.unit.plugins.web import web_kit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from kernel import Kernel

DEMO = '''
import asyncio
from kernel import Breaker, Context, Retry, cron, every, hookimpl, job

orders: asyncio.Queue[tuple[float, str] | None] = asyncio.Queue()
"""What `walk` does next: goes so far with this text, or ends at None."""


@job
async def greet(ctx: Context, name: str, *, loud: bool = False, times: int = 1) -> str:
    """Says hello, <b>as often</b> as wanted."""
    ctx.log.info("greeting %s", name)
    return " ".join([name.upper() if loud else name] * times)


@job(queue="naps", tags=["slow"])
async def nap(seconds: float = 600.0) -> None:
    await asyncio.sleep(seconds)


@job
async def walk(ctx: Context) -> str:
    while (told := await orders.get()) is not None:
        await ctx.progress(*told)
    return "arrived"


@job(retry=1)
async def fail(ctx: Context, text: str = "no such customer: 4711") -> None:
    ctx.log.error("it goes wrong: %s", text)
    raise ValueError(text)


@job(retry=Retry(3, base="1h"))
async def fail_later() -> None:
    raise ValueError("the partner answers 503")


@job(breaker=Breaker("partner", failure_threshold=1), retry=1)
async def call() -> None:
    raise ConnectionError("no answer")


@job(retry=1)
async def echo(ctx: Context, text: str) -> dict[str, str]:
    """Puts a text wherever a run can have one."""
    async def extra() -> None:
        raise ValueError(text)

    ctx.log.warning("%s", text)
    await ctx.progress(0.5, text)
    await ctx.step(text, str, text)
    await ctx.optional(text, extra)
    return {text: text}


@every("1h")
async def hourly(ctx: Context) -> str:
    return "told"


@cron("30 3 * * *", timezone="Europe/Berlin")
async def nightly() -> None: ...


@hookimpl
def register_routes(app):
    app.add_page("greetings", "Greetings", lambda query: "<script>window.__pwned=1</script>")
    app.add_card("Greeted", lambda: "<img src=x onerror=window.__pwned=1>")


@hookimpl
def register_jobs():
    return [greet, nap, walk, fail, fail_later, call, echo, hourly, nightly]
'''
BROKEN = f"raise ValueError({HOSTILE[1]!r})"
LIMIT = 20.0


@dataclass
class DemoSite:
    web: web_kit.Web

    @property
    def kernel(self) -> Kernel:
        return self.web.kernel

    @property
    def orders(self) -> asyncio.Queue[tuple[float, str] | None]:
        """What the job ``walk`` does next."""
        found: asyncio.Queue[tuple[float, str] | None] = web_kit.plugin_of(self.kernel, "demo").orders
        return found

    async def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
        return (await self.kernel.enqueue(f"demo.{job}", payload, **options)).id

    async def ended(self, *runs: str) -> None:
        for run in runs:
            await self.until(run, *FINAL)

    async def until(self, run: str, *states: str) -> dict[str, Any]:
        """The run in one of these states."""
        found: dict[str, Any] = {}

        async def is_there() -> bool:
            nonlocal found
            found = await self.kernel.control.runs_show(run=run)
            return found["state"] in states

        await until(is_there)
        return found

    async def schedule(self, name: str, job: str = "demo.hourly", **options: Any) -> None:
        given = options or {"every": "1h"}
        await self.kernel.control.schedules_add(name=name, job=job, options=given)

    async def fill(self) -> None:
        """A run in each state, and a few words that are none."""
        ended = [
            await self.enqueue("greet", {"name": "Ada"}),
            await self.enqueue("fail"),
            await self.enqueue("fail", {"text": "\n".join(f"line {number}: {'x' * 200}" for number in range(20))}),
            await self.enqueue("call"),
            *await self.write(HOSTILE[:4]),
        ]
        await self.ended(*ended)
        waits = await self.enqueue("greet", {"name": "later"}, delay="1h", tags=["a-tag", "<b>tag"])
        parent = await self.enqueue("nap", tags=["slow"])
        await self.enqueue("greet", {"name": "after"}, depends_on=[parent, waits])
        cancelled = await self.enqueue("greet", {"name": "never"}, delay="2h")
        await self.kernel.control.runs_cancel(runs=[cancelled], reason=HOSTILE[0])
        await self.until(await self.enqueue("fail_later"), "retrying")
        walking = await self.enqueue("walk")
        await self.until(walking, "running")
        await self.orders.put((0.4, HOSTILE[0]))
        await self.kernel.control.queues_pause(queue="reports")

    async def write(self, texts: Sequence[str]) -> list[str]:
        """Each text as a payload, an error, a log line, a step, a note, a tag and a schedule; the runs."""
        runs = []
        for text in texts:
            named = "".join(one if one.isprintable() else "?" for one in text)[:100]
            runs += [
                await self.enqueue("echo", {"text": text}, tags=[named]),
                await self.enqueue("fail", {"text": text}),
            ]
            await self.schedule(named)
        return runs


async def until(condition: Callable[[], Awaitable[bool]], limit: float = LIMIT) -> None:
    """Asks again until it holds; TimeoutError when it never does."""
    async with asyncio.timeout(limit):
        while not await condition():  # noqa: ASYNC110 - the condition is the store's, which tells nobody
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(folder: Path, *lines: str) -> AsyncIterator[DemoSite]:
    """``lines`` as of ``web_kit.running``."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - a test, and one folder
    tables = [
        *lines,
        '[kernel] store = "sqlite:///store.db"',
        "[queues.reports]",
        "concurrency = 3",
        "[queues.naps]",
        "concurrency = 2",
        "[plugins.health]",
    ]  # fmt: skip
    async with web_kit.running(folder, *tables, plugins={"demo": DEMO, "broken": BROKEN}) as web:
        yield DemoSite(web)
