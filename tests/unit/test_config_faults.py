"""Files that are no configuration: each ends in one ConfigError that says where, what and what instead, and soon."""

from __future__ import annotations

import os
import random
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel.config import load_config, parse_config
from kernel.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SOON_SECONDS = 1.0


def problems_of(path: Path, **environment: str) -> list[str]:
    """The messages; each is one line and names the file, and they come soon, as far as it is up to this thread."""
    began = time.thread_time()
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment)
    took = time.thread_time() - began
    problems = caught.value.problems
    assert took < SOON_SECONDS
    assert all(problem.startswith(str(path)) and problem.isprintable() for problem in problems)
    return [problem.removeprefix(str(path)) for problem in problems]


def problem_in(folder: Path, content: str | bytes, **environment: str) -> str:
    """The only message about a file of this content."""
    path = folder / "plugins.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (problem,) = problems_of(path, **environment)
    return problem


def many(prefix: str, count: int, suffix: str = "") -> str:
    return "".join(f"{prefix}{number}{suffix}" for number in range(count))


# What is not TOML: line and column.

SYNTAX: dict[str, tuple[str | bytes, str]] = {
    "a table without its bracket": ("[kernel\n", ":1:"),
    "a table with a word after it": ("[kernel] x\n", ":1:"),
    "a table without a name": ("[]\n", ":1:"),
    "a table named twice": ("[kernel]\n[kernel]\n", ":2:"),
    "a key without a value": ("[kernel]\nstore =\n", ":2:"),
    "a key without anything": ("[kernel]\nstore\n", ":2:"),
    "a value without a key": ("= 3\n", ":1:"),
    "a key twice": ("[kernel]\nstore = 'a'\nstore = 'b'\n", ":3:"),
    "a key and a table of one name": ("kernel = 1\n[kernel]\n", ":2:"),
    "a dotted key into a number": ("a = 1\na.b = 2\n", ":2:"),
    "a word as a value": ("[kernel]\nstore = yes\n", ":2:"),
    "True with a capital": ("[plugins.a]\nenabled = True\n", ":2:"),
    "null": ("[kernel]\nstore = null\n", ":2:"),
    "a text without its end": ('[kernel]\nstore = "a\n', ":2:"),
    "a long text without its end": ('[kernel]\nstore = """a\n\n', ":4: "),
    "a bad escape": ('[kernel]\nstore = "\\q"\n', ":2:"),
    "a surrogate by escape": ('[kernel]\nstore = "\\ud800"\n', ":2:"),
    "an array without its end": ("[kernel]\nplugin_dirs = ['a',\n", ":3: "),
    "an array without a comma": ("[kernel]\nplugin_dirs = ['a' 'b']\n", ":2:"),
    "an inline table over two lines": ("kernel = { store = 'a',\nconcurrency = 1 }\n", ":1:"),
    "an inline table that is extended": ("kernel = {}\n[kernel.x]\n", ":2:"),
    "a number with a leading zero": ("[kernel]\nconcurrency = 010\n", ":2:"),
    "a number with two points": ("[kernel]\nmax_block = 1.2.3\n", ":2:"),
    "a date that is none": ("[kernel]\nx = 2026-13-45\n", ":2:"),
    "YAML": ("kernel:\n  store: memory://\n", ":1:"),
    "JSON": ('{"kernel": {}}\n', ":1:"),
    "INI with a semicolon": ("; old\n[kernel]\n", ":1:"),
    "a merge conflict": ("[kernel]\n<<<<<<< HEAD\n", ":2:"),
    "a control character in a text": ('[kernel]\nstore = "a\x01b"\n', ":2:"),
    "a carriage return alone": ("[kernel]\rstore = 1\n", ":1:"),
    "a delete character": ("[kernel]\nx = 1 # \x7f\n", ":2:"),
    "an array as a table": ("[[kernel]]\n[kernel]\n", ":2:"),
    "a table of an array that is none": ("[plugins.a]\n[[plugins.a]]\n", ":2:"),
    "quotes that are typographic": ("[kernel]\nstore = “memory://”\n", ":2:"),
    "a non-breaking space": ("[kernel]\n\u00a0store = 'x'\n", ":2:"),
    "a zero-width space": ("[kernel]\n\u200bstore = 'x'\n", ":2:"),
    "NUL": ("[kernel]\nstore = 'a\0b'\n", ":2: a NUL character"),
    "only NUL": (b"\0" * 64, ":1: a NUL character"),
    "UTF-16 little endian": ("[kernel]\n".encode("utf-16"), ":1: is UTF-16"),
    "UTF-16 big endian": (b"\xfe\xff" + "[kernel]\n".encode("utf-16-be"), ":1: is UTF-16"),
    "UTF-16 without a mark": ("[kernel]\n".encode("utf-16-le"), ":1: a NUL character"),
    "Latin-1": ("[kernel]\n# f\xfcr\n".encode("latin-1"), ":2: the byte 0xfc is not UTF-8"),
    "a surrogate in UTF-8": (b"[kernel]\n\n# \xed\xa0\x80\n", ":3: the byte 0xed is not UTF-8"),
    "overlong UTF-8": (b"[kernel]\nx = '\xc0\xaf'\n", ":2: the byte 0xc0 is not UTF-8"),
    "half a character at the end": (b"[kernel]\n# \xe2\x82", ":2: the byte 0xe2 is not UTF-8"),
    "gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", ":1: the byte 0x8b is not UTF-8"),
    "arrays of 10,000 levels": ("[plugins.a]\nx = " + "[" * 10_000 + "]" * 10_000, ":2: more than 64 levels"),
    "arrays of 10,000 levels over lines": ("[plugins.a]\nx = " + "[\n" * 10_000, ":66: more than 64 levels"),
    "inline tables of 10,000 levels": ("[plugins.a]\nx = " + "{a=" * 10_000, ":2: more than 64 levels"),
    "a key of 10,000 parts": ("[plugins.a]\n" + "a." * 10_000 + "a = 1\n", ":2: a key of more than 16 parts"),
    "a table of 10,000 parts": ("\n[plugins" + ".a" * 10_000 + "]\n", ":2: a key of more than 16 parts"),
    "a number of 5,000 digits": ("[kernel]\nconcurrency = " + "9" * 5000, ":2: a number of more than 4300 digits"),
    "300,000 words": ("[plugins.a]\nx = [" + "1," * 150_000 + "]\n", ":2: more than 200,000 words"),
    "100,000 tables": (many("[a", 100_000, "]\n"), "more than 200,000 words"),
    "200,000 quotes": ("[plugins.a]\nx = " + '"' * 200_000, ":"),
    "a megabyte of backslashes": ('[plugins.a]\nx = "' + "\\" * 1_000_000, ":2:"),
    "more than a megabyte": ("#" * (1024 * 1024 + 1), ": is larger than 1 MiB"),
}


@pytest.mark.parametrize(("content", "expected"), SYNTAX.values(), ids=SYNTAX.keys())
def test_what_is_not_toml_is_told_with_its_line(tmp_path: Path, content: str | bytes, expected: str) -> None:
    problem = problem_in(tmp_path, content)

    assert expected in problem
    assert "expected" in problem


def test_a_syntax_error_tells_the_column_too(tmp_path: Path) -> None:
    problem = problem_in(tmp_path, "[kernel]\nstore = yes\n")

    assert problem.startswith(":2:9: ")


# Values of the kernel's own keys.

NOT_A_COUNT = ["0", "-1", "1.5", "true", "'ten'", "[]", "{}", "100_001", "9" * 400, "inf", "nan", "2026-01-01", "''"]
NOT_A_LENGTH = ["0", "-1", "true", "'soon'", "'10 min'", "'1h30m'", "[]", "{}", "nan", "inf", "-inf", "1e400",
                "9" * 400, "'999999d'", "''", "'-5s'", "'5 s s'", "12:30:00", "'\uff11\uff10s'"]  # fmt: skip
NOT_A_ZONE = ["'Europe/Berlln'", "'../../etc/passwd'", "'/etc/localtime'", "''", "1", "true", "[]", "'UTC\\n'",
              "'Europe'", "'Europe/Berlin '", "'+02:00'", "'A/B/C/D/E'"]  # fmt: skip
NOT_A_STORE = ["'jobs.db'", "''", "5", "[]", "'sqlite:'", "'sqlite://'", "'sqlite://jobs.db'", "'sqlite:///'", "'://x'",
               "'sqlite:///a\\u0000b'", "true", "'postgresql:/x'"]  # fmt: skip
NOT_FOLDERS = ["'plugins'", "[1]", "['']", "[['a']]", "{}", "5", "['a\\u0000b']", "[true]", "['a\\nb']"]

KERNEL = [
    *(("concurrency", value) for value in NOT_A_COUNT),
    *(("shutdown_grace", value) for value in NOT_A_LENGTH if value != "0"),
    *(("max_block", value) for value in NOT_A_LENGTH),
    *(("timezone", value) for value in NOT_A_ZONE),
    *(("store", value) for value in NOT_A_STORE),
    *(("plugin_dirs", value) for value in NOT_FOLDERS),
    *(("run_dir", value) for value in ["''", "5", "[]", "'a\\u0000b'", "true"]),
    *(("log_format", value) for value in ["'xml'", "5", "true", "[]", "''"]),
]


@pytest.mark.parametrize(("key", "value"), KERNEL)
def test_a_bad_value_of_the_kernel_is_told_with_line_key_and_expectation(tmp_path: Path, key: str, value: str) -> None:
    content = f"# a comment\n[kernel]\n{key} = {value.replace(chr(39), chr(34))}\n"

    problem = problem_in(tmp_path, content)

    assert problem.startswith(f":3: [kernel] {key}: ")
    assert "expected" in problem


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("concurrency", value) for value in NOT_A_COUNT),
        *(("max_waiting", value) for value in NOT_A_COUNT if value != "100_001"),
    ],
)
def test_a_bad_value_of_a_queue_is_told_the_same_way(tmp_path: Path, key: str, value: str) -> None:
    problem = problem_in(tmp_path, f'[queues."cars"]\n\n{key} = {value}\n')

    assert problem.startswith(f":3: [queues.cars] {key}: ")
    assert "expected" in problem


# Names and shapes.

NAMES: dict[str, tuple[str, str]] = {
    "an unknown table": (
        "[kernels]\n",
        ':1: [kernels]: no table of this name; expected one of kernel, queues, breakers, plugins. Did you mean "kernel"?',
    ),
    "an unknown key before the tables": ("store = 'memory://'\n", ":1: [store]: no table of this name"),
    "a misspelt key": ("[kernel]\ntime_zone = 'UTC'\n", 'Did you mean "timezone"?'),
    "a key of another case": ("[kernel]\nStore = 'memory://'\n", 'Did you mean "store"?'),
    "a misspelt key of a queue": ("[queues.q]\nmaxwaiting = 1\n", 'Did you mean "max_waiting"?'),
    "a key of a later version": (
        "[queues.q]\nconcurrency_by = 'all'\n",
        ":2: [queues.q] concurrency_by: no key of this name; expected one of concurrency, concurrency_scope, ",
    ),
    "a table in a queue": ("[queues.q.deep]\n", ":1: [queues.q] deep: no key of this name"),
    "kernel as a number": ("kernel = 5\n", ":1: [kernel]: 5: expected a table"),
    "kernel as a list": ("[[kernel]]\n", ":1: [kernel]: [{}]: expected a table"),
    "queues as a text": ("queues = 'x'\n", ":1: [queues]: 'x': expected a table"),
    "a queue as a number": ("[queues]\ncars = 5\n", ":2: [queues.cars]: 5: expected a table"),
    "a queue with a blank": ('[queues."my cars"]\n', ":1: [queues.'my cars']: 'my cars' is no name of a queue"),
    "a queue of no name": ('[queues.""]\n', ":1: [queues.'']: '' is no name of a queue"),
    "a queue with a line break": ('[queues."a\\nb"]\n', ":1: [queues.'a\\nb']: 'a\\nb' is no name of a queue"),
    "a queue in other letters": ('[queues."автомобили"]\n', "is no name of a queue: expected letters"),
    "a queue of 101 letters": (f"[queues.{'q' * 101}]\n", "is no name of a queue"),
    "a plugin as true": ("[plugins]\nfleet = true\n", ":2: [plugins.fleet]: True: expected a table"),
    "a list of plugins": ("plugins = ['fleet']\n", ":1: [plugins]: ['fleet']: expected a table"),
    "a plugin with a dash": ("[plugins.my-cars]\n", ":1: [plugins.my-cars]: 'my-cars' is no name of a plugin"),
    "a plugin that is a path": ("[plugins.'../x']\n", "is no name of a plugin"),
    "a plugin that is a module": ('[plugins."os.path"]\n', "is no name of a plugin"),
    "a plugin with a digit first": ("[plugins.1x]\n", ":1: [plugins.1x]: '1x' is no name of a plugin"),
    "a plugin in full-width letters": ('[plugins."\uff46leet"]\n', "is no name of a plugin"),
    "two plugins that differ in case": (
        "[plugins.fleet]\n[plugins.Fleet]\n",
        "[plugins.Fleet]: differs only in case from [plugins.fleet]",
    ),
    "enabled as a text": ("[plugins.a]\nenabled = 'true'\n", ":2: [plugins.a] enabled: 'true': expected true or false"),
    "enabled as a number": ("[plugins.a]\nenabled = 1\n", ":2: [plugins.a] enabled: 1: expected true or false"),
    "jobs as a list": ("[plugins.a]\njobs = []\n", ":2: [plugins.a.jobs]: []: expected a table"),
    "a job as a text": ("[plugins.a.jobs]\nx = '5m'\n", ":2: [plugins.a.jobs.x]: '5m': expected a table"),
    "schedules as a text": (
        "[plugins.a]\nschedules = '* * * * *'\n",
        "[plugins.a.schedules]: '* * * * *': expected a table",
    ),
    "a schedule as a text": (
        "[plugins.a.schedules]\nx = '* * * * *'\n",
        ":2: [plugins.a.schedules.x]: '* * * * *': expected a table",
    ),
    "a reference that is not closed": ("[plugins.a]\nx = '${HOME'\n", ':2: [plugins.a] x: "${" without its "}"'),
    "a reference to nothing": ("[plugins.a]\nx = '${}'\n", ":2: [plugins.a] x: ${} is no reference"),
    "a reference to a bad name": ("[plugins.a]\nx = '${A B}'\n", ":2: [plugins.a] x: ${A B} is no reference"),
    "a reference with a line break": ('[plugins.a]\nx = "${A\\nB}"\n', "is no reference"),
    "a reference to what is not set": ("[plugins.a]\nx = '${NOT_SET}'\n", ":2: [plugins.a] x: ${NOT_SET} is not set"),
    "a file that is not there": ("[plugins.a]\nx = '${file:none}'\n", ":2: [plugins.a] x: ${file:none} cannot be read"),
    "a file of no name": ("[plugins.a]\nx = '${file:}'\n", "is a folder; expected a file"),
    "a file that is a folder": ("[plugins.a]\nx = '${file:/etc}'\n", "${file:/etc} is a folder; expected a file"),
    "a file that is a device": ("[plugins.a]\nx = '${file:/dev/zero}'\n", "is a device; expected a file"),
    "a file with NUL": ('[plugins.a]\nx = "${file:a\\u0000b}"\n', "cannot be read"),
    "a file of a long name": (f"[plugins.a]\nx = '${{file:{'a' * 5000}}}'\n", "cannot be read"),
}


@pytest.mark.parametrize(("content", "expected"), NAMES.values(), ids=NAMES.keys())
def test_a_bad_name_or_shape_is_told_with_its_line(tmp_path: Path, content: str, expected: str) -> None:
    problem = problem_in(tmp_path, content)

    assert expected in problem
    assert problem.startswith(":")


# What stands in the place of the file.


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path / "plugins.toml")

    assert problem.startswith(": no such file; make one")


@pytest.mark.parametrize(
    "kind", ["a folder", "a pipe", "a socket", "a device", "a link to nothing", "a link to itself"]
)
def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "plugins.toml"
    with socket.socket(socket.AF_UNIX) as listening:
        if kind == "a folder":
            path.mkdir()
        elif kind == "a pipe":
            os.mkfifo(path)
        elif kind == "a socket":
            listening.bind(str(path))
        elif kind == "a device":
            path.symlink_to("/dev/zero")
        else:
            path.symlink_to(path if kind == "a link to itself" else tmp_path / "nothing")

        (problem,) = problems_of(path)

    words = {"a link to nothing": "no such file", "a link to itself": "cannot be read"}
    assert words.get(kind, f"is {kind}; expected a file of TOML text") in problem


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "plugins.toml").write_text("[kernel]\n")
    monkeypatch.setattr(os, "open", refuse)  # root may read everything, so the mode would not do

    (problem,) = problems_of(tmp_path / "plugins.toml")

    assert problem == ": cannot be read: Permission denied"


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000, "x/" * 5000])
def test_a_path_that_cannot_be_one_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read|no such file"):
        load_config(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("[kernel]\n" + many("x", 1000, " = 1\n"), 1000),
        (many("[x", 45_000, "]\n"), 45_000),
        (many("[plugins.x-", 30_000, "]\n"), 30_000),
        ("[kernel]\n" + many("x", 40_000, " = 1\n"), 40_000),
    ],
    ids=["1,000 keys", "45,000 tables", "30,000 plugins", "40,000 keys"],
)
def test_thousands_of_mistakes_are_told_by_a_page_of_them_and_their_number(
    tmp_path: Path, text: str, count: int
) -> None:
    path = tmp_path / "plugins.toml"
    path.write_text(text)
    began = time.thread_time()

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert time.thread_time() - began < 2 * SOON_SECONDS
    assert len(caught.value.problems) == 201
    assert caught.value.problems[-1] == f"… and {count - 200:,} more"


@pytest.mark.parametrize(
    "content", ["x" * 1_000_000 + " = 1", "[" + "x" * 1_000_000 + "]", f"[plugins.a]\nx = '${{{'X' * 1_000_000}}}'"]
)
def test_a_name_of_a_megabyte_is_not_repeated_whole(tmp_path: Path, content: str) -> None:
    assert len(problem_in(tmp_path, content)) < 500


# Any text at all.

pieces = st.sampled_from(
    ["[", "]", "[[", "]]", "{", "}", "=", ".", ",", '"', "'", '"""', "'''", "\\", "#", "\n", " ", "\r\n", "\t",
     "kernel", "plugins", "queues", "store", "enabled", "jobs", "concurrency", "true", "1", "-", "inf", "2026-01-01",
     "${", "$${", "${file:", ":-", "é", "\0", "\u2028", "fleet", "'memory://'", "5m"]
)  # fmt: skip


@given(st.lists(pieces, max_size=60).map("".join) | st.text(max_size=80))
@example("[kernel]\n" * 2)
@example('a = "${' + "\\u0000}")
@settings(max_examples=400, deadline=None)
def test_any_text_ends_in_a_configuration_or_in_one_error(text: str) -> None:
    try:
        config = parse_config(text, "plugins.toml", {})
    except ConfigError as error:
        problems = error.problems
    else:
        problems = [problem.text for problem in config.problems]

    assert all(problem.startswith("plugins.toml") and problem.isprintable() for problem in problems)


def test_a_good_file_with_any_byte_changed_ends_in_a_configuration_or_in_one_error(tmp_path: Path) -> None:
    good = (
        b'[kernel]\nstore = "memory://" # x\nconcurrency = 5\nplugin_dirs = ["a", \'b\']\n'
        b"[queues.q]\nmax_waiting = 1_0\n"
        b"[plugins.p]\nx = { y = 1.5, z = 2026-01-01 }\n[plugins.p.jobs.j]\ntimeout = '5m'\n"
    )
    path = tmp_path / "plugins.toml"
    chance = random.Random(7)  # noqa: S311 - the same changes in every run

    for index in range(len(good)):
        path.write_bytes(good[:index] + bytes([chance.randrange(256)]) + good[index + 1 :])
        try:
            load_config(path, {})
        except ConfigError as error:
            problems = error.problems
            assert problems
            assert all(problem.startswith(f"{path}:") and problem.isprintable() for problem in problems)
