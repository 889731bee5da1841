"""Compile proto text when a workflow is deployed: to a descriptor set with what one method needs, and no more.

Workers get the descriptor set in the bundle and need no compiler. Google's compiler runs in a child process with
bounded time and memory, for the text may come from anywhere.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto

from workflow_engine.calls.openapi_document import suggestion
from workflow_engine.calls.proto_pruning import pruned
from workflow_engine.errors import Rejected
from workflow_engine.values import JsonObject

MAX_FILES = 64
"""How many files a proto may import, itself counted."""
MAX_TEXT = 4 * 1024 * 1024
"""How many bytes they may have together."""
MAX_ATTEMPTS = 200
"""How many addresses are tried to find them."""
MAX_ANCESTORS = 4
SECONDS = 20

ReadText: TypeAlias = Callable[[str], Awaitable[str | None]]
"""Gives the text at an address; None where there is nothing."""

# What has no end goes on to the end of the line or the text, so that reading takes time in proportion to the text.
_TOKENS = re.compile(
    r"""//[^\n]*|/\*(?:.*?\*/|.*)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[A-Za-z_][A-Za-z0-9_.]*|[^\s]""",
    re.DOTALL,
)
_MODIFIERS = ("public", "weak", "option")
_PATH = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_+-][A-Za-z0-9_.+-]*)*")
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
try:
    import resource
except ImportError:
    pass
else:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
from grpc_tools import protoc
sys.exit(protoc.main(["protoc", *sys.argv[2:]]))
"""
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "TMPDIR")


async def describe_method(address: str, service: str, method: str, read: ReadText) -> JsonObject:
    """What a call of *method* of *service* needs of the proto at *address*, for the bundle.

    ``{"service": full name, "method": name, "descriptors": base64 of a FileDescriptorSet}``. *service* may be without
    its package where that leaves one. Imports are Google's own files, which come with the compiler, or stand where the
    proto does: *read* gets them. `Rejected` says what is wrong.
    """
    files = await _files(address, read)
    descriptors = await _compile(files, address)
    return await asyncio.to_thread(_pinned, descriptors, service, method, address)


def _pinned(descriptors: FileDescriptorSet, service: str, method: str, address: str) -> JsonObject:
    full_name, found = _method(descriptors, service, method, address)
    content = pruned(descriptors, full_name, found).SerializeToString(deterministic=True)
    return {
        "service": full_name,
        "method": found.name,
        "descriptors": base64.b64encode(content).decode(),
    }


# --- the files ------------------------------------------------------------------------------------------------


async def _files(address: str, read: ReadText) -> dict[str, str]:
    """The proto at *address* and all that it imports: text by the name that the compiler knows it by, itself first."""
    text = await read(address)
    if text is None:
        raise Rejected("unresolved", f"there is no proto at {address}")
    folder, name = _split(address)
    files = {name if _PATH.fullmatch(name) else "service.proto": text}
    roots = [folder]
    waiting = await _imported(text)
    size, attempts = len(text), 0
    while waiting:
        wanted = waiting.pop(0)
        if wanted in files or _bundled(wanted) is not None:
            continue
        if not _PATH.fullmatch(wanted) or len(files) >= MAX_FILES:
            reason = (
                f"more than {MAX_FILES} files" if len(files) >= MAX_FILES else f"{wanted!r}, which is no path"
            )
            raise Rejected("unresolved", f"the proto {address} imports {reason}")
        for root in _roots(roots, folder, wanted):
            attempts += 1
            found = await read(root + wanted) if attempts <= MAX_ATTEMPTS else None
            if found is not None:
                break
        else:
            raise Rejected(
                "unresolved",
                f"the proto {address} imports {wanted!r}, which is found neither beside it nor above",
            )
        size += len(found)
        if size > MAX_TEXT:
            raise Rejected("unresolved", f"the proto {address} imports more than {MAX_TEXT:,} bytes")
        if root not in roots:
            roots.append(root)
        files[wanted] = found
        waiting += await _imported(found)
    return files


async def _imported(text: str) -> list[str]:
    return await asyncio.to_thread(lambda: list(imports(text)))


def imports(text: str) -> Iterator[str]:
    """What the proto *text* imports, as written; the compiler is who judges the rest of it."""
    before, importing = ";", False
    for match in _TOKENS.finditer(text):
        token = match[0]
        if token.startswith(("//", "/*")):
            continue
        if importing and token[0] in "\"'":
            yield token[1:-1]
        importing = (importing and token in _MODIFIERS) or (token == "import" and before in (";", "}"))  # noqa: S105
        before = token


def _split(address: str) -> tuple[str, str]:
    """The folder of *address*, with the slash at its end, and the name in it."""
    path = re.split(r"[?#]", address, maxsplit=1)[0] if "://" in address else address
    folder, slash, name = path.rpartition("/")
    return folder + slash, name


def _roots(known: list[str], folder: str, wanted: str) -> Iterator[str]:
    """Where *wanted* may be relative to: where others were, a folder whose end is its beginning, the ones above."""
    tried: dict[str, None] = dict.fromkeys(known)
    scheme, separator, path = folder.rpartition("://")
    parts = path.strip("/").split("/") if path.strip("/") else []
    lead = scheme + separator + ("/" if path.startswith("/") else "")
    first = 1 if scheme in ("http", "https") else 0  # the host stays
    names = wanted.split("/")[:-1]
    above = [
        "".join(f"{part}/" for part in parts[:length]) for length in range(len(parts) - 1, first - 1, -1)
    ]
    for number in range(1, len(above) + 1):
        if parts[len(parts) - number :] == names[:number]:
            tried.setdefault(lead + above[number - 1])
    tried.update(dict.fromkeys(lead + root for root in above[:MAX_ANCESTORS]))
    yield from tried


def _bundled(path: str) -> Path | None:
    """The folder that has Google's own *path*, such as ``google/protobuf/timestamp.proto``."""
    if not path.startswith("google/") or not _PATH.fullmatch(path):
        return None
    return next((folder for folder in _include_folders() if (folder / path).is_file()), None)


def _include_folders() -> list[Path]:
    """The well-known types, of the compiler; ``google/api`` and ``google/rpc``, of googleapis-common-protos."""
    import google
    import grpc_tools

    folders = [Path(grpc_tools.__path__[0]) / "_proto"]
    return folders + [Path(place).parent for place in google.__path__]


# --- the compiler ---------------------------------------------------------------------------------------------


async def _compile(files: dict[str, str], address: str) -> FileDescriptorSet:
    with tempfile.TemporaryDirectory(prefix="wfe-proto-") as name:
        folder = Path(name)
        await asyncio.to_thread(_write, folder / "in", files)
        arguments = [f"-I{folder / 'in'}", *(f"-I{include}" for include in _include_folders())]
        arguments += ["--include_imports", f"--descriptor_set_out={folder / 'out'}", next(iter(files))]
        with (folder / "said").open("wb") as said:  # a pipe would fill our memory
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-c", _PROGRAM, json.dumps(sys.path), *arguments),
                cwd=folder,
                env={key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=said,
            )
        try:
            async with asyncio.timeout(SECONDS):
                await process.wait()
        except TimeoutError:
            raise Rejected("unresolved", f"the proto {address} takes too long to compile") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            reason = await asyncio.to_thread(_errors, folder) or f"exit code {process.returncode}"
            raise Rejected("unresolved", f"the proto {address} cannot be compiled: {reason}")
        return FileDescriptorSet.FromString(await asyncio.to_thread((folder / "out").read_bytes))


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _errors(folder: Path) -> str:
    """The first things that the compiler said."""
    with (folder / "said").open("rb") as said:
        text = said.read(100_000).decode(errors="replace").replace(f"{folder / 'in'}/", "")
    errors = [line.strip() for line in text.splitlines() if line.strip() and ": warning: " not in line]
    return "; ".join(errors[:3])[:500]


def _method(
    descriptors: FileDescriptorSet, service: str, method: str, address: str
) -> tuple[str, MethodDescriptorProto]:
    """The full name of the one service that *service* fits, and its *method*."""
    known: dict[str, ServiceDescriptorProto] = {}
    for file in descriptors.file:
        for item in file.service:
            known[f"{file.package}.{item.name}" if file.package else item.name] = item
    fitting = [name for name in known if name == service]
    fitting = fitting or [name for name in known if name.endswith(f".{service}")]
    if not fitting:
        close = suggestion(service, list(known))
        raise Rejected("unresolved", f"the proto {address} has no service {service!r}{close}")
    if len(fitting) > 1:
        which = ", ".join(fitting[:5])
        raise Rejected("unresolved", f"{service!r} may be any of the services {which} of the proto {address}")
    for declared in known[fitting[0]].method:
        if declared.name == method:
            return fitting[0], declared
    names = [declared.name for declared in known[fitting[0]].method]
    close = suggestion(method, names)
    raise Rejected("unresolved", f"the service {fitting[0]} has no method {method!r}{close}")
