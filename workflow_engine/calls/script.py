"""``run: script``: code in Python, by the interpreter that runs us, or JavaScript, by the Node.js of this machine."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from workflow_engine.calls.content import kind, loads_any
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.documents import fetch
from workflow_engine.calls.http import endpoint
from workflow_engine.calls.processes import (
    Ended,
    admit,
    argument_list,
    execute,
    failed,
    form_of,
    returned,
    scratch,
    streams_of,
)
from workflow_engine.calls.uri_template import address
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

_PROGRAMS = Path(__file__).parent / "programs"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Language:
    """*script* is the file that the code is put in; *function* our program that makes a function of the code."""

    name: str
    script: str
    function: str


_PYTHON = _Language("python", "script.py", "function.py")
_JAVASCRIPT = _Language("js", "script.mjs", "function.mjs")
LANGUAGES = {"js": _JAVASCRIPT, "javascript": _JAVASCRIPT, "python": _PYTHON}
"""What ``language`` may be (decision A64)."""


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Run the code of ``code``, or of the external resource ``source``, in a process of its own.

    *arguments* has ``language`` too, and may have ``stdin``, ``environment``, ``return`` and ``arguments``. A list of
    these is the script's argv, from the first after the script's name. An object are variables of the code, which may
    then ``return`` a value, and that is the output unless ``return`` is given (decision A64). They are options of its
    command line too (``--name value``), and what it prints is the output if it has no ``return``: the functions of the
    specification's own catalog are such programs.
    """
    admit("script", context)
    language = LANGUAGES.get(str(arguments.get("language")))
    if language is None:
        raise fault("configuration", f"language must be one of {', '.join(LANGUAGES)}")
    code = await _code(arguments, context)
    given = arguments.get("arguments")
    what = f"the {language.name} script"
    async with scratch() as folder:
        (folder / language.script).write_text(code, encoding="utf-8")
        if not isinstance(given, dict):
            form = form_of(arguments)
            command = [*_interpreter(language, context), language.script, *argument_list(given)]
            ended = await execute(command, arguments, context, folder, what=what, wanted=streams_of(form))
            return returned(ended, form, what, context)
        form = form_of(arguments, "value")
        for name in given:
            if not _NAME.fullmatch(name):
                raise fault("configuration", f"{what}: {name[:100]!r} cannot be the name of a variable")
        (folder / "arguments.json").write_text(json.dumps(given), encoding="utf-8")
        program = [str(_PROGRAMS / language.function), language.script, "arguments.json", "result.json"]
        command = [*_interpreter(language, context), *program]
        ended = await execute(command, arguments, context, folder, what=what, wanted=streams_of(form))
        if form == "value":
            return await asyncio.to_thread(_value, folder / "result.json", ended, what, context)
        return returned(ended, form, what, context)


def _interpreter(language: _Language, context: CallContext) -> list[str]:
    if language is _PYTHON:
        # Isolated: neither variables nor the user's packages change it; what is installed beside us can be imported.
        return [sys.executable, "-I", "-B", "-X", "utf8"]
    node = shutil.which("node")
    if node is None:
        raise fault(
            "configuration", "a js script needs Node.js, and the worker finds no program `node` on its PATH"
        )
    return [node, f"--max-old-space-size={max(16, context.bounds.memory // 1024**2)}"]


async def _code(arguments: JsonObject, context: CallContext) -> str:
    """The text of the script: as it is written, from the bundle, or fetched now where it could not be pinned."""
    code = arguments.get("code")
    if "source" not in arguments:
        if not isinstance(code, str):
            raise fault("configuration", f"the code of a script must be text, not {kind(code)}")
        return _unicode(code)
    for pinned in context.resources.values():
        return str(pinned.get("content"))
    source = arguments["source"]
    uri, policy = endpoint(source.get("endpoint") if isinstance(source, dict) else None)
    uri = address(uri, arguments)
    _, text = await fetch(uri, policy, context.egress, seconds=min(_SECONDS, context.timeout), kind="script")
    return text


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise fault("validation", "the code of a script is not Unicode (half a surrogate pair)") from None
    return text


def _value(file: Path, ended: Ended, what: str, context: CallContext) -> Json:
    """What the function returned."""
    if ended.code != 0:
        raise failed(ended, what, context)
    most = context.bounds.output
    try:
        with file.open("rb") as result:
            content = result.read(most + 1)
        if len(content) > most:
            raise fault("runtime", f"{what} returned more than {most:,} bytes")
        value = loads_any(content)
    except (OSError, ValueError):
        raise fault("runtime", f"{what} ended before it returned a value") from None
    return value
