"""Finds plugins, in the folders of ``kernel.plugin_dirs`` and among the entry points of packages, and imports them.

Nothing is imported to find it. In a folder it is a package ``NAME/__init__.py`` or one file ``NAME.py``; it is loaded
under a private module name, and its folder is never put on ``sys.path``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kernel.config_keys import check_plugin_name
from kernel.model.errors import ConfigError, shown

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from types import ModuleType

GROUP = "mainspring"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin that can be imported: as ``module``, from ``file`` unless it is an entry point's."""

    name: str
    module: str
    file: Path | None
    is_entry_point: bool
    version: str = ""

    @property
    def source(self) -> str:
        where = f" ({self.file})" if self.file else ""
        return f"entry point {self.module}{where}" if self.is_entry_point else str(self.root)

    @property
    def root(self) -> Path | None:
        """The package's folder, or the single file."""
        return self.file.parent if self.file is not None and self.file.name == "__init__.py" else self.file

    @property
    def place(self) -> str:
        return f"{self.file}:1" if self.file else self.module


class Refused(NamedTuple):
    """Something that stands where plugins stand and cannot be one, or clashes with another."""

    name: str
    source: str
    reason: str


class Finding(NamedTuple):
    """All that was found, by name; ``unreadable`` are folders with the reason why nothing is known of them."""

    plugins: dict[str, Found]
    refused: list[Refused]
    unreadable: dict[Path, str]


def find_plugins(folders: Iterable[Path]) -> Finding:
    """The plugins of these folders and of the entry points; names that are alike are refused, both of them."""
    found, refused = _entry_points()
    seen = {_real(one.file) for one in found if one.file}
    unreadable = {}
    for folder in folders:
        try:
            inside, wrong = _in_folder(folder)
        except OSError as error:
            unreadable[folder] = error.strerror or type(error).__name__
            continue
        new = [one for one in inside if _real(one.file) not in seen]
        found += new
        seen |= {_real(one.file) for one in new}
        refused += [one for one in wrong if one not in refused]
    return _without_clashes(found, refused, unreadable)


def entry_points() -> dict[str, Found]:
    """The entry points by name; of doubled ones none."""
    return _without_clashes(*_entry_points(), {}).plugins


def import_plugin(found: Found) -> ModuleType:
    """Imports it, or raises what its code raises, having removed what it left in ``sys.modules``."""
    before = imported_under(found.module)
    try:
        if found.is_entry_point:
            return importlib.import_module(found.module)
        return _import_file(found)
    except BaseException:
        forget(found.module, but=before)
        raise


def imported_under(module: str) -> frozenset[str]:
    """The names of the module and its submodules, as far as they are in ``sys.modules`` now."""
    return frozenset(name for name in list(sys.modules) if name == module or name.startswith(module + "."))


def forget(module: str, but: Container[str] = ()) -> None:
    """Removes a module and its submodules from ``sys.modules``, so that the next import begins anew."""
    for name in imported_under(module):
        if name not in but:
            del sys.modules[name]
    parent, _, last = module.rpartition(".")
    if module not in sys.modules and parent in sys.modules:
        vars(sys.modules[parent]).pop(last, None)


def stamp_of(found: Found) -> int:
    """When the newest of its Python files was last changed, in nanoseconds."""
    root = found.root
    if root is None:
        return 0
    files = root.rglob("*.py") if root.is_dir() else [root]
    return max((_changed_at(file) for file in files), default=0)


def _changed_at(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _import_file(found: Found) -> ModuleType:
    if found.module in sys.modules:
        return sys.modules[found.module]
    inside = [str(found.root)] if found.root != found.file else None
    spec = importlib.util.spec_from_file_location(found.module, found.file, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        raise ImportError(f"{found.file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[found.module] = module
    spec.loader.exec_module(module)
    return module


def _entry_points() -> tuple[list[Found], list[Refused]]:
    found: dict[tuple[str, str], Found] = {}
    refused = []
    for point in importlib.metadata.entry_points(group=GROUP):
        version = point.dist.version if point.dist else ""
        source = f"entry point {shown(point.value)} of {point.dist.name if point.dist else 'a package'}"
        try:
            check_plugin_name(point.name)
        except ConfigError as error:
            refused.append(Refused(point.name, source, str(error)))
            continue
        if _MODULE.fullmatch(point.value):
            module = Found(point.name, point.value, _file_of(point.value), is_entry_point=True, version=version)
            found[point.name, point.value] = module
        else:
            refused.append(Refused(point.name, source, f"{shown(point.value)}: expected the name of a module"))
    return sorted(found.values(), key=lambda one: one.name), refused


def _file_of(module: str) -> Path | None:
    """The module's file, by asking the finders from the first package on; none of them is imported."""
    path: Sequence[str] | None = None
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        specs = (_spec_by(finder, name, path) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return Path(spec.origin) if spec and spec.has_location and spec.origin else None


def _spec_by(finder: object, name: str, path: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
    try:
        found = finder.find_spec(name, path)  # type: ignore[attr-defined] # what cannot find is caught below
    except Exception:  # noqa: BLE001 - a finder is foreign code; its failure only means that it does not know
        return None
    return found if isinstance(found, importlib.machinery.ModuleSpec) else None


def _in_folder(folder: Path) -> tuple[list[Found], list[Refused]]:
    found = []
    refused = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        file = _file_in(Path(entry.path))
        if file is None:
            continue
        name = entry.name.removesuffix(".py")
        try:
            check_plugin_name(name)
        except ConfigError as error:
            refused.append(Refused(name, entry.path, str(error)))
            continue
        # Two folders may hold plugins of one name, and none may stand in the way of an installed package.
        digest = hashlib.blake2b(str(_real(folder)).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
        found.append(Found(name, f"mainspring_plugin_{digest}.{name}", file, is_entry_point=False))
    return found, refused


def _file_in(path: Path) -> Path | None:
    """The file to import when this entry of a folder may be a plugin."""
    if path.name.startswith(("_", ".")):
        return None
    if path.suffix == ".py":
        return path if path.is_file() else None
    file = path / "__init__.py"
    return file if file.is_file() else None


def _real(path: Path | None) -> Path | None:
    return None if path is None else Path(os.path.realpath(path))


def _without_clashes(found: list[Found], refused: list[Refused], unreadable: dict[Path, str]) -> Finding:
    alike: dict[str, list[Found]] = {}
    for one in found:
        alike.setdefault(one.name.casefold(), []).append(one)
    plugins = {}
    for same in alike.values():
        if len(same) == 1:
            plugins[same[0].name] = same[0]
            continue
        places = " and ".join(one.source for one in same)
        names = " and ".join(f'"{name}"' for name in dict.fromkeys(one.name for one in same))
        text = f"{len(same)} plugins are named {names}: {places}; expected one"
        refused += [Refused(name, places, text) for name in dict.fromkeys(one.name for one in same)]
    return Finding(plugins, refused, unreadable)
