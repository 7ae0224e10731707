"""Programs whose clocks go wrong: `python -m tests.faults.clocks SECONDS MODULE [ARGUMENT...]` runs a module so.

Only the time of day differs; the clock that waits and timeouts are measured with stays right. libfaketime can't do
that: it makes `time.sleep` of Python 3.11 and later fail, which waits until a moment of the other clock.
"""

import runpy
import sys
import time
from types import SimpleNamespace

import grpc._channel
import time_machine
from harness.process import Process


def set_clock(process: Process, seconds: int) -> None:
    """Start a program of a system anew with its clock set forward, or back where negative."""
    process.stop()
    python, option, *module = process.command
    process.command = [python, option, __name__, str(seconds), *module]
    process.start()


def main() -> None:
    """Run the module with the arguments behind it, and with the clock set forward by the seconds before it."""
    seconds = float(sys.argv[1])
    # gRPC's core is told when a call is too late, and its clock stays right.
    right = SimpleNamespace(time=time_machine.escape_hatch.time.time, perf_counter=time.perf_counter)
    vars(grpc._channel)["time"] = right
    sys.argv = sys.argv[2:]
    with time_machine.travel(time.time() + seconds, tick=True):
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
