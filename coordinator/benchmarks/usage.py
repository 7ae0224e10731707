"""The CPU time and the memory of programs."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """What something cost one program.

    Attributes:
        cpu_seconds: Of user and system, with those of its children.
        megabytes: Its resident memory at the end, in 10^6 bytes, without its children.
    """

    cpu_seconds: float
    megabytes: float


def cpu_seconds(pid: int) -> float:
    """The CPU seconds of a program so far, with its children, those that have ended too."""
    total = 0.0
    program = psutil.Process(pid)
    for process in (program, *program.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile; its parent's times have it now
            total += sum(process.cpu_times()[:4])
    return total


def used(programs: Mapping[str, int], act: Callable[[], object]) -> dict[str, Usage]:
    """Act, and see what it costs each program.

    Args:
        programs: Process ids by name.
        act: What is measured; everything else that the programs do meanwhile counts too.
    """
    before = {name: cpu_seconds(pid) for name, pid in programs.items()}
    act()
    return {
        name: Usage(cpu_seconds(pid) - before[name], psutil.Process(pid).memory_info().rss / 1e6)
        for name, pid in programs.items()
    }
