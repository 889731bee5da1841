"""The runs whose histories are kept: one for each kind of state that Temporal sees, of both DSLs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.semantics.v0_8 import documents as old
from tests.semantics.v1.documents import event, workflow
from tests.standins.petstore import SWAGGER
from workflow_engine import dsl
from workflow_engine.calls.openapi_pruning import prune
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.values import Json, JsonObject


@dataclass(frozen=True)
class Recorded:
    """A run to record: what it is given, and how it ends; or what it started, by the end of that one's id: *child*.

    With *longest*, how many events of history are enough, it goes on in new ones, of which the second is kept.
    *commands* are done to it, each once it is at a state of that name. *first*: its first history is kept.
    """

    text: str
    input: Json = None
    events: list[JsonObject] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    resources: JsonObject = field(default_factory=dict)
    status: str = "completed"
    child: str = ""
    longest: int = 0
    commands: list[tuple[Any, ...]] = field(default_factory=list)
    first: bool = False


def pinned_operation(operation: str) -> JsonObject:
    """What a deployment pins of an operation of the pet store."""
    uri = "https://petstore.swagger.io/v2/swagger.json"
    return {f"{uri}#{operation}": {"uri": uri, "base": uri, "content": json.dumps(prune(SWAGGER, operation))}}


MOVING = """
document: {{dsl: '1.0.3', namespace: semantics, name: moving, version: {version}}}
do:
  - both:
      fork:
        branches:
          - nap: {{wait: {{seconds: 2}}}}
          - risky:
              try: [{{get: {{call: http, with: {{method: get, endpoint: 'https://httpbin.org/status/{status}'}}}}}}]
              catch: {{errors: {{with: {{status: 503}}}}, retry: {{delay: PT4S, limit: {{attempt: {{count: 2}}}}}}}}
  - end: {{set: {{moved: true}}}}
"""
"""Moves while its call waits for the next attempt, and another branch waits too."""
AROUND = """
document: {{dsl: '1.0.3', namespace: semantics, name: around, version: {version}}}
do:
  - guarded:
      try: [{{child: {{run: {{workflow: {{namespace: semantics, name: slow, version: 1.0.0, input: {{n: 2}}}}}}}}}}]
      catch: {{}}
  - end: {{set: {{version: {version}, n: '${{ .n }}'}}}}
"""
"""Moves while it waits for a sub-flow, with nothing going on beside."""
SLOW = workflow("do: [{pause: {wait: PT2S}}, {double: {set: {n: '${ .n * 2 }'}}}]", name="slow")
CHILD = workflow("do: [{pause: {wait: PT0.01S}}, {double: {set: {n: '${ .n * 2 }'}}}]", name="child")
FAILING = workflow(
    "do: [{fail: {raise: {error: {type: 'https://e.example/x', status: 418}}}}]", name="failing"
)
CHAT: JsonObject = {
    "service": "GreeterApi.Greeter",
    "method": "Chat",
    "descriptors": (
        "CrYCCgtncmVldC5wcm90bxIKR3JlZXRlckFwaSIiCgxIZWxsb1JlcXVlc3QSEgoEbmFtZRgBIAEoCVIEbmFtZSKlAQoKSGVsbG9S"
        "ZXBseRIYCgdtZXNzYWdlGAEgASgJUgdtZXNzYWdlEkAKCG1ldGFkYXRhGAIgAygLMiQuR3JlZXRlckFwaS5IZWxsb1JlcGx5Lk1l"
        "dGFkYXRhRW50cnlSCG1ldGFkYXRhGjsKDU1ldGFkYXRhRW50cnkSEAoDa2V5GAEgASgJUgNrZXkSFAoFdmFsdWUYAiABKAlSBXZh"
        "bHVlOgI4ATJHCgdHcmVldGVyEjwKBENoYXQSGC5HcmVldGVyQXBpLkhlbGxvUmVxdWVzdBoWLkdyZWV0ZXJBcGkuSGVsbG9SZXBs"
        "eSgBMAFiBnByb3RvMw=="
    ),
}
"""What a deployment pinned of a gRPC service (tests/standins/greeter.py)."""


def around(child: str = "", *, first: bool = False) -> Recorded:
    later = Bundle.of(dsl.parse(AROUND.format(version="2.0.0")), {})
    text, move = AROUND.format(version="1.0.0"), ("child", "move", later, {}, 20)
    return Recorded(text, others=[SLOW], commands=[move], child=child, first=first)


RUNS = {
    "pure": Recorded(
        workflow("do: [{loop: {for: {in: '[1, 2, 3]'}, do: [{add: {set: {n: '${ .n + $item }'}}}]}}]"),
        {"n": 0},
    ),
    "loop-side-by-side": Recorded(
        workflow(
            """
            do:
              - all:
                  metadata: {mode: parallel, parallelism: 2}
                  for: {each: n, at: i, in: '[range(6)]'}
                  do:
                    - nap: {wait: '${ "PT0.0\\(5 - ($i % 3))S" }'}
                    - say:
                        emit: {event: {with: {type: said, data: '${ $n }'}}}
                        export: {as: '$context + {last: $n}'}
                        output: {as: .data}
              - shown: {set: {out: '${ . }', last: '${ $context.last }'}}
            """
        ),
        {},
        longest=14,
    ),
    "call": Recorded(
        workflow(
            """
            do:
              - get:
                  call: http
                  with: {method: get, endpoint: 'https://httpbin.org/bytes/{count}', output: raw}
              - caught:
                  try: [{missing: {call: http, with: {method: get, endpoint: 'https://httpbin.org/status/404'}}}]
                  catch: {errors: {with: {status: 404}}}
            """
        ),
        {"count": 3},
    ),
    "call-fault": Recorded(
        workflow(
            "do: [{get: {call: http, with: {method: get, endpoint: 'https://httpbin.org/status/503'}}}]"
        ),
        status="faulted",
    ),
    "mcp": Recorded(
        workflow(
            """
            do:
              - forecast:
                  call: mcp
                  with:
                    method: tools/call
                    parameters: {name: forecast, arguments: {city: '${ .city }'}}
                    timeout: PT2M
                    transport: {http: {endpoint: 'https://tools.example/mcp'}}
              - caught:
                  try:
                    - gone:
                        call: mcp
                        with: {method: tools/list, transport: {http: {endpoint: 'https://tools.example/gone'}}}
                  catch: {errors: {with: {status: 404}}}
            """
        ),
        {"city": "Lisbon"},
    ),
    "a2a": Recorded(
        workflow(
            """
            use: {secrets: [key]}
            do:
              - ask:
                  call: a2a
                  with:
                    method: message/send
                    agentCard:
                      endpoint:
                        uri: https://agent.example
                        authentication: {bearer: {token: '${ $secrets.key | @base64 }'}}
                    parameters: {message: {parts: [{kind: text, text: '${ .words }'}]}}
              - caught:
                  try:
                    - stranger:
                        call: a2a
                        with: {agentCard: {endpoint: 'https://agent.example'}, method: tasks/list}
                  catch: {errors: {with: {status: 401}}}
            """
        ),
        {"words": "7 degrees and rain"},
    ),
    "emit": Recorded(
        workflow("do: [{say: {emit: {event: {with: {type: said, data: {n: '${ .n }'}}}}}}]"), {"n": 1}
    ),
    "listen": Recorded(
        workflow(
            """
            do:
              - hear:
                  listen: {to: {any: [{with: {type: t}}], until: '(. | length) == 2'}}
                  foreach: {item: t, do: [{scale: {set: {v: '${ $t * 10 }'}}}]}
              - all: {listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}, timeout: {after: PT30S}}
            """
        ),
        events=[event("t", "1", 1), event("t", "2", 2), event("b", "3"), event("a", "4")],
    ),
    "subscribe": Recorded(
        workflow(
            """
            do:
              - some:
                  call: asyncapi
                  with:
                    operation: file://chat.yaml#noted
                    subscription:
                      filter: ${ .payload > 1 }
                      consume: {for: PT30S, while: '${ (. | length) < 2 }'}
                      foreach: {item: m, do: [{scale: {set: {v: '${ $m.payload * 10 }'}}}]}
              - rest:
                  call: asyncapi
                  with:
                    operation: file://chat.yaml#noted
                    subscription: {consume: {for: PT0.02S, amount: 9}}
            """
        ),
        events=[event("t", "1", 1), event("t", "2", 2), event("t", "3", 3)],
        resources={
            "file://chat.yaml#noted": {
                "operation": "noted",
                "service": "chat",
                "channel": "default",
                "workflow_may": "subscribe",
                "messages": [{"name": "note"}],
            }
        },
    ),
    "receive": Recorded(
        workflow(
            """
            do:
              - hear:
                  call: asyncapi
                  with:
                    operation: file://notes.yaml#noted
                    server: {name: here}
                    subscription:
                      consume: {for: PT30S, while: '${ (. | length) < 3 }'}
                      foreach: {item: m, do: [{say: {emit: {event: {with: {type: heard, data: '${ $m.payload }'}}}}}]}
              - tell: {set: {heard: '${ map(.data.n) }'}}
            """
        ),
        resources={
            "file://notes.yaml#noted": {
                "operation": "noted",
                "service": "notes",
                "channel": "notes",
                "workflow_may": "subscribe",
                "messages": [{"name": "note", "content_type": "application/json"}],
                "servers": [{"name": "here", "protocol": "https", "host": "stream.example", "pathname": "/"}],
            }
        },
    ),
    "wait": Recorded(workflow("do: [{a: {wait: PT0.01S}}, {b: {wait: {milliseconds: 5}}}]")),
    "fork": Recorded(
        workflow(
            """
            do:
              - both:
                  fork:
                    branches:
                      - get: {call: http, with: {method: get, endpoint: 'https://httpbin.org/bytes/1', output: raw}}
                      - pause: {do: [{a: {wait: PT0.01S}}, {b: {set: {b: 1}, export: {as: '{b: 1}'}}}]}
              - race:
                  fork:
                    compete: true
                    branches:
                      - slow: {wait: PT1H}
                      - late: {call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/9'}}
                      - fast: {do: [{c: {wait: PT0.02S}}, {d: {set: '${ $context }'}}]}
            """
        )
    ),
    "for": Recorded(
        workflow(
            """
            do:
              - loop:
                  for: {each: n, in: '[1, 2, 3, 4]'}
                  while: $n < 4
                  do: [{pause: {wait: PT0.01S}}, {say: {emit: {event: {with: {type: said}}}}}]
            """
        )
    ),
    "retry": Recorded(
        workflow(
            """
            do:
              - risky:
                  try:
                    - count: {set: '${ . }', export: {as: '{tries: (($context.tries // 0) + 1)}'}}
                    - get: {call: http, with: {method: get, endpoint: '${ "https://httpbin.org/status/503" }'}}
                  catch:
                    errors: {with: {status: 503}}
                    retry:
                      delay: PT0.01S
                      backoff: {exponential: {}}
                      jitter: {from: PT0S, to: PT0.01S}
                      limit: {attempt: {count: 2, duration: PT30S}}
                    do: [{handle: {set: {tries: '${ $context.tries }'}}}]
            """
        )
    ),
    "sub-workflow": Recorded(
        workflow(
            """
            do:
              - awaited: {run: {workflow: {namespace: semantics, name: child, input: {n: 3}}}}
              - detached: {run: {workflow: {namespace: semantics, name: child, input: {n: 1}}, await: false}}
              - caught: {try: [{failing: {run: {workflow: {namespace: semantics, name: failing}}}}], catch: {}}
            """
        ),
        others=[CHILD, FAILING],
    ),
    "secrets": Recorded(
        workflow(
            """
            use: {secrets: [key, login]}
            do:
              - keep: {if: $secrets.key != "", set: {token: '${ $secrets.key }', n: 1}, export: {as: $secrets.login}}
              - send:
                  call: http
                  with:
                    method: post
                    endpoint: {uri: 'https://httpbin.org/anything', authentication: {basic: {use: login}}}
                    body: '${ [.token, $context, $authorization.scheme] }'
                  output: {as: '{scheme: $authorization.scheme}'}
              - reuse:
                  call: http
                  with: {method: post, endpoint: 'https://httpbin.org/anything', body: '${ $context }'}
            output: {as: '{done: true}'}
            """
        )
    ),
    "timeout": Recorded(
        workflow(
            """
            timeout: {after: PT0.3S}
            do:
              - inner: {try: [{a: {wait: PT1H, timeout: {after: PT0.01S}}}], catch: {}}
              - call:
                  try: [{b: {call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/2'},
                             timeout: {after: PT0.05S}}}]
                  catch: {}
              - outer: {wait: PT1H}
            """
        ),
        status="faulted",
    ),
    "lifecycle": Recorded(
        workflow(
            """
            do:
              - loop: {for: {in: '[1, 2]'}, do: [{nap: {wait: PT0.01S}}, {add: {set: '${ . + $item }'}}]}
              - hear: {listen: {to: {one: {with: {type: t.go}}}}}
              - race: {fork: {compete: true, branches: [{slow: {wait: PT30S}}, {fast: {wait: PT0.01S}}]}}
              - fail:
                  try: [{raised: {raise: {error: {type: 'https://e.example/x', status: 400}}}}]
                  catch: {retry: {delay: PT0.01S, limit: {attempt: {count: 1}}}, do: []}
            """
        ).replace("version:", "metadata: {lifecycleEvents: 'task,status'}, version:", 1),
        0,
        events=[event("t.go", "1", {"n": 1})],
    ),
    "long": Recorded(
        workflow("do: [{loop: {for: {in: '[range(3200)]'}, do: [{add: {set: '${ . + 1 }'}}]}}]"), 0
    ),
    "grpc": Recorded(
        workflow(
            """
            do:
              - chat:
                  call: grpc
                  with:
                    proto: {endpoint: 'file://app/greet.proto'}
                    service: {name: GreeterApi.Greeter, host: localhost, port: 5011}
                    method: Chat
                    arguments: '${ [.[] | {name: .}] }'
              - missed:
                  try:
                    - call:
                        call: grpc
                        with:
                          proto: {endpoint: 'file://app/greet.proto'}
                          service: {name: GreeterApi.Greeter, host: localhost, port: 1}
                          method: Chat
                  catch: {errors: {with: {status: 503}}}
            """
        ),
        ["Ada", "Grace"],
        resources={"file://app/greet.proto#GreeterApi.Greeter#Chat": CHAT},
    ),
    "extensions": Recorded(
        workflow(
            """
            use:
              extensions:
                - pace:
                    extend: call
                    before: [{wait: {wait: PT0.01S}}]
                    after: [{tell: {emit: {event: {with: {type: told}}}}}]
                - mock:
                    extend: call
                    when: $task.name == "mocked"
                    before: [{m: {set: {mocked: true}, then: exit}}]
            do:
              - get: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}}
              - loop:
                  for: {in: '[1, 2]'}
                  do: [{mocked: {call: http, with: {method: get, endpoint: 'https://nowhere.invalid'}}}]
            """
        )
    ),
    "processes": Recorded(
        workflow(
            """
            do:
              - shell: {run: {shell: {command: 'echo "$1"; cat', arguments: ['${ .n }'], stdin: '${ . }'}}}
              - script: {run: {script: {language: python, code: 'return {"n": n + 1}', arguments: {n: 1}}}}
              - failing: {try: [{bad: {run: {shell: {command: exit 3}}}}], catch: {errors: {with: {type: runtime}}}}
              - late: {try: [{slow: {run: {shell: {command: sleep 9}}, timeout: {after: PT0.1S}}}], catch: {}}
              - detached: {run: {await: false, shell: {command: 'true'}}, timeout: {after: PT30S}}
            """
        ),
        {"n": 1},
    ),
    "compensation": Recorded(
        old.workflow(
            """
            functions: [{name: bad, type: expression, operation: 'error("no")'}]
            events: [{name: P, type: p, kind: produced}]
            retries: [{name: twice, maxAttempts: 2, delay: PT0.01S, multiplier: 2}]
            errors: [{name: expression}]
            states:
              - {name: A, type: sleep, duration: PT0.01S, compensatedBy: Undo, transition: B}
              - name: B
                type: operation
                actions: [{functionRef: bad, retryRef: twice, retryableErrors: [expression]}]
                onErrors: [{errorRef: expression, end: {compensate: true, produceEvents: [{eventRef: P}]}}]
                end: true
              - {name: Undo, type: sleep, duration: PT0.01S, usedForCompensation: true}
            """
        ),
        {"n": 1},
    ),
    "exchange": Recorded(
        old.workflow(
            """
            timeouts: {workflowExecTimeout: {duration: PT30S, runBefore: Late}}
            events:
              - {name: Ask, type: q, source: vet, kind: produced}
              - {name: Answer, type: a, source: tests}
            states:
              - name: A
                type: operation
                actions:
                  - eventRef: {triggerEventRef: Ask, resultEventRef: Answer, data: '${ .pet }'}
                    actionDataFilter: {toStateData: .visit}
                transition: C
              - name: C
                type: callback
                action: {eventRef: {triggerEventRef: Ask, resultEventRef: Answer, invoke: async}}
                eventRef: Answer
                timeouts: {eventTimeout: PT0.05S}
                end: {continueAs: {workflowId: next, data: {was: '${ .pet }'}}}
              - {name: Late, type: inject, data: {late: true}, end: true}
            """
        ),
        {"pet": "rex"},
        events=[old.event("a", "1", {"when": "noon"})],
        others=[old.workflow("states: [{name: N, type: sleep, duration: PT0.01S, end: true}]", id="next")],
    ),
    "detached": Recorded(
        workflow("do: [{a: {run: {await: false, shell: {command: 'echo done'}}, timeout: {after: PT30S}}}]"),
        child=".do.0.a",
    ),
    "activity": Recorded(
        workflow(
            """
            do:
              - charge:
                  call: activity
                  with: {type: charge, taskQueue: payments, arguments: ['${ . }', 5], retry: {maximumAttempts: 3}}
              - declined:
                  try: [{call: {call: activity, with: {type: decline, taskQueue: payments, arguments: []}}}]
                  catch: {errors: {with: {title: CardDeclined}}}
              - late:
                  try:
                    - call:
                        call: activity
                        with: {type: silent, taskQueue: payments, arguments: [2]}
                        timeout: {after: PT0.1S}
                  catch: {}
            """
        ),
        {"id": 1},
    ),
    "custom": Recorded(
        old.workflow(
            """
            secrets: [key]
            errors: [{name: NotThere, code: '400'}]
            functions:
              - {name: add, type: custom, operation: 'service:java:history.Sums::add'}
              - {name: log, type: custom, operation: 'sysout:DEBUG'}
              - {name: absent, type: custom, operation: history.absent}
            states:
              - name: A
                type: operation
                actions:
                  - functionRef: {refName: add, arguments: {a: '${ .a }', b: 2}}
                    actionDataFilter: {toStateData: .sum}
                  - functionRef: {refName: log, arguments: {message: '${ $SECRETS.key } and ${ .sum }'}}
                  - functionRef: {refName: add, invoke: async, arguments: {a: 1, b: 2}}
                  - functionRef: absent
                onErrors: [{errorRef: NotThere, transition: B}]
                end: true
              - {name: B, type: inject, data: {handled: true}, end: true}
            """
        ),
        {"a": 1},
    ),
    "described": Recorded(
        workflow(
            """
            do:
              - find:
                  call: openapi
                  with:
                    document: {endpoint: 'https://petstore.swagger.io/v2/swagger.json'}
                    operationId: getPetById
                    parameters: {petId: 1}
                  output: {as: .name}
              - tell:
                  call: asyncapi
                  with: {operation: 'file://chat.yaml#note', message: {payload: {name: '${ . }'}}}
              - contain:
                  try: [{run: {run: {container: {image: nowhere}}}}]
                  catch: {errors: {with: {type: configuration}}}
            """
        ),
        resources={
            **pinned_operation("getPetById"),
            "file://chat.yaml#note": {
                "operation": "note",
                "service": "chat",
                "channel": "notes",
                "workflow_may": "publish",
                "messages": [{"name": "note"}],
            },
        },
    ),
    "skipped": Recorded(
        workflow(
            """
            do:
              - hear: {listen: {to: {one: {with: {type: never}}}}}
              - nap: {wait: {hours: 1}}
              - both:
                  fork:
                    branches:
                      - long: {wait: {hours: 2}}
                      - hears: {do: [{ear: {listen: {to: {one: {with: {type: never}}}}}}]}
              - child: {run: {workflow: {namespace: semantics, name: waiting, version: '1.0.0'}}}
              - end: {set: {got: '${ . }'}}
            """
        ),
        others=[workflow("do: [{w: {wait: {hours: 3}}}]", name="waiting")],
        commands=[
            ("hear", "skip", Wish(skip=True, output={"n": 1})),
            ("nap", "skip", Wish(skip=True)),
            ("ear", "skip", Wish("/do/2/both", skip=True, output={"n": 2})),
            ("child", "skip", Wish(skip=True, output={"n": 3})),
        ],
    ),
    "control": Recorded(
        workflow(
            """
            use:
              functions: {double: {set: {n: '${ .n * 2 }'}}}
              errors: {odd: {type: 'https://e.example/odd', status: 422}}
            do:
              - twice: {call: double, with: {n: '${ .n }'}}
              - choose: {switch: [{much: {when: .n > 100, then: end}}, {little: {then: inner}}]}
              - never: {raise: {error: odd}}
              - inner:
                  do:
                    - guard:
                        try: [{no: {raise: {error: odd}}}]
                        catch: {as: e, do: [{note: {set: {n: 5, was: '${ $e.status }'}}}]}
                    - pause: {wait: PT0.01S}
                    - out: {set: {n: '${ .n }', was: '${ .was }'}, then: exit}
                    - skipped: {raise: {error: odd}}
            """
        ),
        {"n": 2},
    ),
    "continued-loop": Recorded(
        workflow(
            """
            do:
              - rows:
                  for: {each: row, in: '[[1, 2], [3], [4, 5, 6]]'}
                  do:
                    - guarded:
                        try:
                          - cells:
                              for: {each: cell, in: $row}
                              do:
                                - say: {emit: {event: {with: {type: said, data: '${ $cell }'}}}}
                                - odd: {if: .data == 5, raise: {error: {type: 'https://e.example/odd', status: 400}}}
                        catch: {do: [{note: {set: {data: 0}, export: {as: '{odd: 1}'}}}]}
            """
        ),
        {},
        longest=12,
    ),
    "continued-fork": Recorded(
        workflow(
            """
            do:
              - all:
                  fork:
                    branches:
                      - slow: {timeout: {after: PT30S}, do: [{pause: {wait: PT1S}}, {late: {set: {slow: true}}}]}
                      - again:
                          try: [{no: {raise: {error: {type: 'https://e.example/x', status: 503}}}}]
                          catch: {retry: {delay: PT0.2S, limit: {attempt: {count: 4}}}, do: [{yes: {set: {tried: 5}}}]}
                      - ticks:
                          for: {in: '[range(8)]'}
                          do: [{tick: {wait: PT0.01S}}, {tock: {emit: {event: {with: {type: tick}}}}}]
                          output: {as: .type}
            """
        ),
        {},
        longest=14,
    ),
    "continued-listen": Recorded(
        workflow(
            """
            do:
              - both:
                  fork:
                    branches:
                      - hear:
                          listen: {to: {any: [{with: {type: t}}], until: '(. | length) == 6'}}
                          foreach: {item: t, do: [{say: {emit: {event: {with: {type: heard, data: '${ $t }'}}}}}]}
                      - all: {listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}, timeout: {after: PT30S}}
            """
        ),
        events=[*(event("t", str(number), number) for number in range(6)), event("b", "b"), event("a", "a")],
        longest=14,
    ),
    "continued-compensation": Recorded(
        old.workflow(
            """
            events: [{name: P, type: p, kind: produced}]
            states:
              - {name: A, type: sleep, duration: PT0.01S, compensatedBy: Undo, transition: B}
              - {name: B, type: sleep, duration: PT0.01S, compensatedBy: Undo, transition: C}
              - name: C
                type: sleep
                duration: PT0.01S
                transition: {nextState: D, compensate: true, produceEvents: [{eventRef: P}]}
              - {name: D, type: sleep, duration: PT0.01S, end: true}
              - {name: Undo, type: sleep, duration: PT0.01S, usedForCompensation: true}
            """
        ),
        {"n": 1},
        longest=12,
    ),
    "continued-sub-flow": Recorded(
        workflow(
            """
            do:
              - all:
                  fork:
                    branches:
                      - child: {run: {workflow: {namespace: semantics, name: slow, version: 1.0.0, input: {n: 2}}}}
                      - ticks:
                          for: {in: '[range(6)]'}
                          do: [{tick: {emit: {event: {with: {type: tick}}}}}]
                          output: {as: .type}
            """
        ),
        {},
        others=[SLOW],
        longest=14,
    ),
    "moving-around-a-sub-flow": around(first=True),
    "moved-around-a-sub-flow": around(),
    "sub-flow-that-tells": around(".do.0.guarded.try.0.child"),
    "moved": Recorded(
        MOVING.format(version="1.0.0", status=503),
        commands=[
            ("get", "move", Bundle.of(dsl.parse(MOVING.format(version="2.0.0", status=200)), {}), {}, 20)
        ],
        first=True,
    ),
    "attempts": Recorded(
        workflow(
            """
            do:
              - risky:
                  try:
                    - get:
                        call: http
                        with: {method: get, endpoint: 'https://httpbin.org/status/503'}
                        output: {as: .kept}
                  catch:
                    errors: {with: {status: 503}}
                    retry: {when: .status >= $input.least, delay: PT0.01S, limit: {attempt: {count: 2}}}
                    do: [{tell: {set: '${ $error.status }'}}]
            """
        ),
        {"least": 500},
    ),
    "express": Recorded(
        """
document: {dsl: '1.0.3', namespace: semantics, name: short, version: 1.0.0, metadata: {express: true}}
do:
  - get: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - tell: {emit: {event: {with: {type: told}}}}
  - never: {try: [{fail: {call: http, with: {method: get, endpoint: 'https://httpbin.org/status/404'}}}], catch: {}}
""",
        {},
    ),
    "interim": Recorded(
        workflow("""
do:
  - first: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - second: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - third: {emit: {event: {with: {type: told}}}}
  - fourth: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - refused:
      try: [{call: {call: http, with: {method: get, endpoint: 'https://httpbin.org/status/404'}}}]
      catch: {errors: {with: {status: 404}}}
  - fifth: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - sixth: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - slow: {call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/1'}, output: {as: .url}}
  - timed: {set: '${ now | {at: .} }'}
  - seventh:
      call: http
      with: {method: post, endpoint: 'https://httpbin.org/anything/7', body: '${ . }'}
      output: {as: .url}
"""),
        {},
    ),
    "inline": Recorded(
        workflow("""
do:
  - first: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - second: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - third: {emit: {event: {with: {type: told}}}}
  - timed: {set: '${ now | {at: .} }'}
  - fourth:
      call: http
      with: {method: post, endpoint: 'https://httpbin.org/anything/4', body: '${ . }'}
      output: {as: .url}
  - slow: {call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/1'}, output: {as: .url}}
  - breathe: {wait: {milliseconds: 5}}
  - failing:
      try: [{bad: {call: http, with: {method: get, endpoint: 'https://httpbin.org/status/503'}}}]
      catch:
        retry: {delay: {milliseconds: 20}, limit: {attempt: {count: 1}}}
        do: [{caught: {set: '${ $error.status }'}}]
  - loop:
      for: {each: n, in: '[1, 2, 3]'}
      do: [{each: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}}]
  - beside:
      fork:
        branches:
          - left: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
          - right: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .url}}
  - last: {call: http, with: {method: get, endpoint: 'https://httpbin.org/status/404'}}
"""),
        {},
        status="faulted",
    ),
}
