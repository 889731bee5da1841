"""Loops, directives, switches and empty lists: decisions A16 to A20 and A35, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, problems, refused, warnings, workflow


async def test_a16_for_chains_iterations(run: Any) -> None:
    body = """
    do:
      - sum:
          for: {each: x, in: .list, at: i}
          do: [{add: {set: '${ . + {n: (.n + $x), last: $i} }'}}]
    """
    given = {"list": [1, 2, 3], "n": 0}
    assert await output(run, body, given) == {**given, "n": 6, "last": 2}


async def test_a16_item_and_index_are_the_names_when_none_are_given(run: Any) -> None:
    body = "do: [{a: {for: {in: .}, do: [{b: {set: '${ [., $item, $index] }'}}]}}]"
    assert await output(run, body, ["x", "y"]) == [[["x", "y"], "x", 0], "y", 1]


async def test_a16_the_collection_is_evaluated_once(run: Any) -> None:
    body = "do: [{a: {for: {in: .}, do: [{grow: {set: '${ . + [1] }'}}]}}]"
    assert await output(run, body, [0, 0]) == [0, 0, 1, 1]


@pytest.mark.parametrize("items", [[], None])
async def test_a16_a_loop_over_nothing_gives_its_input(run: Any, items: Any) -> None:
    body = "do: [{a: {for: {in: .items}, do: [{b: {set: {ran: true}}}]}}]"
    assert await output(run, body, {"items": items}) == {"items": items}


@pytest.mark.parametrize(("items", "called"), [(3, "a number"), ("abc", "a string"), ({"a": 1}, "an object")])
async def test_a16_a_loop_over_what_is_no_array_is_an_expression_fault(
    run: Any, items: Any, called: str
) -> None:
    fault = await error(run, "do: [{a: {for: {in: .items}, do: [{b: {set: {x: 1}}}]}}]", {"items": items})
    assert (kind(fault), fault["status"], fault["instance"]) == ("expression", 400, "/do/0/a")
    assert called in fault["detail"]


async def test_a16_while_is_asked_before_each_iteration_about_its_input_and_item(run: Any) -> None:
    body = """
    do:
      - a:
          for: {each: x, in: '[1, 2, 3, 4]'}
          while: .n < 3 and $x < 4 and $input.n == 0
          do: [{add: {set: {n: '${ .n + $x }'}}}]
    """
    assert await output(run, body, {"n": 0}) == {"n": 3}
    assert await output(run, body.replace(".n < 3", "false"), {"n": 0}) == {"n": 0}


async def test_a16_the_collection_may_be_written_inline(run: Any) -> None:
    body = """
    do:
      - a:
          for: {each: x, in: [{n: 1}, {n: '${ .two }'}, 3]}
          do: [{add: {set: '${ . + {seen: (.seen + [$x])} }'}}]
    """
    assert await output(run, body, {"two": 2, "seen": []}) == {"two": 2, "seen": [{"n": 1}, {"n": 2}, 3]}


async def test_input_inside_a_loop_is_that_of_the_nearest_task(run: Any) -> None:
    body = "do: [{a: {for: {in: '[1, 2]'}, do: [{b: {set: {n: '${ $input.n + 1 }'}}}]}}]"
    assert await output(run, body, {"n": 0}) == {"n": 2}


async def test_a17_exit_in_the_list_of_a_loop_leaves_the_loop(run: Any) -> None:
    body = """
    do:
      - loop:
          for: {each: x, in: '[1, 2, 3]'}
          do:
            - add: {set: {n: '${ .n + $x }'}}
            - enough: {switch: [{yes: {when: .n > 2, then: exit}}]}
            - mark: {set: '${ . + {marked: $x} }'}
      - after: {set: '${ . + {after: true} }'}
    """
    assert await output(run, body, {"n": 0}) == {"n": 3, "after": True}


@pytest.mark.parametrize(
    "nested",
    [
        "do: [{leave: {set: '${ . + [$x] }', then: exit}}, {never: {set: lost}}]",
        "try: [{leave: {set: '${ . + [$x] }', then: exit}}, {never: {set: lost}}]\n            catch: {}",
        """try: [{fail: {raise: {error: {type: 'https://e.example/x', status: 400}}}}]
            catch: {do: [{leave: {set: '${ . + [$x] }', then: exit}}, {never: {set: lost}}]}""",
    ],
)
async def test_a17_exit_in_a_list_inside_a_loop_leaves_that_list_alone(run: Any, nested: str) -> None:
    body = f"""
    do:
      - loop:
          for: {{each: x, in: '[1, 2]'}}
          do:
          - inner:
              {nested.replace("            ", "              ")}
          - after: {{set: '${{ . + ["after"] }}'}}
    """
    assert await output(run, body, []) == [1, "after", 2, "after"]


async def test_a17_exit_in_a_branch_or_a_function_ends_it_alone(run: Any) -> None:
    body = """
    use: {functions: {f: {do: [{leave: {set: '${ . + 1 }', then: exit}}, {never: {set: lost}}]}}}
    do:
      - loop:
          for: {in: '[1, 2]'}
          do:
            - branch: {fork: {branches: [{only: {set: '${ . + 1 }', then: exit}}]}, output: {as: '.[0]'}}
            - function: {call: f}
    """
    assert await output(run, body, 0) == 4


async def test_a17_exit_of_the_catch_of_a_try_in_a_loop_leaves_the_loop(run: Any) -> None:
    body = """
    do:
      - loop:
          for: {each: x, in: '[1, 2, 3]'}
          do:
            - add: {set: '${ . + $x }'}
            - risky:
                if: $x == 2
                try: [{fail: {raise: {error: {type: 'https://e.example/x', status: 400}}}}]
                catch: {then: exit}
    """
    assert await output(run, body, 0) == 3


async def test_exit_at_the_top_ends_the_workflow_and_its_output_is_shaped(run: Any) -> None:
    body = """
    output: {as: '{result: .}'}
    do: [{a: {set: {x: 1}, then: exit}}, {b: {set: {x: 2}}}]
    """
    assert await output(run, body) == {"result": {"x": 1}}


@pytest.mark.parametrize(
    "place",
    [
        "do: [{last: %s}, {never: {set: {lost: true}}}]",
        "{for: {in: '[1, 2]'}, do: [{last: %s}]}",
        "{try: [{last: %s}], catch: {do: [{never: {set: {lost: true}}}]}}",
        "{fork: {branches: [{slow: {wait: PT30S}}, {last: %s}]}}",
        "{fork: {compete: true, branches: [{slow: {wait: PT30S}}, {last: %s}]}}",
        "{call: f}",
    ],
)
async def test_a18_end_ends_the_workflow_from_however_deep(run: Any, place: str) -> None:
    last = "{set: {last: true}, output: {as: '. + {shaped: true}'}, export: {as: '{seen: .}'}, then: end}"
    inner = place.replace("%s", last)
    body = f"""
    use: {{functions: {{f: {{do: [{{deep: {last}}}]}}}}}}
    output: {{as: '{{result: ., context: $context}}'}}
    do:
      - outer: {"{" + inner + "}" if inner.startswith("do") else inner}
      - never: {{set: {{lost: true}}}}
    """
    shaped = {"last": True, "shaped": True}
    assert await output(run, body) == {"result": shaped, "context": {"seen": shaped}}


async def test_a18_the_tasks_around_an_end_do_not_shape_its_output(run: Any) -> None:
    body = "do: [{outer: {do: [{inner: {set: {x: 1}, then: end}}], output: {as: '{lost: true}'}}}]"
    assert await output(run, body) == {"x": 1}


async def test_a19_then_may_jump_back_and_forth_in_its_list(run: Any) -> None:
    body = """
    do:
      - count: {set: {n: '${ .n + 1 }', path: '${ .path + ["count"] }'}}
      - check: {switch: [{again: {when: .n < 3, then: count}}, {done: {then: last}}]}
      - skipped: {set: {lost: true}}
      - last: {set: '${ .path + ["last"] }'}
    """
    assert await output(run, body, {"n": 0, "path": []}) == ["count", "count", "count", "last"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("do: [{a: {set: {x: 1}, then: nowhere}}]", "/do/0/a/then"),
        ("do: [{a: {do: [{b: {set: {x: 1}, then: a}}]}}]", "/do/0/a/do/0/b/then"),
        ("do: [{a: {set: {x: 1}, then: b}}, {c: {do: [{b: {set: {x: 1}}}]}}]", "/do/0/a/then"),
        (
            "do: [{a: {fork: {branches: [{b: {set: {x: 1}, then: c}}, {c: {set: {x: 1}}}]}}}]",
            "/do/0/a/fork/branches/0/b/then",
        ),
        ("do: [{a: {switch: [{b: {then: nowhere}}]}}]", "/do/0/a/switch/0/b/then"),
        ("do: [{a: {try: [{b: {set: {x: 1}}}], catch: {then: b}}}]", "/do/0/a/catch/then"),
    ],
)
def test_a19_then_cannot_leave_its_list(body: str, pointer: str) -> None:
    found = refused(body)
    assert (found.code, found.pointer) == ("unknown-task-name", pointer)


def test_a19_names_are_unique_in_a_list() -> None:
    for body in (
        "do: [{a: {set: {x: 1}}}, {a: {set: {x: 2}}}]",
        "do: [{f: {fork: {branches: [{a: {set: {x: 1}}}, {a: {set: {x: 2}}}]}}}]",
    ):
        assert refused(body).code == "duplicate-task"
    assert problems("do: [{a: {do: [{a: {set: {x: 1}}}]}}]") == []


async def test_a19_a_directive_wins_over_a_task_of_its_name_with_a_warning(run: Any) -> None:
    body = "do: [{a: {set: {x: 1}, then: end}}, {b: {set: {x: 2}}}, {end: {set: {x: 3}}}]"
    assert "directive-name" in warnings(body)
    assert await output(run, body) == {"x": 1}


async def test_a20_the_first_case_that_holds_decides_and_the_data_stays(run: Any) -> None:
    body = """
    do:
      - pick:
          switch:
            - default: {then: other}
            - big: {when: .n > 10, then: large}
            - bigger: {when: .n > 100, then: other}
          then: other
      - large: {set: '${ . + {size: "large"} }', then: end}
      - other: {set: '${ . + {size: "other"} }'}
    """
    assert await output(run, body, {"n": 200}) == {"n": 200, "size": "large"}
    assert await output(run, body, {"n": 1}) == {"n": 1, "size": "other"}


async def test_a20_without_a_case_that_holds_the_task_goes_where_it_says(run: Any) -> None:
    body = """
    do:
      - pick: {switch: [{big: {when: .n > 10, then: a}}], then: b}
      - a: {set: a, then: end}
      - b: {set: b}
    """
    assert await output(run, body, {"n": 1}) == "b"
    assert await output(run, body.replace(", then: b}", "}"), {"n": 1}) == "a"


async def test_a20_continue_in_a_case_is_the_next_task_also_after_the_last(run: Any) -> None:
    body = """
    do:
      - outer:
          do:
            - pick: {switch: [{go: {when: .n == 1, then: continue}}], then: end}
            - second: {set: {n: '${ .n + 1 }'}}
            - last: {switch: [{go: {when: .n == 2, then: continue}}], then: end}
      - after: {set: '${ .n * 10 }'}
    """
    assert await output(run, body, {"n": 1}) == 20


def test_a20_a_switch_has_one_default_and_names_of_its_own() -> None:
    found = refused("do: [{a: {switch: [{x: {then: end}}, {y: {then: exit}}]}}]")
    assert (found.code, found.pointer) == ("two-defaults", "/do/0/a/switch/1/y")
    body = "do: [{a: {switch: [{x: {when: .a, then: end}}, {x: {when: .b, then: exit}}]}}]"
    assert refused(body).code == "duplicate-case"


async def test_a35_empty_lists_give_the_input_and_an_empty_fork_an_empty_list(run: Any) -> None:
    body = """
    do:
      - nothing: {do: []}
      - tried: {try: [], catch: {}}
      - looped: {for: {in: '[1, 2]'}, do: []}
      - forked: {fork: {branches: []}, output: {as: '{forked: ., data: $input}'}}
    """
    assert await output(run, body, {"n": 1}) == {"forked": [], "data": {"n": 1}}
    assert await output(run, "do: []", {"n": 1}) == {"n": 1}
    assert await output(run, "do: [{race: {fork: {branches: [], compete: true}}}]", {"n": 1}) == []


async def test_the_output_of_a_do_is_that_of_its_last_task(run: Any) -> None:
    body = """
    do:
      - group:
          input: {from: .inner}
          do: [{a: {set: {n: '${ .n + 1 }'}}, }, {b: {set: {n: '${ .n * 2 }'}}}]
          output: {as: '. + {input: $input}'}
    """
    assert await output(run, body, {"inner": {"n": 1}}) == {"n": 4, "input": {"n": 1}}


async def test_a_run_tells_what_it_did_in_order(run: Any) -> None:
    body = "do: [{a: {do: [{b: {set: {x: 1}}}]}}, {c: {set: {x: 2}}}]"
    ended = await run(workflow(body))
    assert [(step.phase, step.state) for step in ended.progress] == [
        ("started", "/do/0/a"),
        ("started", "/do/0/a/do/0/b"),
        ("completed", "/do/0/a/do/0/b"),
        ("completed", "/do/0/a"),
        ("started", "/do/1/c"),
        ("completed", "/do/1/c"),
    ]


async def test_a_wait_gives_its_input(run: Any) -> None:
    body = """
    do:
      - object: {wait: {milliseconds: 1}}
      - text: {wait: PT0.001S}
      - expression: {wait: '${ .pause }'}
    """
    assert await output(run, body, {"pause": "PT0.001S"}) == {"pause": "PT0.001S"}


async def test_long_stretches_of_states_that_do_not_wait_let_others_go_on(run: Any) -> None:
    body = """
    do:
      - both:
          fork:
            branches:
              - counting: {for: {in: '[range(1500)]'}, do: [{add: {set: '${ . + 1 }'}}]}
              - other: {set: other}
    """
    assert await output(run, body, 0) == [1500, "other"]


@pytest.mark.parametrize(
    ("directive", "expected"),
    [("continue", [1, 2, 3]), ("exit", [1, 3]), ("end", [1]), ("after", [1, 3]), ("", [1, 2, 3])],
)
@pytest.mark.parametrize(
    "around",
    [
        "{do: [%s]}",
        "{for: {in: '[0]'}, do: [%s]}",
        "{try: [%s], catch: {}}",
        "{try: [{f: {raise: {error: {type: 'https://e.example/x', status: 400}}}}], catch: {do: [%s]}}",
        "{fork: {branches: [{b: {do: [%s]}}]}, output: {as: '.[0]'}}",
        "{fork: {compete: true, branches: [{b: {do: [%s]}}, {slow: {wait: PT60S}}]}}",
        "{call: f}",
        "{do: [%s], timeout: {after: PT60S}}",
        "{do: [{inner: {try: [%s], catch: {}, timeout: {after: PT60S}}}]}",
        "{try: [{b: {do: [%s]}}], catch: {retry: {limit: {attempt: {count: 1, duration: PT60S}}}}}",
        "{for: {in: '[0]'}, do: [{b: {try: [{c: {do: [%s]}}], catch: {}}}]}",
    ],
)
async def test_a17_to_a19_a_directive_means_the_same_in_every_scope(
    run: Any, around: str, directive: str, expected: list[int]
) -> None:
    """`one`, `two` and `after` are in the scope; `three` comes after the task that holds it."""
    then = f", then: {directive}" if directive else ""
    one = "{one: {set: '${ . + [1] }'" + then + "}}"
    tasks = one + ", {two: {set: '${ . + [2] }'}}, {after: {set: '${ . }'}}"
    task = around.replace("%s", tasks)
    body = f"""
    use: {{functions: {{f: {{do: [{tasks}]}}}}}}
    do: [{{held: {task}}}, {{three: {{set: '${{ . + [3] }}'}}}}]
    """
    assert await output(run, body, []) == expected


@pytest.mark.parametrize(
    ("directive", "expected"),
    [("continue", [1, 2, 3]), ("exit", [1, 3]), ("end", [1]), ("after", [1, 3])],
)
@pytest.mark.parametrize("outcome", ["case", "caught", "handled"])
async def test_a20_the_directive_of_a_case_and_of_a_catch_wins_over_that_of_the_task(
    run: Any, outcome: str, directive: str, expected: list[int]
) -> None:
    fail = "{f: {raise: {error: {type: 'https://e.example/x', status: 400}}}}"
    task = {
        "case": f"{{switch: [{{c: {{then: {directive}}}}}], then: never}}",
        "caught": f"{{try: [{fail}], catch: {{then: {directive}}}, then: never}}",
        "handled": f"{{try: [{fail}], catch: {{do: [{{h: {{set: '${{ . }}'}}}}], then: {directive}}}, then: never}}",
    }[outcome]
    body = f"""
    do:
      - held:
          do:
            - one: {{set: '${{ . + [1] }}'}}
            - decide: {task}
            - two: {{set: '${{ . + [2] }}', then: after}}
            - never: {{set: '["never"]'}}
            - after: {{set: '${{ . }}'}}
      - three: {{set: '${{ . + [3] }}'}}
    """
    assert await output(run, body, []) == expected


async def test_a8_what_is_skipped_goes_on_with_the_next_in_every_scope(run: Any) -> None:
    skipped = "{if: 'false', set: lost, then: end, output: {as: '\"lost\"'}, export: {as: '\"lost\"'}}"
    body = f"""
    use: {{functions: {{f: {skipped}}}}}
    do:
      - first: {skipped}
      - list: {{do: [{{a: {skipped}}}, {{b: {{set: '${{ . + 1 }}'}}}}]}}
      - loop: {{for: {{in: '[1, 2]'}}, do: [{{a: {skipped}}}, {{b: {{set: '${{ . + 1 }}'}}}}]}}
      - tried: {{try: [{{a: {skipped}}}, {{b: {{set: '${{ . + 1 }}'}}}}], catch: {{}}}}
      - forked: {{fork: {{branches: [{{a: {skipped}}}]}}, output: {{as: '.[0]'}}}}
      - case: {{if: 'false', switch: [{{c: {{then: end}}}}], then: end}}
      - loops: {{if: 'false', for: {{in: '[1, 2]'}}, do: [{{b: {{set: lost}}}}], then: end}}
      - called: {{call: f}}
      - last: {{set: '${{ {{n: ., context: $context}} }}'}}
    """
    assert await output(run, body, 0) == {"n": 4, "context": {}}


async def test_a29_what_is_wrong_with_the_data_of_a_try_is_not_caught_by_it(run: Any) -> None:
    for data in ("input: {from: .a.b}", "output: {as: .a.b}", "export: {as: .a.b}", "if: .a.b.c"):
        caught = "catch: {do: [{handle: {set: caught}}]}"
        task = f"{{a: {{try: [{{b: {{set: '${{ . }}'}}}}], {caught}, {data}}}}}"
        fault = await error(run, f"do: [{task}]", {"a": "text"})
        assert (kind(fault), fault["instance"]) == ("expression", "/do/0/a")
        assert await output(run, f"do: [{{out: {{try: [{task}], {caught}}}}}]", {"a": "text"}) == "caught"
