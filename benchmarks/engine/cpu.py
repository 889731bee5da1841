"""CPU time of other processes, from Linux's ``/proc``; nothing where there is none."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float | None:
    """User and system time that the process has used, with the children that it has waited for."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return sum(int(fields[number]) for number in (11, 12, 13, 14)) / _TICKS
