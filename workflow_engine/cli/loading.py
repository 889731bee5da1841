"""Importing much at once, as commands do when they begin."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Have no garbage looked for while modules are imported: nearly all that they make stays, and the collector would
    look through it again and again as it grows, which takes a sixth of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
