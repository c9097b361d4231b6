"""[plugins.web] as an operator writes it: what is unsafe or wrong is told in one line each, with its place."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from kernel import ConfigError, Kernel
from kernel.config import load_config
from tests.unit.plugins.web.web_kit import TOKEN, running

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-5d41 is too short or has spaces"


async def refusal(folder: Path, *lines: str) -> list[str]:
    file = folder / "plugins.toml"
    file.write_text("\n".join(["[kernel]", 'store = "memory://"', "[plugins.web]", *lines]), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        async with Kernel(load_config(file)):
            pass
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0:8321", "[::]:8321", "192.168.1.5:8321", "8.8.8.8:8321", "[2001:db8::1]:8321", "[::ffff:127.0.0.1]:8321"],
)
async def test_an_address_that_others_reach_without_a_token_is_refused(tmp_path: Path, listen: str) -> None:
    [problem] = await refusal(tmp_path, f'listen = "{listen}"')

    assert "other machines can reach" in problem
    assert 'expected a token, as token = "${WEB_TOKEN}"' in problem
    assert "plugins.toml:3" in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("line", "at", "said"),
    [
        ('listen = "8321"', ":4", "'8321': expected an address and a port, as \"127.0.0.1:8321\""),
        ('listen = "127.0.0.1:99999"', ":4", "a port is at most 65535"),
        ('listen = "127.0.0.999:80"', ":4", "expected an address and a port"),
        ('listen = "example.com:80"', ":4", "expected an address and a port"),
        ('listen = "127.0.0.1:٨"', ":4", "expected an address and a port"),
        ("listen = 8321", ":4", "listen"),
        ('token = "short"', ":4", "expected 16 to 1,000 letters, digits and signs, without spaces"),
        (f'token = "{CANARY}"', ":4", "without spaces"),
        (f'token = "{"x" * 1_001}"', ":4", "expected 16 to 1,000"),
        ('token = "ümlaut-ümlaut-ümlaut"', ":4", "expected 16 to 1,000"),
        ('hosts = ["http://jobs.example.com"]', ":4", "without scheme and port"),
        ('hosts = ["jobs.example.com:80"]', ":4", "without scheme and port"),
        ('hosts = ["*"]', ":4", "expected the name of a host"),
        ("tokn = 1", ":4", "tokn"),
        ('read_only = "perhaps"', ":4", "read_only"),
        ('[plugins.web.users.ada]\ntoken = "short"', "", "[plugins.web.users.ada] token: '***': expected 16 to 1,000"),
        (f'[plugins.web.users.ada]\ntoken = "{TOKEN}"\nrole = "admin"', "", "role"),
        (f'[plugins.web.users."a\\nb"]\ntoken = "{TOKEN}"', "", "expected a name of 1 to 100 characters"),
        (
            f'token = "{TOKEN}"\n[plugins.web.users.ada]\ntoken = "{TOKEN}"',
            "",
            "users.ada: its token is that of token too",
        ),
    ],
)
async def test_a_wrong_setting_is_told_in_one_line_with_its_place(
    tmp_path: Path, line: str, at: str, said: str
) -> None:
    [problem] = await refusal(tmp_path, line)

    assert said in problem
    assert f"plugins.toml{at}" in problem
    assert "\n" not in problem
    assert not any(secret in problem for secret in (CANARY, TOKEN, "ümlaut"))


async def test_with_a_token_and_without_https_it_is_warned_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with running(tmp_path, 'listen = "0.0.0.0:0"', f'token = "{TOKEN}"') as web:
        status = (await web.get("/runs", authorization=f"Bearer {TOKEN}")).status
    warnings = [record.getMessage() for record in caplog.records if "not encrypted" in record.getMessage()]
    caplog.clear()
    async with running(tmp_path, 'listen = "0.0.0.0:0"', f'token = "{TOKEN}"', "https = true"):
        pass
    async with running(tmp_path, f'token = "{TOKEN}"'):
        pass

    assert (status, web.url[:17]) == (200, "http://127.0.0.1:")
    assert len(warnings) == 1
    assert "`https = true`" in warnings[0]
    assert "not encrypted" not in caplog.text
