"""``wfe graph``: a workflow as a picture or as data."""

from __future__ import annotations

import argparse
import sys

from workflow_engine.cli.terminal import FINE, print_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe graph`` takes."""
    parser.add_argument("file", metavar="FILE", help="a workflow; - is standard input")
    parser.add_argument(
        "--format",
        choices=("mermaid", "dot", "json"),
        default="mermaid",
        help="mermaid (GitHub draws it), dot (for Graphviz) or json (default: %(default)s)",
    )
    parser.set_defaults(work=_graph)


def _graph(arguments: argparse.Namespace) -> int:
    from workflow_engine import dsl
    from workflow_engine.cli.documents import read_document
    from workflow_engine.graph import render

    graph = dsl.compile(read_document(arguments.file))
    match arguments.format:
        case "dot":
            sys.stdout.write(render.dot(graph))
        case "json":
            print_json(render.to_json(graph))
        case _:
            sys.stdout.write(render.mermaid(graph))
    return FINE
