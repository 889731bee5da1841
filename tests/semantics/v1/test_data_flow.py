"""Expressions and the way of the data: decisions A1 to A15 and A71 of the DSL dossier, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, problems, refused, workflow
from workflow_engine import __version__, dsl
from workflow_engine.errors import ERRORS
from workflow_engine.values import resolve_pointer

PLACES = {
    "start": "input: {from: '%s'}\ndo: [{a: {set: {x: 1}}}]",
    "if": "do: [{a: {if: '%s', set: {x: 1}}}]",
    "from": "do: [{a: {input: {from: '%s'}, set: {x: 1}}}]",
    "definition": "do: [{a: {set: {x: '${ %s }'}}}]",
    "output": "do: [{a: {set: {x: 1}, output: {as: '%s'}}}]",
    "export": "do: [{a: {set: {x: 1}, export: {as: '%s'}}}]",
    "end": "output: {as: '%s'}\ndo: [{a: {set: {x: 1}}}]",
}
"""One document for each row of the table of dsl.md §1.4."""


async def test_a1_conditions_and_shapes_are_expressions_bare_or_wrapped(run: Any) -> None:
    body = """
    do:
      - bare: {if: .go, set: {n: '${ .n + 1 }', go: true}}
      - wrapped: {if: '${ .go }', input: {from: .n}, set: '${ . + 1 }', output: {as: '{n: .}'}}
      - object: {set: '${ . }', output: {as: {twice: '${ .n * 2 }'}}}
    """
    assert await output(run, body, {"go": True, "n": 1}) == {"twice": 6}


async def test_a1_bare_text_in_a_value_is_itself(run: Any) -> None:
    assert await output(run, "do: [{a: {set: {x: .n, y: '${ .n }'}}}]", {"n": 1}) == {"x": ".n", "y": 1}


async def test_a2_expressions_inside_text_are_put_in_and_whole_ones_keep_their_type(run: Any) -> None:
    body = """
    do:
      - a:
          set:
            text: 'Hello, ${ .name }: ${ .n } and ${ {a: "}"} }'
            whole: '  ${ .n }  '
            nested: '${ "\\(.name)-\\(.n)" }'
    """
    assert await output(run, body, {"name": "Ada", "n": 3}) == {
        "text": 'Hello, Ada: 3 and {"a":"}"}',
        "whole": 3,
        "nested": "Ada-3",
    }


async def test_a3_no_output_is_null_one_is_itself_and_several_are_an_array(run: Any) -> None:
    body = "do: [{a: {set: {none: '${ empty }', one: '${ .n[0] }', all: '${ .n[] }'}}}]"
    assert await output(run, body, {"n": [1, 2]}) == {"none": None, "one": 1, "all": [1, 2]}


async def test_a3_a_condition_looks_at_the_first_output(run: Any) -> None:
    body = """
    do:
      - a: {if: '(false, true)', set: {a: 1}}
      - b: {if: '(true, false)', set: {b: 1}}
    """
    assert await output(run, body, {}) == {"b": 1}


@pytest.mark.parametrize(
    ("value", "holds"), [(0, True), ("", True), ([], True), (None, False), (False, False)]
)
async def test_a4_a_condition_holds_as_jq_sees_truth(run: Any, value: Any, holds: bool) -> None:
    body = "do: [{a: {if: .value, set: {ran: true}}}]"
    assert await output(run, body, {"value": value}) == ({"ran": True} if holds else {"value": value})


async def test_a6_the_context_is_empty_until_something_is_exported(run: Any) -> None:
    body = """
    input: {from: .deep}
    do:
      - before: {set: {before: '${ $context }'}, export: {as: '$context + {seen: .before}'}}
      - after: {set: '${ $context }'}
    """
    assert await output(run, body, {"deep": {"x": 1}}) == {"seen": {}}


@pytest.mark.parametrize("name", ["$secrets.key", "$secret.key"])
def test_a7_secrets_are_known_in_every_row_of_the_table(name: str) -> None:
    use = "use: {secrets: [key]}\n"
    for body in PLACES.values():
        assert problems(use + body % name) == [], body


async def test_a8_a_skipped_task_goes_on_with_the_next_whatever_its_then_says(run: Any) -> None:
    body = """
    do:
      - skipped: {if: .no, set: {never: true}, then: end}
      - ran: {set: {ran: true}}
    """
    assert await output(run, body, {"no": False}) == {"ran": True}


async def test_a9_nothing_of_a_skipped_task_is_done(run: Any) -> None:
    body = """
    do:
      - skipped:
          if: .no
          input: {schema: {document: {required: [absent]}}, from: .absent.deep}
          switch: [{always: {then: end}}]
          output: {as: '{lost: true}'}
          export: {as: '{lost: true}'}
      - context: {set: {data: '${ . }', context: '${ $context }'}}
    """
    assert await output(run, body, {"no": False}) == {"data": {"no": False}, "context": {}}


async def test_a9_the_progress_of_a_run_tells_what_was_skipped(run: Any) -> None:
    ended = await run(workflow("do: [{a: {if: .no, set: {x: 1}}}, {b: {set: {x: 2}}}]"), {})
    assert [(step.phase, step.name) for step in ended.progress] == [
        ("skipped", "a"),
        ("started", "b"),
        ("completed", "b"),
    ]


async def test_a10_numbers_and_booleans_stay_typed_and_keys_are_never_evaluated(run: Any) -> None:
    body = """
    do:
      - a:
          input: {from: {list: [1, '${ .n }', {deep: '${ .n }'}], '${ .n }': true}}
          set: '${ . }'
    """
    assert await output(run, body, {"n": 2}) == {"list": [1, 2, {"deep": 2}], "${ .n }": True}


async def test_a11_output_and_export_see_the_transformed_input(run: Any) -> None:
    body = """
    do:
      - a:
          input: {from: '{n: .raw}'}
          set: {m: '${ .n + 1 }'}
          output: {as: '{out: .m, input: $input}'}
          export: {as: '{data: ., input: $input, output: $output}'}
      - b: {set: '${ $context }'}
    """
    transformed = {"out": 2, "input": {"n": 1}}
    assert await output(run, body, {"raw": 1}) == {
        "data": transformed,
        "input": {"n": 1},
        "output": transformed,
    }


async def test_a11_the_arguments_of_a_function_are_not_the_input_of_the_call(run: Any) -> None:
    body = """
    use: {functions: {add: {set: {sum: '${ .left + .right }'}}}}
    do:
      - a:
          input: {from: .numbers}
          call: add
          with: {left: '${ .[0] }', right: '${ $input[1] }'}
          output: {as: '{sum: .sum, of: $input}'}
    """
    assert await output(run, body, {"numbers": [2, 3]}) == {"sum": 5, "of": [2, 3]}


@pytest.mark.parametrize(
    "name",
    ["input", "output", "context", "task", "workflow", "runtime", "secrets", "authorization", "ENV", "__x"],
)
def test_a12_names_with_a_meaning_cannot_be_bound(name: str) -> None:
    inner = "do: [{b: {set: {x: 1}}}]"
    for body in (
        f"do: [{{a: {{for: {{each: {name}, in: .}}, {inner}}}}}]",
        f"do: [{{a: {{for: {{at: {name}, in: .}}, {inner}}}}}]",
        f"do: [{{a: {{try: [{{b: {{set: {{x: 1}}}}}}], catch: {{as: {name}}}}}}}]",
        f"do: [{{a: {{listen: {{to: {{any: []}}}}, foreach: {{item: {name}, {inner}}}}}}}]",
        f"do: [{{a: {{listen: {{to: {{any: []}}}}, foreach: {{at: {name}, {inner}}}}}}}]",
    ):
        assert refused(body).code == "reserved-variable", body


def test_a12_the_item_and_the_index_have_names_of_their_own() -> None:
    inner = "do: [{b: {set: {x: 1}}}]"
    assert refused(f"do: [{{a: {{for: {{each: i, at: i, in: .}}, {inner}}}}}]").code == "duplicate-variable"
    body = f"do: [{{a: {{listen: {{to: {{any: []}}}}, foreach: {{item: i, at: i, {inner}}}}}}}]"
    assert refused(body).code == "duplicate-variable"


async def test_a13_variables_are_visible_in_everything_nested_and_inner_ones_hide_outer_ones(
    run: Any,
) -> None:
    body = """
    do:
      - outer:
          for: {each: x, in: '[1, 2]'}
          do:
            - nested:
                do:
                  - deep:
                      input: {from: '. + {n: (.n + $x)}'}
                      set: '${ . }'
                      output: {as: '. + {at: $index}'}
                  - hides:
                      for: {each: x, at: i, in: '[10]'}
                      do: [{add: {set: '${ . + {n: (.n + $x), outer: $index} }'}}]
    """
    assert await output(run, body, {"n": 0}) == {"n": 23, "at": 1, "outer": 1}


def test_a13_a_variable_is_not_visible_to_the_task_that_binds_it() -> None:
    body = "do: [{a: {for: {each: x, in: '[1]'}, do: [{b: {set: {n: 1}}}], output: {as: $x}}}]"
    found = refused(body)
    assert (found.code, found.pointer) == ("invalid-expression", "/do/0/a/output/as")


async def test_a14_schemas_are_json_schema_2020_unless_they_say_otherwise(run: Any) -> None:
    items = "{type: object, properties: {x: {prefixItems: [{type: string}]}}}"
    body = "do: [{a: {input: {schema: {document: %s}}, set: {ok: true}}}]"
    fault = await error(run, body % items, {"x": [1]})
    assert kind(fault) == "validation"
    draft7 = (
        "{$schema: 'http://json-schema.org/draft-07/schema#', properties: {x: {items: [{type: string}]}}}"
    )
    assert kind(await error(run, body % draft7, {"x": [1]})) == "validation"


async def test_a14_every_validation_fault_says_what_does_not_match(run: Any) -> None:
    schema = "{format: json, document: {type: object, required: [name]}}"
    fault = await error(run, f"do: [{{a: {{input: {{schema: {schema}}}, set: {{x: 1}}}}}}]", {})
    assert fault["status"] == 400
    assert fault["instance"] == "/do/0/a"
    assert "name" in fault["detail"]


async def test_the_raw_input_and_the_transformed_output_are_validated(run: Any) -> None:
    body = """
    do:
      - a:
          input: {schema: {document: {required: [raw]}}, from: '{n: .raw}'}
          set: {m: '${ .n }'}
          output: {as: '{out: .m}', schema: {document: {required: [out]}}}
    """
    assert await output(run, body, {"raw": 1}) == {"out": 1}
    fault = await error(run, body.replace("required: [out]", "required: [m]"), {"raw": 1})
    assert (kind(fault), fault["instance"]) == ("validation", "/do/0/a")


async def test_the_input_and_the_output_of_the_workflow_are_validated_too(run: Any) -> None:
    body = """
    input: {schema: {document: {required: [n]}}, from: .n}
    output: {as: '{doubled: ., seen: $context}', schema: {document: {properties: {doubled: {maximum: 10}}}}}
    do: [{a: {set: '${ . * 2 }', export: {as: '{n: .}'}}}]
    """
    assert await output(run, body, {"n": 4}) == {"doubled": 8, "seen": {"n": 8}}
    fault = await error(run, body, {})
    assert (kind(fault), fault["status"], fault["instance"]) == ("validation", 400, "/input")
    fault = await error(run, body, {"n": 6})
    assert (kind(fault), fault["instance"]) == ("validation", "/output")


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("/do/0/a", "do: [{a: {if: .x.y.z, set: {n: 1}}}]"),
        ("/do/0/a", "do: [{a: {input: {from: .x.y}, set: {n: 1}}}]"),
        ("/do/0/a", "do: [{a: {set: {n: '${ .x.y }'}}}]"),
        ("/do/0/a", "do: [{a: {set: {n: 1}, output: {as: .n.m}}}]"),
        ("/do/0/a", "do: [{a: {set: {n: 1}, export: {as: .n.m}}}]"),
        ("/do/0/a", "do: [{a: {wait: '${ .x }'}}]"),
        ("/do/0/a", "do: [{a: {wait: PT1S, timeout: {after: '${ .x }'}}}]"),
        ("/do/0/a", "do: [{a: {switch: [{b: {when: .x.y, then: end}}]}}]"),
        ("/do/0/a", "do: [{a: {for: {in: .x}, do: [{b: {set: {n: 1}}}]}}]"),
        ("/do/0/a", "do: [{a: {for: {in: '[1]'}, while: .x.y, do: [{b: {set: {n: 1}}}]}}]"),
        ("/do/0/a", "do: [{a: {emit: {event: {with: {type: '${ .x.y }'}}}}}]"),
        ("/do/0/a", "do: [{a: {raise: {error: {type: '${ .x.y }', status: 400}}}}]"),
        ("/input", "input: {from: .x.y}\ndo: [{a: {set: {n: 1}}}]"),
        ("/output", "output: {as: .n.m}\ndo: [{a: {set: {n: 1}}}]"),
        ("/timeout", "timeout: {after: '${ .x }'}\ndo: [{a: {set: {n: 1}}}]"),
    ],
)
async def test_an_expression_that_fails_is_an_expression_fault_of_its_place(
    run: Any, place: str, body: str
) -> None:
    fault = await error(run, body, {"x": "text"})
    assert (kind(fault), fault["status"], fault["instance"]) == ("expression", 400, place)


async def test_the_descriptors_of_task_workflow_and_runtime(run: Any) -> None:
    body = """
    do:
      - outer:
          do:
            - a/b:
                metadata: {owner: me}
                input: {from: .n}
                set:
                  task: '${ $task }'
                  workflow: '${ $workflow }'
                  runtime: '${ $runtime }'
                output: {as: '. + {raw: $task.output.runtime, was: $task.input}'}
    """
    ended = await run(workflow(body), {"n": 1})
    assert ended.status == "completed", ended.error
    task, flow = ended.output["task"], ended.output["workflow"]
    started = task.pop("startedAt")
    assert task == {
        "name": "a/b",
        "reference": "/do/0/outer/do/0/a~1b",
        "definition": resolve_pointer(dsl.parse(workflow(body)).data, "/do/0/outer/do/0/a~1b"),
        "input": {"n": 1},
        "output": None,
    }
    assert set(started) == {"iso8601", "epoch"}
    assert started["epoch"]["milliseconds"] // 1000 == started["epoch"]["seconds"]
    assert flow["id"] == ended.run_id
    assert flow["definition"] == dsl.parse(workflow(body)).data
    assert flow["input"] == {"n": 1}
    assert flow["startedAt"]["epoch"]["milliseconds"] <= started["epoch"]["milliseconds"]
    assert ended.output["runtime"] == {
        "name": "serverless-workflow-engine",
        "version": __version__,
        "metadata": {},
    }
    assert ended.output["raw"] == ended.output["runtime"]
    assert ended.output["was"] == {"n": 1}


@pytest.mark.parametrize(
    ("variable", "allowed"),
    [
        ("$authorization", {"definition", "output", "export"}),
        ("$input", {"definition", "output", "export"}),
        ("$output", {"export"}),
        ("$context", {"if", "from", "definition", "output", "export", "end"}),
        ("$task", {"if", "from", "definition", "output", "export"}),
        ("$workflow", {"start", "if", "from", "definition", "output", "export", "end"}),
        ("$runtime", {"start", "if", "from", "definition", "output", "export", "end"}),
    ],
)
def test_each_place_has_the_arguments_of_the_specification(variable: str, allowed: set[str]) -> None:
    assert {place for place, body in PLACES.items() if not problems(body % variable)} == allowed


async def test_a15_set_replaces_the_data_and_may_be_one_expression(run: Any) -> None:
    assert await output(run, "do: [{a: {set: {x: 1}}}]", {"y": 1}) == {"x": 1}
    assert await output(run, "do: [{a: {set: '${ .list }'}}]", {"list": [1, 2]}) == [1, 2]


async def test_an_export_replaces_the_context_and_leaves_the_data(run: Any) -> None:
    body = """
    do:
      - a: {set: {x: 1}, export: {as: '{a: .x}'}}
      - b: {set: {x: 2}, export: {as: {b: '${ .x }'}}}
      - c: {set: {data: '${ . }', context: '${ $context }'}}
    """
    assert await output(run, body) == {"data": {"x": 2}, "context": {"b": 2}}


async def test_a71_now_is_the_time_of_the_run_and_the_same_within_a_state(run: Any) -> None:
    body = "do: [{a: {set: {same: '${ now == now }', close: '${ (now - $workflow.startedAt.epoch.seconds) < 60 }'}}}]"
    assert await output(run, body) == {"same": True, "close": True}


@pytest.mark.parametrize("source", ["env", "$ENV", "input", "input_filename", "halt", "$__loc__", "debug"])
def test_a71_what_reaches_outside_is_refused_when_the_document_is_loaded(source: str) -> None:
    assert refused(f"do: [{{a: {{set: {{x: '${{ {source} }}'}}}}}}]").code == "not-deterministic"


async def test_expressions_in_data_are_never_evaluated(run: Any) -> None:
    assert await output(run, "do: [{a: {set: '${ .text }'}}]", {"text": "${ 1 + 1 }"}) == "${ 1 + 1 }"


@pytest.mark.parametrize(
    "source", ["def f: f; f", "[range(1e9)]", "[recurse(.)] | length", "until(false; .)"]
)
async def test_a71_an_expression_without_end_is_a_fault_and_stops_nothing_else(run: Any, source: str) -> None:
    fault = await error(run, f"do: [{{a: {{set: {{x: '${{ {source} }}'}}}}}}]")
    assert (kind(fault), fault["instance"]) == ("expression", "/do/0/a")


def test_single_quotes_are_no_jq() -> None:
    assert refused("do: [{a: {if: \".x == 'y'\", set: {x: 1}}}]").code == "invalid-expression"


async def test_the_context_is_checked_after_the_export(run: Any) -> None:
    body = """
    do:
      - keep:
          set: {n: '${ .n }'}
          export:
            as: '{ kept: .n }'
            schema: {document: {type: object, properties: {kept: {type: integer}}}}
      - tell: {set: '${ $context }'}
    """
    assert await output(run, body, {"n": 1}) == {"kept": 1}
    fault = await error(run, body, {"n": "one"})
    assert (fault["type"], fault["status"], fault["instance"]) == (ERRORS + "validation", 400, "/do/0/keep")
    assert "context" in fault["detail"]
