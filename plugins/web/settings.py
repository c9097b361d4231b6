"""What an operator may set in ``[plugins.web]``."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    field_validator,
    model_validator,
)

_EXPECTED = 'expected an address and a port, as "127.0.0.1:8321"'
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}|\[[0-9A-Fa-f:.]+\]")
_TOKEN = re.compile(r"[!-~]{16,1000}")

Role = Literal["read", "operate"]


def _token(token: SecretStr) -> SecretStr:
    # What was found is not said: it is a secret, or nearly one.
    if _TOKEN.fullmatch(token.get_secret_value()) is None:
        raise ValueError("expected 16 to 1,000 letters, digits and signs, without spaces")
    return token


Token = Annotated[
    SecretStr,
    AfterValidator(_token),
    Field(description='At least 16 characters: "${WEB_TOKEN}", or "${file:web-token}".'),
]


def _host(name: str) -> str:
    if _HOST.fullmatch(name) is None:
        raise ValueError('expected the name of a host without scheme and port, as "jobs.example.com"')
    return name


def _user(name: str) -> str:
    if not 0 < len(name) <= 100 or not name.isprintable():
        raise ValueError("expected a name of 1 to 100 characters that can be shown")
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
        dict[Annotated[str, AfterValidator(_user)], UserSettings],
        Field(max_length=1_000, description="People by name, each with a token of their own: events say who did what."),
    ] = Field(default_factory=dict)
    hosts: Annotated[
        list[Annotated[str, AfterValidator(_host)]],
        Field(max_length=100, description="Names by which browsers may ask for it, beside the address and localhost."),
    ] = Field(default_factory=list)
    https: Annotated[
        StrictBool,
        Field(
            description="Browsers reach it by https, through a proxy on this machine: cookies are sent over TLS only."
        ),
    ] = False
    read_only: Annotated[StrictBool, Field(description="Nobody can change anything by it.")] = False

    @field_validator("listen")
    @classmethod
    def _is_address(cls, listen: str) -> str:
        address_of(listen)
        return listen

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        host, _ = address_of(self.listen)
        if not is_private(host) and self.token is None and not self.users:
            raise ValueError(
                f"listen: other machines can reach {host}, and anyone there could run jobs; expected a token, as "
                'token = "${WEB_TOKEN}" (16 characters or more), or an address of this machine alone, as "127.0.0.1:8321"'
            )
        return self

    @model_validator(mode="after")
    def _tells_people_apart(self) -> Self:
        known: dict[str, str] = {} if self.token is None else {self.token.get_secret_value(): "token"}
        for name, user in self.users.items():
            other = known.setdefault(user.token.get_secret_value(), f"users.{name}")
            if other != f"users.{name}":
                raise ValueError(f"users.{name}: its token is that of {other} too; expected one of its own")
        return self


def address_of(listen: str) -> tuple[str, int]:
    """Host and port; ValueError with what was expected."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}|localhost)):([0-9]{1,5})", listen, re.ASCII)
    if match is None:
        raise ValueError(f"{listen[:100]!r}: {_EXPECTED}")
    host = "127.0.0.1" if match[2] == "localhost" else match[1] or match[2]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{listen!r}: {_EXPECTED}") from None
    if int(match[3]) > 65535:
        raise ValueError(f"{listen!r}: {_EXPECTED}; a port is at most 65535")
    return host, int(match[3])


def is_private(host: str) -> bool:
    """Whether this machine alone can reach the address."""
    return ipaddress.ip_address(host).is_loopback
