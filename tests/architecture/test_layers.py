"""The rules between the rooms: read from the imports, so that the line that breaks one is named."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

# From the ground up; a room imports itself and what stands before it.
ROOMS = [
    ("model", ("kernel.model",)),
    ("contracts", ("kernel.contracts",)),
    ("flow", ("kernel.flow",)),
    (
        "control",
        (
            "kernel.control",
            "kernel.control_socket",
            "kernel.explain",
            "kernel.health",
            "kernel.figures",
            "kernel.breaker_rows",
        ),
    ),
    ("hooks", ("kernel.hooks", "kernel.decorators", "kernel.upcoming", "kernel.events", "kernel.plugin_error")),
    ("plugin_host", ("kernel.plugin", "kernel.config", "kernel.worker")),
    ("kernel", ("kernel.client", "kernel.blocking_client", "kernel.kernel", "kernel.testing")),
    ("cli", ("kernel.cli", "kernel.__main__")),
]
ONLY_IN = {
    "aiocron": ("kernel/flow/timers.py",),
    "pluggy": ("kernel/hooks.py", "kernel/plugin_host.py"),
    "sqlite3": ("plugins/sqlite/", "plugins/fleet/"),
    "asyncpg": ("plugins/postgres/", "plugins/fleet/"),
    "aiohttp": ("plugins/",),
    "opentelemetry": ("plugins/tracing/",),
}
NO_IO_IN_MODEL = {"asyncio", "socket", "sqlite3", "threading", "subprocess", "aiohttp", "asyncpg", "pluggy", "aiocron"}


class Import(NamedTuple):
    file: str
    line: int
    module: str
    is_for_types: bool


def imports_of(file: Path, root: Path = ROOT) -> list[Import]:
    """Every import in the file; names of modules are absolute, relative ones resolved."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    name = str(file.relative_to(root))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(name, node.lineno, alias.name, id(node) in for_types) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = file.relative_to(root).parent.parts[: None if node.level == 1 else -(node.level - 1)]
            base = ".".join([*package, *([node.module] if node.module else [])]) if node.level else node.module or ""
            found += [Import(name, node.lineno, f"{base}.{alias.name}", id(node) in for_types) for alias in node.names]
    return found


def room_of(module: str) -> int | None:
    matches = [
        (len(prefix), level)
        for level, (_, prefixes) in enumerate(ROOMS)
        for prefix in prefixes
        if module == prefix or module.startswith((prefix + ".", prefix + "_"))
    ]
    return max(matches)[1] if matches else None


def breaches(files: list[Path], root: Path = ROOT) -> list[str]:
    """The lines that break a rule, each with the rule."""
    found = []
    for file in files:
        name = str(file.relative_to(root))
        here = room_of(".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
        for one in imports_of(file, root):
            found += [f"{name}:{one.line}: {rule}" for rule in _rules_broken(name, here, one)]
    return found


def _rules_broken(name: str, here: int | None, one: Import) -> list[str]:
    rules = []
    top = one.module.partition(".")[0]
    there = room_of(one.module)
    if here is not None and there is not None and there > here:
        rules.append(f"{ROOMS[here][0]} imports {one.module} of {ROOMS[there][0]}, which stands above it")
    if name.startswith("kernel/") and top == "plugins":
        rules.append(f"the kernel imports {one.module}: it knows no plugin")
    if name.startswith("kernel/model/") and top in NO_IO_IN_MODEL:
        rules.append(f"the model imports {top}: it has no asyncio and no I/O")
    if top in ONLY_IN and not name.startswith(ONLY_IN[top]):
        rules.append(f"{top} is known to {' and '.join(ONLY_IN[top])} only")
    own = name.split("/")[1] if name.startswith("plugins/") and name.count("/") > 1 else None
    if own and top == "plugins" and one.module.split(".")[1] != own:
        rules.append(f"the plugin {own} imports another one, {one.module}: they meet through hooks")
    return rules


def sources() -> list[Path]:
    return [*sorted((ROOT / "kernel").rglob("*.py")), *sorted((ROOT / "plugins").rglob("*.py"))]


def test_imports_point_down_and_libraries_stay_in_their_rooms() -> None:
    assert breaches(sources()) == []


def test_a_planted_breach_is_named_with_its_line(tmp_path: Path) -> None:
    planted = {
        "kernel/model/bad.py": "import asyncio\nfrom kernel.flow import runner\n",
        "kernel/flow/bad.py": "import aiocron\nimport plugins.fleet\n",
        "plugins/health/bad.py": "x = 1\nfrom plugins.fleet import Plugin\n",
        "kernel/control.py": "def f():\n    from .cli import run\n",
    }
    for name, text in planted.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    found = breaches([tmp_path / name for name in planted], tmp_path)

    assert [line.split(": ")[0] for line in found] == [
        "kernel/model/bad.py:1",
        "kernel/model/bad.py:2",
        "kernel/flow/bad.py:1",
        "kernel/flow/bad.py:2",
        "plugins/health/bad.py:2",
        "kernel/control.py:2",
    ]


def test_the_kernel_imports_no_web_and_no_database_at_its_start() -> None:
    late = {"aiohttp", "asyncpg", "jsonschema", "rich", "typer", "structlog", "tomlkit", "watchfiles"}
    # config_edit writes plugins.toml for the command line, which imports it when it is asked to.
    kernel = [
        file
        for file in sorted((ROOT / "kernel").rglob("*.py"))
        if "/cli/" not in str(file) and file.name != "config_edit.py"
    ]

    top_level = [
        f"{one.file}:{one.line}: {one.module}"
        for file in kernel
        for one in imports_of(file)
        if one.module.partition(".")[0] in late and not one.is_for_types and _is_top_level(file, one.line)
    ]

    assert top_level == []


def _is_top_level(file: Path, line: int) -> bool:
    return any(node.lineno == line for node in ast.parse(file.read_text(encoding="utf-8")).body)
