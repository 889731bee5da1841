"""The indexes by which the embedded server finds runs: those that something asks for.

Its database comes with one for each column and each search attribute that a namespace might ever have, 58 of them, and
a run is written to all when it ends, which was a third of what a short run takes the server. A filter without an index
finds the same runs, only it looks at all of them for that.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Mapping
from pathlib import Path

TABLE = "executions_visibility"
ASKED_FOR = frozenset(
    {
        "default_idx",  # the order of all lists
        "by_workflow_id",
        "by_workflow_type",  # the name of a workflow
        "by_status",
        "by_parent_workflow_id",
        "by_root_workflow_id",
        "by_temporal_scheduled_by_id",  # the runs of a schedule
        "by_temporal_namespace_division",  # schedules, and other parts of Temporal that are runs
    }
)
SAID_OTHERWISE = frozenset({"WfeDefinition"})
"""Search attributes of which something that has an index says as much: this is the type of a run."""
FEW = 1000
"""Of a file with more runs nothing is taken away: that would take its while."""
_PATIENCE = 2.0


def keep_asked_for(file: Path, attributes: Mapping[str, str]) -> Collection[str]:
    """Drop the indexes of *file* that nothing asks for, while there are few runs in it; the names of the dropped ones.

    *attributes*: the custom search attributes of its namespace, by the columns that they have. A file that somebody
    else writes to, or that is not as it is known to be, stays as it is.
    """
    columns = {column.lower() for column, name in attributes.items() if name not in SAID_OTHERWISE}
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)) as database:
            [(runs,)] = database.execute(
                "SELECT COUNT(*) FROM (SELECT 1 FROM executions_visibility LIMIT ?)", [FEW + 1]
            )
            if runs > FEW:
                return ()
            database.execute("BEGIN IMMEDIATE")
            found = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
                [TABLE],
            )
            dropped = [name for (name,) in found if name not in ASKED_FOR and _column(name) not in columns]
            for name in dropped:
                database.execute(f'DROP INDEX "{name}"')
            database.execute("COMMIT")
    except sqlite3.DatabaseError:
        return ()
    return dropped


def _column(index: str) -> str:
    """The column of a custom search attribute that *index* is of: ``by_keyword_01`` of ``Keyword01``."""
    return index.removeprefix("by_").replace("_", "")
