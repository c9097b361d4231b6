"""What an operator may set in ``[plugins.metrics]``."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

_EXPECTED = 'expected an address and a port, as "127.0.0.1:9321"'


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    # Before `listen`, whose check needs it.
    public: Annotated[
        bool, Field(description="Other machines may read what `listen` offers. It has no login: guard it otherwise.")
    ] = False
    listen: Annotated[
        str | None,
        Field(
            description='Where GET /metrics is answered, as "127.0.0.1:9321" or "[::1]:9321"; port 0 takes a free one.'
            " Without it only `mainspring metrics` tells them."
        ),
    ] = None

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, listen: str | None, info: ValidationInfo) -> str | None:
        if listen is None:
            return None
        host, _ = address_of(listen)
        if not (ipaddress.ip_address(host).is_loopback or info.data.get("public")):
            raise ValueError(
                f"other machines can reach {host}, and the page has no login; expected an address of this machine alone, "
                'as "127.0.0.1:9321", or beside it public = true'
            )
        return listen


def address_of(listen: str) -> tuple[str, int]:
    """Host and port; ValueError with what was expected."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}|localhost)):([0-9]{1,5})", listen)
    if match is None:
        raise ValueError(_EXPECTED)
    host = "127.0.0.1" if match[2] == "localhost" else match[1] or match[2]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if int(match[3]) > 65535:
        raise ValueError(f"{_EXPECTED}; a port is at most 65535")
    return host, int(match[3])
