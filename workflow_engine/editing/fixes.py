"""Quick fixes: what a problem says should stand there instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from lsprotocol import types

from workflow_engine.editing.nodes import spot
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.problems import SOURCE

_MEANT = re.compile(r"did you mean (?:`([^`]+)`|'([^']+)'|\"([^\"]+)\"|(\$\w+))\?")
_USE = re.compile(r"; use ([A-Za-z0-9-]+)\Z")


def fixes(of: Snapshot, problems: Iterable[types.Diagnostic]) -> list[types.CodeAction]:
    """What can be done about *problems* of the document."""
    found = [fix for problem in problems if problem.source == SOURCE for fix in _fixes(of, problem)]
    if len(found) == 1:
        found[0].is_preferred = True
    return found


def _fixes(of: Snapshot, problem: types.Diagnostic) -> Iterator[types.CodeAction]:
    message = problem.message
    meant = _MEANT.search(message)
    if meant is not None and not meant[0].endswith(("...`?", "...'?", '..."?')):
        yield _action(of, problem, next(group for group in meant.groups() if group))
        return
    used = _USE.search(message)
    if used is not None:
        yield _action(of, problem, used[1])
        return
    if problem.code == "unquoted-version":
        start, end = of.text.offset(problem.range.start), of.text.offset(problem.range.end)
        here = spot(of.root, start)
        node = here.node
        if node.kind == "scalar" and node.style == "plain" and node.start >= start:
            start, end = node.start, node.end
        yield _replacing(of, problem, start, end, json.dumps(of.text.source[start:end]))


def _action(of: Snapshot, problem: types.Diagnostic, text: str) -> types.CodeAction:
    start, end = of.text.offset(problem.range.start), of.text.offset(problem.range.end)
    here = spot(of.root, start)
    key = here.entry.key if here.entry is not None and here.on_key else None
    node = here.node if key is None else key
    if key is not None and here.node.kind == "scalar" and _cited(here.node.text, problem.message):
        node = here.node  # a problem of a value stands at its key
        start = node.start
    if node.kind == "scalar" and node.start == start:
        start, end = node.inner
    return _replacing(of, problem, start, end, text)


def _cited(text: str, message: str) -> bool:
    return any(f"{quote}{text}{quote}" in message.partition("; did you mean")[0] for quote in "\"'`")


def _replacing(of: Snapshot, problem: types.Diagnostic, start: int, end: int, text: str) -> types.CodeAction:
    written = of.text.source[start:end]
    return types.CodeAction(
        f"Change {_short(written)} to {_short(text)}",
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[problem],
        edit=types.WorkspaceEdit(changes={of.uri: [types.TextEdit(of.text.range(start, end), text)]}),
    )


def _short(text: str) -> str:
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"
