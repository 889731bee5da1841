"""The builtins that are written in jq itself."""

from __future__ import annotations

from workflow_engine.expressions import syntax
from workflow_engine.expressions.parser import parse

_SOURCE = """
def first: .[0];
def last: .[-1];
def nth($n): .[$n];
def nth($n; f): if $n < 0 then error("nth doesn't support negative indices") else first(skip($n; f)) end;
def while(condition; update): def w: if condition then ., (update | w) else empty end; w;
def _until(condition; update): def u: if condition then . else (update | u) end; u;
def _repeat(f): def r: f, r; r;
def _walk(f):
  def w: (if type == "object" then map_values(w) elif type == "array" then map(w) else . end) | f;
  w;
def with_entries(f): to_entries | map(f) | from_entries;
def paths(f): path(recurse | select(f)) | select(length > 0);
def leaf_paths: paths(scalars);
def isfinite: type == "number" and (isinfinite | not);
def isvalid(f): try (f | true) catch false;
def arrays: select(type == "array");
def objects: select(type == "object");
def iterables: select(type == "array" or type == "object");
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def normals: select(isnormal);
def finites: select(isfinite);
def strings: select(type == "string");
def nulls: select(. == null);
def values: select(. != null);
def scalars: select(type != "array" and type != "object");
def combinations:
  if length == 0 then [] else .[0][] as $x | (.[1:] | combinations) as $rest | [$x] + $rest end;
def combinations(n): . as $set | [range(n) | $set] | combinations;
def todate: strftime("%Y-%m-%dT%H:%M:%SZ");
def fromdate: strptime("%Y-%m-%dT%H:%M:%SZ") | mktime;
def todateiso8601: todate;
def fromdateiso8601: fromdate;
def date: todate;
def dateadd(unit; n): . + n;
def datesub(unit; n): . - n;
def fromstream(events):
  foreach events as $event ({};
    (if .done then {} else . end)
    | if $event | length == 2
      then {done: ($event[0] | length == 0), value: (.value | setpath($event[0]; $event[1]))}
      else .done = ($event[0] | length == 1) end;
    if .done then .value else empty end);
def truncate_stream(events):
  . as $depth | null | events | select(.[0] | length > $depth) | .[0] |= .[$depth:];
def truncate_stream($depth; events): $depth | truncate_stream(events);
def INDEX(rows; key): reduce rows as $row ({}; .[$row | key | tostring] = $row);
def INDEX(key): INDEX(.[]; key);
def GROUP_BY(rows; key): reduce rows as $row ({}; .[$row | key | tostring] += [$row]);
def GROUP_BY(key): GROUP_BY(.[]; key);
def UNIQUE_BY(rows; key): [INDEX(rows; key)[]];
def UNIQUE_BY(key): UNIQUE_BY(.[]; key);
def JOIN($index; key): [.[] | [., $index[key]]];
def JOIN($index; rows; key): rows | [., $index[key]];
def JOIN($index; rows; key; join): rows | [., $index[key]] | join;
def IN(options): any(options == .; .);
def IN(rows; options): any(rows == options; .);
def ascii(code): code | ascii;
.
"""


def _definitions() -> dict[tuple[str, int], syntax.Function]:
    found: dict[tuple[str, int], syntax.Function] = {}
    node = parse(_SOURCE)
    while isinstance(node, syntax.Define):
        found[node.function.name, len(node.function.parameters)] = node.function
        node = node.body
    return found


PRELUDE = _definitions()
"""Functions by name and arity, each parsed once; a program compiles those that it calls."""
