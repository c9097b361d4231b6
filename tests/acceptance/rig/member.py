"""The program as one of many kernels: with a shorter lease, or on a machine whose clock is wrong, as the environment says.

Without either it is the program itself.
"""

from __future__ import annotations

import os
import time

_AHEAD = float(os.environ.get("MEMBER_AHEAD", "0"))
if _AHEAD:  # before anything is imported that may keep the machine's clock
    _now, _now_ns = time.time, time.time_ns
    time.time = lambda: _now() + _AHEAD
    time.time_ns = lambda: _now_ns() + round(_AHEAD * 1e9)

import kernel.kernel  # noqa: E402 - as said above
from kernel.__main__ import main  # noqa: E402
from plugins.postgres.store import PostgresStore  # noqa: E402

LEASE = os.environ.get("MEMBER_LEASE")
RENEWALS = 6
"""In the time of one lease, as it is with the real one."""


async def _open_store(url: str, *_: object) -> PostgresStore:
    lease = float(LEASE or 0)
    return PostgresStore(url, lease_seconds=lease, renew_seconds=lease / RENEWALS)


if __name__ == "__main__":
    if LEASE is not None:
        setattr(kernel.kernel, "open_store", _open_store)  # noqa: B010 - by its name, for it is no public one
    main()
