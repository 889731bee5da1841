"""A graph as a picture or as data: Mermaid (GitHub draws it), Graphviz, JSON.

The same graph always gives the same text, in document order. A caption is never longer than `captions` allows,
but nothing is left out, so a large graph gives a large text: GitHub draws Mermaid up to 50,000
characters and 500 arrows; Graphviz has no such limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from workflow_engine.graph import captions
from workflow_engine.graph.beginnings import scheduled, triggered
from workflow_engine.graph.diagram import Arrow, Box, Item, Node, draw
from workflow_engine.graph.marks import MARKED, UNSEEN, Mark
from workflow_engine.graph.model import (
    End,
    Exit,
    GoTo,
    Parallel,
    Region,
    State,
    StateGraph,
    StateId,
    Transition,
)
from workflow_engine.graph.outline import parts, ways
from workflow_engine.graph.phrases import NAME, clip
from workflow_engine.values import JsonObject

# --- Mermaid --------------------------------------------------------------------------------------------------

_MERMAID_SHAPES = {
    "start": '(["{}"])',
    "finish": '(["{}"])',
    "join": '(("{}"))',
    "if": '{{"{}"}}',
    "missing": '("{}")',
    "empty": '("{}")',
    "operation": '["{}"]',
    "event": '[/"{}"/]',
    "switch": '{{"{}"}}',
    "parallel": '[/"{}"\\]',
    "for-each": '{{{{"{}"}}}}',
    "assign": '("{}")',
    "emit": '[\\"{}"\\]',
    "sleep": '(("{}"))',
    "raise": '>"{}"]',
    "try": '[\\"{}"/]',
    "sub-flow": '[["{}"]]',
    "compensate": '[/"{}"/]',
    "continue-as": '[["{}"]]',
}
_CLASS = {
    "operation": "acts",
    "sub-flow": "acts",
    "continue-as": "acts",
    "compensate": "fails",
    "event": "events",
    "emit": "events",
    "start": "events",
    "switch": "decides",
    "if": "decides",
    "raise": "fails",
    "missing": "fails",
}
_COLORS = {
    "acts": ("#dbeafe", "#1d4ed8"),
    "events": ("#dcfce7", "#15803d"),
    "decides": ("#fef9c3", "#a16207"),
    "fails": ("#fee2e2", "#b91c1c"),
}
_INK = "#111111"


Marks: TypeAlias = Mapping[StateId, Mark] | None


def mermaid(graph: StateGraph, marks: Marks = None) -> str:
    """*graph* as a Mermaid flow chart.

    Each kind of state has a shape of its own; loops, branches, tries and sequences are subgraphs. A dotted
    arrow is taken when something went wrong, came too late or was skipped.

    *marks* tell what became of states in a run: their colours are then these, not those of kinds of states, and a
    state without a mark is one that the run has not come to.
    """
    diagram = draw(graph)
    used = dict.fromkeys(style for node in _nodes(diagram.contents) if (style := _style(node, marks)))
    lines = ["flowchart TD"]
    for item in diagram.contents:
        lines += _mermaid_item(item, "  ", marks)
    lines += [_mermaid_arrow(arrow) for arrow in diagram.arrows]
    for name in used:
        if name in MARKED:
            fill, stroke, ink, more = MARKED[name]
            lines.append(f"  classDef {name} fill:{fill},stroke:{stroke},color:{ink}{more}")
        else:
            fill, stroke = _COLORS[name]
            lines.append(f"  classDef {name} fill:{fill},stroke:{stroke},color:{_INK}")
    return "\n".join(lines) + "\n"


def _style(node: Node, marks: Marks) -> str | None:
    """The name of what a figure looks like."""
    if marks is None:
        return _CLASS.get(node.kind)
    if node.state is None:
        return None
    return marks[node.state].phase if node.state in marks else UNSEEN


def _text(node: Node, marks: Marks) -> tuple[str, ...]:
    mark = None if marks is None or node.state is None else marks.get(node.state)
    return node.lines if mark is None or not mark.note else (*node.lines, mark.note)


def _mermaid_item(item: Item, indent: str, marks: Marks) -> Iterator[str]:
    match item:
        case Node(id, kind):
            name = _style(item, marks)
            style = f":::{name}" if name else ""
            yield indent + id + _MERMAID_SHAPES[kind].format(_mermaid_text(_text(item, marks))) + style
        case Box(id, _, title, contents):
            yield f'{indent}subgraph {id}["{_mermaid_text((title,))}"]'
            for inner in contents:
                yield from _mermaid_item(inner, indent + "  ", marks)
            yield indent + "end"


def _mermaid_arrow(arrow: Arrow) -> str:
    line = "-.->" if arrow.dotted else "-->"
    label = f'|"{_mermaid_text(arrow.lines)}"|' if arrow.lines else ""
    return f"  {arrow.tail} {line}{label} {arrow.head}"


_MERMAID_PLAIN = frozenset(" ,./-+=!?'")
_MARKDOWN_START = re.compile(r"(?:\d+(?=\.)|(?=[-+=]))")


def _mermaid_text(lines: Iterable[str]) -> str:
    """Text for a quoted label. Mermaid reads labels as Markdown and as HTML, and decodes ``#46;`` after both;
    so whatever could mean something to either of them, or begin a list, is written in that way. Two
    dollar signs would begin a formula even so; an invisible space parts them.
    """
    text = "<br/>".join(_mermaid_line(line) for line in lines)
    return re.sub("#36;(?=#36;)", "#36;#8203;", text) or " "


def _mermaid_line(line: str) -> str:
    special = set()
    if start := _MARKDOWN_START.match(line):
        special.add(start.end())
    special |= {match.start() + 3 for match in re.finditer(r"(?i)www\.", line)}
    return "".join(
        letter
        if index not in special and (ord(letter) > 127 or letter.isalnum() or letter in _MERMAID_PLAIN)
        else f"#{ord(letter)};"
        for index, letter in enumerate(line)
    )


# --- Graphviz -------------------------------------------------------------------------------------------------

_DOT_SHAPES = {
    "start": "box",
    "finish": "box",
    "join": "circle",
    "if": "diamond",
    "missing": "box",
    "empty": "plaintext",
    "operation": "box",
    "event": "parallelogram",
    "switch": "diamond",
    "parallel": "trapezium",
    "for-each": "hexagon",
    "assign": "note",
    "emit": "cds",
    "sleep": "ellipse",
    "raise": "octagon",
    "try": "invtrapezium",
    "sub-flow": "component",
    "continue-as": "component",
}


def dot(graph: StateGraph, marks: Marks = None) -> str:
    """*graph* in the language of Graphviz; what are subgraphs in `mermaid` are clusters here. *marks* as there."""
    diagram = draw(graph)
    lines = [
        "digraph workflow {",
        f"  graph [label={_dot_text((diagram.title,))}, labelloc=t, fontname=Helvetica, charset=utf8]",
        "  node [fontname=Helvetica, fontsize=11]",
        "  edge [fontname=Helvetica, fontsize=10]",
    ]
    for item in diagram.contents:
        lines += _dot_item(item, "  ", marks)
    lines += [_dot_arrow(arrow) for arrow in diagram.arrows]
    return "\n".join([*lines, "}"]) + "\n"


def _dot_item(item: Item, indent: str, marks: Marks) -> Iterator[str]:
    match item:
        case Node(id, kind):
            style = ["rounded"] if kind in {"start", "finish"} else []
            color = ""
            if name := _style(item, marks):
                style += ["filled", "dashed"] if name == UNSEEN else ["filled"]
                fill, stroke = MARKED[name][:2] if name in MARKED else _COLORS[name]
                color = f', fillcolor="{fill}", color="{stroke}"'
            drawn = f', style="{",".join(style)}"' if style else ""
            text = _dot_text(_text(item, marks))
            yield f"{indent}{id} [shape={_DOT_SHAPES[kind]}, label={text}{drawn}{color}]"
        case Box(id, kind, title, contents):
            yield f"{indent}subgraph cluster_{id} {{"
            border = "rounded" if kind == "sequence" else "dashed"
            yield f"{indent}  graph [label={_dot_text((title,))}, style={border}]"
            for inner in contents:
                yield from _dot_item(inner, indent + "  ", marks)
            yield indent + "}"


def _dot_arrow(arrow: Arrow) -> str:
    attributes = []
    if arrow.lines:
        attributes.append(f"label={_dot_text(arrow.lines)}")
    if arrow.dotted:
        attributes.append("style=dashed")
    return f"  {arrow.tail} -> {arrow.head}" + (f" [{', '.join(attributes)}]" if attributes else "")


def _dot_text(lines: Iterable[str]) -> str:
    """A quoted string: backslashes are literal, and ``&`` begins no entity."""
    escaped = (line.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def _nodes(contents: Iterable[Item]) -> Iterator[Node]:
    for item in contents:
        match item:
            case Node():
                yield item
            case Box():
                yield from _nodes(item.contents)


# --- JSON -----------------------------------------------------------------------------------------------------


def to_json(graph: StateGraph) -> JsonObject:
    """*graph* as JSON, for user interfaces and other tools.

    ::

        {"name": "namespace/name/version", "dialect": "1.0", "title": …, "summary": …,
         "trigger": null | {"label": "on order.placed", "channel": …, "state": id | null},
         "schedule": null | {"label": "every 1 h"},
         "regions":     [{"id", "name", "role", "state": id | null, "label", "entry": to}],
         "states":      [{"id", "pointer", "name", "kind", "region": id, "summary", "notes": [text], …}],
         "transitions": [{"from": id, "to": to, "kind", "label"}]}

    Regions and states come depth first in document order; the first region is the root, and the last ones are those
    of extensions, which are of no one state. A *role* is ``root``, one of `outline.Part`, or ``before`` or ``after``
    of an extension; a *kind* of a state is one of `captions.kind`, that of a transition one of
    `outline.Way` or ``after``: where the state goes on once the region named by ``region`` is through. *to* is
    the id of a state of the same region, ``exit`` (the region is through), ``break`` (the loop is left)
    or ``end`` (the run is over). A ``parallel`` state has ``join`` too: how many of its branches it waits for.

    *pointer* is the place in the document. It is the id as well, unless the same part of the document is used
    several times (a function): the second has ``#2`` after it. Captions are bounded; the document has the rest.
    """
    return _Json(graph).render()


class _Json:
    def __init__(self, graph: StateGraph) -> None:
        self._graph = graph
        self._uses: dict[str, int] = {}
        self._states: list[JsonObject] = []
        self._regions: list[JsonObject] = []
        self._transitions: list[JsonObject] = []

    def render(self) -> JsonObject:
        graph = self._graph
        ids = self._region(graph.root, "root", None, "", clip(graph.root.name, NAME))
        for extension in graph.extensions:
            for role, region in (("before", extension.before), ("after", extension.after)):
                if region is not None:
                    self._region(region, role, None, "", clip(region.name, NAME))
        trigger: JsonObject | None = None
        if graph.trigger is not None:
            state = graph.trigger.state
            trigger = {
                "label": triggered(graph.trigger),
                "channel": graph.trigger.channel,
                "state": None if state is None else ids.get(state, state),
            }
        return {
            "name": str(graph.name),
            "dialect": graph.dialect,
            "title": graph.title,
            "summary": graph.summary,
            "trigger": trigger,
            "schedule": None if graph.schedule is None else {"label": scheduled(graph.schedule)},
            "regions": [*self._regions],
            "states": [*self._states],
            "transitions": [*self._transitions],
        }

    def _region(self, region: Region, role: str, owner: str | None, label: str, name: str) -> dict[str, str]:
        """Add *region* and all inside it; the ids of its states by their pointers."""
        id = self._id("region " + region.id, region.id)
        ids = {pointer: self._id(pointer, pointer) for pointer in region.states}
        self._regions.append(
            {
                "id": id,
                "name": name,
                "role": role,
                "state": owner,
                "label": label,
                "entry": _place(region.entry, ids),
            }
        )
        for pointer, state in region.states.items():
            self._state(ids[pointer], pointer, state, id, ids)
        return ids

    def _state(self, id: str, pointer: str, state: State, region: str, ids: dict[str, str]) -> None:
        described: JsonObject = {
            "id": id,
            "pointer": pointer,
            "name": clip(state.name, NAME),
            "kind": captions.kind(state.action),
            "region": region,
            "summary": captions.summary(state.action),
            "notes": [*captions.notes(state)],
        }
        if isinstance(state.action, Parallel):
            action = state.action
            described["join"] = captions.joined(len(action.branches), action.need, race=action.race)
        self._states.append(described)
        for way in ways(state):
            self._transitions.append(
                {"from": id, "to": _place(way.then, ids), "kind": way.kind, "label": way.label}
            )
        for part in parts(state):
            inner = self._regions_next(part.region.id)
            if part.then is not None:
                self._transitions.append(
                    {"from": id, "to": _place(part.then, ids), "kind": "after", "label": "", "region": inner}
                )
            self._region(part.region, part.role, id, part.label, clip(part.title, NAME))

    def _regions_next(self, id: str) -> str:
        """The id that the next region called *id* will have."""
        count = self._uses.get("region " + id, 0)
        return id if count == 0 else f"{id}#{count + 1}"

    def _id(self, key: str, id: str) -> str:
        self._uses[key] = count = self._uses.get(key, 0) + 1
        return id if count == 1 else f"{id}#{count}"


def _place(transition: Transition, ids: dict[str, str]) -> str:
    match transition:
        case GoTo(state):
            return ids.get(state, state)
        case Exit(breaks):
            return "break" if breaks else "exit"
        case End():
            return "end"
