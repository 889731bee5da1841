"""Functions from elsewhere: where a reference leads, and what is found there (dsl.md §1.16, A61, A62).

A function stands in a file of its own, which holds one task. It is called by the name, version and catalog
(``log:1.0.0@global``), or by the address of the file or of its folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from dsl_schemas import schema
from workflow_engine.dsl.report import Full, Path, Report
from workflow_engine.dsl.rules import compile_rules
from workflow_engine.dsl.scalar_rules import Check
from workflow_engine.dsl.source import load
from workflow_engine.errors import InvalidDocument
from workflow_engine.values import Json, JsonObject, pointer

DEFAULT = "default"
"""The catalog that the runtime provides, and no document defines."""
LONGEST = 500
"""How many characters the reference of a function may have: it is in the id of each of its states."""
FILE = "function.yaml"

TASK_LISTS = (
    ("do",),
    ("try",),
    ("catch", "do"),
    ("foreach", "do"),
    ("fork", "branches"),
    ("with", "subscription", "foreach", "do"),
)
"""Where a task may have lists of tasks."""
_PART = r"[^\s:/@\\?#%.][^\s:/@\\?#%]*"
_CATALOGED = re.compile(rf"({_PART}):({_PART})@({_PART})")
_DOCUMENT = re.compile(r"\.(?:ya?ml|json)$", re.IGNORECASE)
_VERSION = re.compile(r"v?\d+(?:\.\d+)*(?:[-+].*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_GITHUB = frozenset({"github.com", "www.github.com"})


@dataclass(frozen=True, slots=True)
class Reference:
    """What a call names. *catalog* is the name of one, and *path* where the function is in it; for an address
    *catalog* is None and *path* the address.
    """

    name: str
    catalog: str | None
    path: str

    @property
    def key(self) -> str:
        """Under which key the function is pinned."""
        return f"function:{self.name}"

    @property
    def title(self) -> str:
        """A short name: ``log:1.0.0`` of ``https://host/functions/log/1.0.0/function.yaml``."""
        if self.catalog is not None:
            return self.name
        parts = [part for part in urlsplit(self.path).path.split("/") if part]
        if parts and parts[-1] == FILE:
            parts.pop()
        if len(parts) > 1 and _VERSION.fullmatch(parts[-1]):
            return f"{parts[-2]}:{parts[-1]}"
        return _DOCUMENT.sub("", parts[-1]) if parts else self.name


def reference(name: str) -> Reference | None:
    """What *name*, which is neither built in nor in ``use.functions``, refers to; None for a name alone.

    ``name@v1.0.0`` at the end of an address is no catalog (decision A61).
    """
    cataloged = _CATALOGED.fullmatch(name)
    if cataloged is not None:
        function, version, catalog = cataloged.groups()
        return Reference(name, catalog, f"functions/{quote(function)}/{quote(version)}/{FILE}")
    if "/" in name and "${" not in name and not re.search(r"\s", name):
        return Reference(name, None, name)
    return None


# --- addresses ------------------------------------------------------------------------------------------------


def addresses(root: str, path: str = "") -> tuple[str, ...]:
    """Where the function at *root* may be, in the order in which to look; *path* is what it is in a catalog at *root*.

    The pages of GitHub and GitLab become the files that they show. A folder stands for its ``function.yaml``. What is
    called a tree may be a branch or, where there is no such branch, a tag.
    """
    parts = urlsplit(root)
    whole = parts.path.rstrip("/") + (f"/{path}" if path else "")
    if not _DOCUMENT.search(whole) and "@" not in posixpath.basename(whole):
        whole = f"{whole}/{FILE}" if whole else FILE
    if parts.scheme in ("http", "https"):
        if parts.hostname in _GITHUB:
            return tuple(_github(whole)) or (root,)
        return (urlunsplit(parts._replace(path=_gitlab(parts.hostname or "", parts.path, whole))),)
    return (urlunsplit(parts._replace(path=whole)),)


def _github(path: str) -> Iterator[str]:
    """``/owner/repository[/tree/ref][/path]`` as raw content; without a ref that is ``main`` (decision A62)."""
    parts = [part for part in path.split("/") if part]
    if len(parts) < 3:
        return
    owner, repository, *rest = parts
    refs = ["refs/heads/main"]
    if rest[0] in ("tree", "blob", "raw") and len(rest) > 2:
        ref, rest = rest[1], rest[2:]
        if ref == "refs" and len(rest) > 2:
            refs, rest = ["/".join([ref, *rest[:2]])], rest[2:]
        else:
            refs = [ref] if _COMMIT.fullmatch(ref) else [f"refs/heads/{ref}", ref]
    elif "@" in rest[-1]:
        rest[-1], _, ref = rest[-1].partition("@")
        refs = [ref]
        if not _DOCUMENT.search(rest[-1]):
            rest.append(FILE)
    for ref in refs:
        yield "/".join(
            ["https://raw.githubusercontent.com", owner, repository.removesuffix(".git"), ref, *rest]
        )


def _gitlab(host: str, root: str, whole: str) -> str:
    """``/group/project/-/tree/ref/path`` as raw content; a project alone is its branch ``main`` (decision A62)."""
    if "/-/" in whole:
        return re.sub(r"/-/(?:tree|blob)/", "/-/raw/", whole, count=1)
    project = root.strip("/")
    if host == "gitlab.com" and project and not _DOCUMENT.search(project):
        inside = whole.removeprefix(root.rstrip("/"))
        return f"/{project.removesuffix('.git')}/-/raw/main{inside}"
    return whole


def relative(address: str) -> bool:
    """Whether *address* means something beside the document that it stands in."""
    return ":" not in address.partition("/")[0] and "${" not in address and not address.startswith("{")


def joined(base: str, address: str) -> str:
    """*address* as it is meant in the document at *base*: on the web, or a file."""
    parts = urlsplit(base)
    if parts.scheme in ("http", "https"):
        return urljoin(base, address)
    folder = posixpath.dirname(parts.netloc + parts.path)
    path = posixpath.normpath(posixpath.join(folder, address))
    return f"file://{path}" if parts.scheme == "file" else path


# --- the file of a function -----------------------------------------------------------------------------------


@cache
def _task_rules() -> Check:
    whole = schema("serverless-workflow-1.0")
    return compile_rules({"$defs": whole["$defs"], "$ref": "#/$defs/task"})


def parse_function(text: str | bytes, address: str) -> JsonObject:
    """The task in the file of a function at *address*; `InvalidDocument` with each problem and its place there.

    What it refers to relatively is beside it. A file may also name its function: ``validateEmail: {run: …}``.
    """
    source = load(text, name=address)
    task, path = _unwrapped(source.data)
    report = Report(source)
    with suppress(Full):
        _task_rules()(task, path, report)
    web = address.startswith(("http://", "https://"))
    located = list(_located(task)) if isinstance(task, dict) else []
    for _, _, written in located:
        if web and written.startswith("file:"):
            message = (
                f"{written!r} is a file of the machine that reads it; write where it is relative to this one"
            )
            report.add("unresolved", message, path)
    problems = report.problems()
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems, name=address)
    assert isinstance(task, dict)
    for holder, key, written in located:
        if relative(written):
            holder[key] = joined(address, written)
        elif urlsplit(written).scheme == "file" and urlsplit(written).netloc:
            holder[key] = joined(address, written.removeprefix("file://"))  # relative too (decision A50)
    return task


def _unwrapped(data: Json) -> tuple[Json, Path]:
    """The task itself, where the file has it under the function's name."""
    if isinstance(data, dict) and len(data) == 1:
        [(name, inner)] = data.items()
        if (
            isinstance(inner, dict)
            and name not in schema("serverless-workflow-1.0")["$defs"]["task"]["properties"]
        ):
            return inner, (None, name)
    return data, None


def tasks_in(task: Json, at: str = "") -> Iterator[tuple[JsonObject, str]]:
    """*task* and every task inside it, each with its pointer; *at* is its own."""
    if not isinstance(task, dict):
        return
    yield task, at
    for path in TASK_LISTS:
        inner: Json = task
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        yield from tasks_of(inner, at + pointer(*path))


def tasks_of(listed: Json, at: str) -> Iterator[tuple[JsonObject, str]]:
    """Every task of a list and inside it, each with its pointer."""
    for number, item in enumerate(listed if isinstance(listed, list) else []):
        for name, task in (item if isinstance(item, dict) else {}).items():
            yield from tasks_in(task, at + pointer(number, name))


def _located(function: JsonObject) -> Iterator[tuple[JsonObject, str, str]]:
    """Every address of an external resource in *function*: what holds it, under which key, and the text."""
    for task, _ in tasks_in(function):
        called = task.get("call")
        if isinstance(called, str) and "/" in called and reference(called) is not None:
            yield task, "call", called
        given = task.get("with")
        run = task.get("run")
        script = run.get("script") if isinstance(run, dict) else None
        for holder, keys in ((given, ("document", "proto", "agentCard")), (script, ("source",))):
            for key in keys:
                yield from _of_resource(holder.get(key) if isinstance(holder, dict) else None)
        for step in ("input", "output", "export"):
            shaped = task.get(step)
            checked = shaped.get("schema") if isinstance(shaped, dict) else None
            yield from _of_resource(checked.get("resource") if isinstance(checked, dict) else None)


def _of_resource(resource: Json) -> Iterator[tuple[JsonObject, str, str]]:
    if not isinstance(resource, dict):
        return
    endpoint = resource.get("endpoint")
    if isinstance(endpoint, str):
        yield resource, "endpoint", endpoint
    elif isinstance(endpoint, dict) and isinstance(endpoint.get("uri"), str):
        yield endpoint, "uri", str(endpoint["uri"])
