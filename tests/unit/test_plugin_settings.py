"""Mistakes below the lists and named tables of a plugin's settings: each with its own line and the keys of its own model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr

from kernel.config_lines import lines_of
from kernel.config_source import Source
from kernel.plugin_settings import check_settings

if TYPE_CHECKING:
    from pathlib import Path


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")

    username: str = ""
    word: SecretStr | None = None


class File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["file"]
    path: str


class Mail(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["mail"]
    host: str
    login: Login = Login()


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    login: Login = Login()
    named: dict[str, Login] = {}
    listed: list[Login] = []
    either: dict[str, Mail | File] = {}
    files: dict[str, File] = {}
    base: HttpUrl | None = None
    base_url: HttpUrl | None = None
    numbers: Annotated[list[int], Field(max_length=3)] = []


def problems_of(folder: Path, text: str) -> list[str]:
    import tomllib  # noqa: PLC0415 - for this helper only

    whole = f"[plugins.demo]\n{text}"
    source = Source(folder / "plugins.toml", lines_of(whole, "plugins.toml"))
    table = tomllib.loads(whole)["plugins"]["demo"]
    found = check_settings("demo", Settings, table, source).problems
    return [problem.text.removeprefix(f"{folder}/plugins.toml:") for problem in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[plugins.demo.login]\nusernam = 1", "3: [plugins.demo.login] usernam: no setting of this name; expected one of"),
        (
            "[plugins.demo.named.a]\n[plugins.demo.named.b]\nusernam = 1",
            "4: [plugins.demo.named.b] usernam: no setting of this name; expected one of username, word. Did you mean",
        ),
        ("[plugins.demo.named.a]\nword = 31", "3: [plugins.demo.named.a] word: '***': "),
        (
            "[[plugins.demo.listed]]\n[[plugins.demo.listed]]\nusernam = 1",
            "4: [plugins.demo.listed.1] usernam: no setting of this name; expected one of username",
        ),
        ("[plugins.demo.files.a]\ntype = 'file'\npth = 'x'", "4: [plugins.demo.files.a] pth: no setting of this name; "),
        ("numbers = 'abc'", """2: [plugins.demo] numbers: 'abc': expected a list, as ["abc"]"""),
        ("numbers = [1, 2, 3, 4]", "2: [plugins.demo] numbers: a list: expected at most 3 in it"),
        ("named = 'https://hooks.example/secret'", "2: [plugins.demo] named: '***': expected a table"),
        ("base = 'here'", "2: [plugins.demo] base: 'here': expected a URL, as https://example.com"),
        ("base_url = 'here?token=a'", "2: [plugins.demo] base_url: '***': expected a URL, as https://example.com"),
        ("numbers = [1, 'a']", "2: [plugins.demo] numbers: 'a': expected a valid integer"),
    ],
)  # fmt: skip
def test_a_mistake_below_a_list_or_a_name_has_its_line_and_its_keys(tmp_path: Path, text: str, expected: str) -> None:
    [problem] = problems_of(tmp_path, text)

    assert problem.startswith(expected)
