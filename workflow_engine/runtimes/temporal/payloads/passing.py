"""Tasks of runs whose values are to be taken as they are pass by what fetches, stores, opens and seals values.

The SDK goes through the values of each task three times before it, and three times after it, whether there is something
to do or not. Where there are no keys and no value is large, there is not: most tasks are of that kind. What is done to
any other is what it was.
"""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import DataConverter

from workflow_engine.runtimes.temporal.converter import BUNDLE_ENCODING, DIGEST, SEMANTICS_OF
from workflow_engine.runtimes.temporal.payloads.driver import ClaimCheck
from workflow_engine.runtimes.temporal.payloads.travelling import Choice

_PLAIN = frozenset({b"json/plain", b"binary/null", BUNDLE_ENCODING.encode()})
_SAID = frozenset({"encoding", DIGEST, SEMANTICS_OF})
"""How a value is encoded, and all that is said of it, that is no claim, no token of a large one, and not encrypted."""


def comes_as_it_is(activation: WorkflowActivation, converter: DataConverter) -> bool:
    """Whether *activation* is that a run begins, and the *converter* would change nothing of what it begins with."""
    if len(activation.jobs) != 1 or not _ours(converter):
        return False
    job = activation.jobs[0]
    if not job.HasField("initialize_workflow"):
        return False
    begins = job.initialize_workflow
    if begins.headers or begins.HasField("continued_failure") or begins.HasField("last_completion_result"):
        return False
    return _plain(begins.arguments) and _plain(begins.memo.fields.values())


def goes_as_it_is(completion: WorkflowActivationCompletion, converter: DataConverter) -> bool:
    """Whether *completion* is that a run ends with a small output, and the *converter* would change nothing of it."""
    if not completion.HasField("successful") or not _ours(converter):
        return False
    commands = completion.successful.commands
    if len(commands) != 1 or not commands[0].HasField("complete_workflow_execution"):
        return False
    command = commands[0]
    output = command.complete_workflow_execution.result
    return (
        not command.HasField("user_metadata") and output.ByteSize() < _least(converter) and _plain([output])
    )


def _plain(payloads: Iterable[Payload]) -> bool:
    return all(
        payload.metadata.get("encoding") in _PLAIN and _SAID.issuperset(payload.metadata)
        for payload in payloads
    )


def _ours(converter: DataConverter) -> bool:
    """Whether nothing is encrypted, and values go to our store only, if any."""
    storage = converter.external_storage
    return converter.payload_codec is None and storage is not None and type(storage.drivers[0]) is ClaimCheck


def _least(converter: DataConverter) -> int:
    """From how many bytes on a value may be stored."""
    storage = converter.external_storage
    assert storage is not None
    choice = storage.driver_selector
    return choice.least if isinstance(choice, Choice) else storage.payload_size_threshold
