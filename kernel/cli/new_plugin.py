"""The first files of a plugin that somebody is about to write."""

from __future__ import annotations

import keyword
import os
import sys
from string import Template
from typing import TYPE_CHECKING

from kernel.model.errors import RequestError, shown

if TYPE_CHECKING:
    from pathlib import Path

_OWN = frozenset({"kernel", "plugins", "mainspring"})

_PACKAGE = Template('''\
"""What the plugin $name is for, in a line."""

from kernel import Context, Retry, every, hookimpl, job


@every("10s")
async def greet(ctx: Context) -> str:
    ctx.log.info("hello from attempt %d", ctx.attempt)
    return "hello"


@job(retry=Retry(attempts=3, base="2s"), timeout="1m")
async def welcome(ctx: Context, name: str, *, loud: bool = False) -> str:
    return name.upper() if loud else name


@hookimpl
def register_jobs():
    return [greet, welcome]
''')

_TEST = Template('''\
"""Run it by: python -m pytest $folder (it needs pytest: pip install pytest)"""

import asyncio
import json
from pathlib import Path

from kernel import Kernel

CONFIG = f"""
[kernel]
store = "memory://"
plugin_dirs = [{json.dumps(str(Path(__file__).parents[1]))}]

[plugins.$name]
"""


def test_a_loud_welcome_is_in_capitals(tmp_path):
    (tmp_path / "plugins.toml").write_text(CONFIG)

    async def story():
        async with Kernel.from_toml(tmp_path / "plugins.toml") as kernel:
            run = await kernel.enqueue("$name.welcome", {"name": "Ada", "loud": True})
            return await kernel.wait(run.id, timeout="10s")

    assert asyncio.run(story()).result == "ADA"
''')


def check_new_name(name: str) -> None:
    """RequestError for a name that Python code could not import, or that would hide another module in the plugin's tests."""
    if keyword.iskeyword(name):
        reason = "is a keyword of Python, so that no code could import it"
    elif name in sys.stdlib_module_names:
        reason = "is a module of Python's standard library, which it would hide"
    elif name in _OWN:
        reason = "is a module of Mainspring, which it would hide"
    else:
        return
    raise RequestError(f"{shown(name)} {reason}; choose another name")


def write_plugin(folder: Path, name: str) -> list[Path]:
    """The new files, ``NAME/__init__.py`` and its test; RequestError when something stands there already."""
    package = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        package.mkdir()
    except FileExistsError:
        raise RequestError(f"{package} is there already; choose another name, or another folder") from None
    except OSError as error:
        raise RequestError(f"{package} cannot be made: {error.strerror}") from None
    texts = {"__init__.py": _PACKAGE, f"test_{name}.py": _TEST}
    for file, text in texts.items():
        (package / file).write_text(text.substitute(name=name, folder=os.path.relpath(package)), encoding="utf-8")
    return [package / file for file in texts]
