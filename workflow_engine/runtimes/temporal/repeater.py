"""The workflow behind ``schedule.after``: it starts a run, waits for its end, and after the delay starts the next.

Temporal has no schedule that counts from the end of a run. This workflow is one: it costs a dozen events a run and
nothing in between, and like every workflow it survives its worker. A run is its child, but goes on without it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import (
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from workflow_engine.values import Duration, rfc3339

REPEATER = "wfe/after"
"""Its workflow type, which no workflow of DSL 1.0 can have."""
RECENT = 10
"""How many runs it remembers."""
LONG_HISTORY, LARGE_HISTORY = 500, 500_000
"""After so many events, or bytes, it goes on as a new execution: also to be cheap to replay. They are part of its
*config*, so that a history says by which it was made.
"""


@workflow.defn(name=REPEATER)
class Repeater:
    """Starts run after run of one workflow. *config* says how, *what* is the bundle of a run or a reference to it.

    *kept* is what an earlier execution of the same schedule knew.
    """

    @workflow.init
    def __init__(self, config: dict[str, Any], what: Any, kept: dict[str, Any] | None = None) -> None:
        kept = kept or {}
        self._config, self._what = config, what
        self._paused: bool = kept.get("paused", False)
        self._note: str = kept.get("note", "")
        self._due: float | None = kept.get("due", workflow.now().timestamp())
        self._ended: float | None = kept.get("ended")
        self._started: int = kept.get("started", 0)
        self._recent: list[dict[str, Any]] = list(kept.get("recent", []))
        self._running: str | None = None
        self._triggered = False
        self._changed = False

    @workflow.run
    async def run(self, config: dict[str, Any], what: Any, kept: dict[str, Any] | None = None) -> None:
        """Start runs until terminated."""
        while True:
            await self._until_due()
            await self._run_once()
            info = workflow.info()
            if (
                info.is_continue_as_new_suggested()
                or info.get_current_history_length() > self._config["most_events"]
                or info.get_current_history_size() > self._config["most_bytes"]
            ):
                workflow.continue_as_new(args=[self._config, self._what, self._kept()])

    async def _until_due(self) -> None:
        while not self._triggered:
            left: float | None = None
            if not self._paused and self._due is not None:
                left = self._due - workflow.now().timestamp()
                if left <= 0:
                    return
            self._changed = False
            self._show()
            try:
                await workflow.wait_condition(
                    lambda: self._changed, timeout=left, timeout_summary="until the next run"
                )
            except TimeoutError:
                return

    async def _run_once(self) -> None:
        """Start a run and wait for its end; plan the next, unless somebody ended this one."""
        now, config = workflow.now(), self._config
        due = now.timestamp() if self._triggered or self._due is None else self._due
        self._triggered = False
        run_id = f"{config['prefix']}-{rfc3339(now)}"
        try:
            handle = await workflow.start_child_workflow(
                config["type"],
                args=[{}, self._what],
                id=run_id,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                memo=config["memo"],
                search_attributes=_attributes(config["attributes"]),
                static_summary=config["summary"],
                static_details=config["details"],
            )
        except WorkflowAlreadyStartedError:
            self._due = now.timestamp() + 1.0  # somebody else uses that id
            return
        self._running, self._due = run_id, None
        self._started += 1
        self._recent = [
            {"id": run_id, "due": due, "started_at": now.timestamp()},
            *self._recent[: RECENT - 1],
        ]
        self._show()
        ended_by = await _end_of(handle)
        self._running, self._ended = None, workflow.now().timestamp()
        if ended_by is not None:
            self._paused, self._note = True, f"the run {run_id} was {ended_by}"
        else:
            self._plan_next()

    def _plan_next(self) -> None:
        if self._ended is not None:
            delay = Duration(self._config["months"], self._config["seconds"])
            self._due = delay.after(datetime.fromtimestamp(self._ended, UTC)).timestamp()

    def _kept(self) -> dict[str, Any]:
        return {
            "paused": self._paused,
            "note": self._note,
            "due": self._due,
            "ended": self._ended,
            "started": self._started,
            "recent": self._recent,
        }

    def _show(self) -> None:
        """What the Temporal UI shows as the current details."""
        if self._running is not None:
            doing = f"`{self._running}` is running"
        elif self._paused:
            doing = f"paused: {self._note}"
        else:
            due = datetime.fromtimestamp(self._due or 0.0, UTC)
            doing = f"the next run starts at {rfc3339(due)}"
        delay = timedelta(seconds=self._config["seconds"])
        workflow.set_current_details(
            f"- a run {delay} after each run\n- {doing}\n- {self._started} runs so far"
        )

    @workflow.signal
    def set(self, config: dict[str, Any], what: Any) -> None:
        """Go on with another version of the workflow; what runs is left alone."""
        if config["mark"] == self._config["mark"]:
            return
        self._config, self._what = config, what
        workflow.upsert_memo(config["memo"])
        if self._running is None and self._due is not None:
            self._plan_next()
        self._changed = True

    @workflow.signal
    def pause(self, note: str) -> None:
        """Start no more runs."""
        self._paused, self._note, self._changed = True, note, True

    @workflow.signal
    def resume(self) -> None:
        """Start runs again: at once if the time for the next has passed, or if somebody had ended the last."""
        self._paused, self._note, self._changed = False, "", True
        if self._running is None and self._due is None:
            self._due = workflow.now().timestamp()

    @workflow.signal
    def trigger(self) -> None:
        """Start a run now, unless one goes on."""
        if self._running is None:
            self._triggered = self._changed = True

    @workflow.query
    def schedule(self) -> dict[str, Any]:
        """How it is."""
        return {**self._kept(), "running": self._running}


async def _end_of(handle: Any) -> str | None:
    """Wait for the run; who ended it, in words, if it was somebody rather than itself."""
    try:
        await handle
    except ChildWorkflowError as failure:
        if isinstance(failure.cause, CancelledError):
            return "cancelled"
        if isinstance(failure.cause, TerminatedError):
            return "terminated"
    return None


def _attributes(values: dict[str, str] | None) -> TypedSearchAttributes | None:
    if values is None:
        return None
    pairs = [SearchAttributePair(SearchAttributeKey.for_keyword(key), value) for key, value in values.items()]
    return TypedSearchAttributes(pairs)
