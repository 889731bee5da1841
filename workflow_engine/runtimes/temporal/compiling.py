"""The graphs of large bundles are made beside the workflow task that needs them, which may not take long."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.graph.model import StateGraph

SMALL = 16 * 1024
"""Bundles of fewer bytes are compiled at once."""
PATIENCE = 1.2
"""How long a workflow task waits, in seconds: less than the library's own two, should it not know `worker.STUCK`."""

_compiler = ThreadPoolExecutor(1, thread_name_prefix="compiling")
_under_way: dict[str, Future[StateGraph]] = {}
_known: set[str] = set()
_lock = threading.Lock()


class StillCompiling(Exception):
    """The graph is not ready; the workflow task is tried again, and finds it then."""


def graph_of(bundle: Bundle) -> StateGraph:
    """The graph of *bundle*; `StillCompiling` while it is large and not ready."""
    if len(bundle.data) < SMALL or bundle.digest in _known:
        return bundle.graph()
    with _lock:
        future = _under_way.get(bundle.digest)
        if future is None:
            future = _under_way[bundle.digest] = _compiler.submit(bundle.graph)
    try:
        graph = future.result(PATIENCE)
    except NotInTime:
        if future.done():
            raise
        raise StillCompiling("the document is large, and is being compiled") from None
    finally:
        if future.done():
            with _lock:
                _under_way.pop(bundle.digest, None)
    if len(_known) > 1000:
        _known.clear()
    _known.add(bundle.digest)
    return graph
