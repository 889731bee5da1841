"""What the analysis finds, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

from tests.graph.build import case, catch, graph, http, jq, json, listen, on, put, region, state
from workflow_engine.graph.analysis import Finding, analyse
from workflow_engine.graph.model import (
    End,
    Exit,
    ForEach,
    GoTo,
    Operation,
    Parallel,
    Raise,
    Retry,
    Sequence,
    Sleep,
    StateGraph,
    Switch,
    Try,
)
from workflow_engine.values import Duration

SECOND = Duration(0, 1)


def found(given: StateGraph) -> list[tuple[str, str, str]]:
    return [(finding.code, finding.severity, finding.state) for finding in analyse(given)]


def test_a_sound_graph_has_no_findings():
    body = region(state("/do/0/do/0", http()), id="b")
    assert analyse(graph(state("/do/0/a", Sequence(body), "/do/1/b"), state("/do/1/b", put(x=1)))) == []
    assert analyse(graph()) == []


def test_a_state_that_nothing_leads_to_is_unreachable():
    given = graph(
        state("/do/0/a", http(), End()), state("/do/1/b", http(), "/do/2/c"), state("/do/2/c", http())
    )
    assert analyse(given) == [
        Finding("unreachable-state", "no transition leads to 'b'; it is never run", "/do/1/b"),
        Finding("unreachable-state", "no transition leads to 'c'; it is never run", "/do/2/c"),
    ]


def test_states_inside_an_unreachable_one_are_not_reported_again():
    body = region(state("/do/1/b/do/0", http()), id="b")
    given = graph(state("/do/0/a", http(), End()), state("/do/1/b", Sequence(body)))
    assert found(given) == [("unreachable-state", "warning", "/do/1/b")]


def test_the_state_that_takes_the_events_of_the_trigger_is_reached():
    given = graph(
        state("/states/0", http()), state("/states/1", listen("a")), trigger=on("a", state="/states/1")
    )
    assert analyse(given) == []


def test_where_a_skipped_state_goes_on_counts_as_reached():
    away = state("/do/0/a", http(), End(), when=".x", otherwise=GoTo("/do/1/b"))
    assert analyse(graph(away, state("/do/1/b", http()))) == []


def test_a_transition_to_a_state_of_another_region_has_no_target():
    body = region(state("/do/0/a/do/0/in", http(), "/do/1/b"), id="b")
    given = graph(state("/do/0/a", Sequence(body), "/do/1/b"), state("/do/1/b", http()))
    assert found(given) == [("missing-target", "error", "/do/0/a/do/0/in")]


def test_a_region_that_begins_with_no_state_of_its_own_has_no_target():
    given = graph(root=region(state("/do/0/a", http()), entry=GoTo("/do/9")))
    assert ("missing-target", "error", "/do") in found(given)


def test_a_pure_loop_without_a_way_out_is_an_error():
    given = graph(
        state("/do/0/a", put(x=1), "/do/1/b"),
        state("/do/1/b", Switch((case("c", ".x", "/do/0/a"),)), "/do/2/c"),
        state("/do/2/c", put(y=1), "/do/0/a"),
    )
    (finding,) = analyse(given)
    assert (finding.code, finding.severity, finding.state) == ("endless-loop", "error", "/do/0/a")
    assert "'a', 'b', 'c'" in finding.message
    assert "spin" in finding.message


def test_a_state_that_goes_to_itself_for_ever_is_a_loop():
    assert found(graph(state("/do/0/a", put(x=1), "/do/0/a"))) == [("endless-loop", "error", "/do/0/a")]


def test_an_endless_loop_that_waits_or_acts_is_a_warning():
    for action in (http(), Sleep(SECOND), listen("a")):
        given = graph(state("/do/0/a", action, "/do/1/b"), state("/do/1/b", put(x=1), "/do/0/a"))
        assert found(given) == [("endless-loop", "warning", "/do/0/a")]
    body = region(state("/do/0/for/0", http()), id="f")
    nested = state("/do/0/a", ForEach(jq(".items"), "item", None, body), "/do/0/a")
    assert found(graph(nested)) == [("endless-loop", "warning", "/do/0/a")]


def test_a_loop_that_can_be_left_is_fine():
    out = Switch((case("done", ".done", End()),))
    assert analyse(graph(state("/do/0/a", put(x=1), "/do/1/b"), state("/do/1/b", out, "/do/0/a"))) == []
    raising = graph(
        state("/do/0/a", Switch((case("bad", ".bad", "/do/1/b"),)), "/do/0/a"),
        state("/do/1/b", Raise(json({"type": "x", "status": 1}))),
    )
    assert analyse(raising) == []


def test_an_end_or_a_raise_inside_a_state_of_the_loop_leaves_it():
    ending = region(state("/do/0/do/0", put(x=1), End()), id="b")
    assert analyse(graph(state("/do/0/a", Sequence(ending), "/do/0/a"))) == []
    raising = region(state("/do/0/do/0", Raise(json({"type": "x", "status": 1}))), id="b")
    assert analyse(graph(state("/do/0/a", Sequence(raising), "/do/0/a"))) == []


def test_a_raise_that_is_caught_on_the_way_does_not_leave_the_loop():
    raising = region(state("/do/0/try/0", Raise(json({"type": "x", "status": 1}))), id="t")
    swallowed = graph(state("/do/0/a", Try(raising, catch()), "/do/0/a"))
    assert found(swallowed) == [("endless-loop", "error", "/do/0/a")]
    filtered = graph(state("/do/0/a", Try(raising, catch(error={"status": 2})), "/do/0/a"))
    assert analyse(filtered) == []


def test_a_loop_that_only_leads_into_an_endless_one_is_not_reported_itself():
    given = graph(
        state("/do/0/a", Switch((case("again", ".x", "/do/0/a"),)), "/do/1/b"),
        state("/do/1/b", Sleep(SECOND), "/do/1/b"),
    )
    assert found(given) == [("endless-loop", "warning", "/do/1/b")]


def test_an_unreachable_loop_is_only_unreachable():
    given = graph(state("/do/0/a", http(), End()), state("/do/1/b", put(x=1), "/do/1/b"))
    assert found(given) == [("unreachable-state", "warning", "/do/1/b")]


def test_a_loop_that_a_race_or_a_timeout_around_it_ends_is_fine_unless_it_spins():
    beat = region(state("/do/0/0/beat", Sleep(SECOND), "/do/0/0/beat"), id="0")
    work = region(state("/do/0/1/work", http()), id="1")
    spin = region(state("/do/0/2/spin", put(x=1), "/do/0/2/spin"), id="2")
    assert analyse(graph(state("/do/0/race", Parallel((beat, work), race=True)))) == []
    assert analyse(graph(state("/do/0/some", Parallel((beat, work), need=1)))) == []
    assert analyse(graph(state("/do/0/timed", Sequence(beat), timeout=SECOND))) == []
    assert found(graph(state("/do/0/all", Parallel((beat, work))))) == [
        ("endless-loop", "warning", "/do/0/0/beat")
    ]
    assert found(graph(state("/do/0/race", Parallel((spin, work), race=True)))) == [
        ("endless-loop", "error", "/do/0/2/spin")
    ]


def test_a_case_after_the_default_is_never_chosen_and_leads_nowhere():
    cases = (case("any", None, End()), case("late", ".x", "/do/1/b"))
    given = graph(state("/do/0/s", Switch(cases)), state("/do/1/b", http()))
    assert [(code, state) for code, _, state in found(given)] == [
        ("unreachable-case", "/do/0/s"),
        ("unreachable-state", "/do/1/b"),
    ]


def test_a_case_that_repeats_a_condition_is_never_chosen():
    cases = (case("first", ".x", End()), case("second", ".x", Exit()))
    (finding,) = analyse(graph(state("/do/0/s", Switch(cases))))
    assert finding.code == "unreachable-case"
    assert "'second'" in finding.message
    assert "'first'" in finding.message


def test_a_join_that_waits_for_more_branches_than_there_are_is_an_error():
    branches = tuple(region(state(f"/do/0/{number}", http()), id=str(number)) for number in range(2))
    assert found(graph(state("/do/0/p", Parallel(branches, need=3)))) == [
        ("unsatisfiable-join", "error", "/do/0/p")
    ]


def test_a_race_of_one_branch_is_no_race():
    only = Parallel((region(state("/do/0/0", http()), id="0"),), race=True)
    assert found(graph(state("/do/0/p", only))) == [("race-of-one", "warning", "/do/0/p")]


def test_a_retry_without_delay_or_limit_is_busy():
    body = region(state("/do/0/try/0", http()), id="t")

    def with_(retry: Retry) -> StateGraph:
        return graph(state("/do/0/a", Try(body, catch(retry=retry))))

    assert found(with_(Retry())) == [("busy-retry", "warning", "/do/0/a")]
    assert found(with_(Retry(delay=Duration()))) == [("busy-retry", "warning", "/do/0/a")]
    for calm in (Retry(delay=SECOND), Retry(limit=3), Retry(budget=SECOND), Retry(when=jq(".x"))):
        assert analyse(with_(calm)) == []


def test_in_dsl_0_8_a_wait_for_events_needs_a_timeout():
    def waits(**given) -> list[tuple[str, str, str]]:
        timeout = given.pop("timeout", None)
        return found(graph(state("/states/0", listen("a", timeout=timeout)), **{"dialect": "0.8", **given}))

    assert waits() == [("wait-without-timeout", "warning", "/states/0")]
    assert waits(timeout=SECOND) == []
    assert waits(dialect="1.0") == []
    assert found(graph(state("/states/0", listen("a")), dialect="0.8", timeout=SECOND)) == []
    assert waits(trigger=on("a", state="/states/0")) == []


def test_what_comes_of_a_timeout_that_is_not_there_is_unreachable():
    listening = replace(listen("a"), expired=GoTo("/states/1"))
    given = graph(state("/states/0", listening, End()), state("/states/1", http()))
    assert found(given) == [("unreachable-state", "warning", "/states/1")]
    timed = graph(state("/states/0", replace(listening, timeout=SECOND), End()), state("/states/1", http()))
    assert found(timed) == []


def test_findings_come_in_document_order_and_each_once():
    function = region(state("/use/f/0", put(x=1), "/use/f/0"), id="/use/f")
    given = graph(
        state("/do/0/a", Sequence(function), "/do/1/b"),
        state("/do/1/b", Sequence(function), End()),
        state("/do/2/c", Operation("http", json({}))),
    )
    assert found(given) == [
        ("endless-loop", "error", "/use/f/0"),
        ("unreachable-state", "warning", "/do/2/c"),
    ]


def test_ten_thousand_states_are_analysed_completely():
    count = 10_000
    states = [
        state(f"/do/{number}", Switch((case("back", ".x", f"/do/{number // 2}"),)), f"/do/{number + 1}")
        for number in range(count - 1)
    ]
    given = graph(*states, state(f"/do/{count - 1}", put(x=1), "/do/0"))
    (finding,) = analyse(given)
    assert finding.code == "endless-loop"
    assert "and 9995 more" in finding.message
