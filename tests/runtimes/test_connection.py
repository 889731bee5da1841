"""What is said when Temporal cannot be reached."""

from __future__ import annotations

import pytest
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.errors import Unavailable
from workflow_engine.processes.ports import free_port
from workflow_engine.runtimes.temporal.connection import connect, translated


async def test_a_server_that_is_not_there_is_named_with_the_cause_alone() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable) as caught:
        await connect(address, "default")
    assert str(caught.value) == f"Temporal does not answer at {address}: Connection refused"


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("tcp connect error", "Temporal does not answer: no connection to its address can be made"),
        (
            "shard status unknown",
            "Temporal does not answer: it cannot write (shard status unknown); its log says why, such as a full disk",
        ),
        ("Timeout expired", "Temporal does not answer: Timeout expired"),
    ],
)
def test_what_a_server_means_is_said_in_words(cause: str, said: str) -> None:
    with pytest.raises(Unavailable) as caught, translated():
        raise RPCError(cause, RPCStatusCode.UNAVAILABLE, b"")
    assert str(caught.value) == said
