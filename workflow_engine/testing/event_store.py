"""The contract of `workflow_engine.events.spi`, as tests for pytest: subclass it for a backend.

::

    class TestMyStore(EventStoreContract):
        @pytest.fixture
        def url(self, tmp_path):
            return f"mystore://{tmp_path}"

Tests of what `Caps` leaves open are skipped where the backend does not claim it. Needs pytest-asyncio, in its
``auto`` mode. A backend of some of the protocols subclasses the contracts of those.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "workflow_engine.testing.event_store_deliveries",
    "workflow_engine.testing.event_store_log",
    "workflow_engine.testing.event_store_settings",
)

from workflow_engine.testing.event_store_deliveries import (  # noqa: E402  after asking for its assertions
    DeliveryContract,
    GroupContract,
)
from workflow_engine.testing.event_store_log import LogContract  # noqa: E402
from workflow_engine.testing.event_store_settings import MetaContract  # noqa: E402

__all__ = ["DeliveryContract", "EventStoreContract", "GroupContract", "LogContract", "MetaContract"]


class EventStoreContract(LogContract, GroupContract, DeliveryContract, MetaContract):
    """Everything that a store must do."""
