"""What the engine takes from inside the Temporal SDK is there, is as it was, and is missed at once where it is not."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import re
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import temporalio.bridge.worker
from temporalio.api.workflowservice.v1 import PauseWorkflowExecutionRequest
from temporalio.bridge.proto.activity_task import ActivityTask, Cancel
from temporalio.client import _impl
from temporalio.converter import _extstore
from temporalio.service import __version__
from temporalio.worker import _activity, _workflow, _workflow_instance

from tests.running import TemporalRunner, temporal_runner
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import RunQuery, Start
from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal import inside
from workflow_engine.runtimes.temporal import worker as workers
from workflow_engine.runtimes.temporal.connection import open_client
from workflow_engine.runtimes.temporal.server import ServerOptions, dev_server
from workflow_engine.runtimes.temporal.workflow import ServerlessWorkflow

ROOT = Path(__file__).parents[2]
READ = {
    "_WorkflowWorker.run": "a4ba11ef2c08",
    "_WorkflowWorker._handle_activation": "772c39c4a2e9",
    "_WorkflowWorker._handle_cache_eviction": "4a21a6c40794",
    "_RunningWorkflow.__init__": "8d25e742a7d6",
    "_RunningWorkflow.attempt_deadlock_interruption": "715327748cbb",
    "_WorkflowInstanceImpl._apply_remove_from_cache": "3ed132312a09",
    "_ClientImpl.start_workflow": "d391b0096d38",
    "decode_activation": "f48cb3360af5",
    "encode_completion": "a1d916feb923",
    "StorageOperationMetrics.track": "cf40d25c633e",
    "Worker.request_workflow_eviction": "45ae28cdbec6",
    "Worker.complete_workflow_activation": "96fab34e9b3f",
    "_ActivityHandle.__init__": "6664e0d19811",
    "_ActivityWorker.run": "8d191969d277",
    "_ActivityWorker._handle_cancel_activity_task": "918838c5d404",
}
"""The methods that were read for `inside`, and what they were then."""
METHODS: dict[str, Any] = {
    "_WorkflowWorker.run": _workflow._WorkflowWorker.run,
    "_WorkflowWorker._handle_activation": _workflow._WorkflowWorker._handle_activation,
    "_WorkflowWorker._handle_cache_eviction": _workflow._WorkflowWorker._handle_cache_eviction,
    "_RunningWorkflow.__init__": _workflow._RunningWorkflow.__init__,
    "_RunningWorkflow.attempt_deadlock_interruption": (
        _workflow._RunningWorkflow.attempt_deadlock_interruption
    ),
    "_WorkflowInstanceImpl._apply_remove_from_cache": (
        _workflow_instance._WorkflowInstanceImpl._apply_remove_from_cache
    ),
    "_ClientImpl.start_workflow": _impl._ClientImpl.start_workflow,
    "decode_activation": temporalio.bridge.worker.decode_activation,
    "encode_completion": temporalio.bridge.worker.encode_completion,
    "StorageOperationMetrics.track": _extstore.StorageOperationMetrics.track,
    "Worker.request_workflow_eviction": temporalio.bridge.worker.Worker.request_workflow_eviction,
    "Worker.complete_workflow_activation": temporalio.bridge.worker.Worker.complete_workflow_activation,
    "_ActivityHandle.__init__": _workflow_instance._ActivityHandle.__init__,
    "_ActivityWorker.run": _activity._ActivityWorker.run,
    "_ActivityWorker._handle_cancel_activity_task": _activity._ActivityWorker._handle_cancel_activity_task,
}


def test_the_methods_of_the_sdk_that_the_engine_reaches_into_are_those_that_were_read() -> None:
    """Where this fails, the SDK was upgraded: read what has changed, see whether `inside` and those who use it still
    do what they say, and write down what is printed here. Then set `inside.SDK` and the bounds in pyproject.toml.
    """
    found = {
        name: hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:12]
        for name, method in METHODS.items()
    }
    assert found == READ, f"temporalio {__version__} does it in another way: {found}"


def test_the_bounds_of_the_package_are_the_versions_that_are_known() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [bound] = [each for each in project["dependencies"] if re.match(r"temporalio\b", each)]
    first, last = (int(each.split(".")[1]) for each in (inside.SDK[0], inside.SDK[-1]))
    assert bound == f"temporalio>=1.{first},<1.{last + 1}"
    assert [f"1.{minor}" for minor in range(first, last + 1)] == [*inside.SDK]
    assert f"temporalio {bound.removeprefix('temporalio')}" in (ROOT / "docs" / "changing.md").read_text()


@pytest.mark.parametrize(
    ("owner", "name", "told"),
    [
        (_workflow._WorkflowWorker, "_handle_activation", "_WorkflowWorker._handle_activation"),
        (_workflow._WorkflowWorker, "_handle_cache_eviction", "_WorkflowWorker._handle_cache_eviction"),
        (_workflow, "_RunningWorkflow", "_RunningWorkflow.instance"),
        (
            _workflow._RunningWorkflow,
            "attempt_deadlock_interruption",
            "_RunningWorkflow.attempt_deadlock_interruption",
        ),
        (_workflow_instance, "_WorkflowInstanceImpl", "_WorkflowInstanceImpl._object"),
        (
            temporalio.bridge.worker.Worker,
            "request_workflow_eviction",
            "bridge.Worker.request_workflow_eviction",
        ),
        (_extstore, "_current_storage_metrics", "_extstore._current_storage_metrics"),
        (_extstore.ExternalStorage, "_store_payload_sequence", "ExternalStorage._store_payload_sequence"),
        (temporalio.bridge.worker, "decode_activation", "bridge.worker.decode_activation"),
        (_impl._ClientImpl, "start_workflow", "_ClientImpl.start_workflow: __temporal_eagerly_started"),
    ],
)
async def test_an_sdk_without_what_the_engine_needs_is_refused_before_anything_is_done(
    owner: Any, name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(owner, name)
    inside.check.cache_clear()
    inside._metrics.cache_clear()
    try:
        with pytest.raises(Unavailable, match=re.escape(told)) as raised:
            await open_client("127.0.0.1:1", "default", lazy=True)
        assert str(raised.value).endswith("pip install 'temporalio==1.35.*'")
    finally:
        monkeypatch.undo()
        inside.check.cache_clear()
        inside._metrics.cache_clear()
        inside.check()


def test_an_sdk_that_uses_another_name_or_takes_other_arguments_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def elsewhere(self: Any, act: Any, more: Any) -> None:
        await self._evict(act)

    monkeypatch.setattr(_workflow._WorkflowWorker, "_handle_activation", elsewhere)
    assert [*inside.missing()] == [
        "_WorkflowWorker._deadlock_timeout_seconds",
        "_WorkflowWorker._handle_cache_eviction",
        "_WorkflowWorker._running_workflows",
        "_WorkflowWorker.decode_activation",
        "_WorkflowWorker.encode_completion",
        "_WorkflowWorker._handle_activation(act)",
    ]


def test_a_run_of_which_nothing_is_left_is_forgotten_and_one_that_has_something_to_end_is_not() -> None:
    def there(tasks: set[str], stuck: object = None) -> Any:
        return SimpleNamespace(instance=SimpleNamespace(_tasks=tasks), deadlocked_activation_task=stuck)

    running = {"over": there(set()), "at work": there({"a branch"}), "stuck": there(set(), stuck=object())}
    tasks = inside.Tasks(SimpleNamespace(_workflow_worker=SimpleNamespace(_running_workflows=running)))  # type: ignore[arg-type]
    for id in ("over", "at work", "stuck", "unknown"):
        tasks.forget(id)
    assert [*tasks.running()] == ["at work", "stuck"]


@pytest.mark.parametrize("version", ["1.34.0", "1.36.0", "2.0.0", "1.350.0"])
def test_a_version_that_nobody_has_looked_at_is_refused_though_nothing_seems_to_be_missing(
    version: str,
) -> None:
    with pytest.raises(Unavailable, match=rf"the Temporal SDK {re.escape(version)} is not one"):
        inside.refuse(version, [])


def test_the_versions_that_are_known_are_not_refused() -> None:
    inside.refuse("1.35.7", [])
    inside.check()


@pytest.mark.temporal
async def test_a_worker_goes_on_where_a_call_is_cancelled_that_has_ended_already(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK warns of it, which is an error in all tests."""
    told: list[bytes] = []
    poll = temporalio.bridge.worker.Worker.poll_activity_task

    async def late(self: Any) -> ActivityTask:
        """Each task that there is, after the cancellation of a call that is not there."""
        if len(told) < 2:
            told.append(b"local_act_%d" % len(told))
            return ActivityTask(task_token=told[-1], cancel=Cancel())
        return await poll(self)

    monkeypatch.setattr(temporalio.bridge.worker.Worker, "poll_activity_task", late)
    async with temporal_runner(temporal_address, internet) as runner:
        ended = await runner(
            workflow("do: [{c: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}}}]")
        )
    assert len(told) == 2
    assert ended.status == "completed", ended.error


@pytest.mark.temporal
async def test_a_task_that_is_taken_for_stuck_goes_on_to_its_end_and_is_done_again_after_it(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK would throw an exception into it, wherever it is, and let go of the run meanwhile."""
    ends, prepare = threading.Event(), ServerlessWorkflow._prepare
    instances = _workflow_instance._WorkflowInstanceImpl
    done: list[str] = []
    lets_go = instances._apply_remove_from_cache

    def let_go(instance: Any, job: Any) -> None:
        done.append("let go")
        lets_go(instance, job)

    def slowly(*given: Any) -> Any:
        while not ends.is_set():
            time.sleep(0.001)
        done.append("done")
        return prepare(*given)

    async def failures(runner: TemporalRunner, id: str) -> list[str]:
        return [
            event.workflow_task_failed_event_attributes.failure.message
            for event in await runner.history(id)
            if event.HasField("workflow_task_failed_event_attributes")
        ]

    monkeypatch.setattr(ServerlessWorkflow, "_prepare", slowly)
    monkeypatch.setattr(instances, "_apply_remove_from_cache", let_go)
    monkeypatch.setattr(workers, "STUCK", 0.5)
    async with temporal_runner(temporal_address, internet) as runner:
        bundle = Bundle.of(dsl.parse(workflow("do: [{a: {set: {n: 1}}}]")), {})
        await runner.runtime.start(Start("stuck", bundle.graph().name, bundle, {}))
        while not await failures(runner, "stuck"):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert done == []
        ends.set()
        ended = await runner.runtime.wait("stuck", 60)
        told = await failures(runner, "stuck")
    assert [message for message in told if "Potential deadlock detected" not in message] == []
    assert done[: 2 * len(told)] == ["done", "let go"] * len(told)
    assert done.count("done") == len(told) + 1
    assert ended.status == "completed"


@pytest.mark.temporal
async def test_a_run_that_is_paused_by_the_means_of_temporal_is_told_to_be_and_hides_no_other(
    internet: Any,
) -> None:
    """The SDK raises an error of any list that has such a run."""
    options = ServerOptions(headless=True, dynamic_config={"frontend.WorkflowPauseEnabled": "true"})
    async with dev_server(options) as server, temporal_runner(server.address, internet) as runner:
        bundle = Bundle.of(dsl.parse(workflow("do: [{w: {wait: {hours: 1}}}]")), {})
        for id in ("paused", "goes on"):
            await runner.runtime.start(Start(id, bundle.graph().name, bundle, {}))
        # One whose task is being done is paused when that ends.
        while (await runner.runtime.describe("paused")).status != "waiting":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        pause = PauseWorkflowExecutionRequest(
            namespace="default", workflow_id="paused", reason="r", request_id="1"
        )
        await runner.client.workflow_service.pause_workflow_execution(pause)
        run = await runner.runtime.describe("paused")
        assert run.status == "suspended"
        assert run.remark is not None
        assert "temporal workflow unpause" in run.remark
        async with asyncio.timeout(10):
            while len((await runner.runtime.list(RunQuery())).runs) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await runner.runtime.cancel("paused")
        for id in ("paused", "goes on"):
            await runner.runtime.terminate(id, "enough")
            assert (await runner.runtime.describe(id)).status == "cancelled"
