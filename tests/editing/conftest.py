"""One server for all tests of this package that one process runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.editing.editor import Editor, editor

ORDERS = """asyncapi: 3.0.0
info: {title: orders, version: 1.0.0}
channels: {placed: {address: order/placed, messages: {m: {payload: {type: object}}}}}
operations: {sendOrder: {action: receive, channel: {$ref: '#/channels/placed'}}}
"""

CHILD = """document: {dsl: 1.0.3, namespace: shop, name: child, version: 2.0.0}
do:
  - only: {wait: PT1S}
"""
CHILD_0_8 = """id: older-child
specVersion: '0.8'
version: 1.0.0
states: [{name: A, type: inject, data: {}, end: true}]
"""


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def code(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    """An editor that has a folder open with an AsyncAPI document, workflows, and files that are neither."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "catalog").mkdir()
    (folder / "catalog" / "orders.yaml").write_text(ORDERS)
    (folder / "catalog" / "broken.yaml").write_text("asyncapi: [")
    (folder / "child.yaml").write_text(CHILD)
    (folder / "older.sw.yaml").write_text(CHILD_0_8)
    os.mkfifo(folder / "pipe.yaml")  # nobody writes to it
    (folder / "other.json").write_text('{"a": 1}')
    async with editor(folder) as client:
        yield client
