"""Whether processes still run, told by the system and not by who started them."""

from __future__ import annotations

import asyncio
from pathlib import Path


def gone(pid: int) -> bool:
    """Whether *pid* has ended; one that only waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def has_gone(*pids: int, within: float = 20) -> None:
    """Wait until all of *pids* have ended; fails after *within* seconds."""
    async with asyncio.timeout(within):
        while not all(gone(pid) for pid in pids):  # noqa: ASYNC110 - nothing tells us of others' children
            await asyncio.sleep(0.01)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
