"""Workflows that the tests of the API deploy."""

from __future__ import annotations

GREET = """\
document: {dsl: '1.0.0', namespace: tests, name: greet, version: '1.0.0', title: Greet someone}
do:
  - greeting:
      set: {text: '${ "Hello, " + (.name // "you") }'}
"""
GREET_2 = GREET.replace("'1.0.0', title", "'2.0.0', title").replace("Hello", "Good day")

FAIL = """\
document: {dsl: '1.0.0', namespace: tests, name: fail, version: '1.0.0'}
do:
  - break:
      raise:
        error: {type: https://example.com/errors/broken, status: 503, title: Broken, detail: it is broken}
"""

WAIT = """\
document: {dsl: '1.0.0', namespace: tests, name: wait, version: '1.0.0'}
do:
  - before:
      set: {waited: true}
  - paid:
      listen:
        to:
          one:
            with: {type: order.paid}
  - after:
      set: {paid: '${ .[0].order }'}
"""

ON_EVENT = """\
document: {dsl: '1.0.0', namespace: tests, name: on-order, version: '1.0.0'}
schedule:
  on:
    one:
      with: {type: order.placed}
do:
  - take:
      set: {order: '${ .[0].data.order }'}
  - tell:
      emit:
        event:
          with: {source: /tests, type: order.taken, data: '${ . }'}
"""

OLD = """\
id: 'order flow?#%2F&+ö'
version: '1.0'
specVersion: '0.8'
start: hello
states:
  - name: hello
    type: inject
    data: {hello: world}
    end: true
"""


def event(id: str = "1", type: str = "order.placed", **members) -> dict:
    return {"specversion": "1.0", "id": id, "source": "/shop", "type": type, **members}
