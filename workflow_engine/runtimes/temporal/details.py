"""What the Temporal UI shows as the current details of a run: Markdown, made when somebody looks.

So it is of all branches, and of now; and a run that nobody looks at spends nothing on it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime

from workflow_engine.interpreter.run import Run
from workflow_engine.interpreter.showing import shown
from workflow_engine.runtimes.temporal.inside import tells
from workflow_engine.values import Json, JsonObject, rfc3339

MOST = 20
"""How many states are shown."""
_LONGEST = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def when_asked(tell: Callable[[bool], str]) -> None:
    """Let the run whose task this is answer with *tell* when its current details are asked for: *tell* is given whether
    that has ended.
    """
    task = asyncio.current_task()
    tells(lambda: tell(task is None or task.done()))


def details(run: Run, *, suspended: bool, ended: bool) -> str:
    """The title of the workflow, and what *run* does at each of the states at which it stands."""
    lines = [f"**{text(run.graph.title or run.graph.name.name)}**", ""]
    if ended:
        return "\n".join([*lines, "It has ended."])
    if suspended:
        lines += ["It is suspended.", ""]
    states = shown(run, suspended=suspended)
    lines += [_line(state) for state in states[:MOST]]
    if len(states) > MOST:
        lines.append(f"- and {len(states) - MOST:,} more")
    return "\n".join(lines)


def _line(state: JsonObject) -> str:
    parts = [f"- **{text(str(state['name'] or 'the run'))}**", code(str(state["id"]))]
    parts.append(text(str(state["doing"] or state["status"])))
    if (since := _moment(state.get("since"))) is not None:
        parts.append(f"since {since}")
    attempt = state.get("attempt")
    if isinstance(attempt, int) and attempt > 1:
        due = _moment(state.get("next_attempt"))
        parts.append(f"attempt {attempt}" + (f" begins {due}" if due else ""))
        if state.get("failure"):
            parts.append(f"the last one failed: {text(str(state['failure']))}")
    return ", ".join(parts)


def text(of: str) -> str:
    """*of* as Markdown that reads as it is, in one line, cut to what one can read."""
    shown = " ".join(of.split())
    if len(shown) > _LONGEST:
        shown = shown[: _LONGEST - 1] + "…"
    return _SPECIAL.sub(r"\\\1", shown)


def code(of: str) -> str:
    """*of* between as many backticks as it needs."""
    shown = " ".join(of.split())[:_LONGEST]
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if longest else f"`{shown}`"


def _moment(seconds: Json) -> str | None:
    return rfc3339(datetime.fromtimestamp(seconds, UTC)) if isinstance(seconds, (int, float)) else None
