"""What is told of the word under the mouse: properties, values, names, words of expressions, problems."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from lsprotocol import types

from workflow_engine.dsl.codes import EXPLANATIONS
from workflow_engine.editing import jq
from workflow_engine.editing.descriptions import METADATA, described, section
from workflow_engine.editing.jq_words import FORMATS, KEYWORDS, VARIABLES, functions
from workflow_engine.editing.language import Language, Part, language
from workflow_engine.editing.names import Name, same
from workflow_engine.editing.nodes import Node, Spot, spot
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.snippets import KEYWORDS as TASKS
from workflow_engine.expressions.purity import REFUSED

_LINES = 12
"""Lines that are shown of what an alias stands for."""


def hover(of: Snapshot, offset: int, found: Sequence[types.Diagnostic]) -> types.Hover | None:
    """What to tell of *offset*, where *found* are the problems that were published."""
    if of.kind is None:
        return None
    position = of.text.position(offset)
    place: types.Range | None = None
    texts = list(_problems(found, position))
    known = language(of.kind, of.root)
    if known is not None:
        here = spot(of.root, offset)
        told, span = _told(of, known, here, offset)
        texts += told
        place = None if span is None else of.text.range(*span)
    if not texts:
        return None
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, "\n\n---\n\n".join(texts)), place)


def _problems(found: Sequence[types.Diagnostic], at: types.Position) -> Iterator[str]:
    for each in found:
        explanation = EXPLANATIONS.get(str(each.code))
        if each.range.start <= at <= each.range.end and explanation is not None:
            yield f"**{each.code}**: {explanation}"


def _told(of: Snapshot, known: Language, here: Spot, offset: int) -> tuple[list[str], tuple[int, int] | None]:
    """The texts, and where what they are about stands."""
    parts = known.at(of.root, here.path)
    inside = jq.around(of.text.source, here, parts, offset)
    if inside is not None and of.kind != "asyncapi":
        word = jq.word_at(of.text.source, *inside, offset)
        text = None if word is None else _of_jq(word[0])
        return ([text], word[1:]) if word is not None and text else ([], None)
    key = here.entry.key if here.entry is not None and here.on_key else None
    node = here.node if key is None else key
    texts = []
    name = next((each for each in of.names if each.start <= offset <= each.end), None)
    if name is not None:
        texts.append(_of_name(of, name))
    if key is not None:
        texts += _of_property(of, known, here)
    elif node.kind == "scalar":
        texts += _of_value(of, known, here)
    return [text for text in texts if text], (node.start, node.end) if node.end > node.start else None


def _of_property(of: Snapshot, known: Language, here: Spot) -> Iterator[str]:
    """The property whose key is at *here*."""
    assert of.kind is not None
    around = known.at(of.root, here.path[:-1])
    key = str(here.path[-1])
    holder = next((part for part in around if key in part.schema.get("properties", {})), None)
    if holder is None:
        told = next(
            (METADATA[part.label][key] for part in around if key in METADATA.get(part.label, {})), None
        )
        if told is not None:
            yield f"**{key}**\n\n{told}"
        return
    label = f"{holder.label}.{key}" if holder.label else key
    lines = [f"**{key}**"]
    below = known.below([holder], key, None)
    text = described(of.kind, label) or next((each for part in below if (each := _own(part))), None)
    if text:
        lines.append(text)
    title = next((part.schema["title"] for part in below if "title" in part.schema), None)
    values = [str(value) for part in below for value in part.schema.get("enum", ())]
    if values:
        lines.append("One of " + ", ".join(f"`{value}`" for value in dict.fromkeys(values)) + ".")
    elif title:
        lines.append(f"Expected: {title}.")
    if any(key in part.schema.get("required", ()) for part in around):
        lines.append("It is needed.")
    address = section(of.kind, label)
    if address:
        lines.append(f"[Specification]({address})")
    if len(lines) > 1:
        yield "\n\n".join(lines)


def _own(part: Part) -> str:
    """What the schema says itself; that of a workflow has a table of texts beside it."""
    text = part.schema.get("description")
    return text if isinstance(text, str) else ""


def _of_value(of: Snapshot, known: Language, here: Spot) -> Iterator[str]:
    assert of.kind is not None
    for part in known.at(of.root, here.path):
        text = described(of.kind, f"{part.label}={here.node.text}")
        if text:
            yield f"**{here.node.text}**\n\n{text}"
            return


def _of_name(of: Snapshot, name: Name) -> str:
    """Where a name is defined, and how often it is used."""
    if name.sort in ("channel", "component"):
        return ""
    if name.sort == "anchor":
        return _of_anchor(of, name)
    uses = sum(1 for each in of.names if not each.defines and same(each, name))
    definition = next((each for each in of.names if each.defines and same(each, name)), None)
    if definition is None:
        return f"the {name.sort} `{name.text}`, which is not defined here"
    line = of.text.line_at(definition.start) + 1
    what = _kind_of_task(of, definition)
    told = f"{what}, used {uses} times" if uses != 1 else f"{what}, used once"
    return f"the {name.sort} **{name.text}**{told}" + ("" if name.defines else f"; defined in line {line}")


def _of_anchor(of: Snapshot, name: Name) -> str:
    """What an alias stands for, as it is written."""
    uses = sum(1 for each in of.names if not each.defines and same(each, name))
    if name.defines:
        return (
            f"the anchor **{name.text}**, used {uses} times"
            if uses != 1
            else f"the anchor **{name.text}**, used once"
        )
    definition = next((each for each in of.names if each.defines and same(each, name)), None)
    node = None if definition is None else of.root.at(definition.path)
    if definition is None or node is None:
        return ""
    line = of.text.line_at(definition.start)
    last = min(of.text.line_at(max(node.end - 1, node.start)), line + _LINES - 1)
    written = textwrap.dedent("\n".join(of.text.line(number) for number in range(line, last + 1)))
    return f"what the anchor **{name.text}** in line {line + 1} names\n\n```yaml\n{written}\n```"


def _kind_of_task(of: Snapshot, definition: Name) -> str:
    node = of.root.at(definition.path if definition.sort != "state" else definition.path[:-1])
    word = None if node is None else word_of(node)
    return "" if word is None else f" (`{word}`)"


def word_of(node: Node) -> str | None:
    """What a task or state does, by its keyword or type; None if that is not there yet."""
    kind = node.child("type")
    if kind is not None and node.child("name") is not None:
        return kind.text
    word = next((each for each in ("for", "try", "listen", *TASKS) if node.child(each) is not None), None)
    if word == "call":
        called = node.child("call")
        return f"call {called.text}" if called is not None and called.text else "call"
    return word


def _of_jq(word: str) -> str | None:
    if word.startswith("$"):
        text = VARIABLES.get(word[1:])
        return f"**{word}**\n\n{text}" if text else None
    if word in FORMATS:
        return f"**{word}**\n\n{FORMATS[word]}"
    if word in REFUSED:
        return f"**{word}** is refused: {REFUSED[word]}"
    if word in functions():
        called, text, arities = functions()[word]
        counts = " or ".join(map(str, arities))
        return f"**{called}**\n\n{text}\n\n(a function of jq; it takes {counts} arguments)"
    return f"**{word}**\n\n{KEYWORDS[word]}" if word in KEYWORDS else None
