"""What the builtin functions and words of jq do, for those who write expressions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from workflow_engine.expressions.builtins import BUILTINS
from workflow_engine.expressions.prelude import PRELUDE

_TEXT = """
GROUP_BY: an object of lists: the values (or rows) by their key
IN(options): whether the input is one of the outputs of options
INDEX(key): an object of the values by their key
JOIN($index; key): each value beside what the index has for its key
UNIQUE_BY(key): one value for each key
abs: a number without its sign
add: all values of a list or object, added; null if there are none
all(condition): whether the condition holds for all values
any(condition): whether the condition holds for a value
arrays: the input if it is a list; else nothing
ascii: the character of a code
ascii_downcase: the text in small letters of ASCII
ascii_upcase: the text in capital letters of ASCII
booleans: the input if it is true or false; else nothing
bsearch(value): the index of a value in a sorted list; negative if it is not there
capture(regex): an object of the named groups of the first match
ceil: the least whole number that is not less
combinations: each way to take one value of each list
contains(value): whether the input has the value in it: a part of a text, members, items
copysign(a; b): the first number with the sign of the second
date: seconds since 1970 as text in ISO 8601
dateadd(unit; n): a moment, later by n
datesub(unit; n): a moment, earlier by n
del(path): the input without what is at the paths
delpaths(paths): the input without what is at these paths
empty: nothing at all
endswith(text): whether the text ends so
error(message): an error of the expression
explode: the codes of a text's characters
finites: the input if it is a finite number; else nothing
first(f): the first output of f; of a list, its first item
flatten(depth): a list without the lists in it
floor: the greatest whole number that is not greater
format(name): the input in a format such as "base64"
from_entries: an object of a list of {name, value} or {key, value}
fromdate: the seconds since 1970 of text in ISO 8601
fromdateiso8601: the seconds since 1970 of text in ISO 8601
fromjson: what a text says in JSON
fromstream(events): the values that events of tostream make
getpath(path): what is at a path, such as ["a", 0]
gmtime: seconds since 1970 as a list: year, month, day, …
group_by(f): a list of lists of the items that have the same f, sorted by it
gsub(regex; text): the text with all matches replaced
has(key): whether an object has the key, or a list the index
have_decnum: whether numbers keep all their digits
have_literal_numbers: whether numbers that are not changed keep all their digits
implode: the text of a list of codes
in(object): whether the input is a key of the object
index(value): where the value is first found in a text or list
indices(value): all places where the value is found in a text or list
infinite: the infinite number
inside(value): whether the input is in the value: the reverse of contains
isempty(f): whether f has no output
isfinite: whether a number is finite
isinfinite: whether a number is infinite
isnan: whether a number is none
isnormal: whether a number is normal
isvalid(f): whether f has no error
iterables: the input if it is a list or an object; else nothing
join(text): the texts of a list, with the text between them
keys: the sorted keys of an object, the indices of a list
keys_unsorted: the keys of an object in their order
last(f): the last output of f; of a list, its last item
leaf_paths: the paths of all values that are no container
length: how many characters, items or members; of a number, without its sign
limit(n; f): the first n outputs of f
ltrim: the text without blanks at its beginning
ltrimstr(text): the text without what it begins with
map(f): a list of the outputs of f for each value
map_values(f): the same container with f for each value
match(regex): the matches, with their places and groups
max: the greatest item
max_by(f): the item with the greatest f
min: the least item
min_by(f): the item with the least f
mktime: the seconds since 1970 of a list such as gmtime gives
nan: the number that is none
normals: the input if it is a normal number; else nothing
not: true for false and null, false for everything else
now: the time of the run, in seconds since 1970; the same in each replay
nth(n): the n-th item, or the n-th output, from 0
nulls: the input if it is null; else nothing
numbers: the input if it is a number; else nothing
objects: the input if it is an object; else nothing
path(f): the paths that f goes to
paths: the paths of all values in the input
pick(path): only what is at the paths
pow(a; b): a to the power of b
range(n): the numbers from 0 up to n, without it; or from, to, by
recurse(f): the input, f of it, f of that, …
repeat(f): the input, f of it, f of that, … without end
reverse: the items or characters in reverse order
rindex(value): where the value is last found in a text or list
round: the nearest whole number
rtrim: the text without blanks at its end
rtrimstr(text): the text without what it ends with
scalars: the input if it is no container; else nothing
scan(regex): what matches, one after the other
select(condition): the input if the condition holds; else nothing
setpath(path; value): the input with the value at the path
skip(n; f): the outputs of f but the first n
sort: the items in order: null, false, true, numbers, texts, lists, objects
sort_by(f): the items in the order of f
split(text): the parts of a text between the separators
splits(regex): the parts of a text between matches
sqrt: the square root
startswith(text): whether the text begins so
strftime(format): a moment as text, in UTC
strings: the input if it is text; else nothing
strptime(format): the parts of a moment that a text tells
sub(regex; text): the text with the first match replaced
test(regex): whether the text matches
to_entries: a list of {key, value} of an object
toarray: the input in a list, if it is none
toboolean: the boolean that a text says
todate: seconds since 1970 as text in ISO 8601
todateiso8601: seconds since 1970 as text in ISO 8601
tojson: the input as JSON
tonumber: the number that a text says
tostream: the input as events: paths and values
tostring: the input as text; texts as they are, others as JSON
transpose: rows as columns
trim: the text without blanks around it
trimstr(text): the text without what it begins and ends with
trunc: the number without its fraction
truncate_stream(depth; events): events of tostream without the first keys of their paths
type: "null", "boolean", "number", "string", "array" or "object"
unique: the items in order, each once
unique_by(f): one item for each f, in its order
until(condition; f): f again and again until the condition holds
utf8bytelength: the bytes of a text in UTF-8
values: the input if it is not null; else nothing
walk(f): f of each value in the input, the innermost first
while(condition; f): the input, f of it, f of that, … as long as the condition holds
with_entries(f): an object with f of each {key, value}
"""
_MATH = "a function of the library of mathematics in C"
KEYWORDS = {
    "if": "if CONDITION then A else B end",
    "then": "what an `if` gives when its condition holds",
    "elif": "another condition of an `if`",
    "else": "what an `if` gives otherwise",
    "end": "ends `if`",
    "as": "VALUE as $name | … binds a variable",
    "def": "def name: …; defines a function",
    "reduce": "reduce VALUES as $x (START; UPDATE)",
    "foreach": "foreach VALUES as $x (START; UPDATE; EACH)",
    "try": "try A catch B: the outputs of A, or B of its error",
    "catch": "what a `try` gives for an error",
    "and": "whether both hold",
    "or": "whether one holds",
    "label": "label $name | … break $name leaves early",
    "true": "true",
    "false": "false",
    "null": "nothing",
}
FORMATS = {
    "@text": "as `tostring`",
    "@json": "as JSON",
    "@csv": "a list as a row of CSV",
    "@tsv": "a list as a row with tabs",
    "@html": "with & < > ' \" escaped",
    "@uri": "with what cannot stand in a URI escaped",
    "@urid": "with %XX read",
    "@sh": "quoted for a shell",
    "@base64": "in base64",
    "@base64d": "what is said in base64",
}
VARIABLES = {
    "context": "the context of the run, which `export` changes",
    "input": "the input of the task, as `input.from` made it",
    "output": "the output of the task, as `output.as` made it",
    "task": "the task: name, reference, definition, input, startedAt",
    "workflow": "the run: id, definition, input, startedAt",
    "runtime": "the engine: name, version, metadata",
    "secrets": "the secrets that `use.secrets` names; only where the call reads them",
    "authorization": "how the call was authenticated: scheme and parameter",
    "event": "the event",
    "CONST": "the constants of the workflow",
    "SECRETS": "the secrets that `secrets` names",
    "SECRET": "the secrets that `secrets` names, as others call them",
    "WORKFLOW": "the run: its id and instanceId, as SonataFlow tells them",
}

_MOMENT = ("iso8601", "epoch")
_CLOUD_EVENT = "id source type subject time data datacontenttype dataschema specversion"
MEMBERS: dict[str, tuple[str, ...]] = {
    "$task": ("name", "reference", "definition", "input", "output", "startedAt"),
    "$task.startedAt": _MOMENT,
    "$task.startedAt.epoch": ("seconds", "milliseconds"),
    "$workflow": ("id", "definition", "input", "startedAt"),
    "$workflow.startedAt": _MOMENT,
    "$workflow.startedAt.epoch": ("seconds", "milliseconds"),
    "$runtime": ("name", "version", "metadata"),
    "$authorization": ("scheme", "parameter"),
    "$error": ("type", "status", "title", "detail", "instance"),
    "$event": tuple(_CLOUD_EVENT.split()),
    "$WORKFLOW": ("instanceId", "id", "name", "version", "input", "prevActionResult", "statusCode"),
}
"""What variables have, by the path to it."""


@cache
def functions() -> Mapping[str, tuple[str, str, tuple[int, ...]]]:
    """Each builtin function: how it is called, what it does, and how many arguments it takes."""
    texts: dict[str, tuple[str, str]] = {}
    for line in _TEXT.strip().splitlines():
        called, _, text = line.partition(": ")
        texts[called.partition("(")[0]] = called, text
    found: dict[str, list[int]] = {}
    for name, arity in sorted(BUILTINS.keys() | PRELUDE.keys()):
        if name[0] not in " _":
            found.setdefault(name, []).append(arity)
    made = {}
    for name, arities in found.items():
        called, text = texts.get(name, (name, _MATH))
        if called == name and 0 not in arities:
            called = f"{name}({'; '.join('abcd'[: arities[0]])})"
        made[name] = called, text, tuple(arities)
    return made
