"""Files are short, named for what they hold, and import by full name."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.repository import PACKAGES, ROOT, TREES, python_files

LONGEST = 400
REASON = re.compile(r"^#?\s*Longer than 400 lines because \w", re.MULTILINE)
"""What the docstring or the comment at the head of a longer file must say."""
EMPTY_NAMES = {
    *("utils", "util", "helpers", "helper", "common", "base", "core", "misc", "manager", "managers"),
    *("handler", "handlers", "service", "services", "processor", "processors", "impl"),
}
"""Names that say nothing of what is inside."""


def head(text: str) -> str:
    """The docstring of a module and the comments before its first statement."""
    module = ast.parse(text)
    first = next((node for node in module.body if not isinstance(node, ast.Expr)), None)
    return text if first is None else "\n".join(text.splitlines()[: first.lineno - 1])


def test_a_file_is_no_longer_than_400_lines_unless_it_says_why():
    longer = []
    for path in python_files(*PACKAGES):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > LONGEST and not REASON.search(head(text)):
            longer.append(f"{path.relative_to(ROOT)}: {lines} lines")
    assert longer == [], "split by concept, or begin a line of the docstring with the reason"


def test_a_module_is_named_for_what_it_holds():
    named = [path.relative_to(ROOT) for path in python_files(*PACKAGES)]
    assert [str(path) for path in named if EMPTY_NAMES & {*path.parts[:-1], path.stem}] == []


@pytest.mark.parametrize("tree", TREES)
def test_imports_name_the_whole_path(tree):
    relative = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files(tree)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_every_package_says_what_it_is():
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files(*PACKAGES)
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
