"""What is said when Temporal cannot be reached."""

from __future__ import annotations

import pytest

from workflow_engine.errors import Unavailable
from workflow_engine.processes.ports import free_port
from workflow_engine.runtimes.temporal.connection import connect


async def test_a_server_that_is_not_there_is_named_with_the_cause_alone() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable) as caught:
        await connect(address, "default")
    assert str(caught.value) == f"Temporal does not answer at {address}: Connection refused"
