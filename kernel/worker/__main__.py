"""The program of a worker: ``python kernel/worker/__main__.py SOCKET LIFELINE PLUGIN``, started by flow/processes.py.

It imports as little as it can until it is told where the kernel's modules are.
"""

import contextlib
import json
import os
import signal
import socket
import sys

HEAD_BYTES = 1024 * 1024


def main() -> None:
    """Until the kernel says that it ends, or hangs up."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    lifeline = int(sys.argv[2])
    for descriptor in (connection.fileno(), lifeline):
        os.set_inheritable(descriptor, False)
    _die_with(lifeline)
    _leave_signals_to_the_kernel()
    os.register_at_fork(after_in_child=lambda: _become_a_stranger(connection, lifeline))
    head, _, rest = _first_line(connection)
    hello = json.loads(head)
    sys.path[:] = hello["path"]

    from kernel.worker.program import Program  # noqa: PLC0415 - it is found only now

    Program(connection, rest, hello["level"]).run()


def _die_with(lifeline: int) -> None:
    """The kernel holds the other end of this pipe: when it dies, the system kills this process and what it has started.

    No code of ours has to run for that: a job in C code may hold the interpreter. Elsewhere than on Linux the thread
    that listens to the kernel has to do it.
    """
    try:
        import fcntl  # noqa: PLC0415 - as in the docstring of the module

        target = -os.getpgrp() if os.getpgrp() == os.getpid() else os.getpid()
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, target)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    except (AttributeError, ImportError, OSError):
        return


def _leave_signals_to_the_kernel() -> None:
    """Ctrl-C, or a service manager that stops all processes of the service, is meant for the kernel, which then drains."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)


def _become_a_stranger(connection: socket.socket, lifeline: int) -> None:
    """A child that a job has forked does not speak for it, and heeds signals as processes do."""
    with contextlib.suppress(OSError):
        connection.close()
        os.close(lifeline)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _first_line(connection: socket.socket) -> tuple[bytes, bytes, bytes]:
    received = b""
    while b"\n" not in received:
        more = connection.recv(HEAD_BYTES)
        if not more:  # the kernel has died meanwhile
            os._exit(1)
        received += more
    return received.partition(b"\n")


if __name__ == "__main__":
    main()
