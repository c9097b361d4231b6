"""Chance that comes out the same each time, or otherwise by ``MAINSPRING_SEED=7``."""

from __future__ import annotations

import os
import random

SEED = os.environ.get("MAINSPRING_SEED", "1")


def chance_of(*purpose: object) -> random.Random:
    return random.Random(f"{SEED} {purpose}")  # noqa: S311 - it spreads faults, guards nothing
