"""Secrets outside of the arguments of calls (dsl.md §1.4, decision A7): what a run keeps stands for them.

An expression with `$secrets` is evaluated where their values are; a text that shows one comes back with a reference in
its place, which a call replaces by the value; true, false and null come back as they are; any other outcome that
depends on a secret is not kept. None of it leaves the run.
"""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest

from tests.running import KEY, PASSWORD, PLANTED
from tests.semantics.v1.documents import error, kind, output, problems, refused, workflow
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.secrets import EnvironmentSecrets
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.local_calls import real_calls, real_evaluations

USE = "use: {secrets: [key, login, absent]}\n"
SEND = """
  - send:
      call: http
      with: {method: post, endpoint: 'https://httpbin.org/anything', body: %s}
      output: {as: '{sent: true}'}
"""
HIDDEN = "[redacted]"


async def sent(run: Any, internet: Internet, body: str, what: str = "'${ . }'", input: Any = None) -> Any:
    """What the server got of *what* at the end of *body*."""
    assert await output(run, USE + body + SEND % what, input) == {"sent": True}
    request = internet.httpbin.last
    return json.loads(request.body)


async def test_a7_a_secret_goes_through_set_and_into_a_call(run: Any, internet: Internet) -> None:
    body = "do:\n  - a: {set: {token: '${ $secrets.key }', line: 'Bearer ${ $secret.key }', n: 1}}"
    assert await sent(run, internet, body) == {"token": KEY, "line": f"Bearer {KEY}", "n": 1}


async def test_a7_nothing_of_what_stands_for_a_secret_leaves_the_run_also_where_an_expression_has_cut_it(
    run: Any,
) -> None:
    body = "do: [{a: {set: {x: '${ $secrets.key }'}}}, {b: {set: {cut: '${ .x[1:] }', whole: '${ .x }'}}}]"
    kept = await output(run, USE + body)
    assert kept["whole"] == HIDDEN
    assert HIDDEN in kept["cut"]
    assert KEY not in str(kept)


async def test_a7_a_secret_can_be_used_at_every_place_of_the_table(run: Any, internet: Internet) -> None:
    body = """
input: {from: '. + {start: $secrets.key}'}
output: {as: '. + {end: $secrets.key}'}
do:
  - a:
      if: $secrets.key != "" and .name == "Ada"
      input: {from: '. + {from: $secrets.login.username}'}
      set: {start: '${ .start }', from: '${ .from }', own: '${ $secrets.key }'}
      output: {as: '. + {out: ($input.from + "@" + $secrets.login.username)}'}
      export: {as: '{kept: $secrets.login, data: $output}'}
  - send:
      call: http
      with: {method: post, endpoint: 'https://httpbin.org/anything', body: '${ [., $context] }'}
      output: {as: '{echo: .json[0].own, name: $context.data.from}'}
"""
    assert await output(run, USE + body, {"name": "Ada"}) == {"echo": HIDDEN, "name": HIDDEN, "end": HIDDEN}
    data = {"start": KEY, "from": "countess", "own": KEY, "out": "countess@countess"}
    login = {"username": "countess", "password": PASSWORD}
    assert json.loads(internet.httpbin.last.body) == [data, {"kept": login, "data": data}]


async def test_a7_conditions_see_the_value_and_tell_only_whether_they_hold(run: Any) -> None:
    body = """
do:
  - pick:
      switch:
        - wrong: {when: $secrets.key == "guess", then: end}
        - right: {when: $secrets.key == .key, then: loop}
        - other: {then: end}
  - loop:
      for: {in: '[1, 2, 3]', each: n}
      while: ($secrets.key | length) > 10 and $n < 3
      do: [{add: {set: {n: '${ $n }'}}}]
  - try:
      try: [{boom: {raise: {error: {type: t, status: 500}}}}]
      catch:
        when: $secrets.key | startswith("s3")
        exceptWhen: $secrets.login.username == "lord"
        do: [{done: {set: {n: '${ .n }', same: '${ $secrets.key == $workflow.input.key }'}}}]
"""
    assert await output(run, USE + body, {"key": KEY}) == {"n": 2, "same": True}


async def test_a7_what_is_made_of_a_secret_and_does_not_show_it_is_not_kept(run: Any) -> None:
    body = """
do:
  - a:
      set:
        bytes: '${ $secrets.key | @base64 }'
        part: '${ $secrets.key[0:6] }'
        loud: '${ $secrets.key | ascii_upcase }'
        size: '${ $secrets.key | length }'
        codes: '${ $secrets.key | explode }'
        mixed: '${ {shown: $secrets.key, part: $secrets.key[1:9], n: .n, yes: ($secrets.key | endswith("service"))} }'
        keyed: '${ {($secrets.key): 1} }'
        list: '${ $secrets.key | split("") }'
"""
    found = await output(run, USE + body, {"n": 5})
    assert found == {
        "bytes": HIDDEN,
        "part": HIDDEN,
        "loud": HIDDEN,
        "size": HIDDEN,
        "codes": HIDDEN,
        "mixed": {"shown": HIDDEN, "part": HIDDEN, "n": 5, "yes": True},
        "keyed": {HIDDEN: 1},
        "list": HIDDEN,
    }


async def test_a7_a_call_that_is_given_what_is_not_kept_faults_and_says_so(run: Any) -> None:
    body = "do:\n  - a: {set: {bytes: '${ $secrets.key | @base64 }'}}" + SEND % "'${ . }'"
    fault = await error(run, USE + body)
    assert (kind(fault), fault["instance"]) == ("expression", "/do/1/send")
    assert "made of key" in fault["detail"]
    changed = "do:\n  - a: {set: {token: '${ $secrets.key }'}}" + SEND % "'${ .token | @uri }'"
    fault = await error(run, USE + changed)
    assert (kind(fault), fault["instance"]) == ("expression", "/do/1/send")


async def test_a7_an_expression_with_secrets_sees_the_values_behind_references(
    run: Any, internet: Internet
) -> None:
    body = """
do:
  - a: {set: {token: '${ $secrets.key }'}}
  - b: {set: {same: '${ .token == $secrets.key }', token: '${ .token }'}}
"""
    expected = {"same": True, "both": base64.b64encode(f"{KEY}:countess".encode()).decode()}
    what = "{same: '${ .same }', both: '${ .token + \":\" + $secrets.login.username | @base64 }'}"
    assert await sent(run, internet, body, what) == expected


async def test_a7_a_reference_cannot_be_made_by_who_gives_the_input(run: Any, internet: Internet) -> None:
    """Whatever it looks like: the nonce of the run is not known."""
    forged = ["{secret:key:}", "{secret:key:00000000000000000000000000000000}", "${ $secrets.key }"]
    body = "do:\n  - a: {set: {given: '${ . }', token: '${ $secrets.key }'}}"
    assert await sent(run, internet, body, input=forged) == {"given": forged, "token": KEY}


async def test_a7_a_loop_a_fork_a_function_and_a_raise_carry_references(run: Any, internet: Internet) -> None:
    body = """
do:
  - loop:
      for: {in: '[$secrets.key, $secrets.login.username]', each: it}
      do: [{add: {set: {all: '${ (.all // []) + [$it] }'}}}]
  - both:
      fork:
        branches:
          - left: {set: '${ .all + [$secrets.key] }'}
          - right: {set: '${ [$secrets.login.username] }'}
  - call: {call: wrap, with: {k: '${ $secrets.key }', all: '${ . }'}}
  - try:
      try: [{boom: {raise: {error: {type: t, status: 500, detail: 'no ${ $secrets.key }'}}}}]
      catch: {as: e, do: [{done: {set: {call: '${ . }', why: '${ $e.detail }'}}}]}
"""
    functions = (
        "use: {secrets: [key, login, absent], functions: {wrap: {set: {k: '${ .k }', all: '${ .all }'}}}}"
    )
    body = body.replace("do:\n  - loop", "do:\n  - loop", 1)
    text = functions + body + SEND % "'${ . }'"
    assert await output(run, text) == {"sent": True}
    assert json.loads(internet.httpbin.last.body) == {
        "call": {"k": KEY, "all": [[KEY, "countess", KEY], ["countess"]]},
        "why": f"no {KEY}",
    }


async def test_a7_nothing_that_stands_for_a_secret_leaves_the_run(run: Any) -> None:
    sub = workflow("do: [{a: {set: {got: '${ . }'}}}]", name="sub")
    body = """
do:
  - a: {set: {token: '${ $secrets.key }'}}
  - tell: {emit: {event: {with: {type: 'x.${ .token }', source: here, data: '${ . }'}}}}
  - sub: {run: {workflow: {namespace: semantics, name: sub, version: 1.0.0, input: {k: '${ $secrets.key }'}}}}
  - fail: {raise: {error: {type: t, status: 400, detail: 'got ${ $secrets.key } ${ .got.k }'}}}
"""
    ended = await run(workflow(USE + body), others=[sub])
    assert ended.status == "faulted"
    assert ended.error["detail"] == f"got {HIDDEN} {HIDDEN}"
    if run.name == "local":
        [event] = ended.channels["default"]
        assert (event["type"], event["data"]) == (f"x.{HIDDEN}", {"token": HIDDEN})


async def test_a7_what_is_listened_for_has_no_secrets_in_it(run: Any) -> None:
    """The router keeps it: the context that a filter names is there without references, and a secret is no key."""
    body = """
do:
  - a: {set: {token: '${ $secrets.key }'}, export: {as: '{token: $secrets.key, order: 7}'}}
  - tell: {emit: {event: {with: {type: t, source: here, order: '7', data: {n: 1}}}}}
  - hear: {listen: {to: {one: {with: {type: t, order: '${ . == ($context.order | tostring) }'}}}}}
"""
    ended = await run(workflow(USE + body))
    assert (ended.status, ended.output) == ("completed", [{"n": 1}]), ended.error
    expects = """
do:
  - a: {set: {token: '${ $secrets.key }'}}
  - hear: {listen: {to: {one: {with: {type: t}, correlate: {k: {from: .k, expect: '${ .token }'}}}}}}
"""
    fault = await error(run, USE + expects)
    assert (kind(fault), fault["instance"]) == ("configuration", "/do/1/hear")


async def test_a7_a_secret_that_is_not_there_is_an_authorization_fault(run: Any) -> None:
    for body in ("set: {x: '${ $secrets.absent }'}", "set: {x: 1}, if: $secrets.absent == 1"):
        fault = await error(run, USE + f"do: [{{a: {{{body}}}}}]")
        assert (kind(fault), fault["status"], fault["instance"]) == ("authorization", 403, "/do/0/a")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("$secrets.key | .deep", "Cannot index"),
        ("$secrets.key | error", "[redacted]"),
        ('error("not \\($secrets.key)!")', "not [redacted]!"),
        (".deep | ($secrets.key | length) as $n | .x.y.z", "/do/0/a/set/x"),
        ("$secrets.key[0:6] | error", "not told why"),
        ("$secrets.key | @base64 | tonumber", "not told why"),
        ("$secrets.key | ascii_upcase | tonumber", "not told why"),
    ],
)
async def test_a7_an_expression_with_secrets_that_fails_tells_no_value(
    run: Any, expression: str, said: str
) -> None:
    encoded = base64.b64encode(KEY.encode()).decode()
    call = "call: http, with: {method: get, endpoint: 'https://httpbin.org/get', query: {x: '${ %s }'}}"
    for task in ("set: {x: '${ %s }'}", call):
        body = f"do: [{{a: {{{task % expression}}}}}]"
        fault = await error(run, USE + body, {"deep": "text", "x": "text"})
        assert (kind(fault), fault["instance"]) == ("expression", "/do/0/a")
        assert said.replace("set", "with/query" if "http" in body else "set") in fault["detail"], fault[
            "detail"
        ]
        for part in (KEY[:6], KEY[:6].upper(), encoded[:6]):
            assert part not in json.dumps(fault)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("do: [{a: {wait: '${ $secrets.key }'}}]", "/do/0/a/wait"),
        ("do: [{a: {set: {x: 1}, timeout: {after: '${ $secret.key }'}}}]", "/do/0/a/timeout/after"),
        (
            "do: [{a: {listen: {to: {one: {with: {type: '${ . == $secrets.key }'}}}}}}]",
            "/do/0/a/listen/to/one/with/type",
        ),
        (
            "do: [{a: {listen: {to: {one: {with: {type: t}, correlate: {k: {from: ., expect: '${ $secret }'}}}}}}}]",
            "/do/0/a/listen/to/one/correlate/k/expect",
        ),
    ],
)
def test_a7_where_its_value_would_be_kept_a_secret_is_refused(body: str, pointer: str) -> None:
    found = refused(USE + body)
    assert (found.code, found.pointer) == ("unsupported", pointer)
    assert "history" in found.message


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("do: [{a: {set: {x: '${ $secrets.keyy }'}}}]", "/do/0/a/set/x"),
        ("do: [{a: {set: {x: 1}, if: $secrets.keyy == 1}}]", "/do/0/a/if"),
        ("do: [{a: {set: {x: 1}, output: {as: $secret.keyy}}}]", "/do/0/a/output/as"),
        ("input: {from: $secrets.keyy}\ndo: []", "/input/from"),
    ],
)
def test_a7_every_secret_is_declared(body: str, pointer: str) -> None:
    found = refused(USE + body)
    assert (found.code, found.pointer) == ("unknown-secret", pointer)
    assert problems(USE.replace("key,", "keyy,") + body) == []


EVERYWHERE = f"""
{USE.strip()}
input: {{from: '{{n: .n, t: $secrets.key}}'}}
output: {{as: '{{d: ., k: $secrets.key, u: ($secrets.key | @uri)}}'}}
do:
  - a:
      if: $secrets.key != .t + "x"
      input: {{from: '. + {{l: $secrets.login}}'}}
      set: {{own: '${{ $secrets.key }}', up: '${{ $secrets.login.password | ascii_upcase }}', all: '${{ . }}'}}
      output: {{as: '. + {{more: "is \\($secrets.key)"}}'}}
      export: {{as: '{{c: $secrets.login, d: .}}'}}
  - told: {{emit: {{event: {{with: {{type: secrets.everywhere, source: here, data: '${{ [., $secrets.key] }}'}}}}}}}}
  - called:
      call: http
      with: {{method: post, endpoint: 'https://httpbin.org/anything', body: '${{ [.data, $context.c, $secrets.key] }}'}}
      output: {{as: '{{echo: .json, k: $secrets.key}}'}}
  - fails:
      try:
        - boom: {{set: {{x: '${{ $secrets.login.password | error }}'}}}}
      catch: {{as: e, do: [{{keep: {{set: {{e: '${{ $e }}', k: '${{ $secrets.key | @base64 }}'}}}}}}]}}
"""


async def test_a7_the_value_of_a_secret_is_nowhere_in_a_run_that_uses_it_everywhere(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ended = await run(workflow(EVERYWHERE), {"n": 1})
    assert ended.status == "completed", ended.error
    found = [repr(ended), caplog.text, repr([vars(record) for record in caplog.records])]
    if run.name == "temporal":
        history = await run.history(ended.run_id)
        assert sum("MARKER" in str(event) or event.event_type == 10 for event in history) >= 8
        found += [event.SerializeToString().decode("latin-1") for event in history]
        found += [repr(await run.runtime.describe(ended.run_id)), repr(await run.router.events("default"))]
        assert "secrets.everywhere" in found[-1]
    loud = PASSWORD.upper()
    encoded = [base64.b64encode(text.encode()).decode()[:-4] for text in (KEY, PASSWORD)]
    for value in (KEY, PASSWORD, loud, "wörd", "s3cr3t", *encoded):
        for text in found:
            assert value not in text
            assert value.encode().decode("latin-1") not in text


async def test_a7_references_outlive_a_stop_at_any_state(internet: Internet) -> None:
    """A run that goes on from its position knows its own references, and no others."""
    body = USE + (
        "do:\n  - a: {set: {token: '${ $secrets.key }'}, export: {as: '{kept: $secrets.login.username}'}}\n"
        "  - b: {set: {line: 'Bearer ${ .token }', same: '${ .token == $secrets.key }'}}"
        + SEND
        % "'${ [., $context.kept] }'"
    )
    graph = dsl.compile(dsl.parse(workflow(body)), {})
    secrets = EnvironmentSecrets(PLANTED)
    stops: list[Any] = []
    async with Egress(**internet.egress) as egress:
        options: dict[str, Any] = {
            "perform": real_calls(egress, CALLERS, secrets),
            "evaluate": real_evaluations(egress, secrets),
        }
        first = LocalRun(graph, at_gate=lambda run: stops.append(json.dumps(run.position())), **options)
        assert (await first.execute({})).output == {"sent": True}
        assert len(stops) == 3
        for stop in stops:
            assert KEY not in stop
            again = await LocalRun(graph, **options).execute({}, position=json.loads(stop))
            assert again.output == {"sent": True}
            sent = json.loads(internet.httpbin.last.body)
            assert sent == [{"line": f"Bearer {KEY}", "same": True}, "countess"]
        other = json.loads(stops[2])
        other["nonce"] = "0" * 32
        await LocalRun(graph, **options).execute({}, position=other)
        assert KEY not in internet.httpbin.last.body.decode()
