"""Read workflow documents from files and say what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from workflow_engine import dsl
from workflow_engine.cli.inputs import read_bytes, shown
from workflow_engine.cli.terminal import counted, say
from workflow_engine.dsl.document import Limits
from workflow_engine.errors import InvalidDocument, Problem
from workflow_engine.values import JsonObject


def read_document(file: str) -> dsl.Document:
    """Parse the document in *file* (``-`` is stdin); `InvalidDocument` when it has problems."""
    return dsl.parse(read_bytes(file, Limits().bytes), name=shown(file))


def read_valid_document(file: str, *, warn: bool = False) -> dsl.Document:
    """As `read_document`, with all that can be checked without running it; warnings are shown if *warn*."""
    document = read_document(file)
    problems = dsl.check(document)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems, name=document.name)
    if warn:
        for problem in problems:
            say(problem.render(document.name))
    return document


class _Readable(yaml.SafeDumper):
    """YAML as people write it: text of several lines as a block."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def dumped(data: JsonObject) -> str:
    """A document as YAML, its keys in their order."""
    text: str = yaml.dump(data, Dumper=_Readable, sort_keys=False, width=110, allow_unicode=True)
    return text


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in one file."""

    file: str
    problems: Sequence[Problem]

    def count(self, severity: str) -> int:
        """How many of the problems are of *severity*."""
        return sum(problem.severity == severity for problem in self.problems)

    def to_json(self) -> dict[str, object]:
        return {
            "file": self.file,
            "valid": self.count("error") == 0,
            "problems": [problem.to_json() for problem in self.problems],
        }


def check(file: str) -> Checked:
    """Everything wrong or doubtful about the document in *file*."""
    try:
        document = read_document(file)
        return Checked(document.name, dsl.check(document))
    except InvalidDocument as error:
        return Checked(error.name, error.problems)


def summary(checked: Sequence[Checked]) -> str:
    """``2 files: 1 error, 3 warnings``."""
    errors = sum(each.count("error") for each in checked)
    warnings = sum(each.count("warning") for each in checked)
    found = [counted(errors, "error")] if errors else []
    found += [counted(warnings, "warning")] if warnings else []
    if errors or warnings:
        return f"{counted(len(checked), 'file')}: {', '.join(found)}"
    return f"{counted(len(checked), 'file')}, no problems"
