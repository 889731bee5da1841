"""How much memory this process may use: what the machine has, or less where its container or service is given less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SHARE = 4
"""Large values may have one part in so many of it."""
LEAST, LARGEST = 64 * 1024 * 1024, 1024 * 1024 * 1024
_MACHINE = 8 * 1024 * 1024 * 1024
_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available(groups: Path = _GROUPS, own: Path = _OWN) -> int:
    """In bytes; of a machine that does not tell, 8 GiB. *own* says in which of the control *groups* the process is."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        memory = _MACHINE
    for file in _limits(groups, own):
        try:
            memory = min(memory, int(file.read_text()))
        except (OSError, ValueError):  # there is none, or it is "max"
            continue
    return memory


def _limits(groups: Path, own: Path) -> Iterator[Path]:
    """The files that may have a limit: those of the group of this process, and of the groups around it."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    for root, name, kinds in (
        (groups, "memory.max", ""),
        (groups / "memory", "memory.limit_in_bytes", "memory"),
    ):
        yield root / name
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if kinds in controllers.split(","):
                group = root / path.lstrip("/")
                yield from (part / name for part in (group, *group.parents) if part.is_relative_to(root))


def for_values(processes: int = 1) -> int:
    """How many bytes of large values each of so many *processes* has at a time, where nobody says."""
    return max(LEAST, min(available() // SHARE, LARGEST) // processes)
