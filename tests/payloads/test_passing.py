"""Tasks pass by what fetches, stores, opens and seals values where that would change nothing, and nowhere else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import temporalio.bridge.worker
from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import DataConverter

from tests.payloads.test_encryption import payload, ring
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.runtimes.temporal.held import HELD
from workflow_engine.runtimes.temporal.payloads.keys import new_key
from workflow_engine.runtimes.temporal.payloads.opening import open_store
from workflow_engine.runtimes.temporal.payloads.passing import comes_as_it_is, goes_as_it_is
from workflow_engine.runtimes.temporal.payloads.travelling import Payloads

TEXT = "document: {dsl: '1.0.3', namespace: n, name: x, version: '1.0.0'}\ndo: [{a: {set: {b: 1}}}]\n"
BUNDLE = Bundle.of(dsl.parse(TEXT), {})
PLAIN = Payloads().converter()


@pytest.fixture
async def storing(tmp_path: Path) -> DataConverter:
    return Payloads(await open_store((tmp_path / "store").as_uri())).converter()


def begins(*values: Any) -> WorkflowActivation:
    """That a run begins with *values*, as the API starts it."""
    activation = WorkflowActivation(run_id="r")
    job = activation.jobs.add().initialize_workflow
    job.arguments.extend(value if isinstance(value, Payload) else payload(value) for value in values)
    job.memo.fields["name"].CopyFrom(payload("x"))
    return activation


def ends(value: Any) -> WorkflowActivationCompletion:
    """That it ends with *value*."""
    completion = WorkflowActivationCompletion(run_id="r")
    result = value if isinstance(value, Payload) else payload(value)
    completion.successful.commands.add().complete_workflow_execution.result.CopyFrom(result)
    return completion


def changed(change: Callable[[Any], None], made: Any) -> Any:
    change(made)
    return made


async def test_what_a_run_begins_with_passes_and_is_what_the_sdk_makes_of_it(storing: DataConverter) -> None:
    decode = inspect.unwrap(temporalio.bridge.worker.decode_activation)
    for converter in (PLAIN, storing):
        activation = begins({"b": 1, "a": ["x" * 200_000, None]}, BUNDLE, [], None)
        assert comes_as_it_is(activation, converter)
        await decode(activation, converter, decode_headers=True, storage_concurrency_limit=1)
        assert activation == begins({"b": 1, "a": ["x" * 200_000, None]}, BUNDLE, [], None)


async def test_a_small_output_passes_and_is_what_the_sdk_makes_of_it(storing: DataConverter) -> None:
    encode = inspect.unwrap(temporalio.bridge.worker.encode_completion)
    for converter in (PLAIN, storing):
        for value in ({"b": 1}, None, "x" * 900):
            completion = ends(value)
            assert goes_as_it_is(completion, converter)
            await encode(completion, converter, encode_headers=True, storage_concurrency_limit=1)
            assert completion == ends(value)


async def test_claims_tokens_and_what_another_program_has_written_do_not_pass(storing: DataConverter) -> None:
    [claim] = await storing.encode(["x" * 200_000])
    of_another = Payload(metadata={"encoding": b"json/plain", "mine": b"1"}, data=b"1")
    sealed = Payload(metadata={"encoding": b"binary/wfe-encrypted"}, data=b"1")
    for value in (claim, HELD.hold(b'"large"'), of_another, sealed, Payload()):
        assert not comes_as_it_is(begins({}, value), storing)
        assert not goes_as_it_is(ends(value), storing)
    activation = begins({})
    activation.jobs[0].initialize_workflow.memo.fields["other"].CopyFrom(of_another)
    assert not comes_as_it_is(activation, storing)


async def test_nothing_passes_where_values_are_encrypted_or_travel_in_a_way_of_their_own() -> None:
    for converter in (Payloads(keys=ring(k1=new_key())).converter(), DataConverter.default):
        assert not comes_as_it_is(begins({}), converter)
        assert not goes_as_it_is(ends({}), converter)


async def test_an_output_does_not_pass_that_may_be_stored(storing: DataConverter, tmp_path: Path) -> None:
    assert not goes_as_it_is(ends("x" * 1100), storing)
    assert goes_as_it_is(ends("x" * 1100), PLAIN)
    smaller = Payloads(await open_store((tmp_path / "smaller").as_uri()), threshold=100).converter()
    assert not goes_as_it_is(ends("x" * 200), smaller)
    assert goes_as_it_is(ends("x" * 20), smaller)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.jobs.add().fire_timer.SetInParent(),
        lambda made: made.jobs[0].signal_workflow.input.append(payload(1)),
        lambda made: made.jobs[0].initialize_workflow.headers["h"].CopyFrom(payload(1)),
        lambda made: made.jobs[0].initialize_workflow.last_completion_result.payloads.append(payload(1)),
        lambda made: made.jobs[0].initialize_workflow.continued_failure.SetInParent(),
    ],
)
def test_tasks_that_bring_something_else_along_do_not_pass(change: Callable[[Any], None]) -> None:
    assert not comes_as_it_is(changed(change, begins({})), PLAIN)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.successful.commands.add().start_timer.SetInParent(),
        lambda made: made.successful.commands[0].fail_workflow_execution.failure.SetInParent(),
        lambda made: made.successful.commands[0].user_metadata.summary.CopyFrom(payload("s")),
        lambda made: made.failed.failure.SetInParent(),
    ],
)
def test_tasks_that_come_to_something_else_do_not_pass(change: Callable[[Any], None]) -> None:
    assert not goes_as_it_is(changed(change, ends({})), PLAIN)
