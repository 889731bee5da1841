"""Functions ``sysout`` and ``sysout:LEVEL`` (DSL 0.8, from SonataFlow): a message to the log of the worker."""

from __future__ import annotations

import logging
import re

from workflow_engine.calls.content import json_text
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.url import bounded
from workflow_engine.values import Json, JsonObject

LEVELS = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
}
MAX_MESSAGE = 10_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_log = logging.getLogger("workflow_engine.sysout")


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Log ``message``, text or JSON, in one line, with the run and the state; values of secrets are hidden in it."""
    message = arguments.get("message")
    text = message if isinstance(message, str) else json_text(message)
    shown = bounded(_CONTROL.sub(" ", context.redact(text)), MAX_MESSAGE)
    level = LEVELS.get(str(arguments.get("level", "INFO")), logging.INFO)
    _log.log(level, "%s %s: %s", context.run_id, context.state, shown)
    return None
