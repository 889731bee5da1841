"""The shapes: what is run, as a document, with the input and the output that it has by hand too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.engine.steps import statuses
from workflow_engine.values import Json, JsonObject

DOCUMENTS = Path(__file__).with_name("documents")


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of run. *name* is the type of the workflow by hand, and the name of the document.

    *calls*: whether it acts on the world; where it does not, there is nothing that an express run could save.
    """

    name: str
    title: str
    text: str
    input: JsonObject
    output: Json
    calls: bool = True

    def document(self, services: str, *, express: bool) -> str:
        """The text that is deployed, with *services* as the address of what it calls."""
        content = yaml.safe_load(self.text.replace("SERVICES", services))
        if express:
            content["document"]["metadata"] = {"express": True}
        return yaml.safe_dump(content, sort_keys=False)


def _steps(count: int) -> str:
    """flow-bench's ``order20``, ``order50`` and ``order100``: *count* sets, each with another status."""
    lines = [f"document: {{dsl: '1.0.3', namespace: bench, name: tasks-{count}, version: '1.0.0'}}", "do:"]
    for number, status in enumerate(statuses(count)):
        lines.append(f"  - step{number + 1}:")
        lines.append(f"""      set: '${{ {{orderId, amount, customerId, status: "{status}"}} }}'""")
    return "\n".join(lines) + "\n"


def _stepped(count: int) -> Shape:
    order: JsonObject = {"orderId": "order-1", "amount": 42.5, "customerId": "cust-1"}
    output = {**order, "status": statuses(count)[-1]}
    return Shape(f"tasks-{count}", f"{count} tasks", _steps(count), order, output, calls=False)


def _text(name: str) -> str:
    return (DOCUMENTS / f"{name}.yaml").read_text(encoding="utf-8")


_TIMER = """
document: {dsl: '1.0.3', namespace: bench, name: timer, version: '1.0.0'}
do:
  - pause: { wait: { milliseconds: 1 } }
"""
_ITEMS: list[Json] = [{"sku": f"sku-{n}", "price": 10.0 + n, "quantity": n % 3 + 1} for n in range(5)]
_ORDER: JsonObject = {"orderId": "order-1", "customerId": "cust-1", "items": _ITEMS}
_CONFIRMED: JsonObject = {
    "orderId": "order-1",
    "total": 109.0,
    "tier": "standard",
    "reservation": "R-order-1",
    "payment": "P-order-1",
    "status": "CONFIRMED",
}
_ENQUIRY: JsonObject = {"orderId": "order-1", "amount": 110.0, "customerId": "cust-1"}
_ASSESSED: JsonObject = {"risk": "MEDIUM", "segment": "STANDARD", "source": "mock-service"}


def _assessed(delay: int) -> JsonObject:
    return {**_ENQUIRY, "delayMs": delay, "status": "COMPLETED", **_ASSESSED}


def _grown(items: int, iterations: int) -> JsonObject:
    return {
        "itemsCount": items,
        "iterations": iterations,
        "mutationsPerItem": iterations,
        "totalMutationEntries": items * iterations,
        "status": "COMPLETED",
    }


ORDER = Shape("order", "order, 2 calls", _text("order"), _ORDER, _CONFIRMED)
TIMER = Shape("timer", "a timer of 1 ms", _TIMER, {}, {}, calls=False)
SHAPES: tuple[Shape, ...] = (
    ORDER,
    _stepped(20),
    _stepped(50),
    _stepped(100),
    Shape(
        "large-json",
        "large JSON",
        _text("large-json"),
        {"items": 1000, "iterations": 10},
        _grown(1000, 10),
        calls=False,
    ),
    Shape("external-call", "1 call", _text("external-call"), {**_ENQUIRY, "delayMs": 10}, _assessed(10)),
    Shape("ten-calls", "10 calls", _text("ten-calls"), {**_ENQUIRY, "delayMs": 0}, _assessed(0)),
)
"""The order workflow, the shapes of gmunozfe/flow-bench, and one of many calls."""
