"""What the processes of a server log, for who looks at it at night: one line for what was to be expected."""

from __future__ import annotations

import logging
import math
import re
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from workflow_engine.errors import Fault, NotFound, Rejected, Unavailable

LEVELS = ("debug", "info", "warning", "error")
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_REMEMBERED = 10_000
"""Of how many failures it is remembered that they have been told."""
_LONGEST = 500
_SELDOM = 60.0
"""How many seconds pass before it is told again that a server does not answer."""
_FIXED = "it goes on once a fixed worker runs (`wfe runs list --parked`)"
_MENDED = "it goes on by itself once that is mended"
_ENCODING = "Failed encoding completion"
"""What the SDK says where a run's values cannot be written; of reading them it says nothing of its own."""
_EXPECTED = (Unavailable, NotFound, Rejected, Fault)
"""What goes wrong in every system now and then: it is told without a traceback, which is for our bugs."""


class Formatter(logging.Formatter):
    """One line for each record, and a traceback where the error is none of those that are expected.

    What Temporal says of a run or of an activity begins with the run's id, the state and the attempt.
    """

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        message = record.message
        about: Mapping[str, Any] | None = getattr(record, "temporal_activity", None)
        if about is not None:
            place = str(about.get("activity_id"))
            kind = str(about.get("activity_type"))
            named = place if place.startswith(kind) else f"{kind} at {place}"
            message = f"run {about.get('workflow_id')}: {named}, attempt {about.get('attempt')}: {message}"
        elif (run := getattr(record, "temporal_workflow", None)) is not None:
            message = f"run {run.get('workflow_id')} of {run.get('workflow_type')}: {message}"
        if record.exc_info and isinstance(error := record.exc_info[1], _EXPECTED):
            message = f"{message}: {error}"
        told = logging.makeLogRecord({**record.__dict__, "message": message.replace("\n", " | ")})
        return super().formatMessage(told)

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and isinstance(record.exc_info[1], _EXPECTED):
            record.message = record.getMessage()
            record.asctime = self.formatTime(record, self.datefmt)
            return self.formatMessage(record)
        return super().format(record)


class ParkedOnce(logging.Filter):
    """Tells a run that a bug parks loudly, and once: Temporal has it tried again every few seconds, for ever.

    So is one that cannot go on for want of a key or of the payload store. Both the SDK and its core tell of each
    failure; the first of them is passed on, and one with another exception.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "temporal":
            return self._of_core(record)
        if not record.name.startswith("temporalio.worker._workflow") or not record.exc_info:
            return True
        text = record.getMessage()
        if not text.startswith(("Failed activation on workflow ", f"{_ENCODING} on workflow ")):
            return True
        run = text.rpartition(" run ID ")[2]
        raised, error = record.exc_info[1], str(record.exc_info[1])
        self._first(run, "")
        if not self._first(run, error):
            return False
        which = f"the workflow with run ID {run} is " if text.startswith(_ENCODING) else ""
        if isinstance(raised, Unavailable):
            record.exc_info = None
            _loudly(record, f"{which}held up: {error}", _MENDED)
        else:
            _loudly(record, f"{which}parked by a bug: {error}", _FIXED)
        return True

    def _of_core(self, record: logging.LogRecord) -> bool:
        core = getattr(record, "temporal_log", None)
        if core is None or not record.getMessage().startswith("Failing workflow task"):
            return True
        run, failure = str(core.fields.get("run_id")), str(core.fields.get("failure"))
        if not self._first(run, ""):
            return False
        found = re.search(r'message: "((?:[^"\\]|\\.)*)"', failure)
        message = found[1][:_LONGEST] if found else failure[:_LONGEST]
        _loudly(record, f"the workflow with run ID {run} is parked: {message}", _FIXED)
        return True

    def _first(self, run: str, error: str) -> bool:
        key = (run, error)
        known = key in self._told
        self._told[key] = None
        self._told.move_to_end(key)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return not known


class OutageSeldom(logging.Filter):
    """Tells once a minute, in our words, that a server does not answer: the SDK's core does it for every attempt."""

    _CALL = re.compile(r"gRPC call (\w+) retried (\d+) times")
    _BEAT = "Network error while sending worker heartbeat"
    _CAUSE = re.compile(r'message: "((?:[^"\\]|\\.)*)"')

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[str, float] = ("", 0.0)
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != "temporal":
            return True
        call = self._CALL.match(text := record.getMessage())
        if call is None and not text.startswith(self._BEAT):
            return True
        causes = self._CAUSE.findall(text)
        cause = causes[-1][:_LONGEST] if causes else text[:_LONGEST]
        before, at = self._last
        if cause == before and record.created - at < _SELDOM:
            self._left_out += 1
            return False
        more = f"; {self._left_out} lines like this were left out" if self._left_out else ""
        self._last, self._left_out = (cause, record.created), 0
        asked = f"{call[1]}, asked {call[2]} times" if call else "a worker's sign of life"
        record.msg = f"Temporal does not answer: {cause} ({asked}); it is asked again{more}"
        record.args = ()
        return True


class SameSeldom(logging.Filter):
    """Tells a warning of ours once a minute, however often it comes: what is away is asked for every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._told: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or not record.name.startswith(("wfe", "workflow_engine.")):
            return True
        raised = record.exc_info[1] if record.exc_info else None
        key = (record.name, record.getMessage() + str(raised or ""))
        at, left_out = self._told.get(key, (-math.inf, 0))
        if record.created - at < _SELDOM:
            self._told[key] = (at, left_out + 1)
            return False
        self._told[key] = (record.created, 0)
        self._told.move_to_end(key)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        if left_out:
            record.msg, record.args = f"{record.getMessage()}; {left_out} lines like this were left out", ()
        return True


def _loudly(record: logging.LogRecord, message: str, until: str) -> None:
    record.levelno, record.levelname = logging.ERROR, "ERROR"
    record.msg = f"{message}; {until}. This is told once"
    record.args = ()


def log_to_stderr(level: str) -> None:
    """Log everything from *level* on to stderr, what the core of Temporal's SDK says too."""
    from temporalio import activity, workflow
    from temporalio.runtime import (
        LogForwardingConfig,
        LoggingConfig,
        Runtime,
        TelemetryConfig,
        TelemetryFilter,
    )

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    handler.addFilter(ParkedOnce())
    handler.addFilter(OutageSeldom())
    handler.addFilter(SameSeldom())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # It is in the record anyway, and the formatter puts what matters in front.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
    forwarding = LogForwardingConfig(
        logger=logging.getLogger("temporal"), append_target_to_name=False, prepend_target_on_message=False
    )
    core = LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding)
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=core)), error_if_already_set=False)
