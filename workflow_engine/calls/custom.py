"""Functions of type ``custom`` (DSL 0.8): Python functions that are installed beside the worker, by their names.

A package registers them as entry points of the group ``workflow_engine.functions``; code can use `FUNCTIONS`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import entry_points
from typing import Any, TypeAlias

import orjson

from workflow_engine.calls.content import kind
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.exchange import deadline
from workflow_engine.calls.url import bounded
from workflow_engine.errors import Fault, fault
from workflow_engine.values import Json, JsonObject

GROUP = "workflow_engine.functions"
THREADS = 16
"""How many functions that are not ``async`` run at a time; the next ones wait."""
_SHOWN = 500


@dataclass(frozen=True, slots=True)
class FunctionContext:
    """What a function is told about its call: *idempotency_key* is the same for every attempt of it.

    *workflow* is the URI of the workflow (``/default/order/1.0``), *state* the pointer of the action, *timeout* in
    seconds from *now* on.
    """

    run_id: str
    workflow: str
    state: str
    idempotency_key: str
    now: datetime
    timeout: float


Function: TypeAlias = Callable[[Any, FunctionContext], Any]
"""Takes the arguments of the action, an object unless the document has them as a whole; gives what JSON can have.

It may be ``async``; otherwise it gets a thread.
"""


class Functions:
    """Functions by their names: those that code has registered, and the entry points of this environment."""

    def __init__(self, group: str = GROUP) -> None:
        self._group = group
        self._known: dict[str, Function] = {}

    def register(self, name: str, function: Function) -> None:
        """Make *function* known as *name*, before any entry point of that name."""
        self._known[name] = function

    @contextmanager
    def registered(self, **functions: Function) -> Iterator[None]:
        """Know *functions* within the block, for tests."""
        before = dict(self._known)
        self._known |= functions
        try:
            yield
        finally:
            self._known = before

    def find(self, names: Sequence[str]) -> Function | None:
        """The function with the first of *names* that there is; importing it may take time, and fail in any way."""
        for name in names:
            if name not in self._known:
                for found in entry_points(group=self._group, name=name):
                    self._known[name] = found.load()
            if name in self._known:
                return self._known[name]
        return None


FUNCTIONS = Functions()
_THREADS = ThreadPoolExecutor(THREADS, thread_name_prefix="function")


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Call the function with one of ``names``, the first that there is, with the ``arguments``.

    One that there is not is a configuration fault. What it raises is a runtime fault (500) whose title is the name of
    the exception; a `Fault` that it raises is that. When its time is up it is cancelled, and a communication fault
    says so; a function in a thread goes on by itself, with its outcome lost.
    """
    named = arguments.get("names")
    names = [str(name) for name in named] if isinstance(named, list) else []
    given = arguments.get("arguments")
    function = await _found(names, context)
    about = FunctionContext(
        context.run_id, context.source, context.state, context.idempotency_key, context.now, context.timeout
    )
    what = f"the function {names[0]!r}"
    async with deadline(context.timeout, what):
        try:
            outcome = await _outcome(function, {} if given is None else given, about)
        except Fault:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises is the failure of the call
            raise _failed(what, error, context) from None
    return await asyncio.to_thread(_as_json, outcome, what, context.egress.max_response)


async def _found(names: list[str], context: CallContext) -> Function:
    try:
        function = await asyncio.to_thread(FUNCTIONS.find, names)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing is running foreign code
        shown = bounded(" ".join(context.redact(f"{type(error).__name__}: {error}").split()), _SHOWN)
        raise fault("configuration", f"the function {names[0]!r} cannot be imported: {shown}") from None
    if function is None:
        listed = " or ".join(repr(name) for name in names)
        raise fault(
            "configuration",
            f"this worker has no function {listed}: install a package with an entry point of that name in the group "
            f"{GROUP!r}, or register it with `FUNCTIONS`",
        )
    return function


async def _outcome(function: Function, arguments: Json, about: FunctionContext) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(arguments, about)
    outcome = await asyncio.get_running_loop().run_in_executor(_THREADS, function, arguments, about)
    return await outcome if inspect.isawaitable(outcome) else outcome


def _failed(what: str, error: BaseException, context: CallContext) -> Fault:
    name = type(error).__name__
    text = bounded(" ".join(context.redact(f"{what}: {name}: {error}").split()), _SHOWN)
    return fault("runtime", text, status=500, title=name)


def _as_json(outcome: Any, what: str, limit: int) -> Json:
    """*outcome* as a run can keep it: JSON, not larger than *limit* bytes."""
    try:
        text = orjson.dumps(outcome)
    except TypeError as error:
        gave = type(outcome).__name__
        raise fault("runtime", f"{what} gave what JSON cannot have ({gave}): {error}") from None
    if len(text) > limit:
        raise fault(
            "runtime", f"{what} gave more than {limit:,} bytes, the limit for one result ({kind(outcome)})"
        )
    found: Json = orjson.loads(text)
    return found
