"""Reads text that is being written to a tree, whatever is wrong with it.

The parser of documents stops at the first mistake of syntax, and while somebody types there is nearly always one. Here
a line that fits nowhere is left out, a key without its colon is a key, and what is not closed ends with its block. For
text without mistakes the tree is that of the parser (a test compares them), but for what editing does not ask for:
keys that are not scalars, more than one document. Aliases have beside them what they stand for. It takes time linear in
the text.
"""

from __future__ import annotations

import re

from workflow_engine.editing.nodes import CURSOR, Anchor, Entry, Node
from workflow_engine.editing.scalars import Scanner, unescaped

DEEPEST = 100
"""As deep as the parser of documents goes; what is deeper is not looked at."""
MOST = 2**20
"""As long as a document may be; of a longer one there is no tree."""

MOST_MERGED = 100_000
"""Mappings that are merged by ``<<`` and keys that they give, in all; more are not looked at."""

_LINE = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r\n?|\n|$)")
_INDENT = re.compile(" *")
_DASH = re.compile(r"-(?=[ \t\r\n]|$)")
_PLAIN_KEY = re.compile(
    r"(?![-?:](?:\s|$))[^\s#&*!|>'\"%@`{}\[\],](?:[^:#\r\n]|:(?=[^\s])|(?<=\S)#)*+:(?=[ \t\r\n]|$)"
)
_QUOTED_KEY = re.compile(r"(\"(?:[^\"\\\r\n]|\\[^\r\n])*+\"|'(?:[^'\r\n]|'')*+')[ \t]*:(?=[ \t\r\n]|$)")
_PROPERTY = re.compile(r"([&!])([^\s,\[\]{}]*)[ \t]*")
_MARKER = re.compile(r"(?:---|\.\.\.)(?=[ \t\r\n]|$)|%[^\r\n]*")
_SPACE = re.compile(r"[ \t]*")


def read(text: str) -> Node:
    """The tree of *text*."""
    if len(text) > MOST:
        return Node("nothing", 0, len(text))
    return _Reader(text).document()


class _Reader(Scanner):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._anchors: dict[str, tuple[Anchor, Node]] = {}
        self._merged = 0

    def document(self) -> Node:
        self.at = 1 if self.text.startswith("\ufeff") else 0
        while True:
            self.blank()
            if not _MARKER.match(self.text, self.at) or self.column():
                break
            end = self.line_end()
            content = self.text[self.at : end].startswith("---") and self.text[self.at + 3 : end].strip()
            self.at = self.at + 4 if content and not content.startswith("#") else end
        return self.block(-1, 0)

    def blank(self) -> None:
        """Go to the next character that is neither blank nor in a comment; only from the start of a line."""
        while self.at < len(self.text):
            match = _LINE.match(self.text, self.at)
            if match is None or match.end() == self.at:
                break
            self.at = match.end()
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def next_line(self) -> None:
        """Leave this line, whatever is on it."""
        self.at = self.line_end()
        self.blank()

    def block(self, around: int, depth: int) -> Node:
        """What begins here, at the start of a line, if it is indented further than *around*."""
        start = self.at
        column = self.column()
        if start >= len(self.text) or column <= around or (not column and _MARKER.match(self.text, start)):
            return Node("nothing", start, start, column)
        return self.value(around, column, depth)

    def value(self, around: int, column: int, depth: int) -> Node:
        """What begins here, in a block that is indented by *around*; *column* is where its first character stands."""
        if depth > DEEPEST:
            start = self.at
            while self.at < len(self.text) and self.column() > around:
                self.next_line()
            return Node("scalar", start, self.at, column)
        if _DASH.match(self.text, self.at):
            return self.list(column, depth)
        if self.key_here() or self.key_below(column):
            return self.mapping(column, depth)
        return self.inline(around, depth)

    def key_here(self) -> bool:
        at = self.at
        while (properties := _PROPERTY.match(self.text, at)) and properties.end() > at:
            at = properties.end()
        return bool(_PLAIN_KEY.match(self.text, at) or _QUOTED_KEY.match(self.text, at))

    def key_below(self, column: int) -> bool:
        """Whether what stands here is a key without its colon, by the key that stands below it."""
        start, place = self.at, self.place()
        if not self.text[start : start + 1].isalnum() and self.text[start : start + 1] != CURSOR:
            return False
        self.next_line()
        below = self.at < len(self.text) and self.column() == column and self.key_here()
        self.back(place)
        return below

    def list(self, column: int, depth: int) -> Node:
        node = Node("list", self.at, self.at, column)
        while self.at < len(self.text):
            here = self.column()
            if here < column or (here == column and not _DASH.match(self.text, self.at)):
                break
            if here > column or (not here and _MARKER.match(self.text, self.at)):
                if not here:
                    break
                self.next_line()  # it fits nowhere
                continue
            dash = self.at
            self.at += 1
            item = self.after(column, depth, dash + 1, dashed=True)
            node.entries.append(Entry(None, item))
            node.end = max(dash + 1, item.end)
        return node

    def mapping(self, column: int, depth: int) -> Node:
        node = Node("mapping", self.at, self.at, column)
        while self.at < len(self.text):
            here = self.column()
            if here < column or (here == column and _DASH.match(self.text, self.at)):
                break
            if not here and _MARKER.match(self.text, self.at):
                break
            if here > column:
                self.next_line()  # it fits nowhere
                continue
            entry = self.entry(column, depth)
            if entry is None:
                self.next_line()
                continue
            node.entries.append(entry)
            assert entry.key is not None
            node.end = max(entry.key.end + entry.colon, entry.value.end)
        self.merge(node)
        return node

    def merge(self, node: Node) -> None:
        """Find the keys that a mapping has by ``<<``: its own win, and an earlier merged mapping over a later one."""
        sources = [each.value.resolved for each in node.entries if each.name == "<<"]
        if not sources:
            return
        own = {each.name for each in node.entries}
        found: dict[str, Entry] = {}
        for source in sources:
            for each in source.entries if source.kind == "list" else [Entry(None, source)]:
                mapping = each.value.resolved
                self._merged += 1 + len(mapping.entries) + len(mapping.merged or ())
                if self._merged > MOST_MERGED:
                    return
                for entry in (*mapping.entries, *(mapping.merged or {}).values()):
                    if entry.key is not None and entry.name not in own and entry.name != "<<":
                        found.setdefault(entry.name, entry)
        node.merged = found

    def named(self, node: Node, properties: re.Match[str] | None) -> Node:
        """*node*, by the name of the anchor in the *properties* before it."""
        if properties is not None and properties[2] and node.anchor is None:
            node.anchor = Anchor(properties[2], *properties.span(2))
            self._anchors[properties[2]] = node.anchor, node.resolved
        return node

    def alias(self) -> Node:
        """What stands for a value that was read before."""
        end = self.word_end()
        text = self.text[self.at : end]
        names, target = self._anchors.get(text[1:], (None, None))
        node = Node("scalar", self.at, end, text=text, style="alias", names=names, target=target)
        self.at = end
        return node

    def entry(self, column: int, depth: int) -> Entry | None:
        """A key and its value; a key alone where there is no colon."""
        anchor: re.Match[str] | None = None
        while (properties := _PROPERTY.match(self.text, self.at)) and properties.end() > self.at:
            anchor = properties if properties[1] == "&" else anchor
            self.at = properties.end()
        start = self.at
        plain = _PLAIN_KEY.match(self.text, start)
        quoted = None if plain else _QUOTED_KEY.match(self.text, start)
        if plain:
            written = plain[0][:-1].rstrip()
            key = Node("scalar", start, start + len(written), column, written)
            self.at = plain.end()
        elif quoted:
            style = "double" if quoted[1][0] == '"' else "single"
            key = Node("scalar", start, start + len(quoted[1]), column, unescaped(quoted[1]), style)  # type: ignore[arg-type]
            self.at = quoted.end()
        else:
            end = self.line_end()
            written = self.text[start:end].partition(" #")[0].rstrip()
            if not written or written[0] in "[]{},":
                return None
            key = Node("scalar", start, start + len(written), column, written.strip("'\""))
            self.next_line()
            return Entry(key, Node("nothing", key.end, key.end), colon=False)
        return Entry(self.named(key, anchor), self.after(column, depth, self.at, dashed=False))

    def after(self, column: int, depth: int, behind: int, *, dashed: bool) -> Node:
        """The value behind a dash or a colon of a block that is indented by *column*."""
        anchor: re.Match[str] | None = None
        while True:
            found = _SPACE.match(self.text, self.at)
            assert found is not None
            self.at = found.end()
            properties = _PROPERTY.match(self.text, self.at)
            if properties is None:
                break
            anchor = properties if properties[1] == "&" else anchor
            self.at = properties.end()
        start = self.at
        node = self.behind(column, depth, behind, dashed=dashed)
        if anchor is not None and node.entries and node.entries[0].start == start and not node.flow:
            self.named(node.entries[0].key or node, anchor)  # `- &a key: value`: it names the key
            return node
        return self.named(node, anchor)

    def behind(self, column: int, depth: int, behind: int, *, dashed: bool) -> Node:
        """As `after`, behind the anchor and the tag of the value."""
        if not _LINE.match(self.text, self.at) or (
            self.text[self.at : self.at + 1] == "#" and self.at == behind
        ):
            if dashed:
                return self.value(column, self.column(), depth + 1)
            return self.inline(column, depth + 1)
        self.next_line()
        around = column if dashed or not _DASH.match(self.text, self.at) else column - 1
        value = self.block(around, depth + 1)
        if value.kind == "nothing":
            return Node("nothing", behind, behind)
        return value

    def inline(self, around: int, depth: int) -> Node:
        """A scalar, or a container in flow style, that may go on in lines that are indented further than *around*."""
        char = self.text[self.at : self.at + 1]
        if char in ("{", "["):
            node = self.flow(around, depth)
        elif char in ("'", '"'):
            node = self.quoted(around)
        elif char in ("|", ">"):
            return self.literal(around)
        elif char == "*":
            node = self.alias()
        else:
            return self.plain(around)
        self.next_line()  # nothing can follow
        return node

    def plain(self, around: int) -> Node:
        start = self.at
        end = self.plain_end(self.line_end())
        pieces = [self.text[start:end]]
        self.next_line()
        while self.at < len(self.text) and self.column() > around and pieces[0]:
            marker = not self.column() and _MARKER.match(self.text, self.at)
            if marker or self.key_here() or self.commented_since(end):
                break
            first = self.at
            end = self.plain_end(self.line_end())
            pieces.append(self.text[first:end])
            self.next_line()
        return Node("scalar", start, max(start, end), text=" ".join(pieces))

    def flow(self, around: int, depth: int) -> Node:
        """A container in braces or brackets; where it is not closed it ends before a line that is not in its block."""
        opening = self.text[self.at]
        node = Node("mapping" if opening == "{" else "list", self.at, self.at + 1, self.column(), flow=True)
        self.at += 1
        while self.flow_blank(around):
            char = self.text[self.at]
            if char in "]}":
                self.at += 1
                break
            if char == ",":
                self.at += 1
                continue
            before = self.at
            if node.kind == "list":
                node.entries.append(Entry(None, self.flow_value(around, depth + 1)))
            else:
                node.entries.append(self.flow_entry(around, depth))
            node.end = max(node.end, self.at)
            if self.at == before:
                self.at += 1
        node.end = self.at
        self.merge(node)
        return node

    def flow_entry(self, around: int, depth: int) -> Entry:
        key = self.flow_scalar(around)
        if not self.flow_blank(around) or self.text[self.at] != ":":
            return Entry(key, Node("nothing", key.end, key.end), colon=False)
        self.at += 1
        colon = self.at
        if not self.flow_blank(around) or self.text[self.at] in ",}]":
            return Entry(key, Node("nothing", colon, colon))
        return Entry(key, self.flow_value(around, depth + 1))

    def flow_value(self, around: int, depth: int) -> Node:
        anchor: re.Match[str] | None = None
        while (properties := _PROPERTY.match(self.text, self.at)) and properties[2]:
            anchor = properties if properties[1] == "&" else anchor
            self.at = properties.end()
        if self.at == len(self.text) or self.text[self.at] in ",]}\r\n":
            return self.named(Node("nothing", self.at, self.at), anchor)
        return self.named(self.flow_behind(around, depth), anchor)

    def flow_behind(self, around: int, depth: int) -> Node:
        """As `flow_value`, behind the anchor and the tag of the value."""
        if self.text[self.at] in "{[":
            if depth <= DEEPEST:
                return self.flow(around, depth)
            start = self.at
            self.at += 1
            return Node("scalar", start, self.at)
        node = self.alias() if self.text[self.at] == "*" else self.flow_scalar(around)
        if (
            depth <= DEEPEST
            and self.flow_blank(around)
            and self.text[self.at] == ":"
            and self.text[self.at + 1 : self.at + 2].isspace()
        ):
            # [a: b], a list of mappings with one key each
            self.at += 1
            value = Node("nothing", self.at, self.at)
            if self.flow_blank(around) and self.text[self.at] not in ",]}":
                value = self.flow_value(around, depth + 1)
            return Node(
                "mapping", node.start, value.end, node.column, flow=True, entries=[Entry(node, value)]
            )
        return node
