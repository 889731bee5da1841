"""A file that at most one holder has locked, with the holder's pid in it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path

from workflow_engine.errors import Conflict

_RETRY_EVERY = 0.1


class LockFile:
    """A held lock. It lasts until `close`, or until the last process that inherited *fd* has ended, however it
    ends; the file stays, for it is the lock that counts (flock), not the file's presence. Not for network file
    systems without locks.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    async def acquire(cls, path: Path, what: str, *, patience: float = 0.0) -> LockFile:
        """Lock *path*, or raise Conflict that says who holds *what* (`the data folder .wfe`).

        A holder that has itself ended may leave its programs a moment to end, still holding the lock: that is
        waited for, *patience* seconds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            fd = _locked(path)
            if fd is not None:
                return cls(path, fd)
            holder = _holder(path)
            if _runs(holder) or loop.time() >= deadline:
                raise Conflict(f"{what} is in use by {_described(holder)}: stop it, or choose another place")
            await asyncio.sleep(_RETRY_EVERY)

    def close(self) -> None:
        """Let go; processes that inherited the lock keep it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _locked(path: Path) -> int | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    os.truncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def _holder(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text()[:20])
    return 0


def _runs(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _described(pid: int) -> str:
    if _runs(pid):
        return f"process {pid}"
    return f"programs that process {pid} started before it ended" if pid else "another process"
