"""What of Mermaid and of Graphviz a rendering may use, and readers that refuse everything else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LABEL = r'"(?P<label>[^"\x00-\x1f]*)"'
_SHAPES = {
    "terminal": (r"\(\[", r"\]\)"),
    "double": (r"\(\(", r"\)\)"),
    "subroutine": (r"\[\[", r"\]\]"),
    "hexagon": (r"\{\{", r"\}\}"),
    "rhombus": (r"\{", r"\}"),
    "rounded": (r"\(", r"\)"),
    "parallelogram": (r"\[/", r"/\]"),
    "parallelogram back": (r"\[\\", r"\\\]"),
    "trapezoid": (r"\[/", r"\\\]"),
    "trapezoid back": (r"\[\\", r"/\]"),
    "flag": (">", r"\]"),
    "box": (r"\[", r"\]"),
}
_ID = r"[a-z]+\d*"
_NODES = {
    name: re.compile(rf"(?P<id>{_ID}){opening}{_LABEL}{closing}(?::::(?P<style>[a-z]+))?")
    for name, (opening, closing) in _SHAPES.items()
}
_SUBGRAPH = re.compile(rf"subgraph (?P<id>{_ID})\[{_LABEL}\]")
_ARROW = re.compile(rf"(?P<tail>{_ID}) (?P<line>-->|-\.->)(?:\|{_LABEL}\|)? (?P<head>{_ID})")
_STYLE = re.compile(r"classDef (?P<id>[a-z]+) (?:[a-z]+:#[0-9a-f]{6},?)+")
_RESERVED = {"end", "subgraph", "graph", "flowchart", "style", "class", "click", "default"}


@dataclass(slots=True)
class Drawing:
    """What a reader found: *labels* by id, the shape of each node, boxes, and arrows as (tail, label, head)."""

    labels: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, str] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=dict)
    arrows: list[tuple[str, str, str]] = field(default_factory=list)
    dotted: set[tuple[str, str]] = field(default_factory=set)

    def declare(self, id: str, label: str, boxes: list[str]) -> None:
        assert id not in self.labels, f"{id} is declared twice"
        assert id not in _RESERVED
        self.labels[id] = label
        self.inside[id] = list(boxes)

    def of(self, label: str) -> str:
        """The id of the one figure whose text begins with *label*."""
        (found,) = [id for id, text in self.labels.items() if text.split("\n")[0] == label]
        return found

    def ways(self) -> set[tuple[str, str, str]]:
        """The arrows, by the first lines of what they connect."""
        first = {id: text.split("\n")[0] for id, text in self.labels.items()}
        return {(first[tail], label, first[head]) for tail, label, head in self.arrows}

    def check(self) -> Drawing:
        for tail, _, head in self.arrows:
            assert tail in self.shapes, f"{tail} is no node"
            assert head in self.shapes, f"{head} is no node"
        pairs = [(tail, head, (tail, head) in self.dotted) for tail, _, head in self.arrows]
        assert len(pairs) - len(set(pairs)) <= len(self.dotted)
        used = {box for boxes in self.inside.values() for box in boxes}
        assert used == set(self.boxes), "a box is empty"
        return self


def read_mermaid(text: str) -> Drawing:
    drawing, boxes = Drawing(), list[str]()
    styles, styled = set(), set()
    first, *lines = text.splitlines()
    assert first == "flowchart TD"
    for raw in lines:
        line = raw.strip()
        if line == "end":
            boxes.pop()
        elif match := _SUBGRAPH.fullmatch(line):
            drawing.declare(match["id"], _mermaid_label(match["label"]), boxes)
            drawing.boxes[match["id"]] = match["label"]
            boxes.append(match["id"])
        elif match := _ARROW.fullmatch(line):
            drawing.arrows.append((match["tail"], _mermaid_label(match["label"] or ""), match["head"]))
            if match["line"] == "-.->":
                drawing.dotted.add((match["tail"], match["head"]))
        elif match := _STYLE.fullmatch(line):
            styles.add(match["id"])
        else:
            shape, match = _node(line)
            drawing.declare(match["id"], _mermaid_label(match["label"]), boxes)
            drawing.shapes[match["id"]] = shape
            if match["style"]:
                styled.add(match["style"])
    assert not boxes, "a subgraph is not ended"
    assert styles == styled
    return drawing.check()


def _node(line: str) -> tuple[str, re.Match[str]]:
    for shape, pattern in _NODES.items():
        if match := pattern.fullmatch(line):
            return shape, match
    raise AssertionError(f"not Mermaid as we write it: {line!r}")


def _mermaid_label(label: str) -> str:
    """The text that a label shows; anything that Mermaid, Markdown or HTML would read must be escaped."""
    lines = []
    for line in label.strip(" ").split("<br/>"):
        bare = re.sub(r"#\d+;", "", line)
        assert not re.search(r"[<>&\"#;:@*_`~\[\](){}|\\$%^]", bare), f"not escaped: {line!r}"
        assert not re.match(r"\s|\d+\.|[-+=]", line), f"begins as Markdown: {line!r}"
        assert not re.search(r"(?i)www\.", line)
        lines.append(re.sub(r"#(\d+);", lambda match: chr(int(match[1])), line).replace("\u200b", ""))
    return "\n".join(lines)


_QUOTED = r'"(?:[^"\\]|\\[\\"n])*"'
_ATTRIBUTES = re.compile(rf"\[(?:[a-z]+=(?:{_QUOTED}|\w+)(?:, )?)*\]")


def read_dot(text: str) -> Drawing:
    drawing, boxes = Drawing(), list[str]()
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "digraph workflow {"
    depth = 1
    for line in lines[1:]:
        if line == "}":
            depth -= 1
            if boxes:
                boxes.pop()
        elif match := re.fullmatch(r"subgraph cluster_([a-z]+\d*) \{", line):
            depth += 1
            drawing.boxes[match[1]] = ""
            boxes.append(match[1])
        elif match := re.fullmatch(rf"(?:graph|node|edge) ({_ATTRIBUTES.pattern})", line):
            if boxes:
                drawing.labels[boxes[-1]] = drawing.boxes[boxes[-1]] = _attribute(match[1], "label")
                drawing.inside[boxes[-1]] = boxes[:-1]
        elif match := re.fullmatch(rf"(\w+) -> (\w+)(?: ({_ATTRIBUTES.pattern}))?", line):
            drawing.arrows.append((match[1], _attribute(match[3] or "", "label"), match[2]))
            if "style=dashed" in (match[3] or ""):
                drawing.dotted.add((match[1], match[2]))
        else:
            match = re.fullmatch(rf"({_ID}) ({_ATTRIBUTES.pattern})", line)
            assert match is not None, f"not Graphviz as we write it: {line!r}"
            drawing.declare(match[1], _attribute(match[2], "label"), boxes)
            drawing.shapes[match[1]] = _attribute(match[2], "shape")
    assert depth == 0
    return drawing.check()


def _attribute(attributes: str, name: str) -> str:
    match = re.search(rf"(?:^\[|, ){name}=(?:({_QUOTED})|(\w+))", attributes)
    if match is None:
        return ""
    if match[2]:
        return match[2]
    text = re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[1], match[1][1:-1])
    return text.replace("&amp;", "&")
