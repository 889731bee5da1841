"""What generated documents do their work in: the same answers to the same calls, at once, on either runtime."""

from __future__ import annotations

from typing import Any

from tests.generated import v0_8, v1
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import fault
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.effects import Call, Place, SubRun
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.values import Json, JsonObject

SUB_FLOWS = [Bundle.of(dsl.parse(text), {}) for text in (v1.SUB_FLOW, v0_8.SUB_FLOW)]


def answer(kind: str, arguments: JsonObject) -> Json:
    """What a call comes to, by its arguments alone: some are faults."""
    if kind == "shell":
        given = arguments["arguments"]
        assert isinstance(given, list)
        number = int(str(given[0]))
        if number % 7 == 0:
            raise fault("runtime", "it ended with 1")
        return str(number + 1)
    body, endpoint = arguments.get("body"), str(arguments["endpoint"])
    of = body.get("n") if isinstance(body, dict) else None
    n = of if isinstance(of, int) else 7
    if (n % 3 == 0) is (not endpoint.endswith("/fail")) and not endpoint.endswith("/post"):
        raise fault("communication", "it answered so", status=503 if n % 2 else 418)
    content: JsonObject = {"n": (n + 2) % 97}
    return {"statusCode": 200, "content": content} if arguments.get("output") == "response" else content


class Answers:
    """Answers the calls of a `LocalRun`; *made* are the places of those of the run itself."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.stopped = False

    def call(self, run: LocalRun, call: Call, place: Place) -> Any:
        if run.run_id == "r" and not self.stopped:
            self.made.append(place.id)

        async def answered() -> Json:
            return answer(call.kind, call.arguments)

        return answered

    def sub_run(self, run: LocalRun, sub_run: SubRun, place: Place) -> None:
        """Sub-flows are run."""


async def find(sub_run: SubRun) -> StateGraph:
    return next(each for each in SUB_FLOWS if each.graph().name.namespace == sub_run.namespace).graph()
