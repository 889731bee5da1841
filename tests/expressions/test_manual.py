"""Every example of jq's manual, which is not kept here: ``WFE_JQ_MANUAL`` names its file.

It is ``docs/content/manual/v1.7/manual.yml`` of https://github.com/jqlang/jq (CC BY 3.0)::

    WFE_JQ_MANUAL=manual.yml python -m pytest -n 0 tests/expressions/test_manual.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.expressions.oracle import normalized, ours

DIFFERENCES = {
    "$__loc__": "refused: an expression has no file",
    "$ENV": "refused: the environment of a worker has secrets",
    "env.": "refused likewise",
    "map([., . == 1]) | tojson": "a number is a number, and not how it was spelled (1.000); so it is in libjq 1.8 here",
    "have_decnum": "whole numbers are exact beyond 2^53, others are doubles: between the two builds it has",
}
"""What a program that answers otherwise has in it, and why it does."""


def _examples(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield from part.get("examples") or []
        for inner in part.values():
            yield from _examples(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _examples(inner)


def test_every_example_of_the_manual_gives_what_it_says_or_has_its_reason() -> None:
    named = os.environ.get("WFE_JQ_MANUAL")
    if not named:
        pytest.skip("WFE_JQ_MANUAL names no manual")
    examples = list(_examples(yaml.safe_load(Path(named).read_text())))
    assert len(examples) > 200
    wrong = []
    for example in examples:
        outputs = normalized([json.loads(output) for output in example["output"]])
        answer = ours(example["program"], json.loads(example["input"]))
        agrees = answer.kind == "outputs" and answer.outputs == outputs
        if not agrees and not any(sign in example["program"] for sign in DIFFERENCES):
            wrong.append((example, answer))
    assert not wrong
