"""``wfe validate`` and ``wfe explain``: what is wrong with documents, and what that means."""

from __future__ import annotations

import argparse
import textwrap
from difflib import get_close_matches

from workflow_engine.cli.terminal import FAILED, FINE, USAGE, print_json, result, say

WIDTH = 100


def configure_validate(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe validate`` takes."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="YAML or JSON, DSL 1.0 or 0.8; - is standard input"
    )
    parser.add_argument("--strict", action="store_true", help="fail for warnings too")
    parser.add_argument("--json", action="store_true", help="print [{file, valid, problems}]")
    parser.description = (
        "Find what is wrong with documents. Each problem is a line `file:line:column: code: message`;\n"
        "`wfe explain CODE` tells more. Exit code 1 if there are errors."
    )
    parser.set_defaults(work=_validate)


def _validate(arguments: argparse.Namespace) -> int:
    from workflow_engine.cli.documents import check, summary
    from workflow_engine.errors import Rejected

    checked, code = [], FINE
    for file in arguments.files:
        try:
            checked.append(check(file))
        except Rejected as error:
            say(f"wfe validate: error: {error}")
            code = USAGE
            continue
        if not arguments.json:
            for problem in checked[-1].problems:
                result(problem.render(checked[-1].file))
    if arguments.json:
        print_json([each.to_json() for each in checked])
    if checked:
        say(summary(checked))
        if any(each.problems for each in checked) and not arguments.json:
            say("`wfe explain CODE` tells more about a problem.")
    fatal = ("error", "warning") if arguments.strict else ("error",)
    if code == FINE and any(each.count(severity) for each in checked for severity in fatal):
        code = FAILED
    return code


def configure_explain(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe explain`` takes."""
    parser.add_argument(
        "code", nargs="?", metavar="CODE", help="a problem's code; without one, all are listed"
    )
    parser.set_defaults(work=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    from workflow_engine.dsl.codes import EXPLANATIONS

    if arguments.code is None:
        for code in sorted(EXPLANATIONS):
            result(code)
        return FINE
    explanation = EXPLANATIONS.get(arguments.code)
    if explanation is None:
        close = get_close_matches(arguments.code, EXPLANATIONS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "`wfe explain` lists all"
        say(f"wfe explain: error: there is no problem code {arguments.code!r}; {hint}")
        return USAGE
    result(textwrap.fill(explanation, WIDTH, break_long_words=False, break_on_hyphens=False))
    return FINE
