"""Two builds of the workers side by side: runs stay with theirs or move, as the operator wants."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentVersionRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import Rejected
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.worker import Build
from workflow_engine.settings import Settings

pytestmark = pytest.mark.temporal

WAITING = """
document: {dsl: '1.0.3', namespace: test, name: versioned, version: '1.0.0'}
do:
  - hear: {listen: {to: {one: {with: {type: go}}}, read: data}}
  - again: {listen: {to: {one: {with: {type: on}}}, read: data}}
"""


class Deployment:
    """A Worker Deployment of this test's own, on one task queue."""

    def __init__(self, client: Client, queue: str, name: str) -> None:
        self.client, self.queue, self.name = client, queue, name

    async def _do(self, work: Any) -> None:
        """Temporal knows a build some moments after its worker has begun."""
        async with asyncio.timeout(20):
            while True:
                try:
                    await work()
                    return
                except RPCError:
                    await asyncio.sleep(0.1)

    async def current(self, build: str) -> None:
        request = SetWorkerDeploymentCurrentVersionRequest(
            namespace="default", deployment_name=self.name, build_id=build, identity="test"
        )
        await self._do(lambda: self.client.workflow_service.set_worker_deployment_current_version(request))

    async def ramping(self, build: str, percentage: float) -> None:
        request = SetWorkerDeploymentRampingVersionRequest(
            namespace="default",
            deployment_name=self.name,
            build_id=build,
            percentage=percentage,
            identity="test",
        )
        await self._do(lambda: self.client.workflow_service.set_worker_deployment_ramping_version(request))

    async def drained(self, build: str) -> int:
        request = DescribeWorkerDeploymentVersionRequest(namespace="default")
        request.deployment_version.deployment_name, request.deployment_version.build_id = self.name, build
        answer = await self.client.workflow_service.describe_worker_deployment_version(request)
        return answer.worker_deployment_version_info.drainage_info.status

    async def build_of(self, run_id: str) -> str:
        description = await self.client.get_workflow_handle(run_id).describe()
        info = description.raw_description.workflow_execution_info.versioning_info
        return str(info.deployment_version.build_id)


@contextlib.asynccontextmanager
async def builds(
    address: str, net: Any, versioning: str
) -> AsyncIterator[tuple[Deployment, TemporalRunner, TemporalRunner]]:
    """Workers of the builds ``a`` and ``b`` on one task queue, ``a`` the current one."""
    queue, name = f"test-{uuid.uuid4()}", f"wfe-{uuid.uuid4()}"
    one, other = Build(name, "a", versioning), Build(name, "b", versioning)
    async with temporal_runner(address, net, queue=queue, build=one) as a:
        deployment = Deployment(a.client, queue, name)
        await deployment.current("a")
        async with temporal_runner(address, net, queue=queue, build=other) as b:
            yield deployment, a, b


async def started(runner: TemporalRunner, limits: Limits | None = None) -> str:
    bundle = Bundle.of(dsl.parse(WAITING), {})
    run_id = f"versioned-{uuid.uuid4()}"
    runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False, limits=limits)
    await runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    await at(runner, run_id, "hear")
    return run_id


async def landed(deployment: Deployment, runner: TemporalRunner, build: str) -> str:
    """A new run of *build*: what an operator sets reaches the task queues some moments later."""
    async with asyncio.timeout(20):
        while True:
            run_id = await started(runner)
            if await deployment.build_of(run_id) == build:
                return run_id
            await runner.runtime.terminate(run_id, "it began too early")


async def at(runner: TemporalRunner, run_id: str, state: str) -> None:
    async with asyncio.timeout(20):
        while [each.name for each in (await runner.runtime.describe(run_id)).states] != [state]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def heard(runner: TemporalRunner, run_id: str, listener: str) -> None:
    """What the router tells the run, whichever of the routers of this test it asked."""
    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "t", "type": "go", "data": 1}
    message = {"event": event, "seq": 0, "index": 0, "complete": True, "ends": False}
    assert await runner.runtime.deliver(run_id, listener, message)


async def test_pinned_runs_stay_with_their_build_and_new_ones_go_to_the_current_one(
    temporal_address: str, internet: Any
) -> None:
    async with builds(temporal_address, internet, "pinned") as (deployment, a, b):
        old = await started(a)
        assert await deployment.build_of(old) == "a"
        await deployment.ramping("b", 100)
        ramped = await landed(deployment, b, "b")
        await deployment.current("b")
        new = await landed(deployment, b, "b")
        await heard(a, old, "/do/0/hear")
        await at(a, old, "again")
        assert await deployment.build_of(old) == "a"
        async with asyncio.timeout(20):
            while await deployment.drained("a") != 1:  # noqa: ASYNC110 - it is draining: a run of it is left
                await asyncio.sleep(0.1)
        await heard(a, old, "/do/1/again")
        assert (await a.runtime.wait(old, 20)).status == "completed"
        assert await deployment.build_of(old) == "a"
        for each in (ramped, new):
            await b.runtime.terminate(each, "the test is over")


@pytest.mark.parametrize("versioning", ["pinned", "auto-upgrade"])
async def test_a_call_that_takes_long_is_taken_over_whatever_build_its_worker_is(
    temporal_address: str, internet: Any, far: FarSide, versioning: str
) -> None:
    far.held.add("a")
    text = workflow(f"do: [{{a: {far.call('a')}}}]")
    async with builds(temporal_address, internet, versioning) as (_, a, _):
        run_id, bundle = f"versioned-{uuid.uuid4()}", Bundle.of(dsl.parse(text), {})
        await a.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
        async with asyncio.timeout(20):
            while len(await a.history(run_id)) < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        far.held.clear()
        assert (await a.runtime.wait(run_id, 20)).output == {"did": "a"}
    assert len(far.keys("a")) == 1


async def test_runs_that_upgrade_move_to_the_current_build_with_their_next_task(
    temporal_address: str, internet: Any
) -> None:
    async with builds(temporal_address, internet, "auto-upgrade") as (deployment, a, b):
        old = await started(a)
        assert await deployment.build_of(old) == "a"
        await deployment.current("b")
        new = await landed(deployment, b, "b")
        await heard(b, old, "/do/0/hear")
        await at(b, old, "again")
        await b.runtime.terminate(new, "the test is over")
        assert await deployment.build_of(old) == "b"
        await heard(b, old, "/do/1/again")
        assert (await b.runtime.wait(old, 20)).status == "completed"


async def test_a_pinned_run_moves_to_the_current_build_when_it_goes_on_in_a_new_history(
    temporal_address: str, internet: Any
) -> None:
    async with builds(temporal_address, internet, "pinned") as (deployment, a, b):
        old = await started(a, Limits(events=8))
        assert await deployment.build_of(old) == "a"
        await deployment.current("b")
        new = await landed(deployment, b, "b")  # the server tells its parts by and by which build is current
        await heard(a, old, "/do/0/hear")
        async with asyncio.timeout(20):
            while await deployment.build_of(old) != "b":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await at(b, old, "again")
        for each in (old, new):
            await b.runtime.terminate(each, "the test is over")


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"WFE_DEPLOYMENT": "wfe"}, "go together"),
        ({"WFE_BUILD_ID": "1"}, "go together"),
        ({"WFE_DEPLOYMENT": "wfe", "WFE_BUILD_ID": "1", "WFE_VERSIONING": "loose"}, "neither pinned"),
    ],
)
def test_a_build_is_told_wholly_or_not_at_all(variables: dict[str, str], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        Settings.from_env(variables).checked()
