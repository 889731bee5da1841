"""Write a DSL 1.0 document from one of DSL 0.8, and say of each state what became of it (docs/migration.md)."""

from __future__ import annotations

from workflow_engine.dsl.migration.report import Migrated, Note, Report, StateReport
from workflow_engine.dsl.migration.workflow import migrate

__all__ = ["Migrated", "Note", "Report", "StateReport", "migrate"]
