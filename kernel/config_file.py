"""Reads plugins.toml and files that it names. Whatever stands in their place, the answer is one clear message, soon."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any

from kernel.config_lines import MAX_LEVELS, lines_of
from kernel.config_source import Source, one_line
from kernel.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def read_text(path: Path) -> str:
    """The text of the file; ConfigError with one line for whatever is in its way."""
    name = one_line(str(path))
    try:
        raw = _read(path, MAX_BYTES)
    except FileNotFoundError:
        raise ConfigError(
            f"{name}: no such file; make one (its first line may be [kernel]), or name another by --config"
        ) from None
    except _NotAFileError as error:
        raise ConfigError(f"{name}: is {error}; expected a file of TOML text") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: cannot be read: {_reason(error)}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{name}: is larger than 1 MiB; expected a configuration of some pages")
    return _decode(name, raw)


def read_secret(path: Path) -> str:
    """The text of a small file named in ``${file:…}``, without the line end at its end; ConfigError says why not."""
    try:
        raw = _read(path, 65536)
        text = raw.decode()
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text") from None
    except _NotAFileError as error:
        raise ConfigError(f"is {error}; expected a file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {_reason(error)}") from None
    if len(raw) > 65536:
        raise ConfigError("is larger than 64 KiB")
    return text.removesuffix("\n").removesuffix("\r")


class _NotAFileError(Exception):
    pass


def _read(path: Path, limit: int) -> bytes:
    """At most ``limit`` bytes and one more. A pipe or device is never opened: that alone may hang, or do something."""
    _check_regular(path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - what was checked is the descriptor, not the path
        _check_regular(os.fstat(descriptor).st_mode)
        return file.read(limit + 1)


def _check_regular(mode: int) -> None:
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }  # fmt: skip
    if not stat.S_ISREG(mode):
        raise _NotAFileError(kinds.get(stat.S_IFMT(mode), "no regular file"))


def _reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _decode(name: str, raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{name}:1: is UTF-16 text; expected UTF-8: save it anew in that encoding")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{name}:{line}: the byte 0x{raw[error.start]:02x} is not UTF-8 text; expected UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ConfigError(f"{name}:{line}: a NUL character; expected TOML text")
    return text


def parse(text: str, path: Path) -> tuple[dict[str, Any], Source]:
    """The data of the text and where it stands; ConfigError with line and column when it is not TOML."""
    name = one_line(str(path))
    lines = lines_of(text, name)
    try:
        return tomllib.loads(text), Source(path, lines)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_problem(name, text, error)) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deep; expected at most {MAX_LEVELS} levels") from None
    except ValueError:
        # Python refuses integers of more than 4300 digits, whatever they stand for.
        found = re.search(r"[0-9_]{4300}", text)
        line = text[: found.start()].count("\n") + 1 if found else 1
        raise ConfigError(f"{name}:{line}: a number of more than 4300 digits; expected a smaller one") from None


def _syntax_problem(name: str, text: str, error: tomllib.TOMLDecodeError) -> str:
    match = _SYNTAX.fullmatch(str(error))
    message = one_line(match[1] if match else str(error))
    if match and match[2]:
        return f"{name}:{match[2]}:{match[3]}: {message}; expected TOML"
    return f"{name}:{text.count(chr(10)) + 1}: {message}, at the end of the file; expected TOML"
