"""Signals of ``run``, to a real process whose main thread is in the middle of a long sleep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

PROGRAM = """
import asyncio, os, sys, threading, time
from kernel.cli.stop_signals import StopSignals

def tell(signals):
    while signals.count < 2:
        time.sleep(0.01)
    print("two are heard", flush=True)

async def main():
    nothing = lambda: None
    signals = StopSignals(on_stop=nothing, on_hurry=nothing, on_reload=nothing, on_dump=nothing, grace_seconds=lambda: 600.0,
                force=lambda why: (print(why, flush=True), os._exit(1)))
    signals.listen()
    for _ in range(8):  # a signal may be delivered to any thread
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    if "tell" in sys.argv:
        threading.Thread(target=tell, args=(signals,), daemon=True).start()
    print("listening", flush=True)
    time.sleep(600)

asyncio.run(main())
"""


def test_two_signals_at_once_are_both_heard_though_the_loop_is_blocked() -> None:
    command = [sys.executable, "-c", PROGRAM]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(10)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            os.kill(process.pid, signal.SIGTERM)
            os.kill(process.pid, signal.SIGINT)
        began = time.monotonic()

        said = [process.communicate(timeout=10)[0] for process in processes]

        assert said == ["it did not end within 2 s of the second signal\n"] * 10
        assert time.monotonic() - began < 6
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_third_signal_right_behind_ends_the_process_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM, "tell"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGINT)
        # Equal signals that have not been heard yet become one. Within 2.5 s of the second the program ends by itself.
        assert process.stdout.readline() == "two are heard\n"
        os.kill(process.pid, signal.SIGTERM)

        try:
            assert process.wait(2) == 1
        finally:
            process.kill()
