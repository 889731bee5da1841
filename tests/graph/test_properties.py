"""Whatever the graph, its renderings are well formed and show all of it."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings

from tests.graph.build import graphs, states_of
from tests.graph.grammars import Drawing, read_dot, read_mermaid
from workflow_engine.graph import phrases
from workflow_engine.graph.analysis import analyse
from workflow_engine.graph.diagram import Box, Item, draw
from workflow_engine.graph.model import Sequence, StateGraph
from workflow_engine.graph.render import dot, mermaid, to_json

any_graph = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@any_graph
@given(graphs())
def test_every_state_is_drawn_exactly_once(graph: StateGraph) -> None:
    states = list(states_of(graph.root))
    for drawing in (read_mermaid(mermaid(graph)), read_dot(dot(graph))):
        drawn = [f"s{number}" for number in range(1, len(states) + 1)]
        assert {id for id in drawing.labels if id[0] == "s"} == {"start", *drawn}
        for id, state in zip(drawn, states, strict=True):
            assert (id in drawing.boxes) == isinstance(state.action, Sequence)
            assert drawing.labels[id].startswith(phrases.clip(state.name, phrases.NAME))


@any_graph
@given(graphs())
def test_mermaid_and_graphviz_show_the_same(graph: StateGraph) -> None:
    first, second = read_mermaid(mermaid(graph)), read_dot(dot(graph))

    def seen(drawing: Drawing) -> object:
        return (
            {id: text.split("\n") for id, text in drawing.labels.items()},
            drawing.inside,
            drawing.arrows,
            drawing.dotted,
        )

    assert seen(first) == seen(second)


@any_graph
@given(graphs())
def test_captions_stay_bounded_and_on_one_line(graph: StateGraph) -> None:
    diagram = draw(graph)

    def lines(items: tuple[Item, ...] | list[Item]) -> list[str]:
        found: list[str] = []
        for item in items:
            if isinstance(item, Box):
                assert item.contents
                found += lines(item.contents)
            else:
                found += item.lines
        return found

    for line in (*lines(diagram.contents), *(line for arrow in diagram.arrows for line in arrow.lines)):
        assert line
        assert len(line) <= phrases.SUMMARY + 10
        assert line.isprintable() or not any(ord(letter) < 32 for letter in line)


@any_graph
@given(graphs())
def test_json_refers_only_to_what_it_lists(graph: StateGraph) -> None:
    shown = json.loads(json.dumps(to_json(graph)))
    states = {state["id"]: state for state in shown["states"]}
    regions = {region["id"]: region for region in shown["regions"]}
    assert len(states) == len(shown["states"]) == len(list(states_of(graph.root)))
    assert len(regions) == len(shown["regions"])
    assert [region["role"] for region in shown["regions"]].count("root") == 1
    for state in states.values():
        assert state["region"] in regions
    for region in regions.values():
        assert region["state"] is None or region["state"] in states
        assert (
            region["entry"] in {"exit", "end", "break"} or states[region["entry"]]["region"] == region["id"]
        )
    for transition in shown["transitions"]:
        home = states[transition["from"]]["region"]
        assert transition["to"] in {"exit", "end", "break"} or states[transition["to"]]["region"] == home
        assert transition.get("region", home) in regions


@any_graph
@given(graphs())
def test_rendering_and_analysis_are_deterministic(graph: StateGraph) -> None:
    assert mermaid(graph) == mermaid(graph)
    assert dot(graph) == dot(graph)
    assert to_json(graph) == to_json(graph)
    assert analyse(graph) == analyse(graph)


@any_graph
@given(graphs())
def test_findings_are_about_states_of_the_graph(graph: StateGraph) -> None:
    known = {state.id for state in states_of(graph.root)}
    for finding in analyse(graph):
        assert finding.state in known
        assert finding.severity in {"error", "warning"}
        assert finding.code != "missing-target"
