"""Waiting for events: decisions A17 and A36 to A44, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, event, kind, output, problems, refused, workflow
from workflow_engine.values import JsonObject


def temperatures(*values: Any, type: str = "temperature") -> list[JsonObject]:
    return [event(type, str(number), value) for number, value in enumerate(values)]


async def test_a37_the_output_is_a_list_of_the_data_even_of_one_event(run: Any) -> None:
    body = "do: [{a: {listen: {to: {one: {with: {type: temperature}}}}}}]"
    assert await output(run, body, events=temperatures({"c": 20})) == [{"c": 20}]


async def test_any_takes_the_first_event_that_fits_one_of_the_filters(run: Any) -> None:
    body = "do: [{a: {listen: {to: {any: [{with: {type: x}}, {with: {type: temperature}}]}}}}]"
    assert await output(run, body, events=temperatures(1, 2)) == [1]


async def test_any_without_filters_takes_every_event(run: Any) -> None:
    body = "do: [{a: {listen: {to: {any: []}}}}]"
    assert await output(run, body, events=temperatures(7)) == [7]


async def test_a38_all_takes_one_event_for_each_filter_in_the_order_they_come(run: Any) -> None:
    body = """
    do:
      - all: {listen: {to: {all: [{with: {type: a}}, {with: {type: b}}, {with: {type: a}}]}}}
      - rest: {listen: {to: {any: []}}, output: {as: '[$input, .]'}}
    """
    events = [event("b", "1", "b1"), event("b", "2", "b2"), event("a", "3", "a1"), event("a", "4", "a2")]
    assert await output(run, body, events=events) == [["b1", "a1", "a2"], ["b2"]]


@pytest.mark.parametrize(
    ("read", "expected"),
    [("", {"c": 1}), (", read: data", {"c": 1}), (", read: raw", {"c": 1})],
)
async def test_read_says_what_of_an_event_is_seen(run: Any, read: str, expected: Any) -> None:
    body = f"do: [{{a: {{listen: {{to: {{one: {{with: {{type: temperature}}}}}}{read}}}}}}}]"
    assert await output(run, body, events=temperatures({"c": 1})) == [expected]


async def test_read_envelope_gives_the_whole_event(run: Any) -> None:
    body = "do: [{a: {listen: {to: {one: {with: {type: temperature}}}, read: envelope}}}]"
    [seen] = await output(run, body, events=[{**temperatures({"c": 1})[0], "room": "kitchen"}])
    assert {key: seen[key] for key in ("type", "source", "data", "room", "specversion")} == {
        "type": "temperature",
        "source": "https://tests.example/v1",
        "data": {"c": 1},
        "room": "kitchen",
        "specversion": "1.0",
    }


@pytest.mark.parametrize(
    "filter",
    [
        "{type: temperature, data: '${ .c > 38 }'}",
        "{data: '${ $event.data.c == 39 }'}",
        "{type: 'temp.*', subject: hot}",
        "{subject: '${ $input.wanted }'}",
        '{type: \'${ "temper" + "ature" }\', subject: hot}',
        "{source: 'https://tests.example/v1', subject: hot}",
        "{subject: 'hot|warm'}",
    ],
)
async def test_a39_and_a40_filters_compare_match_and_compute(run: Any, filter: str) -> None:
    body = f"do: [{{a: {{listen: {{to: {{one: {{with: {filter}}}}}}}}}}}]"
    events = [
        event("temperature", "1", {"c": 20}, subject="cold"),
        event("temperature", "2", {"c": 39}, subject="hot"),
    ]
    assert await output(run, body, {"wanted": "hot"}, events=events) == [{"c": 39}]


def test_a_filter_mixed_of_text_and_expressions_is_refused() -> None:
    found = refused("do: [{a: {listen: {to: {one: {with: {type: 'a ${ .b }'}}}}}}]")
    assert (found.code, found.pointer) == ("mixed-filter", "/do/0/a/listen/to/one/with/type")


async def test_a41_events_that_came_before_the_listener_are_found_back_to_the_start_of_the_run(
    run: Any,
) -> None:
    body = """
    do:
      - pause: {wait: PT0.2S}
      - first: {listen: {to: {one: {with: {type: temperature}}}}}
      - pause2: {wait: PT0.05S}
      - second: {listen: {to: {one: {with: {type: temperature}}}}, output: {as: '[$input, .]'}}
    """
    assert await output(run, body, events=temperatures(1, 2)) == [[1], [2]]


async def test_an_event_is_taken_once_by_one_listener_of_the_run(run: Any) -> None:
    body = """
    do:
      - both:
          fork:
            branches:
              - a: {listen: {to: {one: {with: {type: temperature}}}}}
              - b: {listen: {to: {one: {with: {type: temperature}}}}}
          output: {as: 'map(.[0]) | sort'}
    """
    assert await output(run, body, events=temperatures(1, 2)) == [1, 2]


ROOMS = [
    event("enter", "1", {"who": "ada"}, room="a"),
    event("leave", "2", {"who": "bob"}, room="b"),
    event("leave", "3", {"who": "ada"}, room="a"),
]


async def test_a42_without_an_expectation_the_first_event_says_what_the_others_must_have(run: Any) -> None:
    correlate = "correlate: {room: {from: .room}}"
    filters = ", ".join(f"{{with: {{type: {type}}}, {correlate}}}" for type in ("enter", "leave"))
    body = f"do: [{{a: {{listen: {{to: {{all: [{filters}]}}}}}}}}]"
    assert await output(run, body, events=ROOMS) == [{"who": "ada"}, {"who": "ada"}]


async def test_a42_an_expectation_is_a_value_or_an_expression_of_the_run(run: Any) -> None:
    body = "do: [{a: {listen: {to: {one: {with: {type: leave}, correlate: {room: {from: .room, expect: %s}}}}}}}]"
    assert await output(run, body % "b", events=ROOMS) == [{"who": "bob"}]
    assert await output(run, body % "'${ .wanted }'", {"wanted": "a"}, events=ROOMS) == [{"who": "ada"}]


async def test_a36_until_a_condition_holds_of_the_events_so_far(run: Any) -> None:
    body = "do: [{a: {listen: {to: {any: [{with: {type: temperature}}], until: '(. | length) == 2'}}}}]"
    assert await output(run, body, events=temperatures(1, 2, 3)) == [1, 2]


async def test_a36_the_condition_sees_the_events_as_read_and_not_what_foreach_made(run: Any) -> None:
    body = """
    do:
      - a:
          listen: {to: {any: [{with: {type: temperature}}], until: 'any(.[]; .c > 38)'}}
          foreach: {item: t, do: [{x: {set: '${ $t.c * 2 }'}}]}
    """
    assert await output(run, body, events=temperatures({"c": 20}, {"c": 39}, {"c": 20})) == [40, 78]


async def test_a36_the_condition_sees_the_context_as_foreach_left_it(run: Any) -> None:
    body = """
    do:
      - a:
          listen: {to: {any: [{with: {type: temperature}}], until: '$context.sum >= 6'}}
          foreach: {item: t, export: {as: '{sum: (($context.sum // 0) + $t)}'}}
      - tell: {set: {events: '${ . }', sum: '${ $context.sum }'}}
    """
    assert await output(run, body, events=temperatures(1, 2, 3, 4)) == {"events": [1, 2, 3], "sum": 6}


async def test_until_an_event_that_is_not_part_of_the_output(run: Any) -> None:
    body = (
        "do: [{a: {listen: {to: {any: [{with: {type: temperature}}], until: {one: {with: {type: stop}}}}}}}]"
    )
    events = [*temperatures(1, 2), event("stop", "s"), event("temperature", "late", 3)]
    assert await output(run, body, events=events) == [1, 2]


async def test_until_all_of_several_events_none_of_which_is_part_of_the_output(run: Any) -> None:
    until = "{all: [{with: {type: stop}}, {with: {type: end}}]}"
    body = f"do: [{{a: {{listen: {{to: {{any: [{{with: {{type: temperature}}}}], until: {until}}}}}}}}}]"
    events = [*temperatures(1), event("stop", "s"), event("temperature", "more", 2), event("end", "e")]
    assert await output(run, body, events=events) == [1, 2]


@pytest.mark.parametrize("mode", ["one: {with: {type: a}}", "all: [{with: {type: a}}]"])
def test_until_goes_with_any_alone(mode: str) -> None:
    assert problems(f"do: [{{a: {{listen: {{to: {{{mode}, until: 'true'}}}}}}}}]")


async def test_a43_foreach_handles_the_events_one_by_one_from_the_input_of_the_task(run: Any) -> None:
    body = """
    do:
      - a:
          input: {from: .inner}
          listen: {to: {any: [{with: {type: temperature}}], until: '(. | length) == 3'}}
          foreach:
            item: t
            at: i
            do:
              - pause: {if: $i == 0, wait: PT0.02S}
              - scale: {set: {value: '${ $t * $input.factor }', data: '${ . }'}}
            output: {as: '{v: .value, data: .data, t: $t, i: $i}'}
            export: {as: '($context.seen // []) + [$output.v] | {seen: .}'}
          output: {as: '{all: ., seen: $context.seen}'}
    """
    ended = await output(run, body, {"inner": {"factor": 10}}, events=temperatures(1, 2, 3))
    assert ended == {
        "all": [{"v": 10 * t, "data": {"factor": 10}, "t": t, "i": t - 1} for t in (1, 2, 3)],
        "seen": [10, 20, 30],
    }


async def test_a43_without_do_the_output_of_foreach_is_made_of_the_item(run: Any) -> None:
    body = """
    do:
      - a:
          listen: {to: {any: [{with: {type: temperature}}], until: '(. | length) == 2'}}
          foreach: {output: {as: '{item: ., same: (. == $item), n: $index, run: ($workflow.id | type)}'}}
    """
    assert await output(run, body, events=temperatures(5, 6)) == [
        {"item": 5, "same": True, "n": 0, "run": "string"},
        {"item": 6, "same": True, "n": 1, "run": "string"},
    ]


async def test_a17_exit_in_foreach_leaves_the_loop_of_events(run: Any) -> None:
    body = """
    do:
      - a:
          listen: {to: {any: [{with: {type: temperature}}], until: 'false'}}
          foreach:
            item: t
            do:
              - double: {set: '${ $t * 2 }'}
              - enough: {switch: [{yes: {when: $t >= 2, then: exit}}]}
              - mark: {set: '${ "\\(.)!" }'}
      - after: {set: {events: '${ . }'}}
    """
    assert await output(run, body, events=temperatures(1, 2, 3)) == {"events": ["2!", 4]}


async def test_an_end_in_foreach_ends_the_workflow(run: Any) -> None:
    body = """
    do:
      - a:
          listen: {to: {any: [{with: {type: temperature}}], until: 'false'}}
          foreach: {item: t, do: [{last: {set: '${ $t }', then: end}}]}
      - never: {set: lost}
    """
    assert await output(run, body, events=temperatures(9)) == 9


async def test_a_fault_in_foreach_has_its_place_and_stops_the_listening(run: Any) -> None:
    body = """
    do:
      - a:
          try:
            - b:
                listen: {to: {any: [{with: {type: temperature}}], until: 'false'}}
                foreach: {do: [{fail: {raise: {error: {type: 'https://e.example/x', status: 400}}}}]}
          catch: {do: [{handle: {set: '${ $error.instance }'}}]}
    """
    assert await output(run, body, events=temperatures(1)) == "/do/0/a/try/0/b/foreach/do/0/fail"


async def test_listeners_in_a_loop_take_one_event_after_the_other(run: Any) -> None:
    body = """
    do:
      - loop:
          for: {in: '[1, 2, 3]'}
          do:
            - a:
                listen: {to: {one: {with: {type: temperature}}}}
                output: {as: '{sum: ($input.sum + .[0])}'}
    """
    assert await output(run, body, {"sum": 0}, events=temperatures(1, 2, 4)) == {"sum": 7}


async def test_a_run_hears_the_events_that_it_emits(run: Any) -> None:
    body = """
    do:
      - say: {emit: {event: {with: {type: said, data: {n: '${ .n }'}}}}}
      - hear: {listen: {to: {one: {with: {type: said, source: '${ $input.source }'}}}}}
    """
    assert await output(run, body, {"n": 1}) == [{"n": 1}]


async def test_a44_a_run_that_events_start_gets_them_whole_unless_read_says_otherwise(run: Any) -> None:
    body = """
    schedule: {on: {all: [{with: {type: a}}, {with: {type: b}}]}%s}
    do: [{x: {set: {input: '${ . }', same: '${ . == $workflow.input }'}}}]
    """
    events = [event("b", "1", {"n": 1}), event("c", "2"), event("a", "3", {"n": 2})]
    whole = await output(run, body % "", events=events)
    assert [seen["type"] for seen in whole["input"]] == ["b", "a"]
    assert whole["same"] is True
    data = await output(run, body % ", read: data", events=events)
    assert data["input"] == [{"n": 1}, {"n": 2}]


async def test_a44_one_event_is_a_list_of_one(run: Any) -> None:
    body = "schedule: {on: {one: {with: {type: a}}}, read: data}\ndo: []"
    assert await output(run, body, events=[event("a", "1", 5)]) == [5]


async def test_a_failing_expectation_is_an_expression_fault_of_the_task(run: Any) -> None:
    body = "do: [{a: {listen: {to: {one: {with: {type: a}, correlate: {k: {from: .id, expect: '${ .x.y }'}}}}}}}]"
    fault = await error(run, body, {"x": "text"})
    assert (kind(fault), fault["instance"]) == ("expression", "/do/0/a")


async def test_a_run_that_waits_for_an_event_says_so(run: Any) -> None:
    if run.name != "local":
        pytest.skip("a run on Temporal waits for ever")
    ended = await run(workflow("do: [{a: {listen: {to: {one: {with: {type: never}}}}}}]"))
    assert ended.status == "waiting"


async def test_events_that_came_after_enough_are_left_for_the_next_listener(run: Any) -> None:
    body = """
    do:
      - first: {listen: {to: {any: [{with: {type: temperature}}], until: '(. | length) == 2'}}}
      - second:
          listen: {to: {any: [{with: {type: temperature}}], until: 'false'}}
          foreach: {item: t, do: [{leave: {set: '${ $t }', then: exit}}]}
          output: {as: '[$input, .]'}
      - third: {listen: {to: {one: {with: {type: temperature}}}}, output: {as: '$input + [.]'}}
    """
    assert await output(run, body, events=temperatures(1, 2, 3, 4)) == [[1, 2], [3], [4]]


def test_the_name_of_a_channel_is_checked_when_the_document_is_loaded() -> None:
    for name in ("''", "5", "a b", "null"):
        found = refused(f"do: [{{a: {{listen: {{to: {{any: []}}}}, metadata: {{channel: {name}}}}}}}]")
        assert (found.code, found.pointer) == ("invalid-value", "/do/0/a/metadata/channel")
        emit = refused(
            f"do: [{{a: {{emit: {{event: {{with: {{type: t}}}}}}, metadata: {{channel: {name}}}}}}}]"
        )
        assert emit.code == "invalid-value"


def test_no_more_filters_than_a_listener_can_have_are_taken() -> None:
    filters = ", ".join(f"{{with: {{type: t{n}}}}}" for n in range(257))
    assert refused(f"do: [{{a: {{listen: {{to: {{any: [{filters}]}}}}}}}}]").code == "too-large"


async def test_a_run_listens_on_the_channel_that_the_metadata_names(run: Any) -> None:
    body = """
    do:
      - elsewhere: {emit: {event: {with: {type: said, data: 1}}}}
      - there: {emit: {event: {with: {type: said, data: 2}}}, metadata: {channel: rooms/kitchen}}
      - hear: {listen: {to: {one: {with: {type: said}}}}, metadata: {channel: rooms/kitchen}}
    """
    assert await output(run, body) == [2]
