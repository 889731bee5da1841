"""``wfe new``: a small workflow to begin with."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from shlex import quote

from workflow_engine.cli.terminal import FINE, result, say
from workflow_engine.cli.test import ENDINGS
from workflow_engine.errors import Rejected

TEMPLATE = """\
document:
  dsl: '1.0.3'
  namespace: examples
  name: {name}
  version: '1.0.0'              # deploying another text takes another version
do:                             # tasks, one after the other; each has a name of your own
  - greet:
      set:                      # what comes out of this task
        greeting: '${{ "Hello, " + (.name // "you") + "!" }}'   # jq; at first . is the input of the run
  - pause:
      wait: PT1S                # a second, or a year: it survives every restart
  - sign:
      set:
        greeting: ${{ .greeting }}                              # now . is what came out of the task before
        by: ${{ $workflow.id }}
"""
_LONGEST = 63
_PLAIN = re.compile("(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z].*", re.IGNORECASE)
"""A name that YAML takes for a text though it is not in quotes."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe new`` takes."""
    parser.add_argument("file", metavar="FILE", help="to be written, such as hello.yaml; none is overwritten")
    parser.description = "Write a small workflow of DSL 1.0 to begin with, named after its file."
    parser.set_defaults(work=_new)


def _new(arguments: argparse.Namespace) -> int:
    file = Path(arguments.file)
    name = re.sub(r"[^A-Za-z0-9]+", "-", file.name.partition(".")[0]).strip("-")[:_LONGEST].strip("-")
    if not name:
        raise Rejected("file-name", f"{arguments.file!r} gives no name; write one such as hello.yaml")
    if file.name.endswith(ENDINGS):
        raise Rejected(
            "file-name", f"{file.name} would be a file of scenarios for `wfe test`; write {name}.yaml"
        )
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(TEMPLATE.format(name=name if _PLAIN.fullmatch(name) else f"'{name}'"))
    except FileExistsError:
        raise Rejected("file-exists", f"{file} is there already; name another file") from None
    except OSError as error:
        raise Rejected("file", f"{file}: {error.strerror}") from None
    result(str(file))
    named = quote(f"./{file}" if str(file).startswith("-") else str(file))
    say(
        f"""Try `wfe run {named} --input '{{"name": "Ann"}}'`; `wfe validate {named}` says what is wrong with it."""
    )
    return FINE
