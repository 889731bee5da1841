"""What every problem code means and what to do about it: for the documentation and ``wfe validate``."""

from __future__ import annotations

from collections.abc import Mapping

_TEXT = {
    "alias-explosion": "Once its aliases (`*name`) are expanded, the document is larger than what is read. "
    "Write the repeated part once, as a function or a sub-workflow.",
    "duplicate-key": "An object has the same key twice, and only one could count. Remove or rename one of them.",
    "empty-document": "The text has nothing but blanks and comments.",
    "invalid-merge": "The merge key `<<` takes an object, or a list of objects, to merge. Put `<<` in quotes "
    "if it is meant as an ordinary key.",
    "multiple-documents": "`---` separates documents, and a text holds one workflow. Write each to its own file.",
    "not-a-string-key": "A key is a number, a boolean, null, a list or an object, which JSON does not allow. "
    "Put it in quotes.",
    "not-utf-8": "The text is in another encoding than UTF-8. Save it as UTF-8.",
    "number-out-of-range": "JSON has no infinity and no NaN, and integers have 64 bits here. Put the number in "
    "quotes to have it as text.",
    "recursive-alias": "An alias (`*name`) stands inside of the value it refers to, so the data would have no end.",
    "too-deep": "Lists and objects are nested too deep to be read. Move the inner part to a function or a "
    "sub-workflow.",
    "too-large": "The text is larger than what is read. Split the workflow into sub-workflows, or move data "
    "out of it.",
    "too-many-problems": "There are more problems than are shown. Solve the ones above first.",
    "undefined-alias": "An alias (`*name`) refers to an anchor (`&name`) that does not stand before it. A value "
    "that begins with `*` must be quoted.",
    "unsupported-tag": "YAML tags (`!name`) other than those of JSON's types are not read. Leave the tag out.",
    "yaml-syntax": "The text is neither YAML nor JSON. The usual reasons are indentation, and expressions with "
    "braces, colons or backslashes that are not in single quotes.",
}

_VERSION = {
    "invalid-version": "The version of a workflow is a semantic version such as `1.0.0`.",
    "missing-version": "The document does not say which version of the DSL it is written in; it is taken for "
    "0.8. Write `specVersion: '0.8'`.",
    "unknown-dialect": "DSL 1.0 is recognised by `document` and `do`, DSL 0.8 by `specVersion` and `states`; the "
    "text has neither or both.",
    "unquoted-version": "Without quotes YAML reads a version such as `0.8` or `1.10` as a number, and 1.10 is "
    "1.1. Put it in quotes.",
    "unsupported-dsl-version": "This engine runs DSL 1.0.x and 0.8. Write `dsl: 1.0.3`, or `specVersion: '0.8'`.",
}

_SHAPE = {
    "earlier-form": "The specification of DSL 0.8 does not have this form, and earlier engines took it, SonataFlow "
    "above all. It is read as they read it, so that files can come as they are. Write it as the message says.",
    "quoted-boolean": "A text stands where DSL 0.8 has true or false, as in `terminate: 'true'`. It is read as what "
    "it says, as earlier engines read it. Leave out the quotes.",
    "ambiguous-task": "A task has two of the keywords that say what it does, such as `call` and `set`. Make two "
    "tasks of it.",
    "conflicting-properties": "Properties stand side by side that exclude each other. Keep one of them.",
    "empty-object": "An object is empty where it must have at least one property.",
    "ignored-property": "The property has no effect beside another one, or where it stands. Remove one of them.",
    "invalid-duration": "A duration is ISO 8601 text such as `PT1H30M`, in DSL 1.0 also an object such as "
    "`{minutes: 90}`; or an expression.",
    "invalid-name": "Namespace and name of a workflow have at most 63 letters, digits and inner hyphens; a dot "
    "is not allowed. Write `eventmesh-apache-org` for `eventmesh.apache.org`.",
    "invalid-value": "The value has the right type but is not one of those, or not of the form, that can stand "
    "here.",
    "misplaced-property": "The property has a meaning only beside another one, which is not there.",
    "missing-property": "An object lacks a property, or all of several of which it needs one.",
    "several-names": "An item of a list of tasks, cases or extensions is an object with one key, its name. Mostly "
    "what belongs to it is not indented deeper than the name.",
    "unknown-property": "The language has no such property here, so that it would have no effect. Correct the "
    "name or remove it; data of your own belongs into `metadata` (in DSL 1.0, keys of the document that begin "
    "with `x-` are free).",
    "unknown-task": "None of the keywords that say what a task does is there: `call`, `do`, `emit`, `for`, "
    "`fork`, `listen`, `raise`, `run`, `set`, `switch`, `try`, `wait`.",
    "unsupported-authentication": "`certificate` is named by the specification as a kind of authentication but "
    "defined nowhere: use `basic`, `bearer`, `digest`, `oauth2` or `oidc`. The grant `authorization_code` needs a code "
    "that a person gets by signing in, for which the specification has no property: use another grant.",
    "unsupported-language": "Expressions are written in jq; this engine has no other language.",
    "unsupported-schema-format": "Data is validated with JSON Schema (`format: json`); this engine has no other "
    "format.",
    "wrong-type": "The value is of another JSON type than what can stand here; a string that looks like a number "
    "or a boolean must be quoted.",
}

_COMPILE = {
    "host-not-allowed": "The workflow calls a host that the operator has not given to its namespace: the file that the "
    "setting `WFE_REACH` names says which hosts the workflows of a namespace may call.",
    "secret-not-allowed": "The workflow declares a secret that the operator has not given to its namespace: the file "
    "that the setting `WFE_REACH` names says which secrets the workflows of a namespace may use.",
    "activity-not-allowed": "The workflow calls an activity of another worker of Temporal (`call: activity`), and the "
    "operator does not let workflows call those of its task queue: the setting `WFE_ACTIVITY_QUEUES` says which.",
    "days-after-t": "ISO 8601 has days and weeks before the `T`: `P30D`, not `PT30D`. It is understood as days; "
    "write it the standard way.",
    "directive-name": "`continue`, `exit` and `end` are flow directives, so `then` can never go to a task of that "
    "name. Rename the task.",
    "duplicate-case": "Two cases of a switch have one name. Rename one, so that problems and diagrams tell them apart.",
    "duplicate-definition": "Two functions, events, retries or errors have one name; a reference could mean either.",
    "duplicate-state": "Two states have one name, or one id; a transition could mean either.",
    "duplicate-task": "Two tasks of one list have one name; `then` could mean either.",
    "duplicate-variable": "A loop binds its item and its index to one name. Give `at` another name than `each`.",
    "endless-expression": "A `repeat` or `recurse` goes on whatever it is given, and nothing takes only a part of it, "
    "so that it always meets the limit of steps of an expression. Put it in `limit(n; …)` or `first(…)`, or let it end "
    "by `empty`.",
    "invalid-attribute": "CloudEvents have attributes whose names are letters a-z and digits, and whose values are "
    "texts, booleans or integers of 32 bits; `source` is a URI reference, `dataschema` a URI, `time` a timestamp "
    "(RFC 3339). The router takes no others, so that such an event can be neither published nor waited for.",
    "invalid-bounds": "Numbers or lengths of time leave nothing between them, or are none that can be: a delay longer "
    "than the longest one, a jitter whose `from` is more than its `to`, a status that HTTP has not, a port that is "
    "none. Correct the one that the message names.",
    "invalid-timeout": "A timeout of no time at all is over before anything has begun, so that what it bounds would "
    "never be done. Leave the timeout out, or give it a time.",
    "invalid-cron": "`cron` is five fields, minute, hour, day of the month, month and day of the week, such as "
    "`30 6 * * mon-fri`, that some day fit. For seconds use `every`; for another time zone than UTC set "
    "`document.metadata.timezone`.",
    "invalid-expression": "The text is not a jq expression. An arrow in the message points to what is wrong: mostly a "
    "misspelled function or variable, text without double quotes, or a member without its dot.",
    "invalid-function": "The file of a function from elsewhere is not one task of DSL 1.0, such as `call: …` or "
    "`do: …` with its `input` and `output`. The message has the address of the file, and the place in it.",
    "invalid-interval": "How often a workflow is run must be known when it is deployed, and be more than nothing: "
    "whole seconds for `every`, which months and years are not. For moments of the calendar use `cron`.",
    "invalid-uri-template": "The specification has the simple expansion of RFC 6570 alone (URI Template): `{name}`, a "
    "property of the task's input, or `{a,b}`. Its other forms, such as `{+name}` or `{name*}`, are refused; build the "
    "address with one `${ … }`.",
    "invalid-schema": "The JSON Schema is not valid, or refers to something outside itself. Schemas are never fetched "
    "while a workflow runs: put what it refers to into `$defs`.",
    "misplaced-compensation": "Compensation states (`usedForCompensation: true`) undo what other states did: only "
    "`compensatedBy` and other compensation states lead to them, they lead nowhere else, are no event states, and have "
    "no compensation of their own.",
    "literal-expression": "In a value only what stands in `${ }` is evaluated; other text is meant as it is written. "
    "Write `${ .customer }` for the member, and leave the text as it is if it is meant so.",
    "loose-mode": "In loose mode every text of a value is tried as an expression, and one that fails is text. A "
    "mistake is then no problem, and a word that happens to be jq is evaluated. Write expressions in `${ }` and leave "
    "the mode out.",
    "mixed-filter": "An event attribute is compared with a literal, or tested by one whole `${ … }` that sees the "
    "attribute as `.`; text around an expression can be neither.",
    "not-deterministic": "The expression asks for what none may have. A run is replayed from its history, on any "
    "worker, and must come to the same results: so an expression depends on its input and its variables alone, reads "
    "no environment, file, stream or time zone, and acts on nothing. `now` is the time of the run.",
    "not-a-path": "The place where a value is put must be a plain path such as `.customer.name`, not a computation.",
    "process-not-allowed": "The workflow starts a process on the worker (`run: script`, `shell`, `container`, or "
    "an MCP server over stdio), and the operator has not allowed that kind with the setting `WFE_PROCESSES`. Unless "
    "it is set, all are allowed where API and Temporal are on this machine, and none elsewhere.",
    "null-loop": "A loop over null has no rounds, and its output is its input. Name what it should go over.",
    "recursive-function": "A function calls itself, directly or through others. Functions are put in the place of "
    "their calls, so they cannot; use a loop, or a workflow that runs itself.",
    "reserved-variable": "The name is one of the arguments that every expression has, such as `$input`. Choose "
    "another.",
    "scheduled-input": "The clock starts runs with an empty object as their input, which `input.schema` does not take. "
    "Let the schema require nothing, or have the run fetch what it needs.",
    "several-outputs": "jq can yield several values. They come as an array, a single one comes as it is, and none "
    "comes as null. Put the expression in `[ ]` to have an array always, or in `first( )` to have one value.",
    "schedule-of-events": "The workflow begins with an event state, so that events start its runs, and not the clock.",
    "schedule-over": "The end of the schedule is past, or the last year of its cron expression, so that the clock "
    "starts no run any more. Let it end later, or leave the schedule out.",
    "two-defaults": "A switch has at most one case without `when`: the default.",
    "unbounded-retry": "A retry policy without a limit stops after a default number of retries. Set "
    "`limit.attempt.count` or `limit.duration`.",
    "unknown-authentication": "`use.authentications`, or in DSL 0.8 `auth`, has no policy of that name.",
    "unknown-catalog": "`use.catalogs` has no catalog of that name. Define it there; only `default` is the "
    "runtime's own.",
    "unknown-error": "`use.errors`, or in DSL 0.8 `errors`, has no error of that name.",
    "unknown-event": "`events` defines no event of that name.",
    "unknown-function": "There is no function of that name: neither a built-in one nor one that the document defines. "
    "One from elsewhere is called `name:version@catalog`, or by its address.",
    "unknown-retry": "`use.retries`, or in DSL 0.8 `retries`, has no policy of that name.",
    "unknown-script-language": "A script is written in `js` (or `javascript`) or in `python`. Other languages are "
    "run by `run: shell` or `run: container`.",
    "unknown-secret": "`use.secrets`, or in DSL 0.8 `secrets`, declares no secret of that name. Declare it there; "
    "its value is kept where the setting `WFE_SECRETS` says.",
    "unknown-state": "A transition, or `start`, names a state that is not there.",
    "unknown-task-name": "`then` names a task that is not in the same list. A flow directive cannot leave its list: "
    "`exit` completes it, and the list around it goes on.",
    "unknown-timezone": "`document.metadata.timezone` is the time zone of `cron`, by its name in the IANA database, "
    "such as `Europe/Rome`.",
    "unknown-timeout": "`use.timeouts` has no timeout of that name. A duration is written `timeout: {after: PT5S}`.",
    "unresolved": "The workflow needs an operation or a function that could not be found when it was deployed: "
    "register the AsyncAPI document in the catalog, or make sure that the document it names can be reached.",
    "unsupported": "The language has this and the engine has not, yet. It is refused rather than ignored, because the "
    "workflow would do something else than it says.",
    "wrong-event-kind": "A state waits for an event that is defined as produced. Define it with `kind: consumed`.",
}

_GRAPH = {
    "busy-retry": "A retry without a delay tries again at once, as fast as it can. Give it a `delay`.",
    "endless-loop": "From these states no way leads out. If nothing in them waits or acts, the run would spin for "
    "ever, which is an error; if something does, it may be meant.",
    "missing-target": "A transition leads to a state that is not there.",
    "race-of-one": "A fork that competes has one branch, which always wins.",
    "unreachable-case": "An earlier case always holds when this one would.",
    "unreachable-state": "No way leads to this state, so it never runs.",
    "unsatisfiable-join": "A join waits for more branches than there are.",
    "wait-without-timeout": "The state waits for an event and has no timeout; it may wait for ever.",
}

EXPLANATIONS: Mapping[str, str] = {**_TEXT, **_VERSION, **_SHAPE, **_COMPILE, **_GRAPH}
"""Problem code -> one or two sentences, in Markdown."""
