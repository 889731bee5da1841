"""Reads YAML text with places, from the events of PyYAML's parser (libyaml's where it is built in)."""

from __future__ import annotations

import re
from typing import Any

import yaml

from workflow_engine.dsl.scalars import plain
from workflow_engine.dsl.tree import TooMuch, TreeBuilder
from workflow_engine.dsl.wording import shown
from workflow_engine.values import Json

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_CORE = "tag:yaml.org,2002:"
_TAG_DIRECTIVE = re.compile(r"^%TAG\b", re.MULTILINE)


def read_yaml(text: str, builder: TreeBuilder) -> None:
    """Read the one YAML document of *text* into *builder*.

    `TooMuch` if there is none or a second one, at a syntax error (with a hint where authors are known to
    stumble, decision A70) and at a limit.
    """
    directive = _TAG_DIRECTIVE.search(text)  # libyaml compares each with all others
    unreadable = _UNREADABLE.search(text)
    if directive is not None:
        raise builder.stop(
            "unsupported-tag", "%TAG is not supported, nor are tags", *_place(text, directive.start())
        )
    if unreadable is not None:
        message = (
            f"U+{ord(unreadable[0]):04X} must not stand in YAML; in double quotes it can be written \\uXXXX"
        )
        raise builder.stop("yaml-syntax", message, *_place(text, unreadable.start()))
    try:
        _read(text, builder)
    except yaml.MarkedYAMLError as error:
        raise _syntax(text, error, builder) from None


def _read(text: str, builder: TreeBuilder) -> None:
    documents = 0
    nothing = True
    for event in yaml.parse(text, Loader=_PARSER):
        mark = event.start_mark
        assert mark is not None
        line, column = mark.line + 1, mark.column + 1
        match event:
            case yaml.ScalarEvent():
                if documents == 1 and event.value != "":
                    nothing = False
                builder.scalar(
                    _scalar(event, line, column, builder),
                    line,
                    column,
                    anchor=event.anchor,
                    merge=event.value == "<<" and event.implicit[0],
                )
            case yaml.MappingStartEvent():
                nothing = False
                if event.tag is not None:
                    _container_tag(event.tag, "map", line, column, builder)
                builder.begin_mapping(line, column, anchor=event.anchor)
            case yaml.SequenceStartEvent():
                nothing = False
                if event.tag is not None:
                    _container_tag(event.tag, "seq", line, column, builder)
                builder.begin_list(line, column, anchor=event.anchor)
            case yaml.CollectionEndEvent():
                builder.end()
            case yaml.AliasEvent():
                builder.alias(str(event.anchor), line, column)
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    message = "a second document begins here; write one workflow to a file"
                    raise builder.stop("multiple-documents", message, line, column)
            case _:  # the ends of documents and of the stream
                pass
    if nothing:
        raise builder.stop("empty-document", "there is nothing in it but blanks and comments", 1, 1)


def _scalar(event: yaml.ScalarEvent, line: int, column: int, builder: TreeBuilder) -> Json:
    text: str = event.value
    if event.tag is None:
        return plain(text, line, column, builder) if event.implicit[0] else text
    if event.tag in {"!", _CORE + "str"}:
        return text
    kind = event.tag.removeprefix(_CORE)
    value = plain(text, line, column, builder)
    fits = {
        "null": value is None,
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
    }.get(kind)
    if kind == event.tag or fits is None:
        _unsupported(event.tag, line, column, builder)
    elif not fits:
        builder.problem("unsupported-tag", f"{shown(text)} is no !!{kind}", line, column)
    return float(value) if kind == "float" and isinstance(value, int) else value


def _container_tag(tag: str | None, kind: str, line: int, column: int, builder: TreeBuilder) -> None:
    if tag not in {None, "!", _CORE + kind}:
        _unsupported(str(tag), line, column, builder)


def _unsupported(tag: str, line: int, column: int, builder: TreeBuilder) -> None:
    written = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
    message = f"the tag {shown(written)[1:-1]} is not supported; leave it out (data is what JSON can hold)"
    builder.problem("unsupported-tag", message, line, column)


def _place(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return len(re.findall("\r\n?|\n", before)) + 1, index - max(before.rfind("\n"), before.rfind("\r"))


def _syntax(text: str, error: yaml.MarkedYAMLError, builder: TreeBuilder) -> TooMuch:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    lines = re.split("\r\n?|\n|\x85|\u2028|\u2029", text)
    written = lines[line - 1] if line <= len(lines) else ""
    message = error.problem or "this is not YAML"
    if error.context is not None and error.context_mark is not None and error.context_mark.line != line - 1:
        message += f" ({error.context} that begins in line {error.context_mark.line + 1})"
    hint = _hint(message, written, column)
    return builder.stop("yaml-syntax", f"{message}; {hint}" if hint else message, line, column)


def _hint(message: str, written: str, column: int) -> str:
    """What to do about a syntax error at *column* of the line *written*, where that can be told."""
    here = written[column - 1 : column]
    if "unknown escape" in message or "escape character code" in message:
        return r"a backslash in double quotes is YAML's own: put jq such as \(.name) in single quotes"
    if here == "\t":
        return "indent with spaces, not with tabs"
    if "mapping values are not allowed" in message:
        before = written[: column - 1]
        if ": " in before and ("{" in before or "${" in before or "[" in before or "(" in before):
            return (
                "quote a value with a colon in it, such as '${ .a + { b: .c } }', or write it below `key: >-`"
            )
        if ": " in before:
            return "quote the value, since it has a colon in it; or is the next line indented too far?"
        return "is a line indented too far, or a dash or a colon missing above?"
    if here in {"@", "`", "%"}:
        return f"a value that begins with {here} must be quoted"
    if here in {"|", "&", "*", "!", ">"} or "{" in written or "[" in written:
        return (
            "put an expression that has braces, brackets or pipes in it in quotes, such as '${ .a | length }'"
        )
    if "did not find expected '-'" in message or "did not find expected key" in message:
        return "this line's indentation fits no line above it"
    if "end of stream" in message:
        return "a closing quote or bracket is missing"
    return ""
