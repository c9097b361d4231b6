"""Who asks: by a token in a header, or by the cookie that the login page gives for one."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, NamedTuple

from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from .settings import Role, Settings

log = logging.getLogger(__name__)

SESSION_SECONDS = 12 * 3600.0
ANYONE = "operator"
"""The name of who acts where nobody has to log in, or has the token that all share."""
WRONG_TOKENS_A_MINUTE = 5
"""Of one address; then none is looked at any more for a while, lest somebody tries many."""
LONGEST_TOKEN = 1_000
_MOST_ADDRESSES = 1_000
_LONGEST_COOKIE = 1_000


class Who(NamedTuple):
    name: str
    role: Role


class Identities:
    """Those who may come in. A cookie is signed with the token it was given for: it survives a restart, and a new token ends it.

    ``elapsed``: the kernel's clock.
    """

    def __init__(self, settings: Settings, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._digests: dict[str, tuple[Who, bytes]] = {}
        for name, user in settings.users.items():
            self._digests[name] = (Who(name, user.role), _digest(user.token.get_secret_value()))
        if settings.token is not None:
            self._digests[""] = (Who(ANYONE, "operate"), _digest(settings.token.get_secret_value()))

    @property
    def is_open(self) -> bool:
        """Whether nobody has to log in."""
        return not self._digests

    def by_token(self, token: str, address: str = "") -> tuple[Who, str]:
        """Who has this token, and the key of it for ``cookie_for``. A wrong one takes as long.

        Problem when it is wrong, and when too many wrong ones have come from ``address``.
        """
        given = _digest(token[: LONGEST_TOKEN + 1])
        found = None
        for key, (who, digest) in self._digests.items():
            if hmac.compare_digest(digest, given):
                found = who, key
        if found is not None:
            # Also after wrong ones: behind a proxy all have one address, and a stranger there locks nobody out.
            return found
        wrong, now = self._wrong.get(address), self._elapsed()
        if wrong is not None and len(wrong) == WRONG_TOKENS_A_MINUTE and now - wrong[0] < 60.0:
            wait = f"{60.0 - (now - wrong[0]):.0f}"
            raise Problem(429, "Wait", f"Too many wrong tokens; wait {wait} s.", headers={"Retry-After": wait})
        self._note_wrong(address, now)
        raise Problem(401, "Wrong token", "This token is not known here.", headers={"WWW-Authenticate": "Bearer"})

    def _note_wrong(self, address: str, now: float) -> None:
        log.warning("the web plugin was given a wrong token by %s", address or "somebody")
        self._wrong.setdefault(address, deque(maxlen=WRONG_TOKENS_A_MINUTE)).append(now)
        self._wrong.move_to_end(address)
        if len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def cookie_for(self, key: str, now: float) -> str:
        until = f"{now + SESSION_SECONDS:.0f}"
        name = key.encode().hex()
        return f"{name}.{until}.{self._signature(key, until)}"

    def by_cookie(self, cookie: str, now: float) -> Who | None:
        name, _, rest = cookie[:_LONGEST_COOKIE].partition(".")
        until, _, signature = rest.partition(".")
        try:
            key, is_over = bytes.fromhex(name).decode(), float(until) < now
        except ValueError:
            return None
        if key not in self._digests or not until.isdigit():
            return None
        is_ours = hmac.compare_digest(self._signature(key, until).encode(), signature.encode("utf-8", "replace"))
        return self._digests[key][0] if is_ours and not is_over else None

    def _signature(self, key: str, until: str) -> str:
        _, digest = self._digests[key]
        return hmac.new(digest, f"mainspring session {key!r} {until}".encode(), "sha256").hexdigest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
