"""One server for all tests of this package that one process runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.editing.editor import Editor, editor

ORDERS = """asyncapi: 3.0.0
info: {title: orders, version: 1.0.0}
channels: {placed: {address: order/placed, messages: {m: {payload: {type: object}}}}}
operations: {sendOrder: {action: receive, channel: {$ref: '#/channels/placed'}}}
"""


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def code(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    """An editor that has a folder open with an AsyncAPI document and files that are none."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "catalog").mkdir()
    (folder / "catalog" / "orders.yaml").write_text(ORDERS)
    (folder / "catalog" / "broken.yaml").write_text("asyncapi: [")
    (folder / "other.json").write_text('{"a": 1}')
    async with editor(folder) as client:
        yield client
