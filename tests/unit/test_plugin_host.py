"""Plugins as they should be: found, loaded in order, configured, started, told of events, exchanged while running."""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from kernel.config import parse_config
from kernel.decorators import cron, job
from kernel.model.errors import ConfigError, StoreError
from kernel.model.events import Event, KernelStarted, RunCompleted, RunEvent, RunFailed
from kernel.model.job import POLICY_NAMES
from kernel.model.schedule import SCHEDULE_OPTIONS
from kernel.plugin_host import PluginHost, open_store
from kernel.plugin_registrations import Overrider, declared_by
from tests.unit.plugin_folder import GOOD, PluginFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.config_changes import Changes


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[PluginFolder]:
    found = PluginFolder(tmp_path)
    yield found
    found.host.close()


def module_of(folder: PluginFolder, name: str) -> Any:
    """The plugin's module, by its private name."""
    (found,) = [module for key, module in sys.modules.items() if key.endswith(f".{name}") and _is_in(folder, module)]
    return found


def _is_in(folder: PluginFolder, module: object) -> bool:
    return str(getattr(module, "__file__", "")).startswith(str(folder.root))


def problems_of(error: pytest.ExceptionInfo[ConfigError], folder: PluginFolder) -> list[str]:
    return [problem.removeprefix(f"{folder.root / 'plugins.toml'}:") for problem in error.value.problems]


async def refused(folder: PluginFolder, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        await folder.load(text, **environment)
    return problems_of(caught, folder)


def install(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, points: dict[str, str], **modules: str) -> None:
    """A distribution in a folder of its own on sys.path, with entry points and modules."""
    site = root / f"site-{name}"
    info = site / f"{name}-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    lines = [f"{point} = {value}\n" for point, value in points.items()]
    (info / "entry_points.txt").write_text("[mainspring]\n" + "".join(lines))
    for module, text in modules.items():
        package = site / module
        package.mkdir()
        (package / "__init__.py").write_text(dedent(text))
    monkeypatch.syspath_prepend(site)


# Found.


async def test_a_package_and_a_single_file_are_plugins_and_off_without_a_table(folder: PluginFolder) -> None:
    folder.write("vans", "raise RuntimeError('imported')")
    (folder.path / "single.py").write_text("raise RuntimeError('imported')")
    for other in ("_hidden", ".git", "__pycache__", "data"):
        (folder.path / other).mkdir()

    states = await folder.load("")

    assert {name: state.state for name, state in states.items()} == {"vans": "off", "single": "off"}
    assert states["vans"].source == str(folder.path / "vans")


async def test_a_plugin_that_is_disabled_is_not_imported(folder: PluginFolder) -> None:
    folder.write("vans", "raise RuntimeError('imported')")

    states = await folder.load("[plugins.vans]\nenabled = false")

    assert states["vans"].state == "off"
    assert folder.broken == []


async def test_a_plugin_is_loaded_under_a_private_name_and_its_folder_is_not_on_the_path(folder: PluginFolder) -> None:
    path = list(sys.path)
    folder.write(
        "email",
        '''
        """Letters."""
        __version__ = "3"
        from kernel import hookimpl, job
        from .letters import send
        from . import letters
        from email.message import Message

        @hookimpl
        def register_jobs():
            from .late import other
            return [send, other]
        ''',
        letters="""
        from kernel import job
        @job
        def send(): ...
        """,
        late="""
        from kernel import job
        @job
        def other(): ...
        """,
    )

    states = await folder.load()

    assert states["email"].state == "enabled"
    assert [job.name for job in states["email"].jobs] == ["email.send", "email.other"]
    assert (states["email"].doc, states["email"].version) == ("Letters.", "3")
    assert sys.path == path
    assert str(folder.root) not in str(getattr(sys.modules["email"], "__file__", ""))


async def test_plugins_of_installed_packages_are_found_without_importing_them(
    folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        folder.root, monkeypatch, "acme", {"mailer": "acme_mailer", "idle": "acme_idle"},
        acme_mailer=GOOD, acme_idle="raise RuntimeError('imported')",
    )  # fmt: skip

    await folder.host.load(folder.config("[plugins.mailer]"))

    states = {state.name: state for state in folder.host.states()}
    assert states["mailer"].state == "enabled"
    assert states["mailer"].version == "1.5"
    assert states["mailer"].source.startswith("entry point acme_mailer (")
    assert states["idle"].state == "off"
    assert "acme_mailer" in sys.modules
    assert "acme_idle" not in sys.modules


async def test_a_folder_whose_files_are_an_entry_point_s_is_that_plugin_loaded_once(
    folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(folder.root, monkeypatch, "shop", {"orders": "shop_plugins.orders"}, shop_plugins="")
    package = folder.root / "site-shop" / "shop_plugins"
    (package / "orders").mkdir()
    (package / "orders" / "__init__.py").write_text(dedent(GOOD))

    await folder.host.load(folder.config(f"[kernel]\nplugin_dirs = ['{package}']\n[plugins.orders]"))

    (state,) = [state for state in folder.host.states() if state.name == "orders"]
    assert state.state == "enabled"
    assert state.source.startswith("entry point shop_plugins.orders")
    assert [name for name in sys.modules if name.endswith(".orders")] == ["shop_plugins.orders"]


async def test_one_folder_that_is_named_twice_is_read_once(folder: PluginFolder) -> None:
    folder.write("vans", GOOD)
    (folder.root / "link").symlink_to(folder.path)

    states = await folder.load("[kernel]\nplugin_dirs = ['plugins', 'link', 'plugins/../plugins']\n[plugins.vans]")

    assert states["vans"].state == "enabled"


async def test_two_plugins_of_one_name_are_refused_naming_both_places(folder: PluginFolder) -> None:
    folder.write("good", GOOD)
    folder.write("vans", GOOD)
    other = folder.root / "other"
    other.mkdir()
    (other / "vans.py").write_text(dedent(GOOD))

    states = await folder.load("[kernel]\nplugin_dirs = ['plugins', 'other']\n[plugins.vans]\n[plugins.good]")

    assert states["vans"].state == "broken"
    assert str(folder.path / "vans") in states["vans"].reason
    assert str(other / "vans.py") in states["vans"].reason
    assert states["good"].state == "enabled"


async def test_names_that_differ_in_case_only_are_refused_naming_both_places(folder: PluginFolder) -> None:
    folder.write("vans", GOOD)
    folder.write("Vans", GOOD)

    states = await folder.load("[plugins.vans]")

    assert {name: state.state for name, state in states.items()} == {"Vans": "broken", "vans": "broken"}
    assert "2 plugins are named" in states["vans"].reason
    assert str(folder.path / "Vans") in states["vans"].reason


@pytest.mark.parametrize("name", ["my-cars", "1st", "flee t", "ｖans", "флот", "a.b"])  # noqa: RUF001 - look-alikes
async def test_a_folder_that_cannot_be_named_is_listed_as_broken(folder: PluginFolder, name: str) -> None:
    folder.write(name, GOOD)

    states = await folder.load("")

    assert states[name].state == "broken"
    assert "is no name of a plugin: expected" in states[name].reason


@pytest.mark.parametrize(
    ("point", "value"),
    [
        ("../../x", "acme_x"),
        ("os.path", "acme_x"),
        ("x y", "acme_x"),
        ("fine", "../acme_x"),
        ("fine", "os; import sys"),
    ],
)
async def test_a_hostile_entry_point_is_refused_and_never_imported(
    folder: PluginFolder, monkeypatch: pytest.MonkeyPatch, point: str, value: str
) -> None:
    install(folder.root, monkeypatch, "acme", {point: value}, acme_x="raise RuntimeError('imported')")
    folder.write("good", GOOD)

    states = await folder.load("[plugins.good]")

    found = {state.name: state for state in folder.host.states()}
    assert found[point].state == "broken"
    assert "expected" in found[point].reason
    assert states["good"].state == "enabled"


async def test_an_unknown_plugin_is_an_error_with_line_and_nearest_name(folder: PluginFolder) -> None:
    folder.write("wheels", GOOD)

    found = await refused(folder, "\n\n[plugins.whels]\nx = 1")

    assert found == ['3: [plugins.whels]: no plugin of this name. Did you mean "wheels"?']


async def test_a_folder_of_plugins_that_cannot_be_read_is_an_error_though_it_is_the_default_one(
    folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_path: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("kernel.plugin_finder.os.scandir", closed)

    (found,) = await refused(folder, "")

    assert f"[kernel] plugin_dirs: {folder.path}: Permission denied; expected a folder that can be read" in found


async def test_a_folder_of_plugins_that_is_not_there_is_an_error_only_when_it_is_asked_for(tmp_path: Path) -> None:
    folder = PluginFolder(tmp_path)
    folder.path.rmdir()
    folder.path.write_text("a file")

    states = await folder.load("")
    found = await refused(folder, "[kernel]\nplugin_dirs = ['plugins', 'none']")

    assert states == {}
    assert [problem.partition(": /")[0] for problem in found] == ["2: [kernel] plugin_dirs"] * 2


# In order.


async def test_what_a_plugin_requires_is_loaded_and_started_before_it_and_stopped_after_it(
    folder: PluginFolder,
) -> None:
    text = """
        from kernel import hookimpl
        requires = {requires}
        @hookimpl
        def register_jobs():
            return []
        @hookimpl
        async def start(kernel):
            kernel.append("start {name}")
        @hookimpl
        def stop(kernel):
            kernel.append("stop {name}")
    """
    for name, requires in {"a": ["c"], "b": [], "c": ["b"]}.items():
        folder.write(name, text.format(name=name, requires=requires))
    story: list[str] = []

    await folder.load()
    await folder.host.start(story)
    await folder.host.start(story)
    await folder.host.stop(story)
    await folder.host.stop(story)

    assert story == ["start b", "start c", "start a", "stop a", "stop c", "stop b"]


async def test_only_those_named_are_started_and_stopped(folder: PluginFolder) -> None:
    folder.write("a", GOOD)
    folder.write("b", GOOD)

    await folder.load()
    await folder.host.start(None, ["a"])
    await folder.host.stop(None, ["a", "b"])

    assert module_of(folder, "a").heard == ["start", "stop"]
    assert module_of(folder, "b").heard == []


async def test_what_is_required_and_not_to_be_had_breaks_the_plugin_with_the_reason(folder: PluginFolder) -> None:
    folder.write("wheels", "raise ValueError('no')")
    folder.write("off", GOOD)
    for name, required in {"a": "whels", "b": "off", "c": "wheels", "d": "c"}.items():
        folder.write(name, f"requires = ['{required}']")

    states = await folder.load("[plugins.a]\n[plugins.b]\n[plugins.c]\n[plugins.d]\n[plugins.wheels]")

    assert {name: state.reason for name, state in states.items() if name in "abcd"} == {
        "a": 'requires "whels": no plugin of this name. Did you mean "wheels"?',
        "b": 'requires "off", which is off: enable it by a table [plugins.off] in plugins.toml',
        "c": 'requires "wheels", which is broken',
        "d": 'requires "c", which is broken',
    }
    assert states["a"].place == f"{folder.path / 'a' / '__init__.py'}:1"


async def test_a_circle_lists_its_members_and_breaks_only_them(folder: PluginFolder) -> None:
    for name, required in {"a": "b", "b": "c", "c": "a", "outside": "good"}.items():
        folder.write(name, f"requires = ['{required}']")
    folder.write("good", GOOD)
    folder.write("itself", "requires = ['itself']")

    states = await folder.load()

    for name in "abc":
        assert states[name].state == "broken"
        circle = states[name].reason.removeprefix("requires: a circle, ").removesuffix("; expected none").split(" -> ")
        assert set(circle) == {"a", "b", "c"}
        assert circle[0] == circle[-1]
    assert "itself -> itself" in states["itself"].reason
    assert states["good"].state == states["outside"].state == "enabled"


# Settings.

STATEFUL = """
    from pydantic import BaseModel, Field, SecretStr, field_validator
    from kernel import every, hookimpl, job

    class Partner(BaseModel):
        model_config = {"extra": "forbid"}
        url: str
        token: SecretStr = SecretStr("")

    class Settings(BaseModel):
        city: str = "Oslo"
        size: int = Field(default=1, ge=1, le=9)
        interval: float = 1.0
        password: SecretStr = SecretStr("")
        partner: Partner | None = None

        @field_validator("city")
        @classmethod
        def known(cls, city):
            if city == "Atlantis":
                raise ValueError(f"{city} has sunk")
            return city

    made = []

    class Plugin:
        def __init__(self, settings):
            self.settings = settings
            made.append(self)

        @every("60s")
        async def sync(self, ctx, city: str = "x"): ...

        @hookimpl
        def register_jobs(self):
            return [self.sync]

        @hookimpl
        async def start(self, kernel):
            kernel.append(f"start {self.settings.city}")

        @hookimpl
        async def stop(self, kernel):
            kernel.append(f"stop {self.settings.city}")
"""


async def test_a_package_with_state_is_instantiated_with_its_settings(folder: PluginFolder) -> None:
    folder.write("cars", STATEFUL)

    await folder.load(
        '[plugins.cars]\ncity = "${CITY}"\nsize = "${SIZE}"\npartner.url = "http://x"', CITY="Rome", SIZE="3"
    )

    (made,) = module_of(folder, "cars").made
    assert (made.settings.city, made.settings.size, made.settings.partner.url) == ("Rome", 3, "http://x")
    assert [job.name for job in folder.host.jobs()] == ["cars.sync"]


async def test_bad_settings_are_errors_of_the_configuration_all_at_once(folder: PluginFolder) -> None:
    folder.write("cars", STATEFUL)
    folder.write("plain", GOOD)
    text = """\
[kernel]
concurency = 3
[plugins.cars]
citty = "Rome"
size = 10
intervall = 2
interval = "often"
[plugins.cars.partner]
tokn = 3
[plugins.plain]
color = "red"
[plugins.nobody]
"""

    found = await refused(folder, text)

    assert found == [
        (
            "2: [kernel] concurency: no key of this name; expected one of store, concurrency, timezone, "
            'shutdown_grace, plugin_dirs, run_dir, max_block, max_payload, max_result, log_format. Did you mean "concurrency"?'
        ),
        (
            "4: [plugins.cars] citty: no setting of this name; expected one of city, size, interval, "
            'password, partner. Did you mean "city"?'
        ),
        "5: [plugins.cars] size: 10: expected less than or equal to 9",
        (
            "6: [plugins.cars] intervall: no setting of this name; expected one of city, size, interval, "
            'password, partner. Did you mean "interval"?'
        ),
        "7: [plugins.cars] interval: 'often': expected a valid number, unable to parse string as a number",
        "8: [plugins.cars.partner] url: is missing; expected a value: the setting has no default",
        '9: [plugins.cars.partner] tokn: no setting of this name; expected one of url, token. Did you mean "token"?',
        (
            "11: [plugins.plain] color: no key of this name: the plugin has no settings; expected one of "
            "enabled, jobs, schedules."
        ),
        "12: [plugins.nobody]: no plugin of this name.",
    ]
    assert folder.host.states() == []


@pytest.mark.parametrize(
    "line",
    [
        'size = "${S}"',
        'city = "${CITY}"',
        'password = ["canary-1"]',
        'password = { a = "canary-1" }',
        "password = 4711",
        'partner = "${S}"',
        'partner = { url = "x", token = 4711 }',
        'partner = { url = 1, token = "${S}" }',
        'jobs.sync.timeout = "${S}"',
        'jobs.sync.retry = { base = "${S}" }',
        'schedules.sync.every = "${S}"',
        'schedules.sync.payload = { city = ["${S}"] }',
        'schedules.sync.timezone = "${S}"',
    ],
)
async def test_no_secret_is_shown_by_what_is_wrong_with_the_settings(folder: PluginFolder, line: str) -> None:
    folder.write("cars", STATEFUL)

    found = await refused(folder, f"[plugins.cars]\n{line}", S="canary-4711", CITY="Atlantis")

    assert found
    assert all(problem.startswith("2: [plugins.cars") for problem in found)
    assert "canary" not in "".join(found)
    assert "4711" not in "".join(found)
    assert "Atlantis" not in "".join(found)


async def test_a_value_that_stands_in_the_file_is_shown_but_not_a_url_with_a_password(folder: PluginFolder) -> None:
    folder.write(
        "cars", "from pydantic import BaseModel\nclass Settings(BaseModel):\n    size: int = 1\n    place: int = 1\n"
    )

    found = await refused(folder, '[plugins.cars]\nsize = "big"\nplace = "http://ada:canary@host"')

    assert found[0].startswith("2: [plugins.cars] size: 'big': expected")
    assert found[1].startswith("3: [plugins.cars] place: '***': expected")


async def test_the_settings_of_the_fleet_show_what_stands_in_the_file(folder: PluginFolder) -> None:
    # The URL of a partner may have a token in it.
    found, url = await refused(folder, "[plugins.fleet]\npartner_port = 99999\npartner_url = 'partner'")

    assert url == "3: [plugins.fleet] partner_url: '***': expected a URL, as https://example.com"
    assert found == "2: [plugins.fleet] partner_port: 99999: expected less than or equal to 65535"


async def test_an_unset_variable_is_told_once_and_not_again_as_a_missing_setting(folder: PluginFolder) -> None:
    folder.write("cars", "from pydantic import BaseModel\nclass Settings(BaseModel):\n    city: str\n")

    found = await refused(folder, '[plugins.cars]\ncity = "${NOWHERE}"')

    assert found == [
        "2: [plugins.cars] city: ${NOWHERE} is not set in the environment; expected a value, or ${NOWHERE:-default}."
    ]


async def test_a_plugin_that_takes_no_settings_may_take_no_argument(folder: PluginFolder) -> None:
    folder.write("bare", "class Plugin:\n    pass\n")
    folder.write("one", "class Plugin:\n    def __init__(self, settings):\n        assert settings is None\n")

    states = await folder.load()

    assert [state.state for state in states.values()] == ["enabled", "enabled"]


async def test_what_is_hardly_meant_is_noted(folder: PluginFolder) -> None:
    folder.write(
        "bare", "from pydantic import BaseModel\nclass Settings(BaseModel): ...\ndef register_jobs(): return []"
    )

    states = await folder.load()

    assert states["bare"].note == (
        "register_jobs lacks @hookimpl, so it is not called; nothing gets its Settings: there is no class Plugin"
    )


# Jobs, schedules, and what the operator puts over them.

JOBS = """
    from kernel import Retry, after, cron, every, hookimpl, job

    @cron("0 0 * * *", overlap="queue")
    @cron("0 12 * * *", name="noon", timezone="Asia/Tokyo")
    @job(timeout="10m", retry=Retry(attempts=5))
    async def daily(ctx, city: str = "Oslo"): ...

    @every("60s", anchor="finish")
    @job(name="sync-cars")
    def sync(): ...

    @after("5s")
    def warm(): ...

    @hookimpl
    def register_jobs():
        return (daily, sync, warm)
"""


async def test_schedules_are_named_after_their_jobs_and_keep_to_the_zone_of_the_kernel(folder: PluginFolder) -> None:
    folder.write("cars", JOBS)

    await folder.load("[kernel]\ntimezone = 'Europe/Berlin'\n[plugins.cars]")

    found = {schedule.name: schedule for schedule in folder.host.schedules()}
    assert list(found) == ["cars.daily", "cars.noon", "cars.sync-cars", "cars.warm"]
    assert {name: schedule.job for name, schedule in found.items()} == {
        "cars.daily": "cars.daily",
        "cars.noon": "cars.daily",
        "cars.sync-cars": "cars.sync-cars",
        "cars.warm": "cars.warm",
    }
    assert found["cars.daily"].timezone == "Europe/Berlin"
    assert found["cars.noon"].timezone == "Asia/Tokyo"
    assert all(schedule.plugin == "cars" for schedule in found.values())


async def test_operators_override_jobs_and_schedules(folder: PluginFolder) -> None:
    folder.write("cars", JOBS)
    text = """
        [plugins.cars.jobs.daily]
        timeout = "${TIMEOUT}"
        priority = "${PRIORITY}"
        tags = ["a", "${TAG}"]
        retry = { attempts = 2, base = "1s" }
        keep = { completed = "1h" }
        [plugins.cars.schedules.daily]
        cron = "0 3 * * *"
        paused = true
        payload = { city = "${CITY}" }
        start = 2026-01-01T00:00:00Z
        [plugins.cars.schedules.noon]
        every = "1h"
        [plugins.cars.schedules.sync-cars]
        after = "1m"
    """

    await folder.load(text, TIMEOUT="20m", PRIORITY="1", CITY="Rome", TAG="b")

    job = folder.host.jobs()[0].policies
    assert (job.timeout_seconds, job.priority, job.tags) == (1200, 1, ("a", "b"))
    assert (job.retry.attempts, job.keep.completed_seconds) == (2, 3600)
    daily, noon, sync, _ = folder.host.schedules()
    assert (daily.spec, daily.paused, daily.payload, daily.overlap) == ("0 3 * * *", True, '{"city":"Rome"}', "queue")
    assert daily.start == 1767225600
    assert (noon.kind, noon.spec) == ("every", "3600.0")
    assert (sync.kind, sync.spec, sync.anchor) == ("after", "60.0", "grid")


async def test_bad_overrides_are_told_with_line_key_and_nearest_name(folder: PluginFolder) -> None:
    folder.write("cars", JOBS)
    text = """\
[plugins.cars.jobs.dayly]
[plugins.cars.jobs.daily]
timeout = "soon"
prioritty = 1
name = "x"
retry = { attemps = 1 }
[plugins.cars.schedules.sync]
[plugins.cars.schedules.daily]
cron = "0 25 * * *"
catchup = "all"
payload = { town = "x" }
[plugins.cars.schedules.noon]
cron = "0 1 * * *"
every = "1h"
[plugins.cars.schedules.warm]
catch_up = "all"
[plugins.cars.schedules.sync-cars]
payload = { town = "x" }
"""

    found = await refused(folder, text)

    expected = [
        "1: [plugins.cars.jobs.dayly]: no job of this name; expected one of daily, sync-cars, warm. Did you mean ",
        "3: [plugins.cars.jobs.daily] timeout: 'soon' is no duration",
        "4: [plugins.cars.jobs.daily] prioritty: nothing that can be set here; expected one of queue, priority",
        "5: [plugins.cars.jobs.daily] name: nothing that can be set here; expected one of queue, priority",
        "6: [plugins.cars.jobs.daily] retry: {'attemps': 1}: expected a table of attempts, backoff, base",
        (
            "7: [plugins.cars.schedules.sync]: no schedule of this name; expected one of daily, noon, sync-cars, warm. "
            'Did you mean "sync-cars"?'
        ),
        "9: [plugins.cars.schedules.daily] cron: ",
        "10: [plugins.cars.schedules.daily] catchup: nothing that can be set here; expected one of cron, every, after",
        "12: [plugins.cars.schedules.noon]: cron and every: expected one of them",
        "15: [plugins.cars.schedules.warm]: catch_up: an @after schedule ticks once",
        "17: [plugins.cars.schedules.sync-cars]: cars.sync-cars: payload: has the fields town; expected an empty one",
    ]
    assert len(found) == len(expected)
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize(
    "value", ["1", "-1", "true", "'x'", "[]", "[[]]", "{}", "{ a = [1] }", "nan", "2026-01-01", "1e400"]
)
@pytest.mark.parametrize("key", [*POLICY_NAMES, "retry.attempts", "retry.backoff", "retry.base", "retry.factor",
                         "retry.cap", "retry.jitter", "retry.on", "retry.give_up_on",
                         "keep.completed", "keep.count"])  # fmt: skip
def test_any_value_of_any_policy_is_taken_or_refused_in_one_line(key: str, value: str) -> None:
    assert overridden(f"[plugins.cars.jobs.work]\n{key} = {value}") <= {2}


@pytest.mark.parametrize(
    "value", ["1", "-1", "true", "'x'", "[]", "[[]]", "{}", "{ a = [1] }", "nan", "2026-01-01", "1e400"]
)
@pytest.mark.parametrize("key", ["cron", "every", "after", *SCHEDULE_OPTIONS])
def test_any_value_of_any_option_of_a_schedule_is_taken_or_refused_in_one_line(key: str, value: str) -> None:
    assert overridden(f"[plugins.cars.schedules.work]\n{key} = {value}") <= {1, 2}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('unique = { by = ["carid"] }', "unique: 'carid' is no parameter of the job"),
        ('concurrency_by = "carid"', "concurrency_by: 'carid' is no parameter of the job"),
        ('rate_limit_by = "car_id"', "rate_limit_by: expected rate_limit too"),
    ],
)
def test_an_override_that_names_no_payload_field_is_refused_with_its_line(line: str, told: str) -> None:
    @cron("0 0 * * *", payload={"car_id": "42"})
    def inspect(car_id: str) -> None: ...

    config = parse_config(f"[plugins.cars.jobs.inspect]\n{line}", "plugins.toml", {})
    overrider = Overrider("cars", config.plugins["cars"], config.source, "UTC")
    [job] = overrider.put_over(declared_by("cars", [inspect])).jobs

    [problem] = overrider.problems
    assert problem.line == 2
    assert told in problem.text
    assert job.policies.is_plain


@pytest.mark.parametrize(
    ("policies", "line", "told"),
    [
        ({"concurrency": 2}, 'concurrency_scope = "kernel"', None),
        ({}, 'concurrency_scope = "host"', "'host': expected \"all\" (over all kernels together)"),
        (
            {"concurrency": 2, "concurrency_by": "car_id"},
            'concurrency_scope = "kernel"',
            'concurrency_scope: "kernel" does not go with concurrency_by',
        ),
    ],
)
def test_an_operator_may_say_over_what_a_limit_of_a_job_holds(
    policies: dict[str, Any], line: str, told: str | None
) -> None:
    @job(**policies)
    def inspect(car_id: str) -> None: ...

    config = parse_config(f"[plugins.cars.jobs.inspect]\n{line}", "plugins.toml", {})
    overrider = Overrider("cars", config.plugins["cars"], config.source, "UTC")
    [found] = overrider.put_over(declared_by("cars", [inspect])).jobs

    if told is None:
        assert (overrider.problems, found.policies.scope) == ([], "kernel")
    else:
        [problem] = overrider.problems
        assert (problem.line, told in problem.text) == (2, True)


def overridden(text: str) -> set[int]:
    """The lines of what is wrong with these overrides of a plugin with one job and one schedule."""

    @cron("0 0 * * *")
    def work() -> None: ...

    config = parse_config(text, "plugins.toml", {})
    overrider = Overrider("cars", config.plugins["cars"], config.source, "UTC")
    overrider.put_over(declared_by("cars", [work]))
    assert all(problem.text.isprintable() and "expected" in problem.text for problem in overrider.problems)
    return {problem.line for problem in overrider.problems}


async def test_the_schema_of_the_file_knows_the_plugins(folder: PluginFolder) -> None:
    folder.write("cars", STATEFUL)
    folder.write("other", GOOD)

    await folder.load("[plugins.cars]")
    validator = jsonschema.Draft202012Validator(folder.host.schema())

    assert validator.is_valid(
        {"plugins": {"cars": {"city": "Rome", "jobs": {"sync": {"timeout": "5m"}}}, "other": {"x": 1}}}
    )
    assert not validator.is_valid({"plugins": {"cars": {"citty": "Rome"}}})
    assert not validator.is_valid({"plugins": {"cars": {"partner": {"token": "x"}}}})
    assert not validator.is_valid({"plugins": {"cars": {"jobs": {"snyc": {}}}}})


# Events.


@pytest.mark.parametrize(
    ("signature", "kinds", "batch"),
    [
        ("on_event(event)", (Event,), False),
        ("on_event(event: Event)", (Event,), False),
        ("on_event(event: Any)", (Event,), False),
        ("on_event(event: RunFailed)", (RunFailed,), False),
        ("on_event(event: RunFailed | RunCompleted) -> None", (RunFailed, RunCompleted), False),
        ("on_event(event: 'RunFailed | RunCompleted')", (RunFailed, RunCompleted), False),
        ("on_event(event: Union[RunFailed, RunCompleted])", (RunFailed, RunCompleted), False),
        ("on_event(event: 'events.RunEvent')", (RunEvent,), False),
        ("on_event(event: Kinds)", (RunFailed, KernelStarted), False),
        ("on_event()", (Event,), False),
        ("on_event(*, event: RunFailed)", (RunFailed,), False),
        ("on_events(events)", (Event,), True),
        ("on_events(events: list)", (Event,), True),
        ("on_events(events: list[RunFailed])", (RunFailed,), True),
        ("on_events(events: Sequence[RunFailed | RunCompleted])", (RunFailed, RunCompleted), True),
    ],
)
async def test_the_annotation_is_the_subscription(
    folder: PluginFolder, signature: str, kinds: tuple[type[Event], ...], batch: bool
) -> None:
    folder.write(
        "ears",
        f"""
        from collections.abc import Sequence
        from typing import Any, Union
        from kernel import events, hookimpl
        from kernel.model.events import Event, KernelStarted, RunCompleted, RunFailed
        Kinds = RunFailed | KernelStarted
        @hookimpl
        def {signature}: ...
        """,
    )

    await folder.load()

    (listener,) = folder.host.listeners()
    assert (listener.plugin, listener.kinds, listener.batch) == ("ears", kinds, batch)


async def test_events_imported_for_type_checkers_only_are_known_by_their_names(folder: PluginFolder) -> None:
    folder.write(
        "ears",
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from kernel import hookimpl
        if TYPE_CHECKING:
            from kernel.model.events import RunFailed
        @hookimpl
        async def on_event(event: RunFailed) -> None: ...
        """,
    )

    await folder.load()

    assert folder.host.listeners()[0].kinds == (RunFailed,)


async def test_listeners_are_told_one_event_or_many_as_they_take_them(folder: PluginFolder) -> None:
    folder.write("one", "from kernel import hookimpl\nheard = []\n@hookimpl\ndef on_event(event): heard.append(event)")
    folder.write(
        "many", "from kernel import hookimpl\nheard = []\n@hookimpl\nasync def on_events(events): heard.append(events)"
    )
    told = [KernelStarted(1.0, "k", 1), KernelStarted(2.0, "k", 1)]

    await folder.load()
    for listener in folder.host.listeners():
        await listener.tell(told)

    assert module_of(folder, "one").heard == told
    assert module_of(folder, "many").heard == [told]


# Exchanged while running.


async def reload(folder: PluginFolder, text: str, story: list[str]) -> Changes:
    """What the kernel does: prepare, stop what goes, apply, start what comes."""
    prepared = await folder.host.prepare(folder.config(text))
    going = prepared.changes.disable + prepared.changes.reconfigure
    await folder.host.stop(story, going if not prepared.problems else ())
    folder.host.apply(prepared)
    await folder.host.start(story, prepared.changes.enable + prepared.changes.reconfigure)
    return prepared.changes


async def test_a_plugin_goes_off_and_on_and_gets_new_settings_while_others_stay(folder: PluginFolder) -> None:
    folder.write("cars", STATEFUL)
    folder.write("stays", STATEFUL)
    story: list[str] = []

    await reload(folder, "[plugins.cars]\n[plugins.stays]\ncity = 'Bergen'", story)
    new_settings = await reload(folder, "[plugins.cars]\ncity = 'Rome'\n[plugins.stays]\ncity = 'Bergen'", story)
    off = await reload(folder, "[plugins.stays]\ncity = 'Bergen'", story)
    off_jobs = [job.name for job in folder.host.jobs()]
    on = await reload(folder, "[plugins.cars]\n[plugins.stays]\ncity = 'Bergen'", story)

    assert (new_settings.reconfigure, new_settings.enable, new_settings.disable) == (("cars",), (), ())
    assert (off.reconfigure, off.enable, off.disable) == ((), (), ("cars",))
    assert (on.reconfigure, on.enable, on.disable) == ((), ("cars",), ())
    assert story == ["start Oslo", "start Bergen", "stop Oslo", "start Rome", "stop Rome", "start Oslo"]
    assert off_jobs == ["stays.sync"]
    assert len(module_of(folder, "stays").made) == 1


async def test_other_overrides_need_no_new_start(folder: PluginFolder) -> None:
    folder.write("cars", STATEFUL)
    story: list[str] = []

    await reload(folder, "[plugins.cars]", story)
    changes = await reload(folder, "[plugins.cars.jobs.sync]\npriority = 1\n[kernel]\ntimezone = 'Asia/Tokyo'", story)

    assert (changes.override, changes.reconfigure, changes.kernel) == (("cars",), (), ("timezone",))
    assert folder.host.jobs()[0].policies.priority == 1
    assert story == ["start Oslo"]


async def test_a_bad_edit_changes_nothing(folder: PluginFolder) -> None:
    folder.write("cars", STATEFUL)
    folder.write("new", GOOD)
    story: list[str] = []
    await reload(folder, "[plugins.cars]", story)
    before = folder.states()

    for text in (
        "[plugins.cars]\nsize = 99\n[plugins.new]",
        "[plugins.new]\n[plugins.car]",
        "[plugins.cars.jobs.x]",
        "x = 1",
    ):
        with pytest.raises(ConfigError):
            await reload(folder, text, story)

    assert folder.states() == before
    assert story == ["start Oslo"]
    assert [name for name in sys.modules if name.endswith(".new")] == []


async def test_a_refused_configuration_forgets_nothing_that_a_program_had_imported_itself(
    folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(folder.root, monkeypatch, "acme", {"mailer": "acme_mailer"}, acme_mailer=GOOD)
    mine = importlib.import_module("acme_mailer")

    with pytest.raises(ConfigError):
        await folder.host.load(folder.config("[plugins.mailer]\nsizes = 99"))

    assert importlib.import_module("acme_mailer") is mine


async def test_a_plugin_that_is_on_goes_off_when_what_it_requires_does(folder: PluginFolder) -> None:
    folder.write("wheels", GOOD)
    folder.write("shop", "requires = ['wheels']\n" + dedent(GOOD))
    await reload(folder, "[plugins.shop]\n[plugins.wheels]", [])

    changes = await reload(folder, "[plugins.shop]", [])

    assert set(changes.disable) == {"wheels", "shop"}
    assert folder.states()["shop"].reason.startswith('requires "wheels", which is off')
    assert [plugin for plugin, _, _ in folder.broken] == ["shop"]
    assert folder.host.jobs() == []


async def test_a_plugin_that_is_on_is_broken_when_what_it_requires_breaks_by_its_new_settings(
    folder: PluginFolder,
) -> None:
    folder.write(
        "wheels",
        """
        from pydantic import BaseModel
        class Settings(BaseModel):
            port: int = 1
        class Plugin:
            def __init__(self, settings):
                assert settings.port == 1
        """,
    )
    folder.write("shop", "requires = ['wheels']\n" + dedent(GOOD))
    story: list[str] = []
    await reload(folder, "[plugins.shop]\n[plugins.wheels]", story)

    changes = await reload(folder, "[plugins.shop]\n[plugins.wheels]\nport = 2", story)

    assert set(changes.disable) == {"wheels", "shop"}
    assert folder.states()["wheels"].reason.startswith("Plugin(): AssertionError")
    assert folder.states()["shop"].reason == 'requires "wheels", which is broken'


async def test_code_that_was_loaded_is_used_again_and_it_is_said_when_the_files_changed(folder: PluginFolder) -> None:
    file = folder.write("cars", GOOD)
    await reload(folder, "[plugins.cars]", [])
    await reload(folder, "", [])
    file.write_text(dedent(GOOD).replace("60s", "10s"))

    await reload(folder, "[plugins.cars]", [])

    assert folder.host.schedules()[0].spec == "60.0"
    assert folder.states()["cars"].note == "its files changed since they were loaded: restart the kernel to use them"


async def test_a_broken_plugin_is_tried_again_with_its_new_code_at_the_next_reload(folder: PluginFolder) -> None:
    file = folder.write("cars", "import nothing_of_this_name")
    await reload(folder, "[plugins.cars]", [])
    broken = folder.states()["cars"].state
    file.write_text(dedent(GOOD))

    changes = await reload(folder, "[plugins.cars]", [])

    assert broken == "broken"
    assert changes.enable == ("cars",)
    assert folder.states()["cars"].state == "enabled"


async def test_a_folder_that_appears_while_running_can_be_switched_on(folder: PluginFolder) -> None:
    await reload(folder, "", [])
    folder.write("cars", GOOD)

    await reload(folder, "[plugins.cars]", [])

    assert folder.states()["cars"].state == "enabled"


# Commands and stores.


async def test_plugins_add_commands_to_the_command_line(folder: PluginFolder) -> None:
    folder.write("a", "from kernel import hookimpl\n@hookimpl\ndef register_commands(cli): cli.append('a')")
    folder.write("b", "from kernel import hookimpl\n@hookimpl\ndef register_commands(cli): raise SystemExit")
    commands: list[str] = []

    await folder.load()
    await folder.host.register_commands(commands)

    assert commands == ["a"]
    assert [(plugin, reason) for plugin, reason, _ in folder.broken] == [("b", "register_commands: SystemExit")]


STORE = """
    from kernel import StoreError, hookimpl

    class Plugin:
        @hookimpl
        def open_store(self, url):
            if "fail" in url:
                raise StoreError("the disk is away")
            if "raise" in url:
                raise ValueError(url)
            return ("a store", url) if url.startswith("{scheme}") else None
"""


async def test_a_store_is_opened_by_the_plugin_of_its_scheme_that_no_table_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"acme_store": STORE.format(scheme="dust:")}
    install(tmp_path, monkeypatch, "acme", {"dust": "acme_store"}, **modules)

    opened: Any = await open_store("dust://x")

    assert opened == ("a store", "dust://x")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rust://u:canary@h/x", "store: no plugin is installed for rust://; expected sqlite:///path, memory://"),
        ("sqllite:///x", 'Did you mean "sqlite"?'),
        ("canary", "store: this text is no URL; expected sqlite:///path, memory://"),
        ("dust+x://canary", "store: no plugin is installed for dust+x://"),
        ("dusty://canary", "store: the plugin dusty, named by the URL's scheme, opens no such store"),
    ],
)
async def test_a_store_that_no_plugin_opens_is_an_error_that_shows_no_more_than_the_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    install(tmp_path, monkeypatch, "acme", {"dusty": "acme_dusty"}, acme_dusty=STORE.format(scheme="dust:"))

    with pytest.raises(ConfigError) as caught:
        await open_store(url)

    assert expected in str(caught.value)
    assert "canary" not in str(caught.value)


async def test_an_error_of_the_store_is_told_as_it_is_and_any_other_breaks_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "acme", {"sand": "acme_sand"}, acme_sand=STORE.format(scheme="sand:"))

    with pytest.raises(StoreError, match="the disk is away"):
        await open_store("sand://fail")
    with pytest.raises(ConfigError, match="open_store: ValueError"):
        await open_store("sand://raise")


async def test_an_enabled_plugin_may_open_a_store_of_its_own_scheme(folder: PluginFolder) -> None:
    folder.write("mine", STORE.format(scheme="mine:"))

    await folder.load("kernel.store = 'mine://x'\n[plugins.mine]")
    opened: Any = await open_store("mine://x", folder.host)

    assert opened == ("a store", "mine://x")


async def test_a_store_that_nobody_opens_is_an_error_at_its_line(folder: PluginFolder) -> None:
    found = await refused(folder, "[kernel]\nstore = 'sqlit:///x'")

    assert found == [
        (
            "2: [kernel] store: no plugin is installed for sqlit://; expected sqlite:///path, memory://, postgresql://…. "
            'Did you mean "sqlite"?'
        )
    ]


async def test_hosts_share_nothing(folder: PluginFolder) -> None:
    folder.write("cars", GOOD)
    other = PluginHost()

    await folder.load()
    await other.load(folder.config(""))

    assert [job.name for job in folder.host.jobs()] == ["cars.work"]
    assert other.jobs() == []
    await asyncio.sleep(0)


BLOCKING = """
from kernel import hookimpl, job

@job
async def loops(): ...

@job
def sleeps(): ...

@hookimpl
def register_jobs():
    return [loops, sleeps]
"""


async def test_an_operator_moves_a_job_that_blocks_and_only_one_that_can(folder: PluginFolder) -> None:
    folder.write("slow", BLOCKING)

    states = await folder.load('[plugins.slow.jobs.loops]\nwhen_blocking = "thread"')
    with pytest.raises(ConfigError) as raised:
        await folder.load(
            '[plugins.slow.jobs.loops]\nwhen_blocking = "move"\n[plugins.slow.jobs.sleeps]\nwhen_blocking = "thread"'
        )

    assert [job.policies.when_blocking for job in states["slow"].jobs] == ["thread", "tell"]
    first, second = raised.value.problems
    assert ":2: [plugins.slow.jobs.loops] when_blocking: 'move': expected \"tell\"" in first
    assert ':4: [plugins.slow.jobs.sleeps] when_blocking: "thread": the job does not run on the loop' in second
