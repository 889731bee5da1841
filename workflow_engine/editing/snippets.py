r"""What is put in for a keyword of DSL 1.0: its properties, with places to fill in; and values that are mostly meant.

In the syntax of the protocol's snippets: ``$1`` and ``${1:text}`` are places, ``$0`` is the last; ``\$`` is a dollar.
"""

from __future__ import annotations

_KEYWORDS = r"""
call: ${1|http,openapi,grpc,asyncapi,a2a,mcp|}
with:
  $0

do:
  - ${1:task}:
      $0

emit:
  event:
    with:
      source: ${1:https://example.com}
      type: ${2:com.example.happened}
      data:
        $0

for:
  each: ${1:item}
  in: \${ .${2:items} }
do:
  - ${3:task}:
      $0

fork:
  branches:
    - ${1:one}:
        $0

listen:
  to:
    one:
      with:
        type: ${1:com.example.happened}$0

raise:
  error:
    type: ${1:https://example.com/errors/wrong}
    status: ${2:400}
    title: ${3:Wrong}$0

run:
  ${1|container,script,shell,workflow|}:
    $0

set:
  ${1:name}: $0

switch:
  - ${1:case}:
      when: \${ ${2:.condition} }
      then: ${3:continue}
  - default:
      then: ${4:end}$0

try:
  - ${1:task}:
      $2
catch:
  errors:
    with:
      status: ${3:503}
  retry:
    delay: ${4:PT1S}
    limit:
      attempt:
        count: ${5:3}$0

wait: ${1:PT1S}$0
"""
KEYWORDS = {snippet.partition(":")[0]: snippet for snippet in _KEYWORDS.strip().split("\n\n")}
"""A keyword of a task -> what is put in."""
ITEMS = {
    "one named task": ("name: …, a task", "${1:task}:\n  $0"),
    "one named case": (
        "name: …, a case",
        "${1:case}:\n  when: \\${ ${2:.condition} }\n  then: ${3:continue}$0",
    ),
    "one named extension": (
        "name: …, an extension",
        "${1:extension}:\n  extend: ${2:all}\n  before:\n    $0",
    ),
}
"""The title of the schema of an item of a list -> what it is called, what is put in."""
DURATIONS = ("PT1S", "PT30S", "PT5M", "PT1H", "P1D")
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
VALUES: dict[str, tuple[str, ...]] = {
    "document.dsl": ("1.0.3",),
    "document.version": ("1.0.0",),
    "http.method": METHODS,
    "run.script.language": ("js", "python"),
    "eventAttributes.datacontenttype": ("application/json", "text/plain"),
    "schema.format": ("json",),
    "specVersion": ("0.8",),
    "asyncapi": ("3.0.0", "2.6.0"),
    "*.contentType": ("application/json",),
    "defaultContentType": ("application/json",),
}
"""A label -> values that are mostly meant."""
WORKFLOWS = {
    "a workflow of DSL 1.0": """document:
  dsl: 1.0.3
  namespace: ${1:examples}
  name: ${2:name}
  version: 1.0.0
do:
  - ${3:task}:
      $0""",
    "a workflow of DSL 0.8": """id: ${1:name}
version: '1.0.0'
specVersion: '0.8'
start: ${2:First}
states:
  - name: ${2:First}
    type: ${3|operation,event,switch,sleep,parallel,inject,foreach,callback|}
    $0""",
}
"""What an empty file begins with."""
