"""What states are called where a person reads of them, and what their executions are known by elsewhere."""

from __future__ import annotations

import hashlib

from workflow_engine.graph.model import State, StateGraph
from workflow_engine.interpreter.position import Frame

_PARTS = ("/use/functions/", "/use/extensions/")
"""Where regions are that are part of states elsewhere in the document."""


LONGEST_ID = 960
"""How many bytes the id of an execution has at most: Temporal takes a thousand, of which some are put before it."""


def fitting(id: str, most: int = LONGEST_ID) -> str:
    """*id*; where it has more than *most* bytes, its beginning and a digest that tells it from all others."""
    encoded = id.encode()
    if len(encoded) <= most:
        return id
    return encoded[: most - 33].decode(errors="ignore") + "~" + hashlib.sha256(encoded).hexdigest()[:32]


class Names:
    """The names of the states of *graph* by their ids."""

    def __init__(self, graph: StateGraph) -> None:
        self._graph = graph

    def of(self, state: str | None) -> str:
        """The name of the state with that id; empty where there is none."""
        known = self._graph.states.get(str(state))
        return "" if known is None else known.name

    def part_of(self, frame: Frame) -> str:
        """Whose part a state in *frame* is, where its own name does not tell: a function's, an extension's, 0.8's."""
        around = frame.parent
        if around is None or not (self._graph.strict or frame.region.startswith(_PARTS)):
            return ""
        name = self.of(around.state)
        return f"{name} › " if name else ""

    def label(self, state: State, frame: Frame) -> str:
        """What an execution of *state* in *frame* is called: its name, whose part it is, in which round of loops."""
        rounds = []
        around = frame.parent
        while around is not None:
            index = around.local.get("index")
            if isinstance(index, int):
                rounds.append(f"[{index}]")
            around = around.parent
        return self.part_of(frame) + state.name + "".join(reversed(rounds))
