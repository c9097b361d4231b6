"""What an operator may set in ``[plugins.web]``."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

_EXPECTED = 'expected an address and a port, as "127.0.0.1:8321"'
_SHORTEST_TOKEN = 16
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}|\[[0-9A-Fa-f:.]+\]")

Role = Literal["read", "operate"]
Token = Annotated[
    SecretStr,
    Field(min_length=_SHORTEST_TOKEN, description='At least 16 characters: "${WEB_TOKEN}", or "${file:web-token}".'),
]


def _host(name: str) -> str:
    if _HOST.fullmatch(name) is None:
        raise ValueError('expected the name of a host without scheme and port, as "jobs.example.com"')
    return name


class UserSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    token: Token
    role: Annotated[Role, Field(description="read: sees everything, changes nothing.")] = "operate"


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: Annotated[
        str,
        Field(description='Where it answers, as "127.0.0.1:8321" or "[::1]:8321"; port 0 takes a free one.'),
    ] = "127.0.0.1:8321"
    token: Annotated[
        Token | None,
        Field(description="With it everyone has to log in. Needed where other machines reach the address."),
    ] = None
    users: Annotated[
        dict[str, UserSettings],
        Field(max_length=1_000, description="People by name, each with a token of their own: events say who did what."),
    ] = Field(default_factory=dict)
    hosts: Annotated[
        list[Annotated[str, AfterValidator(_host)]],
        Field(max_length=100, description="Names by which browsers may ask for it, beside the address and localhost."),
    ] = Field(default_factory=list)
    https: Annotated[
        bool,
        Field(
            description="Browsers reach it by https, through a proxy on this machine: cookies are sent over TLS only."
        ),
    ] = False
    read_only: Annotated[bool, Field(description="Nobody can change anything by it.")] = False

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        host, _ = address_of(self.listen)
        if not ipaddress.ip_address(host).is_loopback and self.token is None and not self.users:
            raise ValueError(
                f"listen: other machines can reach {host}, and anyone there could run jobs; expected a token, as "
                'token = "${WEB_TOKEN}" (16 characters or more), or an address of this machine alone, as "127.0.0.1:8321"'
            )
        return self


def address_of(listen: str) -> tuple[str, int]:
    """Host and port; ValueError with what was expected."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}|localhost)):([0-9]{1,5})", listen)
    if match is None:
        raise ValueError(f"listen: {listen!r}: {_EXPECTED}")
    host = "127.0.0.1" if match[2] == "localhost" else match[1] or match[2]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"listen: {listen!r}: {_EXPECTED}") from None
    if int(match[3]) > 65535:
        raise ValueError(f"listen: {listen!r}: {_EXPECTED}; a port is at most 65535")
    return host, int(match[3])
