"""Making much at once without looking through it for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (10_000, 5, 5)
"""How many objects there are to be more before the collector looks through the young ones, and after how many looks
through those at older ones. Where it looks as soon as Python has it, which is at 700, it looks through the data of a
run again and again while that is made, and finds nothing: what completed runs leave is freed without it.
"""
_settled = False


def settle() -> None:
    """Have the collector of garbage pass over what is there by now, modules above all, as long as the process runs, and
    look less often for what comes to it. It may be told so again once there is more.
    """
    global _settled
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    _settled = True


@contextmanager
def uncollected() -> Iterator[None]:
    """Garbage in cycles waits until what is done here is done.

    Nearly all that is made of a document stays, and the collector would look through it again and again as it grows:
    the more there is, the more each part of it would take. What is done here is bounded by the size of one document.
    Of several threads the first that ends lets the collector go on for all, which costs the others time and no more.
    Then everything counts as old, so that it is not looked through at once either, but when all that is old is.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            # `gc.get_freeze_count` would go through all that is frozen, which may take longer than the rest.
            if not _settled:
                gc.freeze()
                gc.unfreeze()
            gc.enable()
