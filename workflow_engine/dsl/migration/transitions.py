"""Where a 0.8 state goes: the name of a task, or ``end``; what is done on the way is a task of its own."""

from __future__ import annotations

from workflow_engine import expressions
from workflow_engine.dsl.migration import events
from workflow_engine.dsl.migration.writing import Tasks, Writer, slug, task, unused, version
from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.values import Json, JsonObject


class Ways:
    """The ways between the states; *names* are the tasks that they begin with, by their pointers.

    *used* are the names that tasks have already; *reached* are the states that something leads to, in that order.
    """

    def __init__(self, writer: Writer, used: set[str], names: dict[str, str], start: str) -> None:
        self.writer, self.used, self.names, self.start = writer, used, names, start
        self.reached: list[str] = []

    def to(self, name: str) -> str:
        """The task of the state called *name*, or with that id."""
        lowering = self.writer.lowering
        return self._at(lowering.names.get(name) or lowering.ids[name])

    def _at(self, id: str) -> str:
        if id not in self.reached:
            self.reached.append(id)
        return self.names[id]

    def way(self, body: JsonObject, at: str, name: str) -> tuple[str, Tasks]:
        """Where ``transition`` or ``end`` of *body* leads, and the tasks that are done before; *name* is the state."""
        transition, end = body.get("transition"), body.get("end")
        if transition is not None:
            if not isinstance(transition, dict):
                return self.to(str(transition)), []
            return self._first(
                transition, f"{at}/transition", name, self.to(str(transition.get("nextState"))), []
            )
        details: JsonObject = end if isinstance(end, dict) else {}
        place = f"{at}/end"
        last: Tasks = []
        then = "end"
        kept = self.writer.lowering.data.get("keepActive") is True and not details.get("terminate")
        if details.get("continueAs") is not None:
            last = [self._continued(details["continueAs"], f"{place}/continueAs")]
        elif kept and self.writer.lowering.starts_by_event:
            self.writer.mapped("`keepActive` -> the state that the run started with is gone to again")
            then = self._at(self.start)
        return self._first(details, place, name, then, last)

    def _first(self, details: JsonObject, at: str, name: str, then: str, last: Tasks) -> tuple[str, Tasks]:
        tasks: Tasks = []
        if details.get("compensate"):
            self.writer.cannot(
                f"{at}/compensate",
                "1.0 has no compensation: nothing is undone here",
                "write the tasks that undo, and go to them",
            )
        for number, item in enumerate(objects(details.get("produceEvents"))):
            emitted = events.emit(self.writer, item, "eventRef", f"{at}/produceEvents/{number}")
            emitted["output"] = {"as": "${ $input }"}
            tasks.append((unused(f"{name} produces {item.get('eventRef')}", self.used), emitted))
            self.writer.mapped("`produceEvents` -> `emit`, a task of its own")
        tasks += last
        for number, (_, body) in enumerate(tasks):
            body["then"] = tasks[number + 1][0] if number + 1 < len(tasks) else then
        return (tasks[0][0] if tasks else then), tasks

    def _continued(self, given: Json, at: str) -> tuple[str, JsonObject]:
        details: JsonObject = given if isinstance(given, dict) else {"workflowId": given}
        id, number = str(details.get("workflowId")), details.get("version")
        data: Json = details.get("data", "${ . }")
        if isinstance(data, str) and expressions.unwrap(data) is None:
            data = f"${{ {data}\n}}"
        flow: JsonObject = {
            "namespace": "default",
            "name": slug(id),
            "version": "latest" if number is None else version(str(number)),
            "input": self.writer.value(data, f"{at}/data"),
        }
        self.writer.cannot(
            at,
            f"1.0 cannot go on as another workflow: {id!r} runs inside this one, which gives its output",
            "a workflow that goes on for ever is better started by `schedule`",
        )
        return unused(f"continue as {id}", self.used), task(run={"workflow": flow})
