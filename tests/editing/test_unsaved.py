"""Other documents as they stand in the editor: what was typed there and not saved yet counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types

from tests.editing.conftest import CHILD, ORDERS
from tests.editing.editor import MARK, editor
from workflow_engine.editing.elsewhere import links
from workflow_engine.editing.neighbours import Found, Neighbours
from workflow_engine.editing.opened import Opened, Snapshot
from workflow_engine.editing.text import Text

CALLER = f"""document: {{dsl: 1.0.3, namespace: shop, name: caller, version: 1.0.0}}
do:
  - place: {{call: asyncapi, with: {{operation: {MARK}}}}}
  - run: {{run: {{workflow: {{namespace: shop, name: child, version: 2.0.0}}}}}}
"""


def names(found: Found) -> tuple[list[str], list[str]]:
    return [id for each in found.asyncapi for id, _ in each.operations], [
        each.name for each in found.workflows
    ]


@pytest.mark.parametrize("again", [5.0, 0.0])
def test_what_is_open_counts_as_it_stands_there_also_without_a_file(
    again: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.editing.neighbours._AGAIN", again)  # so often files are looked at
    orders, child = tmp_path / "orders.yaml", tmp_path / "child.yaml"
    orders.write_text(ORDERS)
    opened: dict[Path, Text] = {}
    known = Neighbours(lambda: opened)
    assert names(known.find([tmp_path])) == (["sendOrder"], [])
    opened[orders] = Text(ORDERS.replace("sendOrder", "placeOrder"))
    opened[child] = Text(CHILD)
    opened[tmp_path / ".hidden" / "child.yaml"] = opened[tmp_path.parent / "child.yaml"] = Text(CHILD)
    assert names(known.find([tmp_path])) == (["placeOrder"], ["child"])
    # In the middle of a change it is what it was; when it is closed, what is in the file.
    opened[orders] = Text("asyncapi: [")
    assert names(known.find([tmp_path])) == (["placeOrder"], ["child"])
    opened[orders] = Text("a: 1\n")
    assert names(known.find([tmp_path])) == ([], ["child"])
    opened.clear()
    assert names(known.find([tmp_path])) == (["sendOrder"], [])


def test_a_workflow_that_calls_an_operation_is_a_workflow(tmp_path: Path) -> None:
    """The word `asyncapi` in it made it a broken AsyncAPI document, which was read again and again."""
    (tmp_path / "caller.yaml").write_text(CALLER.replace(MARK, "sendOrder"))
    assert names(Neighbours().find([tmp_path])) == ([], ["caller"])


@pytest.mark.asyncio(loop_scope="function")
async def test_what_is_typed_in_one_document_is_offered_and_gone_to_in_another(tmp_path: Path) -> None:
    folder = tmp_path / "work space"
    folder.mkdir()
    orders, child = folder / "orders.yaml", folder / "child.yaml"
    orders.write_text(ORDERS)
    async with editor(folder) as code:
        uri = code.open(ORDERS, orders.as_uri())
        code.change(uri, 2, ORDERS.replace("sendOrder", "placeOrder"))
        code.open("# not saved yet\n" + CHILD, child.as_uri())
        caller = (folder / "caller.yaml").as_uri()
        offered = [item.label for item in await code.complete(CALLER, caller)]
        assert "file://orders.yaml#placeOrder" in offered
        assert "file://orders.yaml#sendOrder" not in offered
        marked = CALLER.replace(MARK, "file://orders.yaml#placeOrder").replace(
            "name: child", f"name: chi{MARK}ld"
        )
        at, place = code.at(marked, caller)
        params = types.DefinitionParams(types.TextDocumentIdentifier(at), place)
        (found,) = await code.text_document_definition_async(params)
        assert (found.uri, found.range.start.line) == (child.as_uri(), 1)


@pytest.mark.parametrize(
    "uri", ["", "file:", "file:///", "file://[::1", "file:///%00.yaml", "untitled:Untitled-1"]
)
def test_a_document_at_no_address_of_a_file_is_one_all_the_same(uri: str) -> None:
    opened = Opened()
    opened.open(types.TextDocumentItem(uri, "yaml", 1, CHILD))
    document = opened.get(uri)
    assert document is not None
    of = Snapshot(uri, document.text, "yaml", opened.text_of)
    assert (of.kind, links(of)) == ("1.0", [])
    opened.close(uri)
    assert opened.files() == {}
