"""The first files of a plugin that somebody is about to write."""

from __future__ import annotations

import os
from string import Template
from typing import TYPE_CHECKING

from kernel.model.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGE = Template('''\
"""What the plugin $name is for, in a line."""

from kernel import Context, every, hookimpl


@every("60s")
async def say_hello(ctx: Context, name: str = "world") -> str:
    """Greets somebody; its first line is shown by `mainspring jobs`."""
    ctx.log.info("hello, %s", name)
    return f"hello, {name}"


@hookimpl
def register_jobs():
    return [say_hello]
''')

_TEST = Template('''\
"""Run it by: python -m pytest $folder"""

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


def test_it_greets_whom_the_payload_names(tmp_path):
    (tmp_path / "plugins.toml").write_text(CONFIG)

    async def story():
        async with Kernel.from_toml(tmp_path / "plugins.toml") as kernel:
            run = await kernel.enqueue("$name.say_hello", {"name": "Ada"})
            return await kernel.wait(run.id, timeout="10s")

    assert asyncio.run(story()).result == "hello, Ada"
''')


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
