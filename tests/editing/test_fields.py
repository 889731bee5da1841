"""What is known of the data of a workflow by its schemas and its exports is offered behind a dot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.editing.editor import MARK
from tests.editing.test_aliases import looked_at
from workflow_engine.editing.completion import complete
from workflow_engine.editing.neighbours import Found
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.text import Text

DOCUMENT = """document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}
input:
  schema:
    document:
      type: object
      properties:
        order: {$ref: '#/$defs/order'}
        "first name": {type: [string, 'null'], description: As one is called.}
      anyOf: [{properties: {note: {type: string}}}, {$ref: '#'}]
      $defs:
        order: {properties: {id: {type: integer}, lines: {items: {properties: {sku: {type: string}}}}}}
do:
  - one: ONE
  - two: TWO
"""
REST = {
    "ONE": "{set: {}, export: {as: {total: 1}}}",
    "TWO": "{set: {}, export: {as: '$context + {done: true, n: 1}'}}",
}
INPUT = {"order", "first name", "note"}


def offered(text: str, file: Path | None = None) -> dict[str, str]:
    if file is None:
        of, offset = looked_at(text)
    else:
        before, _, after = text.partition(MARK)
        of, offset = Snapshot(file.as_uri(), Text(before + after), None), len(before)
    found = complete(of, offset, Found([], []), with_snippets=False)
    return {item.label: item.detail or "" for item in found}


def with_tasks(**tasks: str) -> str:
    text = DOCUMENT
    for name, task in {**REST, **tasks}.items():
        text = text.replace(name, task)
    return text


@pytest.mark.parametrize(
    ("tasks", "names"),
    [
        ({"TWO": "{set: {x: '${ $workflow.input.‸ }'}}"}, INPUT),
        ({"TWO": "{set: {x: '${ $workflow.input.order.‸ }'}}"}, {"id", "lines"}),
        ({"TWO": "{set: {x: '${ $workflow.input.order.lines[0].‸ }'}}"}, {"sku"}),
        ({"TWO": "{set: {x: '${ [$workflow.input.order.lines[].s‸] }'}}"}, {"sku"}),
        ({"TWO": "{set: {x: '${ $workflow.input.order.id.‸ }'}}"}, set()),
        # The first task gets what the workflow gets; what the second one gets is what the first one made.
        ({"ONE": "{set: {x: '${ $input.‸ }'}}"}, INPUT),
        ({"ONE": "{if: .‸, set: {}}"}, INPUT),
        ({"ONE": "{input: {from: .order.‸}, set: {}}"}, {"id", "lines"}),
        ({"ONE": "{set: {x: '${ {a: .order.‸} }'}}"}, {"id", "lines"}),
        ({"ONE": "{set: {x: '${ .order | .‸ }'}}"}, set()),
        ({"ONE": "{set: {x: '${ map(.‸) }'}}"}, set()),
        ({"ONE": "{set: {x: '${ .order as $o | $o.‸ }'}}"}, set()),
        ({"ONE": "{set: {}, output: {as: .‸}}"}, set()),
        ({"ONE": "{set: {}, output: {as: $input.order.‸}}"}, {"id", "lines"}),
        ({"ONE": "{input: {from: .order}, set: {x: '${ .‸ }'}}"}, set()),
        ({"ONE": "{do: [{in: {set: {x: '${ .‸ }'}}}]}"}, set()),
        ({"TWO": "{set: {x: '${ .‸ }'}}"}, set()),
        # A schema of its own counts where there is one; and that of the output for what is exported.
        ({"TWO": "{input: {schema: {document: {properties: {own: {}}}}}, set: {x: '${ .‸ }'}}"}, {"own"}),
        (
            {"TWO": "{output: {schema: {document: {properties: {out: {}}}}}, set: {}, export: {as: .‸}}"},
            {"out"},
        ),
        ({"TWO": "{set: {x: '${ $context.‸ }'}}"}, {"total"}),
        ({"ONE": "{set: {x: '${ $context.d‸ }'}}"}, {"done", "n"}),
    ],
)
def test_members_of_the_data_are_offered_where_the_document_says_what_it_has(tasks, names):
    assert set(offered(with_tasks(**tasks))) == names


def test_what_a_schema_says_of_a_member_is_told_and_a_name_is_quoted_where_it_must_be():
    of, offset = looked_at(with_tasks(TWO="{set: {x: '${ $workflow.input.‸ }'}}"))
    (found,) = (
        i for i in complete(of, offset, Found([], []), with_snippets=False) if i.label == "first name"
    )
    assert found.detail == "string or null"
    assert (found.documentation.value, found.text_edit.new_text) == ("As one is called.", '"first name"')


def test_the_context_may_begin_as_the_input_and_schemas_of_exports_count():
    begun = with_tasks(TWO="{set: {x: '${ $context.‸ }'}}").replace(
        "version: 1.0.0}", "version: 1.0.0, metadata: {initialContext: input}}"
    )
    assert set(offered(begun)) == {"total", *INPUT}
    export = "{set: {}, export: {schema: {document: {properties: {a: {properties: {b: {}}}}}}}}"
    assert set(offered(with_tasks(ONE=export, TWO="{set: {x: '${ $context.a.‸ }'}}"))) == {"b"}


def test_a_schema_may_be_a_file_beside_the_document(tmp_path: Path):
    (tmp_path / "order.json").write_text('{"properties": {"id": {"type": "integer"}}}')
    text = """document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}
input: {schema: {resource: {endpoint: order.json}}}
do: [{a: {set: {x: '${ .‸ }'}}}]
"""
    assert offered(text, tmp_path / "a.yaml") == {"id": "integer"}
    assert offered(
        text.replace("endpoint: order.json", "endpoint: {uri: order.json}"), tmp_path / "a.yaml"
    ) == {"id": "integer"}


def test_schemas_that_refer_to_themselves_or_to_nothing_end():
    cyclic = """document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}
input:
  schema:
    document:
      $ref: '#'
      allOf: [{$ref: '#/allOf/0'}, {$ref: '#/nowhere'}, {$ref: 'https://a.example/b'}, 3]
      properties: {a: {$ref: '#/properties/b'}, b: {$ref: '#'}}
do: [{x: {set: {y: '${ .b.a.b.‸ }'}}}]
"""
    assert set(offered(cyclic)) == {"a", "b"}
