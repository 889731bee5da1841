"""Expressions as the engine evaluates them and as libjq does: in microseconds of CPU, by the size of the data."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson
import yaml

from benchmarks.engine.shapes import SHAPES
from workflow_engine import expressions
from workflow_engine.values import Json, JsonObject

SIZES: Mapping[str, int] = {"0.5 KB": 500, "100 KB": 100_000, "1 MB": 1_000_000}
PROGRAMS: Sequence[tuple[str, str]] = (
    ("a path", ".customer.tier"),
    ("a comparison", ".total > 1000"),
    ("a projection", "{id, tier: .customer.tier}"),
    ("a sum over all items", "[.items[] | .price * .quantity] | add"),
    ("a count of some items", ".items | map(select(.quantity > 3)) | length"),
    ("a member set", '.status = "paid"'),
)
SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One program on data of one size: the median of several samples, in microseconds; libjq None if it is absent."""

    title: str
    source: str
    size: str
    ours: float
    libjq: float | None


def order(size: int) -> JsonObject:
    """An order that is about *size* bytes long as JSON."""
    items: list[Json] = []
    found: JsonObject = {
        "id": "o-1",
        "total": 1234.5,
        "customer": {"name": "Ada", "tier": "gold"},
        "items": items,
    }
    left = size - len(orjson.dumps(found))
    while left > 0:
        number = len(items)
        item: JsonObject = {"sku": f"sku-{number:06}", "price": 1.5 + number % 7, "quantity": number % 9}
        items.append(item)
        left -= len(orjson.dumps(item)) + 1
    return found


def measure(seconds: float, sizes: Sequence[str] = tuple(SIZES)) -> list[Evaluated]:
    """Every program on data of all *sizes*, each for about *seconds*; both must agree on what comes of it."""
    measured = []
    for label in sizes:
        data = order(SIZES[label])
        for title, source in PROGRAMS:
            compiled = expressions.compile(source, variables=())
            oracle = _libjq(source)

            def ours(compiled: expressions.Expression = compiled, data: JsonObject = data) -> Json:
                return compiled.evaluate(data, {})

            theirs = None
            if oracle is not None:
                asked = oracle

                def evaluate(asked: Callable[[Json], Json] = asked, data: JsonObject = data) -> Json:
                    return asked(data)

                if evaluate() != ours():
                    raise AssertionError(f"{source}: libjq yields something else")
                theirs = _microseconds(evaluate, seconds)
            measured.append(Evaluated(title, source, label, _microseconds(ours, seconds), theirs))
    return [*measured, large_json(seconds)]


def large_json(seconds: float) -> Evaluated:
    """The five assignments of the shape large JSON, one after the other: what a run of it spends on expressions."""
    (shape,) = [shape for shape in SHAPES if shape.name == "large-json"]
    tasks = [next(iter(task.values())) for task in yaml.safe_load(shape.text)["do"]]
    sources = [task["set"].removeprefix("${").removesuffix("}").strip() for task in tasks]
    compiled = [expressions.compile(source, variables=()) for source in sources]
    oracles = [oracle for source in sources if (oracle := _libjq(source)) is not None]

    def ours() -> Json:
        data: Json = shape.input
        for expression in compiled:
            data = expression.evaluate(data, {})
        return data

    def theirs() -> Json:
        data: Json = shape.input
        for oracle in oracles:
            data = oracle(data)
        return data

    assert ours() == shape.output
    libjq = _microseconds(theirs, seconds) if len(oracles) == len(sources) else None
    return Evaluated("large JSON, its five sets", "…", "80 KB", _microseconds(ours, seconds), libjq)


def _libjq(source: str) -> Callable[[Json], Json] | None:
    try:
        import jq
    except ImportError:
        return None
    program = jq.compile(source)
    return lambda data: program.input_value(data).first()


def _microseconds(work: Callable[[], object], seconds: float) -> float:
    """How long *work* takes: the median of `SAMPLES` means."""
    work()
    started = time.thread_time()
    work()
    once = max(time.thread_time() - started, 1e-7)
    repeats = max(1, int(seconds / SAMPLES / once))
    samples = []
    for _ in range(SAMPLES):
        started = time.thread_time()
        for _ in range(repeats):
            work()
        samples.append((time.thread_time() - started) / repeats)
    return statistics.median(samples) * 1e6
