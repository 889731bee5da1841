"""Generated 0.8 documents of what 1.0 can say give the same output once they are migrated."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.migration.both import Both
from tests.semantics.v0_8.documents import workflow
from tests.semantics.v0_8.test_properties import objects, values
from workflow_engine.calls import Egress

PATHS = st.sampled_from([".a", ".b", "${ .c }", ".a.b", ".b.c"])
SOURCES = [".", ".a", "[.a, .b]", "{a: .b, c: [.a]}", ".a, .b", ".c[]?", "empty", "$CONST.k", '"x"', ".a.b?"]
FUNCTIONS = [{"name": f"f{n}", "type": "expression", "operation": source} for n, source in enumerate(SOURCES)]


@st.composite
def actions(draw: Any) -> Any:
    """One action, with any of its filters."""
    filters = {
        "fromStateData": draw(st.none() | st.sampled_from([".", ".a", "{a: .c}"])),
        "results": draw(st.none() | st.sampled_from([".", ".a?", "[.]", ".[]?"])),
        "toStateData": draw(st.none() | PATHS),
        "useResults": draw(st.sampled_from([None, None, True, False])),
    }
    made: dict[str, Any] = {"functionRef": draw(st.sampled_from(FUNCTIONS))["name"]}
    known = {key: value for key, value in filters.items() if value is not None}
    if known:
        made["actionDataFilter"] = known
    if draw(st.booleans()):
        made["condition"] = draw(st.sampled_from(["${ .a != null }", '${ has("b") }', "${ true }"]))
    if draw(st.booleans()):
        made["sleep"] = {draw(st.sampled_from(["before", "after"])): "PT1S"}
    return made


listed = st.lists(actions(), min_size=1, max_size=2)
bodies = st.one_of(
    st.builds(lambda data: {"type": "inject", "data": data}, objects),
    st.builds(
        lambda found, mode: {"type": "operation", "actionMode": mode, "actions": found},
        listed,
        st.sampled_from(["sequential", "parallel"]),
    ),
    st.builds(
        lambda found: {
            "type": "parallel",
            "branches": [{"name": f"b{n}", "actions": branch} for n, branch in enumerate(found)],
        },
        st.lists(listed, min_size=1, max_size=3),
    ),
    st.builds(
        lambda found, into, mode: {
            "type": "foreach",
            "inputCollection": "${ [.a, .b] }",
            "mode": mode,
            "actions": found,
            **({} if into is None else {"outputCollection": into}),
        },
        listed,
        st.none() | PATHS,
        st.sampled_from(["sequential", "parallel"]),
    ),
)


@st.composite
def documents(draw: Any) -> str:
    """States in a row, each with filters and ``onErrors`` or without; some are skipped by a switch."""
    found = draw(st.lists(bodies, min_size=1, max_size=3))
    states: list[dict[str, Any]] = []
    for number, body in enumerate(found):
        way: dict[str, Any] = {"end": True} if number + 1 == len(found) else {"transition": f"S{number + 1}"}
        state: dict[str, Any] = {"name": f"S{number}", **body, **way}
        if draw(st.booleans()):
            state["stateDataFilter"] = {
                draw(st.sampled_from(["input", "output"])): draw(
                    st.sampled_from([".", ".a", "{a: ., b: .a}"])
                )
            }
        if body["type"] != "inject" and draw(st.booleans()):
            state["onErrors"] = [{"errorRef": draw(st.sampled_from(["Bad", "*"])), "transition": "Last"}]
        states.append(state)
    switch = {
        "name": "Begin",
        "type": "switch",
        "dataConditions": [{"condition": "${ .a == 1 }", "transition": states[-1]["name"]}],
        "defaultCondition": {"transition": "S0"},
    }
    last = {"name": "Last", "type": "inject", "data": {"last": True}, "end": True}
    body = {
        "constants": {"k": draw(values)},
        "functions": FUNCTIONS,
        "errors": [{"name": "Bad", "code": "400"}],
        "states": [switch, *states, last],
    }
    return workflow(yaml.safe_dump(body, sort_keys=False))


@settings(max_examples=40, deadline=None)
@given(documents(), objects)
async def test_a_generated_document_does_the_same_once_it_is_migrated(text: str, data: Any) -> None:
    async with Egress() as egress:
        both = Both(egress)
        await both(text, data)
    [compared] = both.compared
    assert compared.differences == [], compared.text
