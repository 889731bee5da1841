"""The workflows of the chaos test: together they have every kind of state of both DSLs.

Each says what a run of it must have done when it has ended. An effect is a request to the ledger, told by the run that
it is for and a name; ``<<name; more>>`` in a text is one.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SOURCE = "https://chaos.example"


@dataclass(frozen=True)
class Kind:
    """A workflow, and how a run of it on ``{"run": id, "n": n}`` must end.

    *effects* and *emits* are names, each once for a run. *hears*: types and data of the events that it is to be sent.
    *begins*: it is started by the first of them and not by hand. *others*: what it runs.
    """

    name: str
    text: str
    effects: tuple[str, ...] = ()
    emits: int = 0
    hears: tuple[tuple[str, Any], ...] = ()
    begins: bool = False
    others: tuple[str, ...] = ()
    status: str = "completed"
    output: Callable[[dict[str, Any]], Any] | None = None
    namespace: str = "chaos"


def _v1(name: str, body: str, metadata: str = "") -> str:
    head = f"document: {{dsl: '1.0.3', namespace: chaos, name: {name}, version: '1.0.0'{metadata}}}\n"
    return _told(head + textwrap.dedent(body))


def _v0_8(name: str, body: str) -> str:
    head = f"id: {name}\nspecVersion: '0.8'\nversion: '1.0'\n" + textwrap.dedent(
        """
        functions:
          - {name: tell, type: custom, operation: 'rest:post:LEDGER/effects'}
          - {name: bad, type: expression, operation: 'error("no")'}
        events:
          - {name: Said, type: chaos.said, kind: produced}
          - {name: Answer, type: chaos.answer, source: 'https://chaos.example',
             correlation: [{contextAttributeName: chaosrun}]}
          - {name: Reading, type: chaos.reading, source: 'https://chaos.example',
             correlation: [{contextAttributeName: chaosrun}]}
        """
    )
    return _told(head + textwrap.dedent(body))


def _told(text: str) -> str:
    """*text* with each ``<<name; more>>`` written out, in the manner of its DSL: a call, or arguments of a function."""

    def v1(match: re.Match[str]) -> str:
        effect, more = match[1], (match[2] or "").strip()
        body = f"run: '${{ $workflow.input.run }}', effect: {effect}{', ' + more if more else ''}"
        request = f"method: post, endpoint: 'LEDGER/effects', body: {{{body}}}"
        return f"call: http, with: {{{request}}}, output: {{as: $input}}"

    def v0_8(match: re.Match[str]) -> str:
        effect, more = match[1], (match[2] or "").strip()
        arguments = f"run: '${{ .run }}', effect: {effect}{', ' + more if more else ''}"
        call = f"functionRef: {{refName: tell, arguments: {{{arguments}}}}}"
        return f"{call}, actionDataFilter: {{useResults: false}}"

    return re.sub(r"<<([^;>]+)(?:;([^>]*))?>>", v0_8 if "specVersion" in text else v1, text)


def _same(given: dict[str, Any]) -> Any:
    return given


WALK = Kind(
    "walk",
    _v1(
        "walk",
        """
        do:
          - begin: {set: {run: '${ .run }', n: '${ .n }', sum: 0}}
          - choose: {switch: [{even: {when: .n % 2 == 0, then: even}}, {odd: {then: odd}}]}
          - even: {<<choice; seconds: 0.2>>, then: loop}
          - odd: {<<choice>>}
          - loop:
              for: {each: item, in: '[1, 2, 3]'}
              do:
                - add: {set: '${ .sum += $item }'}
                - tell: {<<'${ "item-\\($item)" }'>>}
          - inner:
              do:
                - nap: {wait: PT0.3S}
                - guard:
                    try: [{boom: {raise: {error: {type: 'https://chaos.example/boom', status: 418}}}}]
                    catch: {as: e, do: [{caught: {set: '${ . + {caught: $e.status} }'}}]}
          - say:
              emit: {event: {with: {type: chaos.said, source: 'https://chaos.example', data: {run: '${ .run }'}}}}
              output: {as: $input}
        output: {as: '{run, sum, caught}'}
        """,
    ),
    ("choice", "item-1", "item-2", "item-3"),
    emits=1,
    output=lambda given: {"run": given["run"], "sum": 6, "caught": 418},
)

FORKS = Kind(
    "forks",
    _v1(
        "forks",
        """
        do:
          - all:
              fork:
                branches:
                  - a: {<<a; seconds: 0.5>>}
                  - b: {do: [{nap: {wait: PT0.4S}}, {tell: {<<b>>}}]}
                  - c: {do: [{tell: {<<c>>}}, {say: {emit: {event: {with: {type: chaos.said,
                       source: 'https://chaos.example', data: {}}}}, output: {as: $input}}}]}
              output: {as: 'length'}
          - race:
              fork:
                compete: true
                branches:
                  - slow: {wait: PT1H}
                  - fast: {do: [{nap: {wait: PT0.2S}}, {win: {set: fast}}]}
          - last: {<<last>>}
        """,
    ),
    ("a", "b", "c", "last"),
    emits=1,
    output=lambda given: "fast",
)

RETRIES = Kind(
    "retries",
    _v1(
        "retries",
        """
        do:
          - one:
              try: [{flaky: {<<flaky; fails: 2>>}}]
              catch: {errors: {with: {status: 503}}, retry: {delay: PT0.1S, limit: {attempt: {count: 9}}}}
          - several:
              try:
                - before: {set: '${ . }'}
                - flaky: {<<second; fails: 1>>}
                - after: {wait: PT0.1S}
              catch: {errors: {with: {status: 503}}, retry: {delay: PT0.1S, limit: {attempt: {count: 9}}}}
          - hopeless:
              try: [{never: {<<never; fails: 1000000>>}}]
              catch: {errors: {with: {status: 503}}, do: [{instead: {<<instead>>}}]}
          - fail: {raise: {error: {type: 'https://chaos.example/wanted', status: 409, detail: '${ .run }'}}}
        """,
    ),
    ("flaky", "second", "instead"),
    status="faulted",
)

LISTENS = Kind(
    "listens",
    _v1(
        "listens",
        """
        do:
          - ready: {<<ready>>}
          - both:
              listen:
                to:
                  all:
                    - {with: {type: chaos.first, subject: '${ $input.run }'}}
                    - {with: {type: chaos.second, subject: '${ $input.run }'}}
              output: {as: '$input + {both: (map(.v) | sort)}'}
          - tell: {<<both>>}
          - each:
              listen:
                to: {any: [{with: {type: chaos.more, subject: '${ $input.run }'}}], until: '(. | length) == 3'}
              foreach:
                item: e
                do: [{tell: {<<'${ "more-\\($e.v)" }'>>}}, {give: {set: '${ $e.v }'}}]
              output: {as: '$input + {more: sort}'}
        """,
    ),
    ("ready", "both", "more-1", "more-2", "more-3"),
    hears=(
        ("chaos.first", 1),
        ("chaos.second", 2),
        ("chaos.more", 1),
        ("chaos.more", 2),
        ("chaos.more", 3),
    ),
    output=lambda given: {**given, "both": [1, 2], "more": [1, 2, 3]},
)

CHILD = _v1(
    "child", "do: [{nap: {wait: PT0.2S}}, {tell: {<<'${ .effect }'; seconds: 0.2>>}}, {set: {set: ok}}]"
)
SUBS = Kind(
    "subs",
    _v1(
        "subs",
        """
        do:
          - awaited:
              run:
                workflow: {namespace: chaos, name: child, version: '1.0.0', input: {run: '${ .run }', effect: awaited}}
              output: {as: '$input + {child: .}'}
          - beside:
              run:
                workflow: {namespace: chaos, name: child, version: '1.0.0', input: {run: '${ .run }', effect: beside}}
                await: false
          - tell: {<<parent>>}
        """,
    ),
    ("awaited", "beside", "parent"),
    others=(CHILD,),
    output=lambda given: {**given, "child": "ok"},
)

EXPRESS = Kind(
    "express",
    _v1(
        "express",
        """
        do:
          - one: {<<one>>}
          - two: {<<two; seconds: 0.1>>}
          - three: {<<three>>}
        """,
        ", metadata: {express: true}",
    ),
    ("one", "two", "three"),
    output=_same,
)

SCRIPTS = Kind(
    "scripts",
    _v1(
        "scripts",
        """
        do:
          - post:
              run:
                script:
                  language: python
                  arguments: {run: '${ .run }'}
                  code: |
                    import json, os
                    from urllib.request import Request, urlopen
                    body = json.dumps({"run": run, "effect": "script"}).encode()
                    head = {"Idempotency-Key": os.environ["WFE_IDEMPOTENCY_KEY"]}
                    urlopen(Request("LEDGER/effects", data=body, headers=head)).read()
              output: {as: $input}
        """,
    ),
    ("script",),
    output=_same,
)

STARTED = Kind(
    "started",
    _v1(
        "started",
        """
        schedule: {read: data, on: {one: {with: {type: chaos.begin}}}}
        input: {from: '.[0]'}
        do:
          - tell: {call: http, with: {method: post, endpoint: 'LEDGER/effects',
                   body: {run: '${ .run }', effect: started}}, output: {as: $input}}
        """,
    ),
    ("started",),
    hears=(("chaos.begin", 1),),
    begins=True,
)

SUBSCRIBER = _v1(
    "subscriber",
    """
    schedule: {on: {one: {with: {type: chaos.said}}}}
    do:
      - tell: {call: http, with: {method: post, endpoint: 'LEDGER/effects',
               body: {run: subscriber, effect: '${ .[0].id }'}}}
    """,
)
"""Hears every event that the others emit, and tells the ledger its id."""

TICKS = _v1(
    "ticks",
    """
    schedule: {every: PT2S}
    do:
      - tell: {call: http, with: {method: post, endpoint: 'LEDGER/effects',
               body: {run: ticks, effect: '${ $workflow.id }'}}}
    """,
)
"""Started by the clock: what it tells the ledger is the id of its run."""

BOOKING = Kind(
    "booking",
    _v0_8(
        "booking",
        """
        errors: [{name: expression}]
        retries: [{name: twice, maxAttempts: 2, delay: PT0.1S, multiplier: 2}]
        states:
          - {name: Begin, type: inject, data: {log: [begun]}, transition: Hotel}
          - {name: Hotel, type: operation, actions: [{<<hotel; seconds: 0.2>>}], compensatedBy: NoHotel,
             transition: Nap}
          - {name: Nap, type: sleep, duration: PT0.3S, transition: Flight}
          - {name: Flight, type: operation, actions: [{<<flight>>}], compensatedBy: NoFlight, transition: Decide}
          - name: Decide
            type: switch
            dataConditions: [{condition: .n % 2 == 0, transition: Fail}]
            defaultCondition: {transition: Done}
          - name: Fail
            type: operation
            actions: [{functionRef: bad, retryRef: twice, retryableErrors: [expression]}]
            onErrors:
              - {errorRef: expression, end: {compensate: true, produceEvents: [{eventRef: Said, data: '${ .log }'}]}}
            end: true
          - {name: Done, type: operation, actions: [{<<noflight>>}, {<<nohotel>>}],
             end: {produceEvents: [{eventRef: Said}]}}
          - {name: NoFlight, type: operation, usedForCompensation: true, actions: [{<<noflight; seconds: 0.2>>}]}
          - {name: NoHotel, type: operation, usedForCompensation: true, actions: [{<<nohotel>>}]}
        """,
    ),
    ("hotel", "flight", "noflight", "nohotel"),
    emits=1,
    output=lambda given: {**given, "log": ["begun"]},
    namespace="default",
)

LEAF = _v0_8(
    "leaf",
    """
    states:
      - {name: Nap, type: sleep, duration: PT0.2S, transition: Tell}
      - {name: Tell, type: operation, actions: [{<<leaf>>}], end: true}
    """,
)
BRANCHES = Kind(
    "branches",
    _v0_8(
        "branches",
        """
        states:
          - {name: Begin, type: inject, data: {list: [1, 2, 3]}, transition: Each}
          - name: Each
            type: foreach
            inputCollection: .list
            iterationParam: i
            actions: [{<<'${ "each-\\(.i)" }'; seconds: 0.2>>}]
            transition: Both
          - name: Both
            type: parallel
            branches:
              - {name: one, actions: [{<<branch>>}]}
              - {name: two, actions: [{subFlowRef: leaf}]}
            transition: After
          - {name: After, type: inject, data: {over: true}, end: true}
        """,
    ),
    ("each-1", "each-2", "each-3", "branch", "leaf"),
    others=(LEAF,),
    output=lambda given: {**given, "list": [1, 2, 3], "over": True},
    namespace="default",
)

ASKS = Kind(
    "asks",
    _v0_8(
        "asks",
        """
        states:
          - name: Ask
            type: callback
            action: {<<asked>>}
            eventRef: Answer
            eventDataFilter: {data: .v, toStateData: .answer}
            transition: Tell
          - {name: Tell, type: operation, actions: [{<<answered>>}], end: true}
        """,
    ),
    ("asked", "answered"),
    hears=(("chaos.answer", 42),),
    output=lambda given: {**given, "answer": 42},
    namespace="default",
)

COUNTS = Kind(
    "counts",
    _v0_8(
        "counts",
        """
        states:
          - {name: Tell, type: operation, actions: [{<<'${ "count-\\(.c // 0)" }'>>}], transition: Count}
          - name: Count
            type: switch
            dataConditions:
              - condition: (.c // 0) < 2
                end: {continueAs: {workflowId: counts, data: '${ {run, n, c: ((.c // 0) + 1)} }'},
                      produceEvents: [{eventRef: Said}]}
            defaultCondition: {end: true}
        """,
    ),
    ("count-0", "count-1", "count-2"),
    emits=2,
    output=lambda given: {"run": given["run"], "n": given["n"], "c": 2},
    namespace="default",
)

ROOMS = Kind(
    "rooms",
    _v0_8(
        "rooms",
        """
        keepActive: true
        states:
          - name: Read
            type: event
            onEvents:
              - eventRefs: [Reading]
                eventDataFilter: {data: '${ {run, readings: [.v], last: .v} }'}
            transition: Tell
          - {name: Tell, type: operation, actions: [{<<'${ "reading-\\(.last)" }'>>}], transition: Enough}
          - name: Enough
            type: switch
            dataConditions:
              - condition: (.readings | length) >= 4
                end: {terminate: true, produceEvents: [{eventRef: Said}]}
            defaultCondition: {end: true}
        """,
    ),
    ("reading-1", "reading-2", "reading-3", "reading-4"),
    emits=1,
    hears=tuple(("chaos.reading", value) for value in (1, 2, 3, 4)),
    begins=True,
    namespace="default",
)

KINDS = (
    WALK, FORKS, RETRIES, LISTENS, SUBS, EXPRESS, SCRIPTS, STARTED, BOOKING, BRANCHES, ASKS, COUNTS, ROOMS,
)  # fmt: skip
"""What runs are made of; `SUBSCRIBER` and `TICKS` are beside them."""
