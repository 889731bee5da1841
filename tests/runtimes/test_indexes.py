from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from workflow_engine.graph.model import WorkflowName
from workflow_engine.runtimes.temporal.indexes import ASKED_FOR, FEW, TABLE, keep_asked_for
from workflow_engine.runtimes.temporal.naming import attributes_of
from workflow_engine.runtimes.temporal.server import SEARCH_ATTRIBUTES, ServerOptions, dev_server

PRIORITY = SearchAttributeKey.for_int("Priority")


def indexes(file: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        found = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql > ''", [TABLE]
        )
        return {name for (name,) in found}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """As the server makes it, in little: two columns for all runs and two for search attributes."""
    file = tmp_path / "lists.db"
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(f"CREATE TABLE {TABLE} (workflow_id, history_length, Keyword01, Int03)")
        for name, column in (
            ("by_workflow_id", "workflow_id"),
            ("by_history_length", "history_length"),
            ("by_keyword_01", "Keyword01"),
            ("by_int_03", "Int03"),
        ):
            database.execute(f"CREATE INDEX {name} ON {TABLE} ({column})")
    return file


def add(file: Path, runs: int) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            f"INSERT INTO {TABLE} VALUES (?, 1, 'a', 1)", [(number,) for number in range(runs)]
        )


def test_indexes_stay_that_are_asked_for_and_those_of_search_attributes_that_there_are(file):
    assert {*keep_asked_for(file, {"Int03": "Priority"})} == {"by_history_length", "by_keyword_01"}
    assert indexes(file) == {"by_workflow_id", "by_int_03"}
    assert not keep_asked_for(file, {"Int03": "Priority"})


def test_a_search_attribute_that_says_what_another_column_says_needs_no_index(file):
    keep_asked_for(file, {"Keyword01": "WfeDefinition"})
    assert indexes(file) == {"by_workflow_id"}


def test_a_file_with_many_runs_keeps_all_that_it_has(file):
    add(file, FEW + 1)
    before = indexes(file)
    assert not keep_asked_for(file, {})
    assert indexes(file) == before


def test_a_file_with_few_runs_loses_what_it_needs_not(file):
    add(file, FEW)
    keep_asked_for(file, {})
    assert indexes(file) == {"by_workflow_id"}


def test_a_file_of_another_kind_stays_as_it_is(tmp_path):
    file = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE others (name)")
        database.execute("CREATE INDEX by_name ON others (name)")
    assert not keep_asked_for(file, {})
    (tmp_path / "text.db").write_text(
        "this is no database, and long enough not to be taken for an empty one" * 20
    )
    assert not keep_asked_for(tmp_path / "text.db", {})
    assert not keep_asked_for(tmp_path / "no folder" / "temporal.db", {})


def test_a_file_that_somebody_else_writes_to_stays_as_it_is(file, monkeypatch):
    monkeypatch.setattr("workflow_engine.runtimes.temporal.indexes._PATIENCE", 0.0)
    before = indexes(file)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not keep_asked_for(file, {})
    assert indexes(file) == before


@pytest.mark.temporal
async def test_a_new_server_has_the_indexes_that_are_asked_for_and_finds_runs_by_all_else_too(tmp_path):
    file = tmp_path / "temporal.db"
    attributes = {**SEARCH_ATTRIBUTES, "Priority": "Int"}
    options = ServerOptions(headless=True, log_level="error", data_file=file, search_attributes=attributes)
    async with dev_server(options) as server:
        left = indexes(file)
        assert left > ASKED_FOR
        of_attributes = left - ASKED_FOR
        assert len([name for name in of_attributes if name.startswith("by_keyword_")]) == 2
        assert len([name for name in of_attributes if name.startswith("by_int_")]) == 1
        assert len(of_attributes) == 3
        client = await Client.connect(server.address)
        of_the_engine = attributes_of(WorkflowName("shop", "order", "1.2.3"), ["customer=me"])
        known = TypedSearchAttributes([*of_the_engine, SearchAttributePair(PRIORITY, 7)])
        handle = await client.start_workflow(
            "order", id="order-1", task_queue="nobody", search_attributes=known
        )
        for condition in (
            "WorkflowId = 'order-1'",
            "WorkflowType = 'order' AND ExecutionStatus = 'Running'",
            "TaskQueue = 'nobody'",
            f"RunId = '{handle.first_execution_run_id}'",
            "ExecutionTime > '2020-01-01T00:00:00Z'",
            "WfeNamespace STARTS_WITH 'sh' AND WfeVersion = '1.2.3'",
            "WfeDefinition = 'order'",
            "WfeCorrelation = 'customer=me'",
            "Priority > 6",
        ):
            await found(client, condition)
        await handle.terminate()
        await found(
            client, "CloseTime > '2020-01-01T00:00:00Z' AND HistoryLength > 0 AND ExecutionDuration > 0"
        )


async def found(client: Client, condition: str) -> None:
    """Until the run is listed."""
    async with asyncio.timeout(20):
        while [run.id async for run in client.list_workflows(condition)] != ["order-1"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
