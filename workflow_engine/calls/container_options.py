"""What a container is made of: the arguments of ``run: container``, and the configuration that an engine takes."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from workflow_engine.calls.content import kind
from workflow_engine.calls.context import CallContext, ProcessBounds
from workflow_engine.calls.processes import argument_list, encoded, text_of, variables
from workflow_engine.dsl.bounds import CONTAINER_PORT, HOST_PORT, is_port_of_container, is_port_of_host
from workflow_engine.errors import fault
from workflow_engine.values import Duration, Json, JsonObject

CLEANUPS = ("always", "eventually", "never")
PULLS = ("ifNotPresent", "always", "never")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_TASKS = 16
"""How many tasks (threads too) a container may have for each process that the bounds allow."""


@dataclass(frozen=True, slots=True)
class Container:
    """What is wanted: *ports* are (address, host's port, ``80/tcp``); *binds* as an engine writes them;
    *remove_after* is in seconds.
    """

    image: str
    name: str | None
    command: str | None
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    stdin: bytes | None
    ports: tuple[tuple[str, str, str], ...]
    binds: tuple[str, ...]
    cleanup: str
    remove_after: float
    pull: str

    def configuration(self, image: JsonObject, labels: JsonObject, bounds: ProcessBounds) -> JsonObject:
        """The body of a request to make it of *image*, as the engine describes that."""
        fed = self.stdin is not None
        made: JsonObject = {
            "Image": self.image,
            "Env": [*self.environment],
            "Labels": labels,
            "OpenStdin": fed,
            "StdinOnce": fed,
            "AttachStdin": fed,
            "ExposedPorts": {port: {} for _, _, port in self.ports},
            "HostConfig": {
                "Binds": [*self.binds],
                "PortBindings": {
                    port: [{"HostIp": address, "HostPort": host}] for address, host, port in self.ports
                },
                "Memory": bounds.memory,
                "MemorySwap": bounds.memory,
                "NanoCpus": int(bounds.cpus * 1e9),
                "PidsLimit": bounds.processes * _TASKS,
                "SecurityOpt": ["no-new-privileges"],
            },
        }
        command = self._command(image)
        return {**made, "Cmd": command} if command else made

    def _command(self, image: JsonObject) -> list[Json]:
        """What is executed: the command by a shell (A66), or the image's own with our arguments behind it; an image
        with an entry point takes the arguments in the place of its default ones.
        """
        if self.command is not None:
            return ["sh", "-c", self.command, "sh", *self.arguments]
        if not self.arguments:
            return []
        own = image.get("Config")
        own = own if isinstance(own, dict) else {}
        default = own.get("Cmd")
        if own.get("Entrypoint") or not isinstance(default, list):
            return [*self.arguments]
        return [*default, *self.arguments]


def read(arguments: JsonObject, context: CallContext) -> Container:
    """The container of the evaluated *arguments*; a fault for what makes none, or what the operator does not allow."""
    image = _text(arguments.get("image"), "image")
    if not image or ("@" not in image and ":" not in image.rpartition("/")[2]):
        image = f"{image}:latest" if image else ""
    if not image:
        raise fault("configuration", "a container needs an image")
    name, command = arguments.get("name"), arguments.get("command")
    if name is not None and not _NAME.fullmatch(_text(name, "name")):
        raise fault("validation", f"{str(name)[:100]!r} cannot be the name of a container")
    lifetime = _object(arguments.get("lifetime"), "lifetime")
    cleanup = _one_of(lifetime.get("cleanup", "never"), CLEANUPS, "lifetime.cleanup")
    stdin = arguments.get("stdin")
    given = variables(arguments.get("environment"), context)
    return Container(
        image=image,
        name=None if name is None else str(name),
        command=None if command is None else _text(command, "command"),
        arguments=tuple(argument_list(arguments.get("arguments"))),
        environment=tuple(f"{name}={value}" for name, value in given.items() if value is not None),
        stdin=None if stdin is None else encoded(text_of(stdin)),
        ports=tuple(_port(*pair) for pair in _object(arguments.get("ports"), "ports").items()),
        binds=tuple(
            _bind(*pair, context.bounds.volumes)
            for pair in _object(arguments.get("volumes"), "volumes").items()
        ),
        cleanup=cleanup,
        remove_after=_seconds(lifetime.get("after")) if cleanup == "eventually" else 0.0,
        pull=_one_of(arguments.get("pullPolicy", "ifNotPresent"), PULLS, "pullPolicy"),
    )


def _port(host: str, inside: Json) -> tuple[str, str, str]:
    """One of ``ports``: the host's port to the container's, as everywhere with containers."""
    outer, inner = HOST_PORT.fullmatch(host), CONTAINER_PORT.fullmatch(text_of(inside))
    fits = is_port_of_host(host) and is_port_of_container(text_of(inside))
    if outer is None or inner is None or not fits:
        raise fault(
            "configuration",
            f"ports has a host's port and a container's (`8080: 80`, `127.0.0.1:8080: 80/udp`), not "
            f"{host[:50]!r}: {text_of(inside)[:50]!r}",
        )
    return (outer[1] or "").strip("[]"), outer[2], f"{inner[1]}/{inner[2] or 'tcp'}"


def _bind(source: str, target: Json, allowed: tuple[str, ...]) -> str:
    """One of ``volumes``: a named volume, or a folder of the host that the operator lets containers have."""
    path, _, mode = _text(target, "a volume").partition(":")
    if not path.startswith("/") or mode not in {"", "ro", "rw"}:
        raise fault("configuration", f"a volume is mounted at /PATH, or /PATH:ro, not {str(target)[:100]!r}")
    if not source.startswith("/"):
        if not _NAME.fullmatch(source):
            raise fault(
                "configuration", f"{source[:100]!r} is neither the name of a volume nor an absolute path"
            )
    elif ":" in source or (posixpath.normpath(source) not in allowed and "*" not in allowed):
        raise fault(
            "authorization",
            f"containers may not mount {source[:100]!r}: the worker's setting WFE_CONTAINER_VOLUMES does not list it",
            status=403,
        )
    return f"{source}:{path}:{mode or 'rw'}"


def _seconds(value: Json) -> float:
    """``lifetime.after``: an object of parts, or ISO 8601 text."""
    try:
        if isinstance(value, dict):
            length = Duration.of(
                {name: part for name, part in value.items() if isinstance(part, int | float)}
            )
        else:
            length = Duration.parse(_text(value, "lifetime.after"))
    except ValueError as error:
        raise fault("configuration", f"lifetime.after: {error}") from None
    return length.months * 30 * 86_400 + length.seconds


def _text(value: Json, what: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise fault("configuration", f"{what} must be text, not {kind(value)}")
    encoded(value)
    return value.strip() if what == "image" else value


def _object(value: Json, what: str) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise fault("configuration", f"{what} must be an object, not {kind(value)}")
    return value


def _one_of(value: Json, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise fault("configuration", f"{what} must be one of {', '.join(known)}")
    return str(value)
