"""The files of docs/deploy name what there is: paths, commands, options; and the numbers in them fit together."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kernel.config import parse_config
from kernel.kernel import PLUGIN_STOP_SECONDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd minds the case
    parser.read(DEPLOY / "mainspring.service", encoding="utf-8")
    return parser


def seconds(span: str) -> float:
    found = re.fullmatch(r"(\d+)(s|min)", span)
    assert found is not None, span
    return int(found[1]) * {"s": 1, "min": 60}[found[2]]


def instructions() -> list[tuple[str, str]]:
    """Of the Containerfile, with continued lines joined."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def assert_is_a_command(*words: str) -> None:
    """The program takes these words."""
    done = subprocess.run(
        [sys.executable, "-m", "kernel", *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [word for word in words if word.startswith("--") and word != "--config"]
    assert [word for word in told if word not in done.stdout] == []


def test_the_unit_starts_a_command_that_there_is_and_tells_systemd_how_it_is() -> None:
    service = unit()["Service"]
    program, *words = shlex.split(service["ExecStart"])

    assert Path(program).name == "mainspring"
    assert_is_a_command(*words)
    assert service["Type"] == "notify-reload"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["User"] != "root"


def test_the_unit_waits_longer_than_the_kernel_takes_to_stop() -> None:
    service = unit()["Service"]
    grace = parse_config("", ROOT / "plugins.toml", {}).kernel.shutdown_grace_seconds

    # Cancelling takes 2 s, the last writes 10 s at the most.
    assert seconds(service["TimeoutStopSec"]) > grace + 2 + PLUGIN_STOP_SECONDS + 10
    assert seconds(service["WatchdogSec"]) < parse_config("", ROOT / "plugins.toml", {}).kernel.max_block_seconds


def test_the_unit_lets_the_kernel_write_where_the_page_puts_the_store() -> None:
    service = unit()["Service"]
    [block] = re.findall(r"```toml\n(# /etc/mainspring/plugins\.toml\n.*?)```", PAGE, re.DOTALL)
    config = parse_config(block, Path("/etc/mainspring/plugins.toml"), {})

    assert tomllib.loads(block)["kernel"]["store"] == f"sqlite:////var/lib/{service['StateDirectory']}/mainspring.db"
    assert str(config.kernel.run_dir) == f"/var/lib/{service['StateDirectory']}"
    assert not config.problems
    assert "--config /etc/mainspring/plugins.toml" in service["ExecStart"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "mainspring.service").read_text(encoding="utf-8")
    file = tmp_path / "mainspring.service"
    file.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))

    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)

    # One older than the unit asks for does not know its type.
    said = [line for line in done.stderr.splitlines() if "mainspring.service" in line and "notify-reload" not in line]
    assert said == []


def test_the_image_is_made_of_files_that_there_are_and_runs_as_nobody_special() -> None:
    found = instructions()

    sources = [word for name, rest in found if name == "COPY" and "--from" not in rest for word in rest.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    names = [name for name, _ in found]
    [user] = [rest for name, rest in found if name == "USER"]
    assert int(user) > 0
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]
    needed = {
        "pyproject.toml",
        *re.findall(r'^(?:readme|license-files) = \[?"([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE),
    }
    assert needed <= set(sources)


def test_the_image_begins_and_checks_by_commands_that_there_are() -> None:
    found = dict(instructions())
    entry, command = json.loads(found["ENTRYPOINT"]), json.loads(found["CMD"])
    check = json.loads(found["HEALTHCHECK"].partition("CMD ")[2])

    assert entry == ["mainspring"] == check[:1]
    assert_is_a_command(*command)
    assert_is_a_command(*check[1:])
    assert "MAINSPRING_CONFIG=/etc/mainspring/plugins.toml" in found["ENV"]


def test_the_page_leads_to_both_files() -> None:
    assert [name for name in ("mainspring.service", "Containerfile") if f"(deploy/{name})" not in PAGE] == []
