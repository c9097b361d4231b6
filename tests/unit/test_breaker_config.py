"""Breakers in plugins.toml, and breakers that the jobs of several plugins share."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from kernel.config import parse_config
from kernel.config_changes import diff
from kernel.config_schema import config_schema
from kernel.model.errors import ConfigError
from tests.unit.plugin_folder import PluginFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.config import Config

PLUGIN = """
    from kernel import Breaker, hookimpl, job

    @job(breaker=Breaker("partner"{options}))
    async def {name}(): ...

    @hookimpl
    def register_jobs():
        return [{name}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[PluginFolder]:
    found = PluginFolder(tmp_path)
    yield found
    found.host.close()


def write(folder: PluginFolder, name: str, options: str = "") -> None:
    folder.write(name, PLUGIN.format(name=name, options=f", {options}" if options else ""))


def config(text: str, **environment: str) -> Config:
    return parse_config(dedent(text), "plugins.toml", environment)


def problems(text: str) -> list[str]:
    return [problem.text for problem in config(text).problems]


# plugins.toml


def test_a_table_says_what_holds_for_everybody_and_the_rest_is_as_the_code_says() -> None:
    found = config("""
        [breakers.partner]
        failure_threshold = 2
        recovery_timeout = "5m"

        [breakers."the bank (old)"]
        success_threshold = 1
    """)

    assert found.problems == ()
    assert found.breakers == {
        "partner": {"failure_threshold": 2, "recovery_seconds": 300.0},
        "the bank (old)": {"success_threshold": 1},
    }


def test_values_may_come_from_the_environment() -> None:
    found = config('[breakers.partner]\nfailure_threshold = "${FAILURES}"', FAILURES="7")

    assert found.breakers == {"partner": {"failure_threshold": 7}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[breakers.partner]\nfailure_threshold = 0",
            "plugins.toml:2: [breakers.partner] failure_threshold: 0: expected a whole number from 1 to 1,000,000",
        ),
        (
            "[breakers.partner]\nsuccess_threshold = true",
            "plugins.toml:2: [breakers.partner] success_threshold: True: expected a whole number from 1 to 1,000,000",
        ),
        (
            '[breakers.partner]\nrecovery_timeout = "soon"',
            (
                "plugins.toml:2: [breakers.partner] recovery_timeout: 'soon' is no duration: expected a duration such as "
                '"1.5s", "10m", "25h", "7d", a number of seconds, or a timedelta'
            ),
        ),
        (
            "[breakers.partner]\nfailure_treshold = 3",
            (
                "plugins.toml:2: [breakers.partner] failure_treshold: no key of this name; expected one of "
                'failure_threshold, recovery_timeout, success_threshold. Did you mean "failure_threshold"?'
            ),
        ),
        (
            '[breakers.""]\nfailure_threshold = 3',
            "plugins.toml:1: [breakers.'']: '' is no name of a breaker: expected printable text of 1 to 100 characters",
        ),
        ("breakers = 5", "plugins.toml:1: [breakers]: 5: expected a table"),
        ("[breakers]\npartner = 5", "plugins.toml:2: [breakers.partner]: 5: expected a table"),
        (
            "[breaker.partner]\nfailure_threshold = 3",
            (
                "plugins.toml:1: [breaker]: no table of this name; expected one of kernel, queues, breakers, plugins."
                ' Did you mean "breakers"?'
            ),
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_what_was_expected(text: str, said: str) -> None:
    assert problems(text) == [said]


@pytest.mark.parametrize(
    ("table", "is_good"),
    [
        ({"failure_threshold": 2, "recovery_timeout": "5m", "success_threshold": 1}, True),
        ({}, True),
        ({"failure_threshold": 0}, False),
        ({"recovery_timeout": "soon"}, False),
        ({"name": "partner"}, False),
    ],
)
def test_the_json_schema_describes_it(table: dict[str, Any], is_good: bool) -> None:
    validator = jsonschema.Draft202012Validator(config_schema({}))

    assert validator.is_valid({"breakers": {"partner": table}}) == is_good


def test_a_change_is_told_by_name() -> None:
    old = config("[breakers.a]\nfailure_threshold = 2\n[breakers.b]\nfailure_threshold = 2")
    new = config("[breakers.b]\nfailure_threshold = 2\n[breakers.c]\nfailure_threshold = 2")

    changes = diff(old, new)

    assert changes.breakers == ("a", "c")
    assert changes.lines() == ("breaker a changed", "breaker c changed")
    assert bool(changes)


# Shared by plugins


async def test_plugins_may_share_a_breaker_when_they_agree(folder: PluginFolder) -> None:
    write(folder, "one", 'recovery_timeout="5m"')
    write(folder, "two", 'recovery_timeout=300, when_open="skip"')

    assert [state.state for state in (await folder.load()).values()] == ["enabled", "enabled"]


async def test_a_plugin_that_means_something_else_is_broken_and_the_reason_names_both_places(
    folder: PluginFolder,
) -> None:
    write(folder, "one")
    write(folder, "two", "failure_threshold=2")

    states = await folder.load()

    assert (states["one"].state, states["two"].state) == ("enabled", "broken")
    assert states["two"].reason == (
        'the breaker "partner" has failure_threshold=2, recovery_timeout=60 s, success_threshold=3 '
        f"in two.two ({folder.path / 'two' / '__init__.py'}:4), "
        "and failure_threshold=5, recovery_timeout=60 s, success_threshold=3 "
        f"in one.one ({folder.path / 'one' / '__init__.py'}:4): "
        'expected the same wherever the name is used, or a table [breakers."partner"] in plugins.toml, which holds for all'
    )
    assert folder.host.jobs()[0].name == "one.one"
    assert len(folder.host.jobs()) == 1


async def test_what_requires_a_plugin_that_is_broken_so_is_broken_too(folder: PluginFolder) -> None:
    write(folder, "one")
    write(folder, "two", "failure_threshold=2")
    folder.write("zoo", 'requires = ["two"]')

    assert (await folder.load())["zoo"].reason == 'requires "two", which is broken'


async def test_a_newcomer_does_not_break_what_is_in_use(folder: PluginFolder) -> None:
    write(folder, "two", "failure_threshold=2")
    await folder.load()
    write(folder, "one")

    states = await folder.load()

    assert (states["one"].state, states["two"].state) == ("broken", "enabled")


async def test_the_operators_table_makes_them_agree(folder: PluginFolder) -> None:
    write(folder, "one")
    write(folder, "two", "failure_threshold=2")

    states = await folder.load("[breakers.partner]\nfailure_threshold = 3\n[plugins.one]\n[plugins.two]")

    assert [state.state for state in states.values()] == ["enabled", "enabled"]


async def test_a_policy_that_plugins_toml_sets_otherwise_is_its_own_mistake(folder: PluginFolder) -> None:
    write(folder, "one")
    write(folder, "two")
    text = "[plugins.one]\n[plugins.two]\n[plugins.two.jobs.two]\nbreaker = {{ failure_threshold = {} }}\n"
    await folder.load(text.format(5))

    with pytest.raises(ConfigError) as caught:
        await folder.load(text.format(2))

    [problem] = caught.value.problems
    assert problem.startswith(
        f'{folder.root / "plugins.toml"}:4: [plugins.two.jobs.two] breaker: the breaker "partner" has'
    )
    assert [state.state for state in folder.states().values()] == ["enabled", "enabled"]


async def test_a_table_that_is_still_needed_cannot_be_taken_away(folder: PluginFolder) -> None:
    write(folder, "one")
    write(folder, "two", "failure_threshold=2")
    await folder.load("[breakers.partner]\nfailure_threshold = 3\n[plugins.one]\n[plugins.two]")

    with pytest.raises(ConfigError, match="expected the same wherever the name is used"):
        await folder.load("[plugins.one]\n[plugins.two]")

    assert [state.state for state in folder.states().values()] == ["enabled", "enabled"]
