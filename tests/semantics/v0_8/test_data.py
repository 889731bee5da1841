"""Filters, merging and expressions: decisions B1 to B8, B40, B44 and B47, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v0_8.documents import error, kind, output, refused
from workflow_engine import dsl

FUNCTIONS = """
functions:
  - {name: self, type: expression, operation: .}
  - {name: number, type: expression, operation: '3'}
  - {name: list, type: expression, operation: '[1, 2]'}
  - {name: nothing, type: expression, operation: empty}
  - {name: order, type: expression, operation: '{order: {id: 7, total: 12}}'}
"""


def act(filter: str, *, function: str = "order") -> str:
    """One operation state with one action and its *filter*."""
    return f"""{FUNCTIONS}
states:
  - name: Act
    type: operation
    actions: [{{functionRef: {function}, actionDataFilter: {filter}}}]
    end: true
"""


# --- state data filters -------------------------------------------------------------------------------------


async def test_b1_the_output_of_an_end_state_is_what_its_filter_selects(run: Any) -> None:
    body = (
        "states: [{name: A, type: inject, data: {hello: you}, stateDataFilter: {output: .hello}, end: true}]"
    )
    assert await output(run, body) == "you"


async def test_b1_between_states_a_selected_scalar_keeps_its_name(run: Any) -> None:
    body = """
    states:
      - {name: A, type: inject, data: {job: {uid: 42}}, stateDataFilter: {output: '${ .job.uid }'}, transition: B}
      - {name: B, type: inject, data: {b: 1}, end: true}
    """
    assert await output(run, body) == {"uid": 42, "b": 1}


async def test_b1_a_switch_that_ends_gives_what_it_selects_and_one_that_goes_on_keeps_the_name(
    run: Any,
) -> None:
    body = """
    states:
      - name: A
        type: switch
        dataConditions: [{condition: .n > 1, end: {}}]
        defaultCondition: {transition: B}
        stateDataFilter: {output: .n}
      - {name: B, type: inject, data: {b: 1}, end: true}
    """
    assert await output(run, body, {"n": 2}) == 2
    assert await output(run, body, {"n": 1}) == {"n": 1, "b": 1}


async def test_b7_a_filter_that_selects_nothing_filters_nothing(run: Any) -> None:
    body = """
    states:
      - name: A
        type: inject
        data: {b: 2}
        stateDataFilter: {input: '${ .missing }', output: '${ empty }'}
        end: true
    """
    assert await output(run, body, {"a": 1}) == {"a": 1, "b": 2}


async def test_the_input_filter_chooses_what_the_state_sees(run: Any) -> None:
    body = "states: [{name: A, type: inject, data: {b: 2}, stateDataFilter: {input: .deep}, end: true}]"
    assert await output(run, body, {"deep": {"a": 1}, "other": 3}) == {"a": 1, "b": 2}


async def test_the_input_of_a_workflow_is_an_object(run: Any) -> None:
    fault = await error(run, "states: [{name: A, type: inject, data: {}, end: true}]", [1])
    assert (kind(fault), fault["instance"]) == ("validation", "/input")


# --- action data filters ------------------------------------------------------------------------------------


async def test_b2_a_result_that_is_no_object_goes_under_its_last_name_and_null_nowhere(run: Any) -> None:
    cases: list[tuple[str, str, Any]] = [
        ("number", "{}", {"a": 1, "response": 3}),
        ("list", "{}", {"a": 1, "response": [1, 2]}),
        ("order", "{results: '${ .order.total }'}", {"a": 1, "total": 12}),
        ("order", "{results: '${ .order.total + 1 }'}", {"a": 1, "response": 13}),
        ("order", "{results: '${ .order }'}", {"a": 1, "id": 7, "total": 12}),
        ("order", "{results: .missing}", {"a": 1}),
        ("nothing", "{}", {"a": 1}),
    ]
    for function, filter, expected in cases:
        assert await output(run, act(filter, function=function), {"a": 1}) == expected, (function, filter)


async def test_b3_a_value_merged_into_an_array_is_appended_once(run: Any) -> None:
    body = f"""{FUNCTIONS}
states:
  - name: Act
    type: operation
    actions:
      - {{functionRef: number, actionDataFilter: {{toStateData: .status}}}}
      - {{functionRef: number, actionDataFilter: {{toStateData: .status}}}}
    end: true
"""
    assert await output(run, body, {"status": [1]}) == {"status": [1, 3]}


async def test_b4_objects_are_merged_deep_and_arrays_joined_without_repeating(run: Any) -> None:
    body = "states: [{name: A, type: inject, data: {o: {b: {d: 4}, l: [2, 3]}}, end: true}]"
    given = {"o": {"a": 1, "b": {"c": 3, "d": 0}, "l": [1, 2]}}
    assert await output(run, body, given) == {"o": {"a": 1, "b": {"c": 3, "d": 4}, "l": [1, 2, 3]}}


async def test_b5_a_result_is_put_where_a_path_says_and_parents_are_made(run: Any) -> None:
    cases: list[tuple[str, Any]] = [
        ("${ .new.place }", {"new": {"place": 3}, "list": [{"x": 1}]}),
        ('.["a b"].c', {"a b": {"c": 3}, "list": [{"x": 1}]}),
        (".list[0].y", {"list": [{"x": 1, "y": 3}]}),
        (".list[-1].x", {"list": [{"x": 3}]}),
        (".list[2]", {"list": [{"x": 1}, None, 3]}),
        (".", {"list": [{"x": 1}], "response": 3}),
    ]
    for path, expected in cases:
        body = act(f"{{toStateData: '{path}'}}", function="number")
        assert await output(run, body, {"list": [{"x": 1}]}) == expected, path


async def test_b5_a_path_that_does_not_fit_the_data_is_a_fault(run: Any) -> None:
    for path in (".list.name", ".name[0]", ".list[-3]", ".list[99999999]"):
        fault = await error(run, act(f"{{toStateData: '{path}'}}"), {"list": [1], "name": "x"})
        assert (kind(fault), fault["instance"]) == ("expression", "/states/0/actions/0"), path


def test_b5_where_a_result_goes_is_a_plain_path() -> None:
    found = refused(act("{toStateData: '.a + .b'}"))
    assert (found.code, found.pointer) == ("not-a-path", "/states/0/actions/0/actionDataFilter/toStateData")


async def test_b6_an_action_sees_only_what_from_state_data_selects(run: Any) -> None:
    body = act("{fromStateData: .hello, toStateData: .seen}", function="self")
    assert await output(run, body, {"hello": {"en": "hi"}, "name": "Ann"}) == {
        "hello": {"en": "hi"},
        "name": "Ann",
        "seen": {"en": "hi"},
    }


async def test_use_results_false_leaves_the_state_data_alone(run: Any) -> None:
    assert await output(run, act("{useResults: false, results: .order, toStateData: .x}"), {"a": 1}) == {
        "a": 1
    }


# --- expressions --------------------------------------------------------------------------------------------


async def test_b8_expressions_may_be_bare(run: Any) -> None:
    body = """
    functions: [{name: next, type: expression, operation: '{n: (.n + 1)}'}]
    states:
      - name: Count
        type: switch
        dataConditions: [{condition: '.n < 3', transition: More}]
        defaultCondition: {end: true}
      - {name: More, type: operation, actions: [{functionRef: next}], transition: Count}
    """
    assert await output(run, body, {"n": 0}) == {"n": 3}


async def test_a_condition_must_be_true_or_false(run: Any) -> None:
    body = """
    states:
      - {name: A, type: switch, dataConditions: [{condition: .n, end: true}], defaultCondition: {end: true}}
    """
    fault = await error(run, body, {"n": 1})
    assert (kind(fault), fault["instance"]) == ("expression", "/states/0")


async def test_the_first_condition_that_holds_decides(run: Any) -> None:
    body = """
    states:
      - name: A
        type: switch
        dataConditions:
          - {condition: .n > 2, transition: Big}
          - {condition: .n > 1, transition: Middle}
        defaultCondition: {transition: Small}
      - {name: Big, type: inject, data: {is: big}, end: true}
      - {name: Middle, type: inject, data: {is: middle}, end: true}
      - {name: Small, type: inject, data: {is: small}, end: true}
    """
    assert [(await output(run, body, {"n": n}))["is"] for n in (3, 2, 1)] == ["big", "middle", "small"]


async def test_b40_constants_are_what_is_written_and_never_evaluated(run: Any) -> None:
    body = """
    constants: {limit: 5, text: '${ .n }', deep: {list: [1]}}
    states:
      - {name: A, type: inject, data: {c: '${ $CONST }', over: '${ .n > $CONST.limit }'}, end: true}
    """
    constants = {"limit": 5, "text": "${ .n }", "deep": {"list": [1]}}
    assert await output(run, body, {"n": 6}) == {"n": 6, "c": constants, "over": True}


@pytest.mark.parametrize("place", ["version", "id"])
def test_b44_what_a_workflow_is_known_by_is_literal(place: str) -> None:
    header = {"id": "x", "version": "1.0", place: "${ .v }"}
    text = f"id: '{header['id']}'\nversion: '{header['version']}'\nspecVersion: '0.8'\n"
    problems = dsl.check(dsl.parse(text + "states: [{name: A, type: inject, data: {}, end: true}]"))
    assert [(found.code, found.pointer) for found in problems] == [("invalid-value", f"/{place}")]


async def test_b47_an_expression_function_stands_for_its_text_anywhere(run: Any) -> None:
    body = """
    functions:
      - {name: Is Adult, type: expression, operation: '.age >= 18 # in most places'}
      - {name: years, type: expression, operation: '${ .age }'}
    states:
      - name: A
        type: switch
        dataConditions: [{condition: '${ fn:Is Adult }', transition: B}]
        defaultCondition: {end: true}
      - name: B
        type: inject
        data: {text: 'age ${ fn:years }, ${ fn: Is Adult }', list: ['${fn:years}']}
        transition: C
      - {name: C, type: operation, actions: [{functionRef: years, condition: fn:Is Adult}], end: true}
    """
    assert await output(run, body, {"age": 20}) == {
        "age": 20,
        "text": "age 20, true",
        "list": [20],
        "response": 20,
    }
    assert await output(run, body, {"age": 10}) == {"age": 10}


async def test_b47_an_expression_function_sees_what_from_state_data_selects(run: Any) -> None:
    body = """
    functions: [{name: name, type: expression, operation: '{seen: .name}'}]
    states:
      - name: A
        type: operation
        actions: [{functionRef: name, actionDataFilter: {fromStateData: .customer}}]
        end: true
    """
    given = {"name": "outer", "customer": {"name": "inner"}}
    assert await output(run, body, given) == {**given, "seen": "inner"}


@pytest.mark.parametrize("value", [5, "yes", None])
async def test_a4_a_condition_of_dsl_0_8_is_true_or_false_and_nothing_else(run: Any, value: Any) -> None:
    body = """
    states:
      - name: Choose
        type: switch
        dataConditions: [{condition: '${ .value }', transition: There}]
        defaultCondition: {end: true}
      - {name: There, type: inject, data: {there: true}, end: true}
    """
    assert await output(run, body, {"value": True}) == {"value": True, "there": True}
    assert await output(run, body, {"value": False}) == {"value": False}
    fault = await error(run, body, {"value": value})
    assert (kind(fault), fault["instance"]) == ("expression", "/states/0")
