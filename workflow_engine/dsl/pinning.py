"""Gather everything that a document needs from outside: what is pinned in its bundle, and never fetched again.

A function from elsewhere may itself need functions and documents, so needs are answered until nothing new is asked
for. All of it is bounded; what cannot be had is a problem of the document, at the place where it asks for it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from workflow_engine import dsl
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.functions import parse_function
from workflow_engine.dsl.needs import Need, needs, needs_of_definitions, needs_of_function
from workflow_engine.errors import InvalidDocument, NotFound, Problem, Rejected
from workflow_engine.values import Json

Answer = Callable[[Need], Awaitable[Json]]
"""Finds an external thing. `NotFound` when it is not there, with a hint where it should be; `Rejected` and
`InvalidDocument` when it is of no use; `Unanswered` when somebody else may know.

A function is ``{"address": text, "function": task}``; what the others are is up to their callers.
"""

MOST = 1000
"""How many things a document may need, its functions included."""
MOST_FUNCTIONS = 100
DEEPEST = 16
"""How deep functions from elsewhere may call others from elsewhere."""
MAX_FUNCTIONS = 4 * 1024 * 1024
"""How large all functions from elsewhere may be together, in characters of JSON."""
SHOWN = 5
"""How many problems of one function are told."""


class Unanswered(Exception):
    """Whoever is asked does not know, and somebody else may."""


async def pin(document: Document, answer: Answer, given: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """Everything that *document* needs, by key: from *given*, or else by *answer*.

    `InvalidDocument` with everything that cannot be had, or else with what is wrong with the functions and
    schemas that were found.
    """
    found = await gather(document, answer, given or {})
    if any(key.startswith(("function:", "schema:", "definitions:")) for key in found):
        problems = dsl.check(document, found)
        if any(problem.severity == "error" for problem in problems):
            raise InvalidDocument(problems, name=document.name)
    return found


async def gather(document: Document, answer: Answer, given: Mapping[str, Json]) -> dict[str, Json]:
    """As `pin`, without looking at the whole; what nobody answers is left out."""
    found: dict[str, Json] = {}
    problems: list[Problem] = []
    waiting = deque((need, 0) for need in needs(document.data))
    asked: set[str] = set()
    size = functions = 0
    while waiting:
        need, depth = waiting.popleft()
        if need.key in asked:
            continue
        asked.add(need.key)
        functions += need.kind == "function"
        too_much = _too_much(len(asked), functions, size, depth)
        if too_much:
            problems.append(document.problem("too-large", too_much, need.pointer))
            break
        try:
            resource = given[need.key] if need.key in given else await answer(need)
            if need.kind == "function":
                size += len(json.dumps(resource))
                waiting += [(inner, depth + 1) for inner in _inside(resource, need, document)]
            elif need.kind == "definitions":
                known = {**found, need.key: resource}
                assert isinstance(document.data, dict)
                waiting += [(inner, depth + 1) for inner in needs_of_definitions(document.data, known)]
        except Unanswered:
            continue
        except (NotFound, Rejected) as missing:
            within = f" (needed by the function {need.within})" if need.within else ""
            problems.append(document.problem("unresolved", f"{missing}{within}", need.pointer))
        except InvalidDocument as invalid:
            problems += _of_function(document, need, invalid)
        else:
            found[need.key] = resource
    if problems:
        raise InvalidDocument(problems, name=document.name)
    return found


def _too_much(needed: int, functions: int, size: int, depth: int) -> str:
    if needed > MOST:
        return f"it needs more than {MOST:,} things from outside"
    if functions > MOST_FUNCTIONS:
        return f"it needs more than {MOST_FUNCTIONS} functions from elsewhere"
    if size > MAX_FUNCTIONS:
        return f"its functions from elsewhere are larger than {MAX_FUNCTIONS:,} characters together"
    if depth > DEEPEST:
        return f"functions from elsewhere call one another more than {DEEPEST} deep"
    return ""


def _inside(resource: Json, need: Need, document: Document) -> list[Need]:
    """What the function *resource* needs; `InvalidDocument` where it is none, whoever has sent it."""
    address = resource.get("address") if isinstance(resource, dict) else None
    function = resource.get("function") if isinstance(resource, dict) else None
    if not isinstance(address, str) or not isinstance(function, dict):
        raise Rejected(
            "unresolved", f"the function {need.key.partition(':')[2]!r} is not what a function looks like"
        )
    parse_function(json.dumps(function), address)  # what was sent along is not taken on trust
    return needs_of_function(function, need, address, document.data)


def _of_function(document: Document, need: Need, invalid: InvalidDocument) -> list[Problem]:
    """The problems of a function that was found, as problems of the document that asks for it."""
    told = []
    for problem in invalid.problems[:SHOWN]:
        if problem.severity == "error":
            message = f"the function {problem.render(invalid.name)}"
            told.append(document.problem("invalid-function", message, need.pointer))
    return told
