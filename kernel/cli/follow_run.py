"""``mainspring runs show ID --follow``: the progress and the log of a run as they come, until it has ended."""

from typing import TYPE_CHECKING, Any

from kernel.cli.kernel_watch import KernelWatch
from kernel.cli.output import clean
from kernel.cli.progress_bar import Bar, progress_bar
from kernel.cli.run_record import log_line, new_lines, progress_text

if TYPE_CHECKING:
    from kernel.cli.desk import Desk

_LOOK_SECONDS = 0.5


async def follow_run(desk: "Desk", run: str) -> dict[str, Any]:
    """The run when it has ended, for which there must be a kernel: without one it waits, and says so.

    On a terminal progress is a bar, elsewhere a line each time it is another.
    """
    before: dict[str, Any] = {"log": [], "progress": None, "progress_text": None, "state": None, "attempt": 0}
    kernels = KernelWatch(desk)
    with progress_bar() as bar:
        while True:
            found: dict[str, Any] = await desk.call("runs_show", run=run)
            _tell(bar, before, found)
            if found["finished_at"]:
                return found
            before = found
            await kernels.look()
            # Which comes back at once when the run ends.
            await desk.call("wait", run=run, timeout=_LOOK_SECONDS)


def _tell(bar: Bar, before: dict[str, Any], found: dict[str, Any]) -> None:
    is_elsewhere = not bar.is_shown
    if is_elsewhere and (found["state"], found["attempt"]) != (before["state"], before["attempt"]):
        bar.say(f"{found['state']}, attempt {found['attempt']}" if found["attempt"] else clean(found["state"]))
    for line in new_lines(before["log"], found["log"]):
        bar.say(log_line(line))
    bar.show(found)
    if is_elsewhere and progress_text(found) != progress_text(before):
        bar.say(progress_text(found))
