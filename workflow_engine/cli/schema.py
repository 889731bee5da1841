"""``wfe schema``: the JSON Schemas of what authors write, for editors and tools that take one."""

from __future__ import annotations

import argparse

from workflow_engine.cli.terminal import FINE, print_json

SCHEMAS = {"1.0": "serverless-workflow-1.0", "0.8": "serverless-workflow-0.8", "test": "workflow-test"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe schema`` takes."""
    parser.description = (
        "Print the JSON Schema (draft 2020-12) of workflows, or of files of scenarios, for editors that take one.\n"
        "It tells the form of a document; `wfe validate` and `wfe lsp` tell what it means, too."
    )
    parser.add_argument(
        "which",
        nargs="?",
        choices=tuple(SCHEMAS),
        default="1.0",
        help="of DSL 1.0 (default) or 0.8, or of the scenarios of `wfe test`",
    )
    parser.set_defaults(work=_print)


def _print(arguments: argparse.Namespace) -> int:
    from dsl_schemas import schema

    print_json(schema(SCHEMAS[arguments.which]))
    return FINE
