"""Rows that somebody has written into the store by hand: the kernel goes on, and so does the queue behind them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from kernel import Client
from tests.acceptance.rig.program import Program, url_of, write_config

if TYPE_CHECKING:
    from pathlib import Path

MOST_SECONDS = 2.0
AT_ONCE = 6
YEAR_1, YEAR_9999, NEVER = -62_135_596_800, 253_402_300_799, "9e999"
NO_TEXT = "CAST(x'ff' AS TEXT)"

QUEUED = "state = 4, due = 0"
DAMAGES = [
    f"""{QUEUED}, payload = '{{"filling": '""",
    f"{QUEUED}, payload = ''",
    f"{QUEUED}, payload = '[]'",
    f"{QUEUED}, payload = 'null'",
    f"""{QUEUED}, payload = '{{"filling": NaN}}'""",
    f"""{QUEUED}, payload = '{{"filling": "\\ud800"}}'""",
    f"{QUEUED}, payload = '{'[' * 100_000}'",
    f"{QUEUED}, payload = {NO_TEXT}",
    f"{QUEUED}, job = 'hostile.nobody'",
    f"{QUEUED}, job = ''",
    f"{QUEUED}, job = {NO_TEXT}",
    f"{QUEUED}, queue = ''",
    f"{QUEUED}, queue = {NO_TEXT}",
    f"{QUEUED}, id = ''",
    f"{QUEUED}, id = {NO_TEXT}",
    f"{QUEUED}, tags = '{{'",
    f"{QUEUED}, tags = '5'",
    f"{QUEUED}, tags = {NO_TEXT}",
    f"{QUEUED}, priority = -1",
    f"{QUEUED}, priority = 9223372036854775807",
    f"{QUEUED}, attempt = -5, token = -5, failures = -5",
    f"{QUEUED}, attempt = 9223372036854775806, token = 9223372036854775806, failures = 9223372036854775806",
    f"{QUEUED}, schedule = 'no such schedule', tick = {YEAR_9999}, folded = -1",
    f"state = 4, due = {YEAR_1}, urgency = {YEAR_1}, enqueued = {YEAR_1}",
    f"state = 4, due = {YEAR_9999}, enqueued = {YEAR_9999}",
    f"state = 4, due = {NEVER}, urgency = -{NEVER}, enqueued = -{NEVER}",
    f"state = 1, due = {NEVER}",
    f"state = 1, due = -{NEVER}",
    f"state = 4, due = 0, expires = {NEVER}",
    f"state = 4, due = 0, expires = -{NEVER}",
    f"state = 1, expires = {YEAR_1}",
    "state = 2, due = 1e300",
    "state = 3, schedule = 'no such schedule'",
    "state = 3",
    "state = 99",
    "state = 0",
    "state = -1",
    "state = 5, kernel = 'nobody'",
    "state = 6, finished = 1e300, result = '{', error = '{'",
    f"state = 7, finished = {YEAR_1}, error = '[]', notes = '{{'",
    "state = 9, error = '{\"type\": 1}'",
]


async def test_rows_that_somebody_has_spoilt_harm_neither_the_kernel_nor_the_runs_behind_them(tmp_path: Path) -> None:
    write_config(tmp_path, plugins="[plugins.hostile]")
    with Program(tmp_path) as program:
        await program.ready()
        async with Client(url_of(tmp_path)) as client:
            for at in range(0, len(DAMAGES), AT_ONCE):
                damages = DAMAGES[at : at + AT_ONCE]
                for damage in damages:
                    run = await client.enqueue("hostile.kind", priority=0, delay="1h")
                    spoil(tmp_path / "store.db", run.id, damage)

                await goes_on(program, client, damages)
        program.kill()

    with Program(tmp_path, 1) as program:
        await program.ready()
        async with Client(url_of(tmp_path)) as client:
            await goes_on(program, client, DAMAGES)


async def goes_on(program: Program, client: Client, damages: list[str]) -> None:
    """Runs behind the spoilt ones go at once, and all can be listed."""
    what = "\n".join(damage[:100] for damage in damages)
    run = await client.enqueue("hostile.kind")
    try:
        await client.wait(run.id, MOST_SECONDS)
    except TimeoutError as error:
        raise AssertionError(f"{error}, after one of\n{what}\n{program.log[-4000:]}") from error
    assert len(await program.ask("runs_list", limit=1000)) > len(damages), what


def spoil(path: Path, run: str, damage: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute(f"UPDATE run SET {damage} WHERE id = ?", [run])  # noqa: S608 - of the list above
