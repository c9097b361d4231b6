"""Who asks: by a token in a header, or by the cookie that the login page gives for one."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from .problem import Problem

if TYPE_CHECKING:
    from .settings import Role, Settings

log = logging.getLogger(__name__)

SESSION_SECONDS = 12 * 3600.0
ANYONE = "operator"
"""The name of who acts where nobody has to log in, or has the token that all share."""
WRONG_TOKENS_A_MINUTE = 5
_LONGEST = 1_000


class Who(NamedTuple):
    name: str
    role: Role


class Identities:
    """Those who may come in. A cookie is signed with the token it was given for: it survives a restart, and a new token ends it."""

    def __init__(self, settings: Settings) -> None:
        self._wrong: deque[float] = deque(maxlen=WRONG_TOKENS_A_MINUTE)
        self._tokens: dict[str, tuple[Who, bytes]] = {}
        for name, user in settings.users.items():
            self._tokens[name] = (Who(name, user.role), user.token.get_secret_value().encode())
        if settings.token is not None:
            self._tokens[""] = (Who(ANYONE, "operate"), settings.token.get_secret_value().encode())

    @property
    def is_open(self) -> bool:
        """Whether nobody has to log in."""
        return not self._tokens

    def by_token(self, token: str) -> tuple[Who, str]:
        """Who has this token, and the key of it for ``cookie_for``. A wrong one takes as long.

        Problem when it is wrong, and when there have been too many wrong ones.
        """
        now = time.monotonic()
        if len(self._wrong) == WRONG_TOKENS_A_MINUTE and now - self._wrong[0] < 60.0:
            raise Problem(429, "Wait", "too many wrong tokens; wait a minute", headers={"Retry-After": "60"})
        given = hashlib.sha256(token[:_LONGEST].encode("utf-8", "replace")).digest()
        found = None
        for key, (who, secret) in self._tokens.items():
            if hmac.compare_digest(hashlib.sha256(secret).digest(), given) and len(token) <= _LONGEST:
                found = who, key
        if found is None:
            self._wrong.append(now)
            log.warning("the web plugin was given a wrong token")
            raise Problem(401, "Wrong token", "This token is not known here.", headers={"WWW-Authenticate": "Bearer"})
        return found

    def cookie_for(self, key: str, now: float) -> str:
        until = f"{now + SESSION_SECONDS:.0f}"
        name = key.encode().hex()
        return f"{name}.{until}.{self._signature(key, until)}"

    def by_cookie(self, cookie: str, now: float) -> Who | None:
        name, _, rest = cookie[:_LONGEST].partition(".")
        until, _, signature = rest.partition(".")
        try:
            key, is_over = bytes.fromhex(name).decode(), float(until) < now
        except ValueError:
            return None
        if key not in self._tokens or not until.isdigit():
            return None
        is_ours = hmac.compare_digest(self._signature(key, until).encode(), signature.encode("utf-8", "replace"))
        return self._tokens[key][0] if is_ours and not is_over else None

    def _signature(self, key: str, until: str) -> str:
        _, secret = self._tokens[key]
        return hmac.new(secret, f"mainspring session {key!r} {until}".encode(), "sha256").hexdigest()
