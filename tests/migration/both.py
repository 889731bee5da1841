"""Run a 0.8 document and what it is migrated to, on the local runtime, and compare what came of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.running import BOUNDS, PLANTED, PROCESSES, Ended, named
from workflow_engine import dsl
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.secrets import EnvironmentSecrets
from workflow_engine.cli.documents import dumped
from workflow_engine.dsl import migration
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.dsl.migration.comparison import Made, Observed, differences
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.effects import SubRun
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.local_calls import real_calls, real_evaluations
from workflow_engine.runtimes.recording import Recording, Watch
from workflow_engine.values import Json, JsonObject


@dataclass
class Compared:
    """Both runs, and what is different."""

    old: Observed
    new: Observed
    text: str
    report: migration.Report
    differences: list[str] = field(default_factory=list)


class Both:
    """What the fixture `run` is for tests of one document, here for both; it ends with what the 1.0 run gave.

    Each thing compared is kept in `compared`.
    """

    name = "local"

    def __init__(self, egress: Egress) -> None:
        self.egress = egress
        self.compared: list[Compared] = []

    async def __call__(
        self,
        text: str,
        input: Json = None,
        *,
        events: Sequence[JsonObject] = (),
        resources: Mapping[str, Json] | None = None,
        others: Sequence[str] = (),
        **_: Any,
    ) -> Ended:
        found = resources or {}
        migrated = migration.migrate(dsl.parse(text), found or None)
        new = dumped(migrated.document)
        new_others = [dumped(migration.migrate(dsl.parse(other)).document) for other in others]
        problems = [problem for problem in dsl.check(dsl.parse(new)) if problem.severity == "error"]
        assert not problems, (problems, new)
        recording = Recording()
        old, _ = await self._observed(text, input, events, found, others, recording.first)
        old.calls = recording.calls
        calls: list[Made] = []
        watch = recording.second(calls)
        seen, ended = await self._observed(new, input, events, repinned(new, found), new_others, watch)
        seen.calls = calls
        compared = Compared(old, seen, new, migrated.report)
        compared.differences = differences(old, seen, migrated.report)
        self.compared.append(compared)
        return ended

    async def _observed(
        self,
        text: str,
        input: Json,
        events: Sequence[JsonObject],
        resources: Mapping[str, Json],
        others: Sequence[str],
        watch: Watch,
    ) -> tuple[Observed, Ended]:
        graph = dsl.compile(dsl.parse(text), resources)
        deployed = [Bundle.of(dsl.parse(other), resources) for other in others]

        async def find(sub_run: SubRun) -> StateGraph:
            return named(deployed, sub_run.namespace, sub_run.name, sub_run.version).graph()

        secrets = EnvironmentSecrets(PLANTED)
        perform = real_calls(self.egress, CALLERS, secrets, PROCESSES, BOUNDS)
        local = LocalRun(
            graph,
            run_id=f"run-{uuid.uuid4()}",
            perform=watch(perform),
            evaluate=real_evaluations(self.egress, secrets),
            find=find,
        )
        outcome = await local.execute({} if input is None else input, events)
        error = None if outcome.error is None else outcome.error.to_json()
        given = {str(event["id"]) for event in events}
        published = [
            event for channel in local.channels.values() for event in channel if str(event["id"]) not in given
        ]
        ended = Ended(outcome.status, outcome.output, error, local.progress, local.run_id, local.channels)
        return Observed(outcome.status, outcome.output, error, [], published), ended


def repinned(new: str, resources: Mapping[str, Json]) -> dict[str, Json]:
    """*resources*, which are pinned for a 0.8 document, also under the keys by which *new* asks for them."""
    from workflow_engine.dsl.needs import needs

    by_operation = {key.replace("#operation:", "#"): value for key, value in resources.items()}
    found = dict(resources)
    for need in needs(dsl.parse(new).data):
        plain = need.key.replace("#operation:", "#")
        if need.key not in found and plain in by_operation:
            found[need.key] = by_operation[plain]
    return found
