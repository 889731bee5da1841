"""Wherever the cursor is in a document, and wherever the document is torn off: everything answers, and fits."""

from __future__ import annotations

import random

import pytest

from tests.editing.test_diagnostics import ROOT
from tests.editing.test_reading import TEXTS
from workflow_engine.editing.colours import colours
from workflow_engine.editing.completion import complete
from workflow_engine.editing.elsewhere import definition
from workflow_engine.editing.hovers import hover
from workflow_engine.editing.neighbours import Neighbours
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.outline import name_at, places, symbols
from workflow_engine.editing.renaming import renamable
from workflow_engine.editing.text import Text


@pytest.mark.parametrize("torn", [True, False])
def test_everything_answers_wherever_the_cursor_is(torn):
    generator = random.Random(11)
    beside = Neighbours().find([ROOT / "examples"])
    assert beside.asyncapi
    assert beside.workflows
    offered = 0
    for name, text in TEXTS.items():
        for _ in range(2):
            offset = generator.randrange(len(text) + 1)
            of = Snapshot("file:///a.yaml", Text(text[:offset] if torn else text), None)
            for item in complete(of, offset, beside, with_snippets=True):
                offered += 1
                edit = item.text_edit
                assert edit is not None
                assert edit.range.start.line == edit.range.end.line, name
                start, end = of.text.offset(edit.range.start), of.text.offset(edit.range.end)
                assert start <= offset <= end, (name, offset, item.label)
            hover(of, offset, [])
            symbols(of)
            assert len(colours(of)) % 5 == 0
            found = name_at(of, offset)
            if found is not None:
                assert found in places(of, found, definitions=True, uses=True)
            renamable(of, offset)
            definition(of, offset, beside.asyncapi, beside.workflows)
    assert offered > 500
