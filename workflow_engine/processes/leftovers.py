"""Folders in which programs work, and what is left of them when their guard was killed too.

A folder is locked for as long as its owner lives (flock), however it ends. One that nobody has locked is a leftover.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "wfe-process-"
_GROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder of one's own; it is gone afterwards, with all that is in it."""
    folder, lock = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _made() -> tuple[Path, int]:
    """A new folder and its lock; another one if somebody took it for a leftover before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def remove_leftovers() -> None:
    """Remove the folders, and on Linux the control groups, of programs whose worker was killed with its guards."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove_if_free(folder)
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for group in Path(f"{_GROUPS / controllers}{path}").glob("wfe-[0-9]*"):
                with contextlib.suppress(OSError):  # one that has programs in it cannot be removed
                    if not Path(f"/proc/{group.name.removeprefix('wfe-')}").exists():
                        group.rmdir()


def _remove_if_free(folder: Path) -> None:
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        return
    lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
