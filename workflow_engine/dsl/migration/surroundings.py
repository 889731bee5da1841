"""What is around the states: the header, what starts runs, the input, the time of the workflow, who calls what."""

from __future__ import annotations

import re
from collections.abc import Callable

from workflow_engine.dsl.migration import events
from workflow_engine.dsl.migration.writing import Writer, slug, version
from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.graph.model import GoTo
from workflow_engine.values import Json, JsonObject

DSL = "1.0.3"


def document(writer: Writer, tasks: list[Json]) -> JsonObject:
    """The whole document around *tasks*."""
    data = writer.lowering.data
    writer.state = None
    schedule, metadata = _schedule(writer, data)
    made: JsonObject = {"document": _header(writer, data, metadata)}
    if schedule:
        made["schedule"] = schedule
    entered = _input(writer, data)
    if entered:
        made["input"] = entered
    use = _use(writer, data)
    if use:
        made["use"] = use
    timeout = _timeout(writer, data)
    if timeout is not None:
        made["timeout"] = timeout
    made["do"] = tasks
    return made


def _header(writer: Writer, data: JsonObject, metadata: JsonObject) -> JsonObject:
    key = "id" if "id" in data else "key"
    id, number = str(data.get(key)), str(data.get("version") or "1.0")
    made: JsonObject = {"dsl": DSL, "namespace": "default", "name": slug(id), "version": version(number)}
    if made["name"] != id:
        writer.differs(
            f"/{key}", f"the name {id!r} is none of 1.0; the workflow is called {made['name']!r} now"
        )
    if made["version"] != number:
        writer.differs("/version", f"the version is {made['version']!r} now: 1.0 wants a semantic version")
    if data.get("name"):
        made["title"] = data["name"]
    if data.get("description"):
        made["summary"] = data["description"]
    given = data.get("metadata")
    kept: JsonObject = {**(given if isinstance(given, dict) else {}), **metadata}
    if kept:
        made["metadata"] = kept
    return made


def _input(writer: Writer, data: JsonObject) -> JsonObject:
    if writer.lowering.starts_by_event:
        return {"from": "${ {} }"}
    written = data.get("dataInputSchema")
    details: JsonObject = written if isinstance(written, dict) else {"schema": written}
    address = details.get("schema")
    if address is None:
        return {"schema": {"document": {"type": "object"}}}
    if details.get("failOnValidationErrors", True) is False:
        writer.differs(
            "/dataInputSchema", "1.0 has no check that is only told of: the input is not checked now"
        )
        return {}
    if isinstance(address, dict):
        return {"schema": {"document": address}}
    return {"schema": {"resource": {"endpoint": address}}}


def _timeout(writer: Writer, data: JsonObject) -> JsonObject | None:
    timeouts = data.get("timeouts")
    given = timeouts.get("workflowExecTimeout") if isinstance(timeouts, dict) else None
    at = "/timeouts/workflowExecTimeout"
    if given is None:
        return None
    if not isinstance(given, dict):
        return writer.timeout(given, at)
    if given.get("runBefore") is not None:
        return None  # it is the timeout of the tasks in the `try`
    if given.get("interrupt") is not True:
        writer.differs(at, "0.8 lets the state that is being done finish first; 1.0 interrupts it")
    return writer.timeout(given.get("duration"), f"{at}/duration")


# --- what starts runs -----------------------------------------------------------------------------------------


def _schedule(writer: Writer, data: JsonObject) -> tuple[JsonObject, JsonObject]:
    """``schedule``, and the metadata that goes with it."""
    start = writer.lowering.start
    written = data.get("start")
    given = written.get("schedule") if isinstance(written, dict) else None
    if writer.lowering.starts_by_event and isinstance(start, GoTo):
        body = writer.lowering.body_of(start.state)
        names = list(
            dict.fromkeys(n for item in objects(body.get("onEvents")) for n in events.names_of(item))
        )
        every = body.get("exclusive", True) is False
        on = events.strategy(writer, names, start.state, every=every, starts=True)
        writer.differs(
            start.state,
            "run as a sub-workflow it waits for its events in 0.8; in 1.0 they start runs of their own, and a "
            "sub-workflow has none",
            "where another workflow runs it, begin it with a `listen`",
        )
        if every and len(names) > 1 and writer.time_for_events(body):
            message = (
                "all events that start a run must come in a time from the first one on, which 1.0 cannot say"
            )
            writer.differs(f"{start.state}/timeouts/eventTimeout", message)
        if given is not None:
            writer.differs("/start/schedule", "events start the runs; when they may do so 1.0 cannot say")
        return {"on": on}, events.channel(writer, body, start.state) or {}
    if given is None:
        if data.get("keepActive") is True:
            writer.cannot(
                "/keepActive",
                "1.0 cannot keep a run that has nothing left to do",
                "let it `listen` for its end",
            )
        return {}, {}
    details: JsonObject = given if isinstance(given, dict) else {"interval": given}
    zone = details.get("timezone")
    metadata: JsonObject = {} if zone is None else {"timezone": zone}
    if "interval" in details:
        return {"every": _interval(writer, str(details["interval"]))}, metadata
    return {"cron": _cron(writer, details.get("cron"))}, metadata


def _interval(writer: Writer, text: str) -> str:
    parts = text.split("/")[1:]
    if len(parts) > 1:
        writer.differs(
            "/start/schedule", "1.0 cannot say from or up to when runs are started: they always are"
        )
    return next(part for part in parts if part.startswith("P"))


def _cron(writer: Writer, written: Json) -> str:
    at = "/start/schedule/cron"
    if isinstance(written, dict):
        if "validUntil" in written:
            writer.differs(f"{at}/validUntil", "1.0 cannot say up to when: runs are always started")
        written = written.get("expression")
    text = str(written).strip()
    fields = text.split()
    if len(fields) not in (6, 7):
        return text
    if fields[0] != "0" or fields[6:] not in ([], ["*"]):
        writer.differs(at, "a cron expression of 1.0 has neither seconds nor years: they are left out")
    numbered: Callable[[re.Match[str]], str] = lambda match: str(int(match[0]) - 1)  # noqa: E731
    weekday, slash, step = fields[5].partition("/")
    weekday = re.sub(r"\b\d+\b", numbered, weekday) + slash + step
    minute = re.sub(r"^(\d+)/(\d+)$", r"\1-59/\2", fields[1])
    hour = re.sub(r"^(\d+)/(\d+)$", r"\1-23/\2", fields[2])
    return " ".join(part.replace("?", "*") for part in (minute, hour, fields[3], fields[4], weekday))


# --- who calls ------------------------------------------------------------------------------------------------


def _use(writer: Writer, data: JsonObject) -> JsonObject:
    use: JsonObject = {}
    policies: JsonObject = {}
    for number, item in enumerate(objects(data.get("auth"))):
        if str(item.get("name")) in writer.authentications:
            policies[str(item["name"])] = _policy(writer, item, f"/auth/{number}")
    if policies:
        use["authentications"] = policies
    declared = data.get("secrets")
    secrets = {*writer.secrets, *(map(str, declared) if isinstance(declared, list) else ())}
    if secrets:
        use["secrets"] = [*sorted(secrets)]
    return use


_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind of token
_GRANTS = {
    "clientCredentials": "client_credentials",
    "password": "password",
    "tokenExchange": "urn:ietf:params:oauth:grant-type:token-exchange",
}


def _policy(writer: Writer, item: JsonObject, at: str) -> JsonObject:
    scheme, written = str(item.get("scheme", "basic")), item.get("properties")
    if isinstance(written, str):
        found = re.search(r"\$SECRETS?\.(\w+)", written)
        name = found[1] if found else written
        writer.secrets.add(name)
        return {scheme: {"use": name}}
    properties = writer.value(written, f"{at}/properties")
    known: JsonObject = properties if isinstance(properties, dict) else {}
    if scheme != "oauth2":
        return {scheme: {key: value for key, value in known.items() if key != "metadata"}}
    metadata = known.get("metadata")
    endpoint = metadata.get("tokenEndpoint") if isinstance(metadata, dict) else None
    grant = str(known.get("grantType"))
    made: JsonObject = {"authority": known.get("authority"), "grant": _GRANTS.get(grant, grant)}
    if endpoint is not None:
        made["endpoints"] = {"token": endpoint}
    client = {"id": known.get("clientId"), "secret": known.get("clientSecret")}
    made["client"] = {key: value for key, value in client.items() if value is not None}
    for key in ("scopes", "username", "password", "audiences"):
        if known.get(key) is not None:
            made[key] = known[key]
    if known.get("subjectToken") is not None:
        made["subject"] = {"token": known["subjectToken"], "type": _TOKEN}
    for key in ("requestedSubject", "requestedIssuer"):
        if key in known:
            writer.differs(f"{at}/properties/{key}", f"1.0 has no `{key}`: it is left out")
    return {"oidc" if endpoint is None else "oauth2": made}
