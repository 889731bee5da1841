"""What the drawings of typical graphs say."""

from __future__ import annotations

import pytest

from tests.graph.build import (
    case,
    catch,
    filter,
    graph,
    http,
    jq,
    json,
    listen,
    on,
    put,
    region,
    state,
)
from tests.graph.grammars import Drawing, read_dot, read_mermaid
from workflow_engine.graph.model import (
    Action,
    EachEvent,
    Emit,
    End,
    Event,
    Exit,
    ForEach,
    GoTo,
    Handler,
    Operation,
    Parallel,
    Raise,
    Retry,
    Sequence,
    Sleep,
    StateGraph,
    Strategy,
    SubFlow,
    Switch,
    Try,
)
from workflow_engine.graph.render import dot, mermaid, to_json
from workflow_engine.values import Duration


def drawn(given: StateGraph) -> Drawing:
    return read_mermaid(mermaid(given))


def test_a_graph_reads_from_start_to_end():
    drawing = drawn(graph(state("/do/0/a", http(), "/do/1/b"), state("/do/1/b", put(x=1))))
    assert drawing.ways() == {("start", "", "a"), ("a", "", "b"), ("b", "", "end")}
    assert drawing.labels["s1"] == "a\nhttp GET https://example.com/orders"
    assert drawing.labels["s2"] == "b\nset x"


def test_an_empty_graph_goes_straight_to_the_end():
    assert drawn(graph()).ways() == {("start", "", "end")}


def test_the_trigger_is_the_start():
    given = graph(state("/do/0/a", http()), trigger=on("online.store.newOrder"))
    assert drawn(given).labels["start"] == "on online.store.newOrder"
    both = graph(state("/do/0/a", http()), trigger=on("order.paid", "order.packed", mode="all"))
    assert drawn(both).labels["start"] == "on order.paid and order.packed"


def test_a_trigger_leads_to_the_state_that_takes_its_events():
    given = graph(
        state("/states/0", http(), Exit()),
        state("/states/1", listen("order.paid")),
        trigger=on("order.paid", state="/states/1"),
    )
    assert {way for way in drawn(given).ways() if way[0].startswith("on ")} == {
        ("on order.paid", "", "0"),
        ("on order.paid", "", "1"),
    }


def test_the_arrows_of_a_switch_carry_its_cases():
    given = graph(
        state(
            "/do/0/size",
            Switch((case("big", ".total > 100", "/do/1/a"), case("small", ".total <= 100", "/do/2/b"))),
        ),
        state("/do/1/a", http(), End()),
        state("/do/2/b", http(), End()),
    )
    drawing = drawn(given)
    assert {way for way in drawing.ways() if way[0] == "size"} == {
        ("size", "big: .total > 100", "a"),
        ("size", "small: .total <= 100", "b"),
        ("size", "otherwise", "end"),
    }
    assert drawing.shapes[drawing.of("size")] == "rhombus"


def test_a_default_case_is_drawn_by_its_name_and_nothing_else_is_otherwise():
    given = graph(
        state("/do/0/s", Switch((case("yes", ".a", "/do/1/a"), case("no", None, End()))), "/do/1/a"),
        state("/do/1/a", http()),
    )
    assert {way for way in drawn(given).ways() if way[0] == "s"} == {
        ("s", "yes: .a", "a"),
        ("s", "no", "end"),
    }


def test_cases_with_one_target_share_an_arrow():
    cases = tuple(case(f"c{number}", f".x == {number}", End()) for number in range(9))
    ((_, label, _),) = [way for way in drawn(graph(state("/do/0/s", Switch(cases)))).ways() if way[0] == "s"]
    assert label.split("\n") == ["c0: .x == 0", "c1: .x == 1", "c2: .x == 2", "and 7 more"]


def test_branches_are_boxes_that_meet_in_a_join():
    branches = (
        region(state("/do/0/f/0", http()), id="0", name="mail"),
        region(state("/do/0/f/1", put(x=1)), id="1"),
    )
    drawing = drawn(graph(state("/do/0/both", Parallel(branches), "/do/1/next"), state("/do/1/next", http())))
    assert set(drawing.boxes.values()) == {"mail", "branch 2"}
    assert drawing.ways() == {
        ("start", "", "both"),
        ("both", "", "0"),
        ("both", "", "1"),
        ("0", "", "all 2"),
        ("1", "", "all 2"),
        ("all 2", "", "next"),
        ("next", "", "end"),
    }


def test_a_race_is_marked():
    branches = tuple(region(state(f"/do/0/f/{number}", http()), id=str(number)) for number in range(3))
    drawing = drawn(graph(state("/do/0/fastest", Parallel(branches, race=True))))
    assert drawing.labels[drawing.of("fastest")] == "fastest\nthe first of 3 branches"
    assert drawing.labels["j1"] == "the first of 3"
    few = drawn(graph(state("/do/0/few", Parallel(branches, need=2))))
    assert few.labels["j1"] == "2 of 3"


def test_the_body_of_a_loop_leads_back_to_it_and_a_break_leads_out():
    body = region(
        state("/do/0/for/0", http(), "/do/0/for/1"),
        state("/do/0/for/1", Switch((case("stop", ".stop", Exit(breaks=True)),))),
        id="/do/0/for",
    )
    given = graph(
        state("/do/0/loop", ForEach(jq(".items"), "item", "at", body, condition=jq(".go")), "/do/1/after"),
        state("/do/1/after", http()),
    )
    assert drawn(given).ways() == {
        ("start", "", "loop"),
        ("loop", "each", "0"),
        ("0", "", "1"),
        ("1", "stop: .stop", "after"),
        ("1", "otherwise", "loop"),
        ("loop", "done", "after"),
        ("after", "", "end"),
    }
    assert drawn(given).labels["s1"] == "loop\nfor each item in .items while .go"


def test_a_try_shows_its_retry_and_what_it_catches():
    action = Try(
        region(state("/do/0/try/0/call", http()), id="t"),
        catch(
            region(state("/do/0/catch/0/tell", put(x=1)), id="c"),
            error={"type": "https://serverlessworkflow.io/spec/1.0.0/errors/communication", "status": 503},
            retry=Retry(limit=3, delay=Duration(0, 2), backoff="exponential"),
            then=End(),
        ),
    )
    drawing = drawn(graph(state("/do/0/safe", action, "/do/1/b"), state("/do/1/b", http(), Exit())))
    assert drawing.labels["s1"] == "safe\ntry, retry 3 times after 2 s exponential"
    assert {("safe", "", "call"), ("call", "", "b"), ("tell", "", "end")} <= drawing.ways()
    assert ("safe", "on communication 503", "tell") in drawing.ways()
    assert (drawing.of("safe"), drawing.of("tell")) in drawing.dotted


def test_a_fault_that_is_swallowed_goes_on_by_a_dotted_arrow_and_one_that_is_only_retried_does_not():
    swallowed = Try(region(state("/do/0/try/0", http()), id="t"), catch())
    assert ("s", "on any error", "end") in drawn(graph(state("/do/0/s", swallowed))).ways()
    retried = Try(region(state("/do/0/try/0", http()), id="t"), catch(retry=Retry(limit=1)))
    assert {way for way in drawn(graph(state("/do/0/s", retried))).ways() if way[0] == "s"} == {
        ("s", "", "0")
    }


def test_a_sequence_is_the_box_around_its_states():
    body = region(state("/do/0/do/0/in", http(), "/do/0/do/1/out"), state("/do/0/do/1/out", http()), id="b")
    drawing = drawn(graph(state("/do/0/both", Sequence(body), "/do/1/z"), state("/do/1/z", http())))
    assert drawing.boxes == {"s1": "both"}
    assert drawing.inside[drawing.of("in")] == ["s1"]
    assert drawing.ways() == {("start", "", "in"), ("in", "", "out"), ("out", "", "z"), ("z", "", "end")}


def test_the_condition_of_a_sequence_is_a_question_in_its_box():
    body = region(state("/do/0/do/0/in", http()), id="b")
    given = graph(state("/do/0/maybe", Sequence(body), "/do/1/z", when=".go"), state("/do/1/z", http()))
    assert {("start", "", "if .go"), ("if .go", "yes", "in"), ("if .go", "if not", "z")} <= drawn(
        given
    ).ways()


def test_an_empty_sequence_does_nothing_visibly():
    given = graph(state("/do/0/hollow", Sequence(region(id="b")), "/do/1/z"), state("/do/1/z", http()))
    assert {("start", "", "nothing to do"), ("nothing to do", "", "z")} <= drawn(given).ways()
    assert drawn(given).boxes == {"s1": "hollow"}


def test_a_state_that_may_be_skipped_says_when_and_where_to():
    plain = drawn(graph(state("/do/0/a", http(), "/do/1/b", when=".x > 1"), state("/do/1/b", http())))
    assert plain.labels["s1"].endswith("\nonly if .x > 1")
    assert plain.ways() == {("start", "", "a"), ("a", "", "b"), ("b", "", "end")}
    away = state("/do/0/a", http(), End(), when=".x > 1", otherwise=GoTo("/do/1/b"))
    assert ("a", "if not", "b") in drawn(graph(away, state("/do/1/b", http()))).ways()


def test_a_listener_handles_each_event_and_comes_back():
    body = region(state("/do/0/foreach/0/keep", put(x=1)), id="e")
    action = Event(
        Strategy("any", (filter("a"), filter("b")), jq(". | length > 3")),
        "default",
        each=EachEvent("item", "index", body, ()),
    )
    drawing = drawn(graph(state("/do/0/hear", action)))
    assert drawing.labels["s1"] == "hear\nwait for any of a, b until . | length > 3"
    assert {("hear", "each event", "keep"), ("keep", "", "hear"), ("hear", "", "end")} <= drawing.ways()


def test_an_event_state_goes_where_its_handlers_and_its_timeout_say():
    action = Event(
        Strategy("any", (filter("order.paid"), filter("order.lost"))),
        "default",
        handlers=(
            Handler((0,), True, None, (), region(state("/states/0/onEvents/0/ship", http()), id="h")),
            Handler((1,), True, None, (), None, GoTo("/states/1")),
        ),
        timeout=Duration(0, 3600),
        expired=End(),
    )
    drawing = drawn(
        graph(state("/states/0", action, "/states/2"), state("/states/1", http()), state("/states/2", http()))
    )
    assert {way for way in drawing.ways() if way[0] in {"0", "ship"}} == {
        ("0", "order.paid", "ship"),
        ("ship", "", "2"),
        ("0", "order.lost", "1"),
        ("0", "after 1 h", "end"),
    }


def test_an_event_state_with_one_handler_needs_no_words_on_its_arrow():
    action = Event(
        Strategy("any", (filter("order.paid"),)),
        "default",
        handlers=(Handler((0,), True, None, (), region(state("/states/0/a", http()), id="h")),),
        expired=End(),
    )
    drawing = drawn(graph(state("/states/0", action, "/states/1"), state("/states/1", http(), "/states/0")))
    assert drawing.boxes == {"r1": "on order.paid"}
    assert drawing.ways() == {("start", "", "0"), ("0", "", "a"), ("a", "", "1"), ("1", "", "0")}


def test_an_end_deep_inside_leads_to_the_end_of_the_run():
    body = region(state("/do/0/do/0/stop", http(), End()), id="b")
    given = graph(state("/do/0/outer", Sequence(body), "/do/1/z"), state("/do/1/z", http()))
    assert ("stop", "", "end") in drawn(given).ways()


def test_a_transition_to_nowhere_is_drawn_as_such():
    given = graph(state("/do/0/a", http(), "/do/9/gone"), state("/do/1/b", http(), "/do/9/gone"))
    drawing = drawn(given)
    assert [text for text in drawing.labels.values() if text.startswith("there is no state")] == [
        "there is no state /do/9/gone"
    ]


def test_a_graph_that_never_ends_has_no_end():
    drawing = drawn(graph(state("/do/0/a", http(), "/do/0/a")))
    assert drawing.ways() == {("start", "", "a"), ("a", "", "a")}
    assert "finish" not in drawing.labels


EVERY_KIND: dict[str, Action] = {
    "operation": http(),
    "event": listen("a"),
    "switch": Switch((case("a", ".a", End()),)),
    "parallel": Parallel((region(state("/p", http()), id="p"),)),
    "for-each": ForEach(jq(".items"), "item", None, region(state("/f", http()), id="f")),
    "assign": put(a=1),
    "emit": Emit(json({"type": "a"}), "default"),
    "sleep": Sleep(Duration(0, 1)),
    "raise": Raise(json({"type": "a", "status": 1})),
    "try": Try(region(state("/t", http()), id="t"), catch()),
    "sequence": Sequence(region(state("/s", http()), id="s")),
    "sub-flow": SubFlow("ns", "child", None, json({})),
}


def test_every_kind_of_state_has_a_shape_of_its_own():
    for read, write in ((read_mermaid, mermaid), (read_dot, dot)):
        shapes = []
        for action in EVERY_KIND.values():
            drawing = read(write(graph(state("/do/0/it", action))))
            shapes.append("box around" if "s1" in drawing.boxes else drawing.shapes["s1"])
        assert len(set(shapes)) == len(EVERY_KIND)


@pytest.mark.parametrize(
    "name",
    [
        'say "hi"',
        "a[b](c){d}",
        "end",
        "1. first",
        "- item",
        "see https://example.com or www.example.com",
        "<script>alert(1)</script>",
        "a & b &amp; #35;",
        "$$x$$ and $$$",
        "*bold* _it_ `code` ~~gone~~",
        "Größe 漢字 🎉",
        "back\\slash \\n",
        "%% comment %%{init}%%",
        "a --> b | c",
        "style: x#1;",
    ],
)
def test_a_name_is_shown_as_it_is_whatever_it_contains(name):
    given = graph(state("/do/0/a", Sleep(Duration(0, 1)), name=name), title=name)
    assert read_mermaid(mermaid(given)).labels["s1"] == f"{name}\nwait 1 s"
    assert read_dot(dot(given)).labels["s1"] == f"{name}\nwait 1 s"


def test_line_breaks_and_invisible_characters_in_a_name_become_spaces():
    given = graph(state("/do/0/a", http(), name="two\nlines\x00\u202etxet\u2028\ud800end"))
    assert drawn(given).labels["s1"].split("\n")[0] == "two lines txet end"
    mermaid(given).encode()
    dot(given).encode()


def test_json_tells_regions_states_and_transitions():
    body = region(state("/do/0/for/0/ship", http()), id="/do/0/for")
    given = graph(
        state("/do/0/loop", ForEach(jq(".items"), "item", None, body), "/do/1/pick"),
        state("/do/1/pick", Switch((case("big", ".x", Exit()),)), End(), timeout=Duration(0, 90)),
        title="Orders",
        trigger=on("order.placed"),
    )
    shown = to_json(given)
    assert shown["name"] == "shop/order/1.0.0"
    assert shown["title"] == "Orders"
    assert shown["trigger"] == {"label": "on order.placed", "channel": "default", "state": None}
    assert shown["regions"] == [
        {"id": "/do", "name": "", "role": "root", "state": None, "label": "", "entry": "/do/0/loop"},
        {
            "id": "/do/0/for",
            "name": "for each item",
            "role": "body",
            "state": "/do/0/loop",
            "label": "each",
            "entry": "/do/0/for/0/ship",
        },
    ]
    assert shown["states"][-1] == {
        "id": "/do/1/pick",
        "pointer": "/do/1/pick",
        "name": "pick",
        "kind": "switch",
        "region": "/do",
        "summary": "choose",
        "notes": ["within 1 min 30 s"],
    }
    assert shown["transitions"] == [
        {"from": "/do/0/loop", "to": "/do/1/pick", "kind": "next", "label": "done"},
        {"from": "/do/0/for/0/ship", "to": "exit", "kind": "next", "label": ""},
        {"from": "/do/1/pick", "to": "exit", "kind": "case", "label": "big: .x"},
        {"from": "/do/1/pick", "to": "end", "kind": "default", "label": "otherwise"},
    ]


def test_a_function_used_twice_has_two_ids_for_each_of_its_states():
    body = region(
        state("/use/functions/f/do/0/a", http(), "/use/functions/f/do/1/b"),
        state("/use/functions/f/do/1/b", http()),
        id="/use/functions/f",
    )
    given = graph(state("/do/0/x", Sequence(body), "/do/1/y"), state("/do/1/y", Sequence(body)))
    shown = to_json(given)
    assert [(item["id"], item["pointer"]) for item in shown["states"] if item["region"] != "/do"] == [
        ("/use/functions/f/do/0/a", "/use/functions/f/do/0/a"),
        ("/use/functions/f/do/1/b", "/use/functions/f/do/1/b"),
        ("/use/functions/f/do/0/a#2", "/use/functions/f/do/0/a"),
        ("/use/functions/f/do/1/b#2", "/use/functions/f/do/1/b"),
    ]
    assert {
        "from": "/use/functions/f/do/0/a#2",
        "to": "/use/functions/f/do/1/b#2",
        "kind": "next",
        "label": "",
    } in (shown["transitions"])
    assert {
        "from": "/do/1/y",
        "to": "exit",
        "kind": "after",
        "label": "",
        "region": "/use/functions/f#2",
    } in (shown["transitions"])


def test_an_unknown_call_is_shown_by_its_kind():
    assert (
        drawn(graph(state("/do/0/a", Operation("carrier-pigeon", json({}))))).labels["s1"]
        == "a\ncarrier-pigeon"
    )
