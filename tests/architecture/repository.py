"""The repository as its tests see it: where it is, which packages it has, which files are part of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("workflow_engine", "catalog", "dsl_schemas")
"""What is shipped."""
TREES = (*PACKAGES, "tests", "benchmarks", "examples")
"""Where Python files may be."""


def python_files(*trees: str) -> Iterator[Path]:
    """Every Python file below *trees*, in order."""
    for tree in trees:
        yield from sorted(path for path in (ROOT / tree).rglob("*.py") if "__pycache__" not in path.parts)


def tracked_files() -> list[Path]:
    """Every file under version control; where there is none (an unpacked source archive), every file."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        return [
            ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()
        ]
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])
    ]


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a *tool* that is installed beside this interpreter, at the root of the repository."""
    program = Path(sys.executable).with_name(tool)
    return subprocess.run([str(program), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
