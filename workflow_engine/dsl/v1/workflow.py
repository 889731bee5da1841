"""Lower a whole DSL 1.0 document: its regions, its data flow, its flow directives, its trigger."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from workflow_engine.dsl import bounds, loose
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.lowering import Lowering
from workflow_engine.dsl.policies import SECRETS
from workflow_engine.dsl.v1 import (
    endpoints,
    extensions,
    functions,
    lints,
    schedules,
    schemas,
    secrets,
    tasks,
)
from workflow_engine.dsl.v1.scope import EXPORT, RESERVED, RUN, STATE, TASK, Scope, Task
from workflow_engine.expressions import Expression, Template
from workflow_engine.graph.model import (
    DataStep,
    End,
    Exit,
    Export,
    Extension,
    GoTo,
    Region,
    State,
    StateGraph,
    Timing,
    Transform,
    Transition,
    Validate,
    WorkflowName,
)
from workflow_engine.values import Json, JsonObject, pointer


class WorkflowLowering(Lowering):
    """A DSL 1.0 document on its way to a graph."""

    def __init__(
        self,
        document: Document,
        resources: Mapping[str, Json] | None = None,
        *,
        warned: bool = True,
        lost: frozenset[str] = frozenset(),
    ) -> None:
        """*resources* are what is pinned; None: nothing has been fetched yet. *warned*: whether anybody looks at
        warnings about what its expressions say, which cost as much as all the rest.
        """
        super().__init__(document, lost=lost)
        self.warned = warned
        self.resources = resources
        evaluate = self.data.get("evaluate")
        self.loose = isinstance(evaluate, dict) and evaluate.get("mode") == "loose"
        use = self.data.get("use")
        self.use: JsonObject = use if isinstance(use, dict) else {}
        self.called: set[str] = set()
        self.inlined = 0
        self.elsewhere: dict[str, tuple[str, str]] = {}
        """The pointers of functions from elsewhere: the address of each, and where the document calls it first."""
        self.pinned: dict[str, Json] = {}
        self.extensions: list[tuple[str, Extension]] = []

    def used(self, kind: str) -> JsonObject:
        """What the document defines in ``use`` of *kind*, such as ``retries``, by name."""
        named = self.use.get(kind)
        return named if isinstance(named, dict) else {}

    def lower(self) -> StateGraph:
        """The graph; what is wrong is in `problems`."""
        header = self.data["document"]
        assert isinstance(header, dict)
        self._refuse()
        self.extensions = extensions.extensions(self)
        root = self.region(self.data.get("do"), "/do", Scope())
        functions.check_uncalled(self)
        functions.check_catalogs(self)
        enter = self._input(self.data.get("input"), "/input", RUN)
        return StateGraph(
            name=WorkflowName(str(header["namespace"]), str(header["name"]), str(header["version"])),
            dialect="1.0",
            root=root,
            source=self.data,
            enter=enter,
            leave=self._output(self.data.get("output"), "/output", RUN | {"context"}),
            timeout=self.timeout(self.data.get("timeout"), "/timeout", RUN),
            trigger=schedules.trigger(self),
            schedule=schedules.schedule(self, enter),
            title=str(header.get("title") or ""),
            summary=str(header.get("summary") or ""),
            functions=self.pinned,
            extensions=tuple(extension for _, extension in self.extensions),
            input_is_context=self._initial_context(header.get("metadata")),
            lifecycle=self.lifecycle(header.get("metadata"), "/document/metadata"),
            express=self.express(header.get("metadata"), "/document/metadata"),
            keys=self.keys(header.get("metadata"), "/document/metadata"),
        )

    def _initial_context(self, metadata: Json) -> bool:
        """What ``$context`` begins as: ``document.metadata.initialContext``, ``empty`` or ``input`` (decision A6)."""
        wanted = metadata.get("initialContext", "empty") if isinstance(metadata, dict) else "empty"
        if wanted not in ("empty", "input"):
            message = "`initialContext` is what `$context` begins as: `empty`, an empty object, or `input`"
            self.problem("invalid-value", message, "/document/metadata/initialContext")
        return wanted == "input"

    def placed(self, message: str, pointer: str) -> tuple[str, str]:
        """What is in a function from elsewhere is told where the document calls it."""
        parts = pointer.split("/")
        found = self.elsewhere.get("/".join(parts[:4]))
        if found is None:
            return message, pointer
        inside = "/".join(["", *parts[4:]]) or "its root"
        return f"{message} (in the function {found[0]}, at {inside})", found[1]

    def room(self, what: str, at: str) -> bool:
        """Whether there is room for more tasks that stand in several places; it is a problem if there is not."""
        if self.inlined <= functions.MAX_INLINED:
            return True
        self.problem("too-large", f"with {what}, they make more than {functions.MAX_INLINED:,} tasks", at)
        return False

    def _refuse(self) -> None:
        """Refuse what is in the document and cannot be done yet."""
        for name, policy in self.used("authentications").items():
            endpoints.check_policy(self, policy, "/use/authentications" + pointer(name))
        for name, error in self.used("errors").items():
            bounds.check_status(self, error, "/use/errors" + pointer(name))
        for name, retry in self.used("retries").items():
            if isinstance(retry, dict):
                bounds.check_retry(self, retry, "/use/retries" + pointer(name))
        for name, timeout in self.used("timeouts").items():
            after = timeout.get("after") if isinstance(timeout, dict) else None
            bounds.check_timeout(self, after, f"/use/timeouts{pointer(name)}/after")
        evaluate = self.data.get("evaluate")
        if isinstance(evaluate, dict):
            if evaluate.get("language", "jq") != "jq":
                self.unsupported(f"the expression language {evaluate['language']!r}", "/evaluate/language")
            if self.loose:
                message = (
                    "in loose mode every text of a value is tried as an expression: `now` and `length` are no words "
                    "then, and what is misspelled is text; write expressions in `${ }` and leave the mode out"
                )
                self.warning("loose-mode", message, "/evaluate/mode")

    # --- regions and tasks --------------------------------------------------------------------------------

    def region(self, items: Json, at: str, scope: Scope, *, loop: bool = False, name: str = "") -> Region:
        """A list of named tasks; each goes on with the next, the last one completes the region."""
        entries: list[tuple[str, JsonObject, str]] = []
        for number, item in enumerate(items if isinstance(items, list) else []):
            assert isinstance(item, dict)
            for task_name, body in item.items():
                assert isinstance(body, dict)
                entries.append((task_name, body, at + pointer(number, task_name)))
        siblings: dict[str, str] = {}
        for task_name, _, id in entries:
            if task_name in siblings:
                message = f"two tasks of this list are called {task_name!r}; `then` could not tell them apart"
                self.problem("duplicate-task", message, id)
            siblings.setdefault(task_name, id)
            if task_name in {"continue", "exit", "end"}:
                message = f"`then: {task_name}` is a directive and never means this task"
                self.warning("directive-name", message, id)
        inner = replace(scope, siblings=siblings, loop=loop)
        states: dict[str, State] = {}
        for number, (task_name, body, id) in enumerate(entries):
            following: Transition = GoTo(entries[number + 1][2]) if number + 1 < len(entries) else Exit()
            states[id] = self.state(Task(task_name, body, id, inner, following))
        return Region(at, GoTo(entries[0][2]) if entries else Exit(), states, name)

    def state(self, task: Task) -> State:
        """One task: its data flow around what it does."""
        body, scope = task.body, task.scope
        self.inlined += bool(scope.functions)
        outside = scope.variables(STATE)
        enter = self._input(body.get("input"), task.at("input"), outside)
        action = tasks.action(self, task)
        leave = self._output(body.get("output"), task.at("output"), scope.variables(TASK))
        leave += self._export(body.get("export"), task.at("export"), scope.variables(EXPORT))
        metadata = body.get("metadata")
        self.express(metadata, task.at("metadata"))
        return State(
            id=task.id,
            name=task.name,
            action=action,
            next=self.transition(body.get("then"), task.at("then"), task),
            otherwise=task.following,
            when=self.optional_expression(body.get("if"), outside, task.at("if")),
            enter=enter,
            leave=leave,
            timeout=self.timeout(body.get("timeout"), task.at("timeout"), task.variables),
            metadata=metadata if isinstance(metadata, dict) else {},
            extensions=() if scope.bare else extensions.extend(tasks.keyword(body), self.extensions),
        )

    def transition(self, directive: Json, at: str, task: Task) -> Transition:
        """Where *directive* leads from *task*: on, out, to the end, or to a task of its list (A17-A19)."""
        siblings = task.scope.siblings
        match directive:
            case None | "continue":
                return task.following
            case "exit":
                return Exit(breaks=task.scope.loop)
            case "end":
                return End()
            case str(name) if name in siblings:
                return GoTo(siblings[name])
            case _:
                hint = " in this list (`then` cannot leave the list that its task is in)"
                self.unknown("unknown-task-name", "task", str(directive), siblings, at, hint=hint)
                return task.following

    # --- data flow ----------------------------------------------------------------------------------------

    def expression(self, text: Json, variables: Collection[str], pointer: str) -> Expression:
        compiled = super().expression(text, variables, pointer)
        if self.warned:
            lints.condition(self, compiled.source, pointer)
        if compiled.variables & SECRETS:
            secrets.check(self, f"${{{compiled.source}}}", pointer)
        return compiled

    def prepared(self, value: Json, variables: Collection[str], pointer: str) -> Json:
        if self.loose:
            return loose.loosened(value, variables)
        if self.warned:
            lints.value(self, value, pointer)
        return value

    def slot(self, value: Json, variables: Collection[str], pointer: str) -> Expression | Template:
        if self.warned and isinstance(value, str):
            lints.expression(self, value, pointer)
        return super().slot(value, variables, pointer)

    def template(self, value: Json, variables: Collection[str], pointer: str) -> Template:
        compiled = super().template(value, variables, pointer)
        if compiled.variables & SECRETS:
            secrets.check(self, compiled.source, pointer)
        return compiled

    def _input(self, value: Json, at: str, variables: frozenset[str]) -> tuple[DataStep, ...]:
        steps: list[DataStep] = []
        if isinstance(value, dict):
            steps += self._validation(value.get("schema"), at + "/schema", "input")
            if value.get("from") is not None:
                steps.append(Transform(self.slot(value["from"], variables, at + "/from")))
        return tuple(steps)

    def _output(self, value: Json, at: str, variables: frozenset[str]) -> tuple[DataStep, ...]:
        steps: list[DataStep] = []
        if isinstance(value, dict):
            if value.get("as") is not None:
                steps.append(Transform(self.slot(value["as"], variables, at + "/as")))
            steps += self._validation(value.get("schema"), at + "/schema", "output")
        return tuple(steps)

    def _export(self, value: Json, at: str, variables: frozenset[str]) -> tuple[DataStep, ...]:
        steps: list[DataStep] = []
        if isinstance(value, dict) and value.get("as") is not None:
            steps.append(Export(self.slot(value["as"], variables, at + "/as")))
        if isinstance(value, dict):
            steps += self._validation(value.get("schema"), at + "/schema", "context")
        return tuple(steps)

    def _validation(self, value: Json, at: str, what: str) -> list[DataStep]:
        if not isinstance(value, dict):
            return []
        if str(value.get("format", "json")).split(":")[0] != "json":
            self.unsupported(f"the schema format {value['format']!r}", at + "/format")
        version = str(value.get("format", "json")).partition(":")[2]
        document = value.get("document")
        said = not isinstance(document, dict) or "$schema" in document
        if version and not said and not version.endswith("2020-12"):
            message = (
                f"`{value['format']}` does not choose the dialect: without a `$schema` a schema is in 2020-12"
            )
            self.warning("ignored-property", message, at + "/format")
        schema = schemas.schema(self, value, at)
        return [] if schema is None else [Validate(schema, what)]

    def output_steps(self, value: Json, at: str, variables: frozenset[str]) -> tuple[DataStep, ...]:
        """The steps of an ``output`` that is not a task's own (``listen.foreach``)."""
        return self._output(value, at, variables)

    def export_steps(self, value: Json, at: str, variables: frozenset[str]) -> tuple[DataStep, ...]:
        """The steps of an ``export`` that is not a task's own (``listen.foreach``)."""
        return self._export(value, at, variables)

    def timeout(self, value: Json, at: str, variables: frozenset[str]) -> Timing | None:
        """A timeout, inline or by its name in ``use.timeouts`` (decision A32)."""
        if value is None:
            return None
        if isinstance(value, str):
            known = self.used("timeouts")
            if value not in known:
                hint = "; a duration is written `timeout: {after: PT5S}`" if value.startswith("P") else ""
                self.unknown("unknown-timeout", "timeout", value, known, at, hint=hint)
                return None
            at = "/use/timeouts" + pointer(value)
            value = known[value]
        assert isinstance(value, dict)
        bounds.check_timeout(self, value.get("after"), at + "/after")
        return self.timing(value.get("after"), variables, at + "/after")

    def reserved(self, name: str, at: str, *, beside: str | None = None) -> str:
        """Check that *name* may be bound as a variable, *beside* the other one of a loop (decision A12)."""
        if name in RESERVED or name.startswith("__"):
            self.problem("reserved-variable", f"`${name}` has a meaning of its own; choose another name", at)
        elif name == beside:
            self.problem("duplicate-variable", f"item and index are both called `${name}`; rename one", at)
        return name


def lower(
    document: Document,
    resources: Mapping[str, Json] | None = None,
    *,
    warned: bool = True,
    lost: frozenset[str] = frozenset(),
) -> tuple[StateGraph, WorkflowLowering]:
    """The graph of *document* with what is pinned for it, and the lowering with the problems it found."""
    lowering = WorkflowLowering(document, resources, warned=warned, lost=lost)
    return lowering.lower(), lowering
