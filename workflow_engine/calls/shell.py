"""``run: shell``: a command line, by the shell of this machine."""

from __future__ import annotations

from workflow_engine.calls.content import kind
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.processes import (
    admit,
    argument_list,
    execute,
    form_of,
    returned,
    scratch,
    streams_of,
)
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

SHELL = "/bin/sh"
_WHAT = "the shell command"


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Run ``command`` as ``sh -c command sh ARGUMENT…``, so that ``$1`` is the first argument (decision A66).

    *arguments* has ``command``, and may have ``arguments``, ``stdin``, ``environment`` and ``return``.
    """
    admit("shell", context)
    command = arguments.get("command")
    if not isinstance(command, str) or not command.strip():
        raise fault("configuration", f"the shell command must be text, not {kind(command)}")
    form = form_of(arguments)
    line = [SHELL, "-c", command, "sh", *argument_list(arguments.get("arguments"))]
    async with scratch() as folder:
        ended = await execute(line, arguments, context, folder, what=_WHAT, wanted=streams_of(form))
    return returned(ended, form, _WHAT, context)
