"""Which events a listener takes: a pure machine that router, local runtime and starts of runs share.

A **strategy** is JSON, because it travels and is stored::

    {"mode": "one" | "any" | "all",
     "filters": [{"attributes": {name: test}, "correlate": {key: {"from": jq, "expect"?: value}},
                  "ignore_case"?: bool}],
     "until"?: strategy without an `until`,      ends an `any`; or {"expression": jq, "read"?: "data" | "envelope" |
                                                 "raw"}: once that holds of the list of events so far
     "open"?: true,                              an `any` that whoever listens ends itself
     "scope"?: {variable: value}}                what the expressions may name, next to `$event`

A **test** of an attribute is one of ``{"equals": value}``, ``{"pattern": RE2}``, ``{"mqtt": "/home/+/x"}``
and ``{"expression": jq}``, or ``equals`` and ``pattern`` together: either will do (see `attribute_test`).

* An expression sees the attribute as ``.``, the event as ``$event``. A boolean is the verdict; any other
  result is what the attribute must equal (decision A39). Only an expression can match an absent attribute.
* A pattern must match the whole attribute.
* ``ignore_case`` compares the *names* of attributes so (decision B21).
* ``correlate.from`` sees the event as ``.``.

All tests of a filter must hold, and so must its correlations. A filter without tests matches every event.

A subscription may have **filters** beside its strategy, in dialects that others use too: `dialects`.

Nothing here raises over an event: a test that cannot be evaluated does not match (fail closed), and says why
through *errors*.
"""

from __future__ import annotations

from workflow_engine.filters.attributes import MAX_PATTERN, MAX_SUBJECT, attribute_test
from workflow_engine.filters.collected import READS, read
from workflow_engine.filters.dialects import Filters, filters
from workflow_engine.filters.machine import MAX_FILTERS, Accepted, Machine, State, machine
from workflow_engine.filters.patience import Impatient, patience

__all__ = [
    "MAX_FILTERS",
    "MAX_PATTERN",
    "MAX_SUBJECT",
    "READS",
    "Accepted",
    "Filters",
    "Impatient",
    "Machine",
    "State",
    "attribute_test",
    "filters",
    "machine",
    "patience",
    "read",
]
