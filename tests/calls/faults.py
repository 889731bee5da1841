"""What a call that fails looks like to a test: the kind of its fault, its status and its detail."""

from __future__ import annotations

import pytest

from workflow_engine.errors import ERRORS, Error, Fault


async def fault_of(call, kind: str, status: int | None = None) -> str:
    """Await *call*, which must raise a fault of *kind*, and give its detail."""
    with pytest.raises(Fault) as caught:
        await call
    error: Error = caught.value.error
    assert error.type == ERRORS + kind, error
    if status is not None:
        assert error.status == status, error
    assert error.title
    assert error.instance is None
    return error.detail or ""
