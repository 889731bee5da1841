"""Routes that refuse parameters of the query that they do not have: a misspelt `?wiat=10` would be as none."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from difflib import get_close_matches
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from workflow_engine.errors import Rejected

_LONGEST = 100


class StrictRoute(APIRoute):
    """A route of an `APIRouter(route_class=StrictRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = sorted(_parameters(self.dependant))

        async def strict(request: Request) -> Response:
            if request.scope["query_string"]:
                for name in request.query_params:
                    if name not in known:
                        raise Rejected("unknown-parameter", _unknown(name[:_LONGEST], known))
            return await handle(request)

        return strict


def _parameters(dependant: Dependant) -> set[str]:
    found = {field.alias for field in dependant.query_params}
    return found.union(*map(_parameters, dependant.dependencies))


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    if close:
        return f"there is no parameter {name!r} here; did you mean {close[0]!r}?"
    there = (
        f"those that there are: {', '.join(known)}" if known else "nothing can be asked here by parameters"
    )
    return f"there is no parameter {name!r} here; {there}"
