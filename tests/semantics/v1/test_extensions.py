"""Extensions: tasks around tasks, decisions A13, A31, A53 and A54, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, event, kind, output, problems, refused, workflow
from workflow_engine import dsl
from workflow_engine.graph.render import mermaid, to_json

NOTE = "{set: '${ . }', export: {as: '$context + {notes: ($context.notes + [%s])}'}}"
"""A task that writes something down and hands its input on."""


def note(what: str) -> str:
    return NOTE % what.replace("'", "''")


def fill(template: str, *parts: str) -> str:
    return template % parts


def extending(*extensions: str, do: str) -> str:
    listed = "".join(f"\n    - {extension}" for extension in extensions)
    return f"use:\n  extensions:{listed}\n{do}"


NOTES = "{notes: {set: '${ $context.notes }'}}"
BOTH = "{%s: {extend: %s, before: [{b: %s}], after: [{a: %s}]}}"


def both(name: str, extend: str) -> str:
    return BOTH % (name, extend, note(f'"before {name}"'), note(f'"after {name}"'))


async def test_a54_before_lists_run_in_the_order_of_the_extensions_and_after_lists_the_other_way_round(
    run: Any,
) -> None:
    body = extending(
        both("one", "wait"),
        both("two", "all"),
        both("other", "emit"),
        do=f"do: [{{w: {{wait: PT0.01S}}}}, {NOTES}]",
    )
    # The last task reads the notes between those that are made before it and after it.
    assert await output(run, body) == ["before one", "before two", "after two", "after one", "before two"]


async def test_a54_what_extensions_come_to_is_not_kept(run: Any) -> None:
    body = extending(
        "{lost: {extend: set, before: [{b: {set: {lost: true}}}], after: [{a: {set: {lost: '${ . }'}}}]}}",
        do="do: [{s: {input: {from: .n}, set: '${ . + 1 }', output: {as: '{n: ., was: $input}'}}}]",
    )
    assert await output(run, body, {"n": 1}) == {"n": 2, "was": 1}


async def test_a54_the_tasks_before_begin_with_the_transformed_input_and_those_after_with_the_raw_output(
    run: Any,
) -> None:
    body = extending(
        '{seen: {extend: set, when: $task.name == "s",'
        f" before: [{{b: {note('{before: .}')}}}], after: [{{a: {note('{after: ., of: $task.output}')}}}]}}}}",
        do=fill("do: [{s: {input: {from: .n}, set: '${ . + 1 }', output: {as: '{n: .}'}}}, %s]", NOTES),
    )
    assert await output(run, body, {"n": 1}) == [{"before": 1}, {"after": 2, "of": 2}]


async def test_a54_exit_before_a_task_is_in_its_place(run: Any) -> None:
    """The extensions before it have their tasks after; the ones behind it are not begun."""
    mock = "{mock: {extend: call, before: [{m: {set: {content: mocked}, then: exit}}, {n: {set: lost}}],"
    mock += " after: [{a: %s}]}}"
    body = extending(
        both("outer", "call"),
        mock % note('"after mock"'),
        both("inner", "call"),
        do="""do:
  - c:
      call: http
      with: {method: get, endpoint: 'https://nowhere.invalid'}
      output: {as: '{of: .content}'}
      then: e
  - d: {set: {skipped: true}}
  - e: {set: {of: '${ .of }', notes: '${ $context.notes }'}}
""",
    )
    expected = {"of": "mocked", "notes": ["before outer", "after mock", "after outer"]}
    assert await output(run, body) == expected


async def test_a54_exit_ends_its_own_list_only(run: Any) -> None:
    inner = "{extend: set, before: [{d: {do: [{x: {set: lost, then: exit}}, {y: {set: lost}}]}}],"
    inner += " after: [{x: {set: lost, then: exit}}, {y: {set: '${ error(\"not here\") }'}}]}"
    assert await output(run, extending(f"{{e: {inner}}}", do="do: [{s: {set: kept}}]")) == "kept"


async def test_a54_a_switch_that_is_left_out_goes_on_as_its_task_says(run: Any) -> None:
    body = extending(
        "{e: {extend: switch, when: .out, before: [{x: {set: out, then: exit}}]}}",
        do="""do:
  - s: {switch: [{c: {then: a}}], then: b}
  - a: {set: '${ [., "a"] }', then: end}
  - b: {set: '${ [., "b"] }'}
""",
    )
    assert await output(run, body, {"out": True}) == ["out", "b"]
    assert await output(run, body, {"out": False}) == [{"out": False}, "a"]


@pytest.mark.parametrize("extended", ["composite", "do", "fork"])
async def test_a54_composite_means_do_and_fork(run: Any, extended: str) -> None:
    body = extending(
        fill("{e: {extend: %s, before: [{b: %s}]}}", extended, note("$task.name")),
        do="""do:
  - d: {do: [{in: {set: {x: 1}}}]}
  - f: {fork: {branches: [{in: {set: {x: 1}}}]}}
  - t: {try: [{in: {set: {x: 1}}}], catch: {}}
  - l: {for: {in: '[1]'}, do: [{in: {set: {x: 1}}}]}
  - notes: {set: '${ $context.notes }'}
""",
    )
    assert await output(run, body) == {"composite": ["d", "f"], "do": ["d"], "fork": ["f"]}[extended]


async def test_a54_all_extends_every_task_but_those_of_extensions(run: Any) -> None:
    body = extending(
        fill("{e: {extend: all, before: [{b: %s}, {more: {do: [{deep: {set: x}}]}}]}}", note("$task.name")),
        do=f"do: [{{d: {{do: [{{in: {{set: {{x: 1}}}}}}]}}}}, {NOTES}]",
    )
    assert await output(run, body) == ["d", "in", "notes"]


async def test_a54_the_tasks_of_functions_are_extended_and_those_of_functions_that_extensions_call_are_not(
    run: Any,
) -> None:
    body = f"""
use:
  functions:
    f: {{do: [{{in: {{set: '${{ .x }}'}}}}]}}
    write: {note(".name")}
  extensions:
    - e: {{extend: set, before: [{{b: {{call: write, with: {{name: '${{ $task.reference }}'}}}}}}]}}
do: [{{c: {{call: f, with: {{x: 1}}}}}}, {{notes: {{set: '${{ $context.notes }}'}}}}]
"""
    assert await output(run, body) == ["/use/functions/f/do/0/in", "/do/1/notes"]


async def test_a54_a_task_that_is_skipped_is_not_extended(run: Any) -> None:
    body = extending(both("e", "wait"), do=f"do: [{{w: {{if: 'false', wait: PT1H}}}}, {NOTES}]")
    assert await output(run, body) is None


async def test_a53_the_condition_sees_the_task_that_is_extended_and_no_arguments_beside_it(run: Any) -> None:
    body = extending(
        fill(
            "{by_definition: {extend: set, when: '$task.definition.metadata.note', before: [{b: %s}]}}",
            note('"definition"'),
        ),
        fill(
            "{by_input: {extend: set, when: '.yes and $input.yes and $context == {}', before: [{b: %s}]}}",
            note('"input"'),
        ),
        fill(
            "{no_alias: {extend: set, when: '$task.metadata != null or $task.set != null', before: [{b: %s}]}}",
            note('"alias"'),
        ),
        do=fill("do: [{a: {set: {yes: true}, metadata: {note: true}}}, %s]", NOTES),
    )
    assert await output(run, body, {"yes": True}) == ["definition"]
    assert await output(run, body.replace("metadata: {note: true}", ""), {"yes": True}) == ["input"]


async def test_a53_a_condition_that_fails_is_an_error_of_the_extension(run: Any) -> None:
    body = extending("{e: {extend: set, when: '$task | startswith(\"x\")'}}", do="do: [{a: {set: {x: 1}}}]")
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("expression", "/use/extensions/0/e")
    caught = body.replace("{a: {set: {x: 1}}}", "{t: {try: [{a: {set: {x: 1}}}], catch: {}}}")
    assert await output(run, caught, {"n": 1}) == {"n": 1}


async def test_a53_the_task_of_an_extension_is_the_one_that_it_extends(run: Any) -> None:
    """The specification's own example logs `$task.reference`."""
    seen = note("[$task.reference, $task.name, $task.input, $task.output]")
    body = extending(
        fill("{e: {extend: set, before: [{d: {do: [{b: %s}]}}], after: [{a: %s}]}}", seen, seen),
        do=f"do: [{{one: {{input: {{from: .n}}, set: '${{ . + 1 }}'}}}}, {NOTES}]",
    )
    written = await output(run, body, {"n": 1})
    assert written[:2] == [["/do/0/one", "one", {"n": 1}, None], ["/do/0/one", "one", {"n": 1}, 2]]
    assert written[2] == ["/do/1/notes", "notes", 2, None]


def test_a13_an_extension_does_not_see_the_variables_around_the_task() -> None:
    body = extending(
        "{e: {extend: set, before: [{b: {set: '${ $item }'}}]}}",
        do="do: [{l: {for: {in: .}, do: [{s: {set: {x: 1}}}]}}]",
    )
    found = refused(body)
    assert (found.code, found.pointer) == ("invalid-expression", "/use/extensions/0/e/before/0/b/set")


async def test_a31_the_tasks_of_an_extension_have_their_own_place_in_the_document(run: Any) -> None:
    body = extending(
        "{'mock/it': {extend: call, before: [{b: {raise: {error: {type: 'https://e.example/x', status: 418}}}}]}}",
        do="do: [{c: {call: http, with: {method: get, endpoint: 'https://nowhere.invalid'}}}]",
    )
    assert (await error(run, body))["instance"] == "/use/extensions/0/mock~1it/before/0/b"


async def test_a_fault_before_or_after_a_task_is_a_fault_of_the_task(run: Any) -> None:
    for when in ("before", "after"):
        body = extending(
            fill(
                "{e: {extend: wait, %s: [{b: {raise: {error: {type: 'https://e.example/x', status: 418}}}}]}}",
                when,
            ),
            do="do: [{t: {try: [{w: {wait: PT0.01S}}], catch: {as: e, do: [{c: {set: '${ $e.status }'}}]}}}]",
        )
        assert await output(run, body) == 418


async def test_the_timeout_of_a_task_is_for_the_task_alone(run: Any) -> None:
    body = extending(
        '{e: {extend: set, when: $task.name == "s", before: [{b: {wait: PT0.2S}}], after: [{a: {wait: PT0.2S}}]}}',
        do="do: [{s: {set: done, timeout: {after: PT0.1S}}}]",
    )
    assert await output(run, body) == "done"
    late = extending(both("e", "do"), do="do: [{d: {do: [{w: {wait: PT9S}}], timeout: {after: PT0.05S}}}]")
    assert kind(await error(run, late)) == "timeout"


async def test_the_end_in_an_extension_is_that_of_the_workflow(run: Any) -> None:
    body = extending(
        "{e: {extend: wait, before: [{b: {set: over, then: end}}]}}",
        do="do: [{w: {wait: PT1H}}, {s: {set: lost}}]",
    )
    assert await output(run, body) == "over"


async def test_loops_retries_and_branches_are_extended_each_time_anew(run: Any) -> None:
    body = extending(
        fill("{e: {extend: set, before: [{w: {wait: PT0.01S}}], after: [{a: %s}]}}", note("$task.output")),
        do="""do:
  - l: {for: {in: '[1, 2]'}, do: [{s: {set: '${ $item }'}}]}
  - f: {fork: {branches: [{x: {set: x}}, {y: {set: y}}]}}
  - n: {set: '${ [., $context.notes] }'}
""",
    )
    outputs, notes = await output(run, body)
    assert outputs == ["x", "y"]
    assert notes[:2] == [1, 2]


async def test_an_extension_may_wait_for_events(run: Any) -> None:
    body = extending(
        "{approved: {extend: emit, before: [{ask: {listen: {to: {one: {with: {type: approved}}}}}}]}}",
        do="do: [{e: {emit: {event: {with: {type: sent}}}}}]",
    )
    sent = await output(run, body, events=[event("approved", "1", {"by": "Ann"})])
    assert sent["type"] == "sent"


def test_what_is_wrong_in_an_extension_is_told_once_whatever_it_extends() -> None:
    body = extending(
        "{e: {extend: all, before: [{b: {set: '${ $nothing }'}}]}}", do="do: [{a: {set: x}}, {b: {set: x}}]"
    )
    assert [problem.pointer for problem in problems(body)] == ["/use/extensions/0/e/before/0/b/set"]


def test_a_loop_that_an_extension_makes_wait_does_not_spin() -> None:
    body = "do: [{a: {set: x}}, {b: {set: x, then: a}}]"
    assert [problem.code for problem in problems(body)] == ["endless-loop"]
    assert problems(extending("{e: {extend: set, after: [{w: {wait: PT1S}}]}}", do=body)) == []


def test_an_extension_is_a_line_in_the_drawing_of_what_it_extends() -> None:
    text = workflow(extending(both("log", "all"), do="do: [{a: {set: x}}, {b: {set: y}}]"))
    graph = dsl.compile(dsl.parse(text))
    drawn = mermaid(graph)
    assert drawn.count("extended by log") == 2
    assert "before, by log" not in drawn
    roles = [(region["role"], region["id"]) for region in to_json(graph)["regions"]]  # type: ignore[index, union-attr]
    assert roles == [
        ("root", "/do"),
        ("before", "/use/extensions/0/log/before"),
        ("after", "/use/extensions/0/log/after"),
    ]
