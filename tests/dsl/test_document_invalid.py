"""Every file of tests/invalid has exactly the problems that its first lines expect.

``# expect: CODE at /pointer`` (without ``at`` for the document itself), one line for each problem, in order.
Problems are those of parsing; if there are none, those of compiling.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_engine import dsl
from workflow_engine.dsl.codes import EXPLANATIONS
from workflow_engine.errors import InvalidDocument, Problem

FILES = sorted((Path(__file__).parents[1] / "invalid").glob("*.yaml"))
MADE_BY_TESTS = {"missing-version", "too-large", "too-many-problems"}
"""A warning, and problems that need a large file."""
OF_TEXT_AND_SCHEMA = {
    "alias-explosion", "ambiguous-task", "conflicting-properties", "duplicate-key", "empty-document",
    "empty-object", "invalid-duration", "invalid-merge", "invalid-name", "invalid-value",
    "invalid-version", "misplaced-property", "missing-property", "missing-version",
    "multiple-documents", "not-a-string-key", "not-utf-8", "number-out-of-range", "recursive-alias",
    "several-names", "too-deep", "too-large", "too-many-problems", "undefined-alias", "unknown-dialect",
    "unknown-property", "unknown-task", "unquoted-version", "unsupported-authentication",
    "unsupported-dsl-version", "unsupported-language", "unsupported-schema-format", "unsupported-tag",
    "wrong-type", "yaml-syntax",
}  # fmt: skip


def expected_in(text: bytes) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith(b"# expect: ")]
    return [line.removeprefix(b"# expect: ").decode().strip() for line in lines]


def problems_of(text: bytes) -> list[Problem]:
    try:
        document = dsl.parse(text)
        return [*document.warnings, *dsl.check(document)]
    except InvalidDocument as error:
        return list(error.problems)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_invalid_document_has_the_problems_that_it_expects(file):
    text = file.read_bytes()
    found = problems_of(text)
    told = [f"{each.code} at {each.pointer}" if each.pointer else each.code for each in found]
    assert told == expected_in(text), "\n".join(each.render(file.name) for each in found)
    assert all(each.line >= 1 and each.column >= 1 for each in found)
    assert all(each.code in EXPLANATIONS for each in found)


def test_every_code_of_text_and_schema_is_explained_and_has_a_file():
    shown = {line.partition(" ")[0] for file in FILES for line in expected_in(file.read_bytes())}
    assert OF_TEXT_AND_SCHEMA.issubset(EXPLANATIONS)
    assert OF_TEXT_AND_SCHEMA - MADE_BY_TESTS - shown == set()


def test_explanations_are_a_sentence_or_two():
    for code, explanation in EXPLANATIONS.items():
        assert explanation.endswith("."), code
        assert 20 < len(explanation) < 400, code
