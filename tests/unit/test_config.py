"""plugins.toml as values: what its keys mean, where values come from, how two of them differ, how it is edited."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from kernel.config import Config, load_config, load_config_for_command, parse_config, read_config
from kernel.config_changes import diff
from kernel.config_edit import set_concurrency, set_enabled
from kernel.config_file import parse
from kernel.config_schema import PluginParts, config_schema
from kernel.config_values import Secret
from kernel.model.errors import ConfigError
from kernel.model.queue import Queue


def config_of(text: str, **environment: str) -> Config:
    config = parse_config(text, "/etc/mainspring/plugins.toml", environment)
    assert config.problems == ()
    return config


def problems_of(text: str, **environment: str) -> list[str]:
    return [problem.text for problem in parse_config(text, "plugins.toml", environment).problems]


def written(folder: Path, text: str) -> Path:
    path = folder / "plugins.toml"
    path.write_text(text)
    return path


# What the keys mean.


def test_an_empty_file_is_a_configuration_with_all_defaults() -> None:
    config = config_of("")

    assert config.kernel.store == "sqlite:////etc/mainspring/var/mainspring.db"
    assert config.kernel.concurrency == 100
    assert config.kernel.timezone == "UTC"
    assert config.kernel.shutdown_grace_seconds == 30
    assert config.kernel.max_block_seconds == 300
    assert config.kernel.plugin_dirs == (Path("/etc/mainspring/plugins"),)
    assert config.queue("any") == Queue("any", None, 1_000_000)
    assert config.plugins == {}


def test_relative_paths_start_at_the_folder_of_the_file() -> None:
    config = config_of(
        """
        [kernel]
        store = "sqlite:///data/jobs.db?mode=x"
        plugin_dirs = ["mine", "/opt/theirs", "../common"]
        """
    )

    assert config.kernel.store == "sqlite:////etc/mainspring/data/jobs.db?mode=x"
    assert config.kernel.run_dir == Path("/etc/mainspring/data")
    assert config.kernel.plugin_dirs == (
        Path("/etc/mainspring/mine"),
        Path("/opt/theirs"),
        Path("/etc/mainspring/../common"),
    )


@pytest.mark.parametrize(
    ("store", "kept", "run_dir"),
    [
        ("sqlite:////srv/jobs.db", "sqlite:////srv/jobs.db", "/srv"),
        ("memory://", "memory://", "/etc/mainspring/var"),
        ("postgresql://db.local/jobs", "postgresql://db.local/jobs", "/etc/mainspring/var"),
    ],
)
def test_the_control_socket_stands_beside_the_sqlite_file_or_in_var(store: str, kept: str, run_dir: str) -> None:
    config = config_of(f'kernel.store = "{store}"')

    assert config.kernel.store == kept
    assert config.kernel.run_dir == Path(run_dir)


def test_a_run_dir_that_is_given_is_used() -> None:
    config = config_of('[kernel]\nrun_dir = "run"')

    assert config.kernel.run_dir == Path("/etc/mainspring/run")


def test_the_tables_of_a_plugin_are_told_from_its_settings() -> None:
    config = config_of(
        """
        [plugins.fleet]
        demo = true
        partner = { url = "http://x", port = 8 }
        [plugins.fleet.jobs.daily]
        timeout = "20m"
        [plugins.fleet.schedules.daily]
        cron = "0 3 * * *"
        [plugins.other]
        enabled = false
        [queues.car-processing]
        concurrency = 5
        concurrency_scope = "kernel"
        max_waiting = 10
        """
    )

    fleet = config.plugins["fleet"]
    assert fleet.enabled
    assert fleet.settings == {"demo": True, "partner": {"url": "http://x", "port": 8}}
    assert fleet.jobs == {"daily": {"timeout": "20m"}}
    assert fleet.schedules == {"daily": {"cron": "0 3 * * *"}}
    assert not config.plugins["other"].enabled
    assert config.queue("car-processing") == Queue("car-processing", 5, 10, concurrency_scope="kernel")
    assert config.queue("other") == Queue("other", concurrency_scope="all")


def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "plugins.toml"
    path.write_bytes(b"\xef\xbb\xbf[kernel]\r\nconcurrency = 7\r\n")

    assert load_config(path).kernel.concurrency == 7


# The mistakes in it.


def test_every_mistake_is_told_at_once_in_the_order_of_the_lines() -> None:
    text = """\
[kernel]
concurency = 3
timezone = "Mars/Olympus"

[kernal]

[queues.cars]
concurrency = 0

[plugins.fleet]
enabled = "yes"
"""

    found = problems_of(text)

    assert sorted(found) == sorted(
        [
            (
                "plugins.toml:2: [kernel] concurency: no key of this name; expected one of store, concurrency, "
                "timezone, shutdown_grace, plugin_dirs, run_dir, max_block, max_payload, max_result, log_format. "
                'Did you mean "concurrency"?'
            ),
            (
                "plugins.toml:3: [kernel] timezone: 'Mars/Olympus' is no time zone: expected a name such as \"UTC\" or "
                '"Europe/Berlin".'
            ),
            (
                "plugins.toml:5: [kernal]: no table of this name; expected one of kernel, queues, breakers, plugins. "
                'Did you mean "kernel"?'
            ),
            "plugins.toml:8: [queues.cars] concurrency: 0 is no concurrency: expected a whole number from 1 to 100,000",
            "plugins.toml:11: [plugins.fleet] enabled: 'yes': expected true or false",
        ]
    )


def test_loading_raises_one_error_that_has_them_all(tmp_path: Path) -> None:
    path = written(tmp_path, "[kernel]\nmax_block = -1\nconcurrency = 1.5\n")

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert [problem.split(": ")[0] for problem in caught.value.problems] == [f"{path}:2", f"{path}:3"]
    assert len(read_config(path).problems) == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[kernel]\n\n# x = 1\nx = 1", 4),
        ("kernel.store = 'memory://'\nkernel.x = 1", 2),
        ("kernel . 'x' = 1", 1),
        ("\n['kernel']\n\"x\" = 1", 3),
        ('[kernel]\nplugin_dirs = [\n  "a", # ]\n  "b",\n]\nx = 1', 6),
        ('[kernel]\nstore = """memory://"""\nx = 1', 3),
        ("[kernel]\nstore = 'memory://' # '''\nx = 1", 3),
        ("\nkernel = { x = 1 }", 2),
        ("[queues.a]\n[queues.b]\nmax_waiting = 1\n[kernel]\nx = 1", 5),
        ('[plugins.p]\ntext = """\n[kernel]\nx = 2\n"""\n[kernel]\nx = 1', 7),
        ("[plugins.p]\ntext = '''\nx = 2'''\n[kernel]\nx = 1", 5),
        ("[plugins.p]\na = [[1, 2], [3]]\nb = { c = { d = 1 } }\n[[plugins.p.list]]\nx=1\n[kernel]\nx = 1", 7),
        ('[plugins.p]\nquote = "\\"\\\\"\n[kernel]\nx = 1', 4),
    ],
)
def test_a_key_is_found_on_its_line_however_it_is_written(text: str, line: int) -> None:
    (problem,) = problems_of(text)

    assert problem.startswith(f"plugins.toml:{line}: [kernel] x: no key of this name")


names = st.text("abcdef_-", min_size=1, max_size=5)
values = st.sampled_from(
    [
        "1",
        "true",
        "'x = 1'",
        '"[a]\\n"',
        '"""\na = 1\n"""',
        "[\n1,\n2]",
        "{ a = 1 }",
        "1979-05-27",
        "'''\n[b]'''",
        "1.5",
    ]
)
tables = st.dictionaries(names, st.dictionaries(names, values, max_size=4), max_size=5)


@given(tables)
@hypothesis_settings(deadline=None)
def test_the_line_of_every_key_is_right(content: dict[str, dict[str, str]]) -> None:
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}
    for table, keys in content.items():
        lines.append(f"[top.{table}] # comment = [")
        expected["top", table] = "\n".join(lines).count("\n") + 1
        for key, value in keys.items():
            lines.append(f"{key} = {value}")
            expected["top", table, key] = "\n".join(lines[:-1]).count("\n") + 2
    text = "\n".join(lines)

    data, source = parse(text, Path("plugins.toml"))

    assert data == tomllib.loads(text)
    assert {key: source.line_of(key) for key in expected} == expected


# Values from the environment and from files.


def test_values_are_taken_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token.txt").write_text("hunter22\n")
    text = """
        [plugins.p]
        plain = "${CITY}"
        inside = "http://${CITY}:${PORT:-80}/"
        empty = "${EMPTY:-full}"
        blank = "${EMPTY}"
        list = ["${CITY}", "x"]
        table = { key = "${CITY}" }
        file = "${file:token.txt}"
        text = "$${CITY} and $CITY and {CITY}"
    """

    config = parse_config(text, tmp_path / "plugins.toml", {"CITY": "Oslo", "EMPTY": ""})

    assert config.problems == ()
    assert config.plugins["p"].settings == {
        "plain": "Oslo",
        "inside": "http://Oslo:80/",
        "empty": "full",
        "blank": "",
        "list": ["Oslo", "x"],
        "table": {"key": "Oslo"},
        "file": "hunter22",
        "text": "${CITY} and $CITY and {CITY}",
    }


def test_a_number_or_a_truth_may_come_from_the_environment() -> None:
    text = """
        kernel.concurrency = "${C}"
        queues.a.max_waiting = "${C}"
        plugins.p.enabled = "${ON}"
        """

    config = config_of(text, C="12", ON="false")

    assert config.kernel.concurrency == 12
    assert config.queue("a").max_waiting == 12
    assert not config.plugins["p"].enabled


def test_what_is_not_set_is_an_error_at_its_key_and_the_other_values_are_still_checked() -> None:
    text = '[plugins.p]\ntoken = "${TOKEN}"\nlist = ["${A}", "${file:/no/such}"]\n[kernel]\nconcurrency = 0\n'

    found = problems_of(text, TOKENS="x")

    assert sorted(found) == sorted(
        [
            (
                "plugins.toml:2: [plugins.p] token: ${TOKEN} is not set in the environment; expected a value, or "
                '${TOKEN:-default}. Did you mean "TOKENS"?'
            ),
            "plugins.toml:3: [plugins.p] list: ${file:/no/such} cannot be read: No such file or directory",
            "plugins.toml:3: [plugins.p] list: ${A} is not set in the environment; expected a value, or ${A:-default}.",
            "plugins.toml:5: [kernel] concurrency: 0 is no concurrency: expected a whole number from 1 to 100,000",
        ]
    )


@pytest.mark.parametrize(
    "text",
    [
        'kernel.store = "${S}"',
        'kernel.concurrency = "${S}"',
        'kernel.timezone = "${S}"',
        'kernel.timezone = "Europe/${S}"',
        'kernel.shutdown_grace = "${S}"',
        'kernel.plugin_dirs = "${S}"',
        'kernel.log_format = "${S}"',
        'kernel.run_dir = ["${S}"]',
        'queues.x.concurrency = "${S}"',
        'plugins.x.enabled = "${S}"',
        'plugins.x = "${S}"',
        'plugins.x.jobs = "${S}"',
        'kernel = "${S}"',
        'other = "${S}"',
    ],
)
def test_no_error_shows_a_value_from_the_environment(text: str) -> None:
    found = problems_of(text, S="canary-4711")

    assert found
    assert "canary" not in "".join(found)
    assert "4711" not in "".join(found)


def test_a_secret_is_used_like_text_and_not_shown() -> None:
    config = config_of('kernel.store = "postgresql://me:${PW}@db/x"\nplugins.p.token = "${PW}"', PW="canary-4711")

    assert config.kernel.store == "postgresql://me:canary-4711@db/x"
    assert config.plugins["p"].settings["token"] == "canary-4711"  # noqa: S105 - made up
    assert isinstance(config.kernel.store, Secret)
    assert "canary" not in repr(config)


def test_the_password_in_a_url_that_stands_in_the_file_is_not_shown_either() -> None:
    config = config_of('kernel.store = "postgresql://me:canary@db/x"')

    assert "canary" not in repr(config)


# What differs.


def test_the_difference_of_two_configurations_names_what_has_to_be_done() -> None:
    old = config_of(
        """
        kernel.concurrency = 5
        queues.a.concurrency = 1
        queues.b.concurrency = 1
        plugins = { goes = {}, stays = {x = 1}, set = {x = 1}, tuned = {}, sleeps = {enabled = false} }
        """
    )
    new = config_of(
        """
        kernel.concurrency = 6
        kernel.store = "memory://"
        queues.b.concurrency = 2
        plugins = { comes = {}, stays = {x = 1}, set = {x = 2}, tuned = {jobs = {j = {priority = 1}}}, sleeps = {} }
        """
    )

    changes = diff(old, new)

    assert changes.enable == ("comes", "sleeps")
    assert changes.disable == ("goes",)
    assert changes.reconfigure == ("set",)
    assert changes.override == ("tuned",)
    assert changes.queues == ("a", "b")
    assert changes.kernel == ("concurrency",)
    assert changes.restart == ("store",)
    assert "kernel.store changed: restart the kernel for it to take effect" in changes.lines()


def test_a_changed_comment_changes_nothing() -> None:
    changes = diff(config_of("[plugins.p]\nx = 1"), config_of("# text\n[plugins.p]\n\nx = 1 # more"))

    assert not changes
    assert changes.lines() == ()


# Editing.

EDITED = """\
# the kernel
[kernel]   # here
store   =  "memory://"

[plugins.fleet] # cars
# on or off
enabled = true   # for now
demo = [ 1,
  2 ] # two
"""


def test_a_plugin_is_switched_off_and_every_comment_stays(tmp_path: Path) -> None:
    path = written(tmp_path, EDITED)

    is_changed = set_enabled(path, "fleet", enabled=False)

    assert is_changed
    assert path.read_text() == EDITED.replace("enabled = true", "enabled = false")


def test_switching_on_what_is_on_does_not_touch_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, EDITED)
    before = path.stat()

    is_changed = set_enabled(path, "fleet", enabled=True)

    assert not is_changed
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        EDITED,
        "[kernel]\n",
        "[plugins]\n",
        "[plugins.a]\nx = 1\n\n[kernel]\n# end\n",
        "plugins.a.x = 1\n",
        "plugins = { a = { x = 1 } }\n",
        "[plugins]\na.x = 1\n",
        "[plugins.new]\nx = 1 # one\n",
        "[plugins.new.jobs.j]\npriority = 1\n",
        "[plugins.new]\nenabled = false\n[queues.q]\n[plugins.b]\nx = 1\n",
        "plugins.new.enabled = false\n",
        "[plugins.a]\n[queues.q]\nconcurrency = 1\n[plugins.b]\n",
        "[kernel]\r\nconcurrency = 1\r\n\r\n[plugins.a] # x\r\nx = 1\r\n",
    ],
)
def test_a_plugin_can_be_switched_on_wherever_it_stands_or_does_not(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    expected: dict[str, Any] = tomllib.loads(text)
    expected.setdefault("plugins", {}).setdefault("new", {})["enabled"] = True

    set_enabled(path, "new", enabled=True)
    is_on = load_config(path).plugins["new"].enabled

    assert is_on
    found = tomllib.loads(path.read_text())
    assert {**found, "plugins": {**found["plugins"], "new": expected["plugins"]["new"]}} == expected


def test_a_queue_is_resized_and_every_comment_stays(tmp_path: Path) -> None:
    text = "# all\n[queues.mail] # slow\n# at once\nconcurrency = 5 # few\nmax_waiting = 9\n\n[plugins.a]\n"
    path = written(tmp_path, text)

    is_changed = set_concurrency(path, "mail", 12)

    assert is_changed
    assert path.read_text() == text.replace("concurrency = 5", "concurrency = 12")
    assert not set_concurrency(path, "mail", 12)


@pytest.mark.parametrize("concurrency", [7, None])
@pytest.mark.parametrize(
    "text",
    [
        "",
        EDITED,
        "[queues]\n",
        "[queues.other]\nconcurrency = 1\n\n[kernel]\n# end\n",
        "[queues.my-mail]\n",
        "[queues.my-mail]\nmax_waiting = 3 # few\n[plugins.a]\n",
        "[queues.my-mail]\nconcurrency = 3\n# end",
        "[queues.my-mail]\nconcurrency = 3\nrate_limit = '1/1m'\n[queues.b]\n",
        "queues.my-mail.concurrency = 1\n[plugins.a]\n",
        "queues = { my-mail = { concurrency = 1, max_waiting = 4 } }\n",
        "queues = { my-mail = { concurrency = 1 } }\n",
        "[queues]\nmy-mail.concurrency = 1\nb.concurrency = 2\n",
        "[queues]\nb = { concurrency = 2 }\n",
        "[queues.'my-mail']\r\nconcurrency = 3 # x\r\n",
    ],
)
def test_a_queue_can_be_resized_wherever_it_stands_or_does_not(
    tmp_path: Path, text: str, concurrency: int | None
) -> None:
    path = written(tmp_path, text)
    before = load_config(path)
    lines = [line for line in text.splitlines() if "my-mail" not in line and "concurrency" not in line]

    set_concurrency(path, "my-mail", concurrency)
    after = load_config(path)

    assert after.queue("my-mail") == before.queue("my-mail")._replace(concurrency=concurrency)
    assert (after.kernel, after.plugins) == (before.kernel, before.plugins)
    others = before.queues.keys() - {"my-mail"}
    assert {name: after.queues[name] for name in others} == {name: before.queues[name] for name in others}
    assert [line for line in lines if line not in path.read_text()] == []


def test_the_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = written(tmp_path / "real", EDITED)
    target.chmod(0o640)
    link = tmp_path / "plugins.toml"
    link.symlink_to(target)

    set_enabled(link, "fleet", enabled=False)

    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert "enabled = false" in target.read_text()
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["plugins.toml"]


@pytest.mark.parametrize(
    ("text", "plugin", "expected"),
    [
        ("[plugins\n", "fleet", ":1:9: "),
        ("[plugins]\nfleet = 3\n", "fleet", "is no table"),
        ("", "no-name", "is no name of a plugin"),
    ],
)
def test_a_file_that_cannot_be_edited_stays_as_it_is(tmp_path: Path, text: str, plugin: str, expected: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError, match=expected):
        set_enabled(path, plugin, enabled=True)

    assert path.read_text() == text


# The schema.


class Address(BaseModel):
    street: str


class Settings(BaseModel):
    city: str = "Oslo"
    size: int = Field(ge=1, description="How many.")
    address: Address | None = None


def schema_errors(text: str) -> list[str]:
    schema = config_schema({"p": PluginParts(True, Settings, ["daily"], ["daily"]), "off": PluginParts()})
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    return [error.message for error in validator.iter_errors(tomllib.loads(text))]


def test_the_schema_takes_what_the_kernel_takes() -> None:
    text = """
        [kernel]
        store = "memory://"
        concurrency = 5
        shutdown_grace = "1.5s"
        [queues.q]
        max_waiting = 5
        [plugins.off]
        anything = 1
        [plugins.p]
        size = 3
        address = { street = "x" }
        [plugins.p.jobs.daily]
        timeout = 20
        [plugins.p.schedules.daily]
        cron = "0 0 * * *"
    """

    assert schema_errors(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "kernal = {}",
        "kernel.concurrency = 0",
        "kernel.shutdown_grace = 'soon'",
        "queues.q.x = 1",
        "plugins.none = {}",
        "plugins.p = {}",
        "plugins.p = { size = 0 }",
        "plugins.p = { size = 1, town = 'x' }",
        "plugins.p = { size = 1, address = {} }",
        "plugins.p = { size = 1, jobs = { weekly = {} } }",
        "plugins.p = { size = 1, jobs = { daily = { timeout = true } } }",
        "plugins.p = { size = 1, schedules = { daily = { catch_up = 'some' } } }",
    ],
)
def test_the_schema_refuses_what_the_kernel_refuses(text: str) -> None:
    assert schema_errors(text)


def test_a_command_needs_the_secrets_of_the_kernel_and_none_of_the_plugins(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    file.write_text("[plugins.cars]\nurl = 'https://${NOT_SET_HERE}'\n[kernel]\nconcurrency = 3\n")
    with pytest.raises(ConfigError, match="NOT_SET_HERE"):
        load_config(file)

    assert load_config_for_command(file).kernel.concurrency == 3

    for wrong in ("store = 'sqlite:///${NOT_SET_HERE}'", "concurency = 3"):
        file.write_text(f"[kernel]\n{wrong}\n[plugins.cars]\nurl = '${{NOT_SET_EITHER}}'\n")
        with pytest.raises(ConfigError, match=r"NOT_SET_HERE|concurency"):
            load_config_for_command(file)
