"""The one Temporal workflow: whatever its type is called, it runs the graph that came with it.

Start arguments are ``[input, bundle]``, the events that started it as a third, and what was before it as a fourth
(`carrying`). Started by name from the Temporal UI or command line, without a bundle, it looks the name up first; a
sub-workflow does the same.
It runs unsandboxed: no code of a user runs here, and import contracts, a purity test and recorded histories
keep the interpreter deterministic.
"""

from __future__ import annotations

import collections.abc
from datetime import timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

from workflow_engine.dsl.bundle import Bundle, retimed
from workflow_engine.errors import Fault, InvalidDocument, fault
from workflow_engine.graph.model import states_of
from workflow_engine.interpreter.bugs import Bug
from workflow_engine.interpreter.lifecycle import status_of
from workflow_engine.interpreter.position import Continued
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.temporal.calling import UNTIL_IT_WORKS
from workflow_engine.runtimes.temporal.effects import GENERATION, LIFECYCLE, TemporalEffects
from workflow_engine.runtimes.temporal.failures import LOCAL_FAILURES, failure_of, reraise
from workflow_engine.runtimes.temporal.runtime import VERSION, attributes_of


@workflow.defn(dynamic=True)
class ServerlessWorkflow:
    """A run of any deployed workflow."""

    def __init__(self) -> None:
        self._effects: TemporalEffects | None = None
        self._run: Run | None = None
        self._early: list[tuple[str, dict[str, Any]]] = []
        self._suspended = False

    @workflow.run
    async def run(self, args: collections.abc.Sequence[RawValue]) -> Any:
        """Run to the end; the output is the workflow's result, a fault its failure."""
        payloads = [arg.payload for arg in args]
        converter = workflow.payload_converter()
        input = converter.from_payload(payloads[0]) if payloads else None
        try:
            bundle = await self._bundle(payloads[1] if len(payloads) > 1 else None)
            graph = bundle.graph()
            seeds = converter.from_payload(payloads[2]) if len(payloads) > 2 else []
            before = converter.from_payload(payloads[3]) if len(payloads) > 3 else {}
            effects = self._effects = TemporalEffects(
                graph,
                workflow.memo_value(LIFECYCLE, None),
                workflow.memo_value(GENERATION, ""),
                bundle.semantics,
            )
            effects.since = before.get("since")
            effects.suspended = self._suspended
            for listen_id, message in self._early:
                effects.arrived(listen_id, message)
            if input is None and not payloads:
                input = {}
            self._run = Run(
                graph,
                input,
                effects,
                seeds=seeds,
                counts=before.get("counts"),
                position=before.get("position"),
            )
            if self._suspended:
                self._run.suspend()
            try:
                return await self._run.execute()
            except Continued as raised:
                continued, following = raised, await self._following(raised)
            except BaseException as error:
                if not workflow.in_workflow():
                    # The worker stops and lets go of the run, which goes on elsewhere: nothing has ended.
                    raise GeneratorExit from None
                if isinstance(error, Exception) and not isinstance(
                    error, (Fault, FailureError, TimeoutError)
                ):
                    raise Bug.of(error) from error
                raise
            finally:
                if workflow.in_workflow() and not effects.broken:
                    await effects.ended()
            self._continue(continued, following)
        except Fault as raised:
            place = raised.error.instance or "no state"
            workflow.logger.warning("faulted at %s: %s: %s", place, raised.error.type, raised)
            raise failure_of(raised) from None

    async def _following(self, continued: Continued) -> Bundle:
        """The bundle of the workflow that the run goes on as."""
        try:
            bundle = await self._resolved(continued.namespace, continued.name, continued.version)
            return bundle if continued.timeout is None else retimed(bundle, continued.timeout)
        except InvalidDocument as invalid:
            raise fault("configuration", str(invalid), instance=continued.state) from None
        except Fault as raised:
            raise raised.at(continued.state) from None

    def _continue(self, continued: Continued, bundle: Bundle) -> NoReturn:
        """Begin the run of *bundle* in the place of this one, under the same id."""
        assert self._run is not None
        name = bundle.graph().name
        known = workflow.info().typed_search_attributes.get(VERSION)
        attributes = None if known is None else attributes_of(name)
        memo: dict[str, Any] = {"namespace": name.namespace, "name": name.name, "version": name.version}
        assert self._effects is not None
        memo |= self._effects.handed_on()
        if generation := workflow.memo_value(GENERATION, ""):
            memo[GENERATION] = generation
        workflow.continue_as_new(
            args=[continued.input, bundle, [], {"counts": self._run.counts}],
            workflow=name.name,
            memo=memo,
            search_attributes=attributes,
        )

    async def _bundle(self, payload: Payload | None) -> Bundle:
        """The bundle that came along, or the one that the name stands for now."""
        namespace, name, version = None, workflow.info().workflow_type, None
        if payload is not None:
            value = workflow.payload_converter().from_payload(payload)
            if isinstance(value, Bundle):
                return value
            if isinstance(value, dict):
                namespace, name, version = (
                    value.get("namespace"),
                    value.get("name", name),
                    value.get("version"),
                )
        return await self._resolved(namespace, name, version)

    async def _resolved(self, namespace: str | None, name: str, version: str | None) -> Bundle:
        """The bundle that a name stands for now; the answer is in the history of the run."""
        try:
            return await workflow.execute_local_activity(  # type: ignore[no-any-return]
                "workflow.resolve",
                args=[namespace, name, version],
                summary=f"looking up {name}",
                result_type=Bundle,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=UNTIL_IT_WORKS,
                local_retry_threshold=timedelta(seconds=5),
            )
        except LOCAL_FAILURES as failure:
            raise reraise(failure) from None

    @workflow.signal(dynamic=True)
    def received(self, name: str, args: collections.abc.Sequence[RawValue]) -> None:
        """Take an event from the router; the signal's name is the listener's place."""
        if not name.startswith("/") or not args:
            workflow.logger.warning("signal %r is not for this workflow", name)
            return
        message = workflow.payload_converter().from_payload(args[0].payload)
        if self._effects is None:
            self._early.append((name, message))
        else:
            self._effects.arrived(name, message)

    @workflow.signal
    def suspend(self) -> None:
        """Stop before the next state."""
        self._suspended = True
        if self._effects is not None:
            self._effects.suspended = True
        if self._run is not None:
            self._run.suspend()

    @workflow.signal
    def resume(self) -> None:
        """Go on."""
        self._suspended = False
        if self._effects is not None:
            self._effects.suspended = False
        if self._run is not None:
            self._run.resume()

    @workflow.query
    def state(self) -> dict[str, Any]:
        """Where the run is: the states it stands at, and what it does there."""
        run = self._run
        if run is None:
            return {"suspended": self._suspended, "states": []}
        names = {state.id: state.name for state in states_of(run.graph)}
        states = [
            {
                "id": leaf.state,
                "name": names.get(str(leaf.state)),
                "status": status_of(leaf, suspended=self._suspended),
                "doing": leaf.doing,
                "since": leaf.started if leaf.entered else None,
            }
            for leaf in run.root.leaves()
        ]
        return {"suspended": self._suspended, "states": states}

    @workflow.query
    def recent(self) -> list[dict[str, Any]]:
        """What the states of the run did last, oldest first; also after it has ended."""
        noted = () if self._effects is None else self._effects.recent
        return [
            {"phase": step.phase, "state": step.state, "name": step.name, "at": step.at.timestamp()}
            for step in noted
        ]
