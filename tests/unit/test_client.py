"""What a client says to what it cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kernel import Client, Kernel
from kernel.config import parse_config
from kernel.model.errors import ConfigError, RequestError

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="5: expected the URL of a store"):
        Client(5)  # type: ignore[arg-type] # the mistake


async def test_a_store_in_memory_is_only_reachable_inside_its_kernels_process() -> None:
    with pytest.raises(ConfigError, match="only reachable inside its kernel's process"):
        await Client("memory://").__aenter__()


async def test_what_is_no_id_and_what_are_no_requests_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    config = parse_config(f'[kernel]\nstore = "{url}"\n', tmp_path / "plugins.toml", {})
    wrong: Any = 5

    async with Kernel(config) as kernel, Client(url) as client:
        for one in (kernel, client):
            with pytest.raises(RequestError, match="5 is no run's id"):
                await one.wait(wrong)
            with pytest.raises(RequestError, match=r"5: expected a list of \(job, payload\)"):
                await one.enqueue_many(wrong)
