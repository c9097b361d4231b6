"""Notices from a real kernel to a real HTTP server, with a clock that is told the time."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from kernel import ConfigError, Kernel, RunState
from kernel.config import load_config
from kernel.events import Notified
from kernel.testing import FakeClock, settle, until
from tests.acceptance.cli_program import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kernel import Run

PLUGIN = """\
from pathlib import Path
from kernel import Context, hookimpl, job

HERE = Path(__file__).parent

def is_down():
    return (HERE / "down").exists()

@job(retry=1)
async def fetch(ctx: Context, secret: str = "") -> None:
    ctx.log.info("asks with %s", secret)
    if is_down():
        raise ConnectionError(f"no answer from https://me:{secret}@partner.example")

@job(retry=1)
async def tells(ctx: Context) -> None:
    try:
        if is_down():
            raise ConnectionError("no answer")
    except ConnectionError as error:
        ctx.notify_error(error, incident="partner", kind="partner_down", operation="tells", sent=3)
        raise
    ctx.notify_info("it answers", incident="partner")

@job
async def reminds(ctx: Context, kind: str, count: int = 1) -> None:
    for number in range(count):
        ctx.notify_info(f"car {number}", kind=kind, car=number)

@job
def in_a_thread(ctx: Context) -> None:
    ctx.notify_error(ValueError("from a thread"))

@hookimpl
def register_jobs():
    return [fetch, tells, reminds, in_a_thread]
"""
OTHER = """\
from pathlib import Path
from kernel import hookimpl

@hookimpl
def send_notice(notice):
    with (Path(__file__).parent / "got").open("a") as file:
        file.write(f"{notice.state} {notice.job}\\n")
"""


class Sink:
    """A webhook's other end: keeps what it takes, and can be told to fail, to hang or to ask for a wait."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.asked = 0
        self.mode = "ok"
        self.url = ""

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(one["state"], one["job"] or one["kind"]) for one in self.got]

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        match self.mode:
            case "hang":
                await asyncio.Event().wait()
            case "500":
                return web.Response(status=500)
            case "429":
                return web.Response(status=429, headers={"Retry-After": "100"})
        self.got.append(await request.json())
        return web.Response()


async def served() -> AsyncIterator[Sink]:
    sink = Sink()
    app = web.Application()
    app.router.add_post("/{path:.*}", sink.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sink.url = f"http://127.0.0.1:{runner.addresses[0][1]}/geheim"
    yield sink
    await runner.cleanup()


sink = pytest.fixture(served, name="sink")
pager = pytest.fixture(served, name="pager")


class Story:
    """A folder with the plugin ``shop``, and kernels in it one after the other."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self.folder, self.sink, self.clock = folder, sink, FakeClock()
        for name, text in (("shop", PLUGIN), ("other", OTHER)):
            (folder / "plugins" / name).mkdir(parents=True)
            (folder / "plugins" / name / "__init__.py").write_text(text)
        self.more = ""

    @property
    def config(self) -> str:
        return f"""\
[kernel]
store = "sqlite:///kernel.db"
plugin_dirs = ["plugins"]
[plugins.shop]
[plugins.other]
[plugins.notify]
allow_hosts = ["127.0.0.1"]
timeout = 0.3
[plugins.notify.channels.ops]
type = "webhook"
url = "{self.sink.url}"
{self.more}
"""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kernel]:
        (self.folder / "plugins.toml").write_text(self.config)
        async with Kernel(load_config(self.folder / "plugins.toml"), clock=self.clock) as kernel:
            yield kernel

    def partner(self, *, is_down: bool) -> None:
        flag = self.folder / "plugins" / "shop" / "down"
        flag.touch() if is_down else flag.unlink(missing_ok=True)

    async def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """In steps, so that what speaks to the sink gets its answers meanwhile."""
        for _ in range(round(seconds / step)):
            await self.clock.advance(step)
            await asyncio.sleep(0.003)

    async def heard(self, count: int) -> None:
        """Until the sink has so many; the clock goes on, for what is gathered and looked for takes its time."""
        for _ in range(400):
            if len(self.sink.got) >= count:
                return
            await self.pass_time(0.5, 0.5)
        raise AssertionError(self.sink.got)

    async def heard_all(self, times: int, kind: str) -> None:
        """Until the sink has been told of so many of the kind."""
        for _ in range(400):
            if any(one["kind"] == kind and one["times"] >= times for one in self.sink.got):
                return
            await self.pass_time(5.0, 5.0)
        raise AssertionError(self.sink.got)


@pytest.fixture
async def story(tmp_path: Path, sink: Sink) -> Story:
    return Story(tmp_path, sink)


async def ended(kernel: Kernel, job: str, payload: dict[str, Any] | None = None) -> Run:
    run = await kernel.enqueue(job, payload)
    return await kernel.wait(run.id, timeout="10s")


async def test_a_job_that_fails_is_told_once_with_traceback_and_log_and_when_it_works_again(
    story: Story, sink: Sink
) -> None:
    story.partner(is_down=True)
    async with story.running() as kernel:
        failed = await ended(kernel, "shop.fetch", {"secret": "pa55-w0rd"})
        await story.heard(1)
        for _ in range(3):
            await ended(kernel, "shop.fetch")
        await story.pass_time(20)
        story.partner(is_down=False)
        await ended(kernel, "shop.fetch")
        await story.heard(2)

    first, second = sink.got
    assert (first["state"], first["severity"], first["kind"], first["job"]) == (
        "failing",
        "error",
        "failed",
        "shop.fetch",
    )
    assert (first["run"], first["attempt"], first["error"]) == (failed.id, 1, "ConnectionError")
    assert first["traceback"].rstrip().endswith("ConnectionError: no answer from https://***@partner.example")
    assert any("asks with" in line for line in first["log"])
    assert first["context"]["duration_seconds"] >= 0
    assert second["state"] == "recovered"
    assert "it had failed 4 times" in second["text"]


async def test_what_completes_without_being_a_later_attempt_ends_nothing(story: Story, sink: Sink) -> None:
    async with story.running() as kernel:
        await ended(kernel, "shop.in_a_thread")  # tells an error, and completes
        await story.heard(1)
        await story.pass_time(30)

    assert sink.states == [("failing", "shop.in_a_thread")]
    assert sink.got[0]["traceback"].rstrip() == "ValueError: from a thread"


async def test_what_several_jobs_name_is_one_incident_and_their_failed_runs_are_no_other(
    story: Story, sink: Sink
) -> None:
    story.partner(is_down=True)
    async with story.running() as kernel:
        for _ in range(3):
            failed = await ended(kernel, "shop.tells")
            assert failed.state == RunState.FAILED
        await story.heard(1)
        await story.pass_time(400, 5.0)  # past the time within which nothing more of the job would be told
        story.partner(is_down=False)
        await ended(kernel, "shop.tells")
        await story.heard(3)

    assert {one["key"] for one in sink.got} == {"partner"}
    assert [(one["state"], one["times"]) for one in sink.got] == [
        ("failing", 1),
        ("still failing", 3),
        ("recovered", 3),
    ]
    assert sink.got[0]["context"] == {"operation": "tells", "sent": 3}
    assert "it had failed 3 times" in sink.got[2]["text"]


async def test_a_restart_neither_repeats_the_failure_nor_forgets_the_recovery(story: Story, sink: Sink) -> None:
    story.partner(is_down=True)
    async with story.running() as kernel:
        await ended(kernel, "shop.fetch")
        await story.heard(1)
    async with story.running() as kernel:
        await ended(kernel, "shop.fetch")
        await story.pass_time(10)
        assert sink.states == [("failing", "shop.fetch")]
    story.partner(is_down=False)
    async with story.running() as kernel:
        await ended(kernel, "shop.fetch")
        await story.heard(2)

    assert sink.states == [("failing", "shop.fetch"), ("recovered", "shop.fetch")]


async def test_what_could_not_be_sent_before_the_end_is_sent_after_the_start(story: Story, sink: Sink) -> None:
    story.partner(is_down=True)
    sink.mode = "500"
    async with story.running() as kernel:
        await ended(kernel, "shop.fetch")
        await until(lambda: sink.asked > 0)
    sink.mode = "ok"
    async with story.running():
        await story.heard(1)

    assert sink.states == [("failing", "shop.fetch")]


async def test_a_failure_that_no_event_told_is_found_at_the_start(story: Story, sink: Sink) -> None:
    async with story.running() as kernel:
        await ended(kernel, "shop.in_a_thread")
        await story.heard(1)
    text = story.more
    story.partner(is_down=True)
    story.clock.skip(10)
    config = story.config.replace("[plugins.notify]", "[plugins.notify]\nenabled = false")
    (story.folder / "plugins.toml").write_text(config)
    async with Kernel(load_config(story.folder / "plugins.toml"), clock=story.clock) as kernel:
        await ended(kernel, "shop.fetch")
    story.more = text
    async with story.running():
        await story.heard(2)

    assert sink.states[1] == ("failing", "shop.fetch")


@pytest.mark.parametrize("mode", ["ok", "500", "429", "hang"])
async def test_a_storm_of_ten_thousand_failures_is_few_messages_whatever_the_sink_does(
    story: Story, sink: Sink, mode: str
) -> None:
    sink.mode = mode
    async with story.running() as kernel:
        before = asyncio.get_running_loop().time()
        for number in range(10_000):
            kernel.publish(
                Notified(story.clock.now(), "error", "no answer", "shop.fetch", f"run {number}", 1, {"kind": "storm"})
            )
            if number % 500 == 0:
                await settle()
                await asyncio.sleep(0)
        assert asyncio.get_running_loop().time() - before < 5
        done = await ended(kernel, "shop.reminds", {"kind": "chatter"})  # no job waits for a notice
        assert done.state == RunState.COMPLETED
        await story.pass_time(60)
        in_a_minute = sink.asked
        sink.mode = "ok"
        await story.pass_time(600, 5.0)
        await story.heard_all(10_000, "storm")

    assert in_a_minute <= 20
    storm = [one for one in sink.got if one["kind"] == "storm"]
    assert len(storm) <= 3
    assert sum(one["held_back"] + 1 for one in storm) == 10_000 or mode != "ok"
    assert max(one["times"] for one in storm) == 10_000


async def test_a_dead_channel_is_told_by_the_others_and_by_health(story: Story, sink: Sink) -> None:
    story.more = """
[plugins.notify.channels.dead]
type = "webhook"
url = "http://127.0.0.1:9/geheim"
"""
    story.partner(is_down=True)
    async with story.running() as kernel:
        await ended(kernel, "shop.fetch")
        await story.heard(2)
        [answer] = [one for one in await kernel.ask("check_health") if one.plugin == "notify"]

    assert sorted(sink.states) == [("failing", "channel_failed"), ("failing", "shop.fetch")]
    [told] = [one for one in sink.got if one["kind"] == "channel_failed"]
    assert told["text"] == "notices by dead cannot be sent: 127.0.0.1: Connection refused"
    checks = {check.subject: check for check in answer.value}
    assert checks["notices by dead"].verdict == "degraded"
    assert checks["notices by dead"].ok  # no reason to send work elsewhere
    assert checks["notices by ops"].verdict == "healthy"


def with_pager(url: str) -> str:
    return f'[plugins.notify.channels.pager]\ntype = "webhook"\nurl = "{url}"\n'


@pytest.mark.parametrize("how", ["it answers", "its URL is mended", "the kernel starts anew"])
async def test_a_channel_that_works_again_is_told_once_where_its_failure_was(
    story: Story, sink: Sink, pager: Sink, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    pager.mode = "500"
    story.more = with_pager(pager.url)
    async with story.running() as kernel:
        kernel.publish(Notified(story.clock.now(), "error", "no answer", "shop.fetch", "run 1", 1, {}))
        await story.heard(2)
        pager.mode = "ok"
        if how == "its URL is mended":
            (story.folder / "plugins.toml").write_text(story.config.replace(pager.url, pager.url + "/mended"))
            await kernel.reload()
        if how != "the kernel starts anew":
            await story.heard(3)
            await story.pass_time(30)
    if how == "the kernel starts anew":
        async with story.running():
            await story.heard(3)
            await story.pass_time(30)

    told = [(one["state"], one["key"]) for one in sink.got if one["key"].startswith("channel_failed")]
    assert told == [("failing", "channel_failed pager"), ("recovered", "channel_failed pager")]
    assert [one["state"] for one in pager.got] == ["failing"]  # not of itself
    assert [record.levelname for record in caplog.records if "by pager are sent again" in record.message] == ["WARNING"]


async def test_a_channel_that_is_taken_away_while_it_fails_fails_no_more(story: Story, sink: Sink, pager: Sink) -> None:
    pager.mode = "500"
    story.more = with_pager(pager.url)
    async with story.running() as kernel:
        kernel.publish(Notified(story.clock.now(), "error", "no answer", "shop.fetch", "run 1", 1, {}))
        await story.heard(2)
        story.more = ""
        (story.folder / "plugins.toml").write_text(story.config)
        await kernel.reload()
        await story.heard(3)

    assert (sink.got[-1]["state"], sink.got[-1]["key"]) == ("recovered", "channel_failed pager")


async def test_other_plugins_get_what_the_rules_let_through(story: Story, sink: Sink) -> None:
    story.more = '[[plugins.notify.rules]]\nto = ["ops"]\njobs = ["shop.fetch"]\n'
    story.partner(is_down=True)
    async with story.running() as kernel:
        await ended(kernel, "shop.in_a_thread")
        await ended(kernel, "shop.fetch")
        await story.heard(1)
        await story.pass_time(5)

    assert sink.states == [("failing", "shop.fetch")]
    assert (story.folder / "plugins" / "other" / "got").read_text() == "failing shop.fetch\n"


async def test_infos_go_where_a_rule_names_their_kind_and_nowhere_else(story: Story, sink: Sink) -> None:
    story.more = '[[plugins.notify.rules]]\nto = ["ops"]\nkinds = ["reminder"]\n'
    async with story.running() as kernel:
        await ended(kernel, "shop.reminds", {"kind": "reminder", "count": 60})
        await ended(kernel, "shop.reminds", {"kind": "chatter"})
        await story.heard(1)
        await story.pass_time(30)

    [one] = sink.got
    assert (one["kind"], one["state"], one["times"], one["severity"]) == ("reminder", "", 60, "info")
    assert one["text"].startswith("60 notices:\ncar 0\ncar 1\n")


async def test_the_kernels_own_trouble_is_told_and_its_end(story: Story, sink: Sink) -> None:
    async with story.running() as kernel:
        file = story.folder / "plugins.toml"
        good = file.read_text()
        file.write_text(good.replace("[kernel]", "[kernl]"))
        with pytest.raises(ConfigError):
            await kernel.reload()
        await story.heard(1)
        file.write_text(good + "\n[plugins.shop.jobs.fetch]\ntimeout = '5m'\n")
        await kernel.reload()
        await story.heard(2)

    assert [one["state"] for one in sink.got] == ["failing", "recovered"]
    assert 'did you mean "kernel"' in sink.got[0]["text"].lower()


async def test_a_wrong_edit_that_is_undone_is_over_as_soon_as_the_file_is_good(
    story: Story, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    async with story.running():
        file = story.folder / "plugins.toml"
        good = file.read_text()
        file.write_text(good.replace("[kernel]", "[kernl]"))
        await until(lambda: len(told_of(caplog)) == 1)
        await story.heard(1)
        file.write_text(good)
        await until(lambda: len(told_of(caplog)) == 2)
        await story.heard(2)

    assert [one["state"] for one in sink.got] == ["failing", "recovered"]
    assert "plugins.toml:1: [kernl]: " in sink.got[0]["title"]
    assert sink.got[1]["title"].startswith("RECOVERED: plugins.toml after ")
    assert told_of(caplog)[1] == "plugins.toml is good again: it says what is in use"


def told_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the kernel has said of the file where a terminal shows it."""
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "kernel.kernel"]
    return [text for level, text in said if level in {"WARNING", "ERROR"} and text.startswith("plugins.toml")]


async def test_a_plugin_that_is_broken_from_the_start_is_told_once_and_when_it_is_mended(
    story: Story, sink: Sink
) -> None:
    file = story.folder / "plugins" / "other" / "__init__.py"
    good = file.read_text()
    file.write_text("raise RuntimeError('no luck')")
    for _ in range(2):
        async with story.running():
            await story.heard(1)
            await story.pass_time(10)
    file.write_text(good)
    async with story.running():
        await story.heard(2)

    assert [(one["state"], one["key"]) for one in sink.got] == [
        ("failing", "plugin_broken other"), ("recovered", "plugin_broken other"),
    ]  # fmt: skip
    assert "RuntimeError: no luck" in sink.got[0]["text"]


async def test_no_secret_is_told_kept_or_logged(
    story: Story, sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "c4n4ry-77aa"
    monkeypatch.setenv("SHOP_WORD", canary)
    story.more = '[plugins.notify.channels.two]\ntype = "slack"\nurl = "http://127.0.0.1:9/${SHOP_WORD}"\n'
    story.partner(is_down=True)
    sink.mode = "500"
    async with story.running() as kernel:
        await ended(kernel, "shop.fetch", {"secret": canary})
        await until(lambda: sink.asked > 0)
        kept = json.dumps(await kernel.values("notify").get())
        sink.mode = "ok"
        await story.heard(1)
        health = repr([answer.value for answer in await kernel.ask("check_health")])

    notices = [record for record in caplog.records if "notice" in record.name or "notify" in record.name]
    assert notices
    for told in (kept, json.dumps(sink.got), health, *(record.getMessage() for record in notices)):
        assert canary not in told
        assert "geheim" not in told


WRONG = {
    'channels.x = {type = "webhok"}': (
        "[plugins.notify.channels.x] type: no type of channel; expected one of log, webhook, slack, mail, apprise. "
        'Did you mean "webhook"?'
    ),
    "channels.x = {}": "[plugins.notify.channels.x] type: is missing; expected one of log, webhook",
    'channels.x = {type = "webhook", url = "ftp://geheim/"}': "channels.x] url: '***': expected an http or https URL",
    'channels.x = {type = "webhook", url = "http://geheim:99999/"}': "url: '***': expected an http or https URL",
    'channels.x = {type = "slack", url = "http://10.0.0.1/geheim"}': (
        "[plugins.notify.channels.x] url: 10.0.0.1 is a private address; expected a public one, or the host in allow_hosts"
    ),
    'channels.x = {type = "slack", uri = "http://a.example/geheim"}': (
        'uri: no setting of this name; expected one of type, url. Did you mean "url"?'
    ),
    'channels.x = {type = "mail", host = "a", sender = "nobody", to = ["a@b.example"]}': (
        "sender: 'nobody': expected an e-mail address"
    ),
    'channels.x = {type = "apprise", urls = ["geheim"]}': "urls: '***': the 1. is no URL that Apprise knows; expected one",
    'rules = [{to = ["logg"]}]': (
        '[plugins.notify.rules.0] to: no channel named "logg"; expected one of log. Did you mean "log"?'
    ),
    'rules = [{to = ["log"], severity = "bad"}]': "rules.0] severity: 'bad': expected 'info', 'warning' or 'error'",
    'rules = [{to = ["log"], jobs = ["sync"]}]': 'jobs: "sync" can be no job; expected a full name or a pattern',
    'rules = [{to = ["log"], job = ["a.b"]}]': (
        'job: no setting of this name; expected one of to, severity, jobs, kinds. Did you mean "jobs"?'
    ),
    'quiet = "soon"': "quiet: 'soon' is no duration: expected a duration",
    'rules = [{to = "ops"}]': """rules.0] to: 'ops': expected a list, as ["ops"]""",
    "rules = [{to = []}]": "rules.0] to: a list: expected at least 1 in it",
    'channels.x = {type = "mail", host = "a", encryption = "ssl", sender = "a@b.example", to = ["a@b.example"]}': (
        "encryption: 'ssl': expected 'starttls', 'tls' or 'none'"
    ),
    'channels = "https://hooks.example/geheim"': "channels: '***': expected a table",
    'channels.x = "https://hooks.example/geheim"': 'x: expected a table, as {type = "log"}',
    'allow_hosts = "https://hooks.example/geheim"': "allow_hosts: '***': expected a list",
    'channels.x = {type = "webhook", ulr = "https://a.example/geheim"}': "ulr: no setting of this name; expected one of type, url",
    'channels.x = {typ = "webhook", url = "https://a.example/geheim"}': 'typ: no setting of this name. Did you mean "type"?',
    "per_minute = 0": "per_minute: 0: expected greater than or equal to 1",
}


@pytest.mark.parametrize(("table", "expected"), WRONG.items(), ids=WRONG)
def test_a_wrong_setting_is_told_with_its_line_and_without_a_secret(tmp_path: Path, table: str, expected: str) -> None:
    place = Place(tmp_path, f'[kernel]\nstore = "memory://"\n[plugins.notify]\n{table}\n')

    done = place.run("check")

    told = done.out + done.err
    assert done.status != 0
    assert "plugins.toml:4: " in told
    assert expected in told
    assert "geheim" not in told
    assert "broken" not in told
    assert told.count("plugins.toml:") == 1
