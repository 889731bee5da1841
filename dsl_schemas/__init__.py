"""JSON Schemas (draft 2020-12) of the workflow languages this engine reads, and of its files of scenarios
(``workflow-test``), written by hand.

They say what a document may look like: the language of the specification, with this project's decisions where
the specification leaves room. They are ordinary JSON Schemas, for editors and other tools. Names and
references across a document (which task, which function) are checked later, by the compiler.

Three annotations beside the standard keywords steer what an author is told; validators ignore them:

* ``x-codes``      the problem code when a keyword fails, by keyword; ``none`` and ``many`` are the two ways in
                   which ``oneOf`` fails, ``number`` is a number where a string belongs
* ``x-renamed``    a name that authors confuse with a property -> the property
* ``x-misplaced``  a name that belongs elsewhere -> where

``title`` is a noun phrase: "expected <title>, got a list".
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

NAMES = ("serverless-workflow-1.0", "serverless-workflow-0.8", "workflow-test")


@cache
def schema(name: str) -> dict[str, Any]:
    """The schema of this *name*, one of `NAMES`; shared, so not to be changed. `KeyError` for any other."""
    if name not in NAMES:
        raise KeyError(f"no schema {name!r}; there are {', '.join(NAMES)}")
    content: dict[str, Any] = json.loads(files(__name__).joinpath(f"{name}.json").read_text("utf-8"))
    return content


@cache
def descriptions(dialect: str) -> dict[str, str]:
    """What each property of a *dialect*, ``1.0`` or ``0.8``, means, in Markdown; shared, so not to be changed.

    By the definition of the schema that the property is in and its way from there, such as ``task.call``, or
    ``document.dsl`` at the root; ``*.transition`` is any property of that name that has no text of its own.
    """
    content: dict[str, str] = json.loads(
        files(__name__).joinpath(f"descriptions-{dialect}.json").read_text("utf-8")
    )
    return content
