"""CPU time and memory of a process group, from Linux's /proc; not a script."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def iter_processes(group: int) -> Iterator[Path]:
    """Yield the folders in /proc of a process group."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(folder.name)) == group:
                yield folder


def read_process_cpu_seconds(process: int) -> float:
    """Return the CPU seconds of one process, without its child processes."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def read_cpu_seconds(group: int) -> float:
    """Return the CPU seconds of a process group, including ended child processes."""
    ticks = 0
    for folder in iter_processes(group):
        with suppress(OSError):  # the process has ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def read_memory(group: int) -> float:
    """Return the MB of a process group; shared pages count once (PSS)."""
    kilobytes = 0
    for folder in iter_processes(group):
        with suppress(OSError):
            lines = (folder / "smaps_rollup").read_text().splitlines()
            kilobytes += sum(
                int(line.split()[1]) for line in lines if line.startswith("Pss:")
            )
    return round(kilobytes / 1024, 1)
