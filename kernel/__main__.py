"""``python -m kernel``, which is installed as ``mainspring``."""

import contextlib
import os
import sys
import threading


def main() -> None:
    """Runs one command and ends the process with its status; whatever goes wrong is told in a message."""
    _open_streams()
    status = _status_of_command()
    status = _flush() or status
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        # Code of a plugin may have left a thread that never ends; the process does not wait for it.
        os._exit(status)
    sys.exit(status)


def _status_of_command() -> int:
    from kernel.model.errors import MainspringError, StoreError  # noqa: PLC0415 - so that main itself is always there

    try:
        return _run_command()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1
    except MainspringError as error:
        _tell(str(error))
        return 1 if isinstance(error, StoreError) else 2
    except OSError as error:
        _tell(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except Exception as error:  # a fault of the program itself: the message is for whoever reports it
        if os.environ.get("MAINSPRING_TRACEBACK"):
            raise
        _tell(f"unexpected {type(error).__name__}: {error}; with MAINSPRING_TRACEBACK=1 it tells where")
        return 1


def _run_command() -> int:
    from typer.main import get_command  # noqa: PLC0415 - as above

    from kernel.cli.tree import make_app  # noqa: PLC0415 - as above

    try:
        get_command(make_app())(prog_name="mainspring")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        if status == 2 and "--config" in sys.argv[2:] and not sys.argv[1].startswith("-"):
            _tell(f"--config stands before the command: mainspring --config PATH {sys.argv[1]}")
        return status
    return 0


def _open_streams() -> None:
    """A stream that was closed for us is /dev/null: else the next file to be opened would be taken for it."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - stays open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as above
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # What the terminal's encoding lacks, or a name that is not text at all, is no reason to fail.
            stream.reconfigure(errors="backslashreplace")


def _flush() -> int:
    """Writes what is left; a reader that has gone away is no reason for a message."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _tell(f"the output could not be written: {error.strerror}")
        return 1
    return 0


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - printing is what a command does


if __name__ == "__main__":
    main()
