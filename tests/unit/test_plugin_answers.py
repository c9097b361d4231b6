"""What is asked of a running kernel's plugins by the hook ``answer``: from control, so over the socket, and by a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel import Kernel, RequestError, UnknownNameError
from kernel.config import load_config
from kernel.control import Control
from tests.flow_kit import running

if TYPE_CHECKING:
    from pathlib import Path

PLUGINS = {
    "polite": """
from kernel import hookimpl

@hookimpl
def answer(question, about):
    return {"hello": about.get("name")} if question == "greeting" else None
""",
    "rude": """
from kernel import hookimpl

@hookimpl
async def answer(question):
    if question in ("greeting", "weather"):
        raise ValueError("go away")
""",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    for name, text in PLUGINS.items():
        (tmp_path / "plugins" / f"{name}.py").write_text(text, encoding="utf-8")
    file = tmp_path / "plugins.toml"
    file.write_text('[kernel]\nstore = "memory://"\n[plugins.polite]\n[plugins.rude]\n', encoding="utf-8")
    return file


async def test_the_plugin_whose_question_it_is_answers_whatever_the_others_do(config: Path) -> None:
    async with Kernel(load_config(config)) as kernel:
        answer = await kernel.control.call("ask", {"question": "greeting", "about": {"name": "Ada"}})

    assert answer == {"hello": "Ada"}


async def test_a_plugin_that_fails_at_it_is_named(config: Path) -> None:
    async with Kernel(load_config(config)) as kernel:
        with pytest.raises(RequestError, match=r"plugin rude: .*ValueError: go away"):
            await kernel.control.call("ask", {"question": "weather"})


async def test_a_question_of_nobody_is_an_error_as_it_is_without_a_kernel(config: Path) -> None:
    async with Kernel(load_config(config)) as kernel:
        with pytest.raises(UnknownNameError, match="no question named 'price'"):
            await kernel.control.call("ask", {"question": "price"})
    async with running() as flow:
        engine = flow.engine
        alone = Control(
            store=flow.store, catalog=flow.catalog, intake=engine.intake, recorder=engine.recorder, clock=flow.clock
        )
        with pytest.raises(RequestError, match="price: only a running kernel can tell"):
            await alone.call("ask", {"question": "price"})


async def test_a_hook_can_be_asked_with_values_for_each_plugin_alone(config: Path) -> None:
    async with Kernel(load_config(config)) as kernel:
        answers = await kernel.ask(
            "answer", question="greeting", about={}, each=lambda plugin: {"about": {"name": f"you, {plugin}"}}
        )

    assert {answer.plugin: answer.value for answer in answers if answer.error is None} == {
        "polite": {"hello": "you, polite"}
    }
