"""``python -m catalog``, and the same commands to be put under another program's (``wfe catalog …``).

Exit codes: 0 fine; 1 a document has problems, or what was asked for is not there; 2 wrong usage; 3 the
catalog could not be reached. Results are on stdout, everything else on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog.asyncapi import describe_document, lint
from catalog.errors import Conflict, Denied, InvalidSpec, NotFound, Problem, Unavailable
from catalog.model import Operation
from catalog.nodes import Limits

FINE, INVALID, USAGE, UNREACHABLE = 0, 1, 2, 3
DEFAULT_SERVER = "http://127.0.0.1:8080"
PATIENCE = 45.0
"""How many seconds an answer may take."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``catalog``; its exit code."""
    parser = argparse.ArgumentParser(
        prog="catalog", description="What services can send and receive (AsyncAPI)"
    )
    add_commands(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    parsed = parser.parse_args(arguments)
    return run(parsed)


def run(arguments: argparse.Namespace) -> int:
    """Do what parsed *arguments* ask for: the default ``command_run`` that `add_commands` has set."""
    code: int = arguments.command_run(arguments)
    return code


def add_commands(
    subparsers: Any, environ: Mapping[str, str] | None = None, also: Mapping[str, str] | None = None
) -> None:
    """Add ``add``, ``list``, ``show``, ``remove``, ``lint`` and ``serve`` to *subparsers* of argparse.

    ``WFE_CATALOG_URL``, ``_TOKEN``, ``_CA``, ``_CERT`` and ``_CERT_KEY`` of *environ* (default: the process's) are the
    defaults of ``--server``, ``--token``, ``--ca``, ``--cert`` and ``--cert-key``. *also*: how such an option is called
    too, where the program has its own word for it. Parsed arguments go to `run`.
    """
    environment = os.environ if environ is None else environ
    names = {} if also is None else also

    def option(parser: argparse.ArgumentParser, name: str, variable: str, metavar: str, help: str) -> None:
        flags = [name, *([names[name]] if name in names else [])]
        shown = f"{help} (default: ${variable}{', else ' + DEFAULT_SERVER if metavar == 'URL' else ''})"
        default = environment.get(variable, DEFAULT_SERVER if metavar == "URL" else None)
        dest = name.removeprefix("--").replace("-", "_")
        parser.add_argument(*flags, dest=dest, metavar=metavar, default=default, help=shown)

    remote = argparse.ArgumentParser(add_help=False)
    option(remote, "--server", "WFE_CATALOG_URL", "URL", "where the catalog is")
    option(
        remote,
        "--ca",
        "WFE_CATALOG_CA",
        "FILE",
        "authorities in PEM, trusted besides the system's, for https",
    )
    option(remote, "--cert", "WFE_CATALOG_CERT", "FILE", "the certificate to show it, in PEM with its chain")
    option(remote, "--cert-key", "WFE_CATALOG_CERT_KEY", "FILE", "the key of that, unless it is in the file")
    token = argparse.ArgumentParser(add_help=False)
    option(token, "--token", "WFE_CATALOG_TOKEN", "TOKEN", "its token")

    def command(name: str, work: Callable[[argparse.Namespace], int], help: str, *parents: Any) -> Any:
        parser = subparsers.add_parser(name, help=help, description=help, parents=parents)
        parser.set_defaults(command_run=work)
        return parser

    add = command("add", _add, "register AsyncAPI documents", remote, token)
    add.add_argument("files", nargs="+", metavar="FILE", help="YAML or JSON; - is standard input")
    add.add_argument("--name", help="register as this (default: the document's title)")
    add.add_argument("--replace", action="store_true", help="replace another text under the same version")
    add.add_argument("--json", action="store_true", help="as JSON")

    listing = command("list", _list, "list the documents", remote, token)
    listing.add_argument("--json", action="store_true", help="as JSON")

    show = command("show", _show, "show a document's operations, or one operation", remote, token)
    show.add_argument(
        "what", metavar="NAME|REFERENCE", help="orders, orders#createOrder, file://orders.yaml#…"
    )
    show.add_argument("--version", help="of the document (default: the latest)")
    show.add_argument("--json", action="store_true", help="as JSON")

    remove = command("remove", _remove, "forget a document", remote, token)
    remove.add_argument("name")
    remove.add_argument("--version", help="only this version (default: all)")
    remove.add_argument("--json", action="store_true", help="as JSON")

    check = command("lint", _lint, "check documents without a server")
    check.add_argument("files", nargs="+", metavar="FILE", help="YAML or JSON; - is standard input")

    serve = command("serve", _serve, "run the catalog alone", token)
    serve.add_argument("--port", type=_port, default=8080, help="0 takes a free one (default: %(default)s)")
    serve.add_argument("--host", default="127.0.0.1", help="another than this machine's own needs --token")
    serve.add_argument(
        "--store",
        default="sqlite:///.wfe/catalog.db",
        help="memory: or sqlite:///path (default: %(default)s)",
    )


def _add(arguments: argparse.Namespace) -> int:
    if arguments.name and len(arguments.files) > 1:
        return _complain("--name goes with one FILE", USAGE)
    texts: list[tuple[str, str]] = []
    code = FINE
    for file in arguments.files:
        try:
            texts.append((file, _read(file)))
        except OSError as error:
            code = _complain(f"{file}: {error.strerror}", USAGE)
        except InvalidSpec as error:
            code = max(code, _print_problems(file, error.problems))

    async def work(catalog: Any) -> int:
        worst, added = code, []
        for file, text in texts:
            try:
                name = arguments.name or describe_document(text).service.name
                registration = await catalog.register(name, text, replace=arguments.replace)
            except InvalidSpec as error:
                worst = max(worst, _print_problems(file, error.problems))
                if not arguments.name and any(problem.code == "invalid-name" for problem in error.problems):
                    _complain(f"{file}: its title cannot be its name; give one with --name", INVALID)
            except Conflict as error:
                worst = max(worst, _complain(f"{file}: {error} with --replace", INVALID))
            else:
                _print_problems(file, registration.warnings)
                spec = registration.spec
                added.append(spec.to_json() | {"outcome": registration.outcome})
                if not arguments.json:
                    print(f"{spec.name} {spec.version}: {_counted(spec.operation_count, 'operation')}")
        if arguments.json:
            _print_json(added)
        return worst

    return _with_catalog(arguments, work)


def _list(arguments: argparse.Namespace) -> int:
    async def work(catalog: Any) -> int:
        specs = await catalog.list()
        if arguments.json:
            _print_json([spec.to_json() for spec in specs])
        else:
            counts = (_counted(spec.operation_count, "operation") for spec in specs)
            _print_table(
                [
                    (spec.name, spec.version, f"AsyncAPI {spec.asyncapi}", count, spec.title)
                    for spec, count in zip(specs, counts, strict=True)
                ]
            )
        return FINE

    return _with_catalog(arguments, work)


def _show(arguments: argparse.Namespace) -> int:
    async def work(catalog: Any) -> int:
        if "#" in arguments.what:
            _print_json((await catalog.resolve(arguments.what)).to_json())
            return FINE
        spec = await catalog.get(arguments.what, arguments.version)
        operations = (await catalog.describe(spec.name, spec.version)).operations
        if arguments.json:
            _print_json(spec.to_json() | {"operations": [operation.to_json() for operation in operations]})
            return FINE
        print(f"{spec.name} {spec.version}: {spec.title} (AsyncAPI {spec.asyncapi}, {spec.digest})")
        _print_table([_operation_row(operation) for operation in operations])
        return FINE

    return _with_catalog(arguments, work)


def _operation_row(operation: Operation) -> tuple[str, ...]:
    messages = ", ".join(message.name for message in operation.messages)
    return (f"  {operation.workflow_may}", operation.id or "-", operation.channel.address or "-", messages)


def _remove(arguments: argparse.Namespace) -> int:
    async def work(catalog: Any) -> int:
        await catalog.remove(arguments.name, arguments.version)
        if arguments.json:
            _print_json({"name": arguments.name, "version": arguments.version, "removed": True})
        return FINE

    return _with_catalog(arguments, work)


def _lint(arguments: argparse.Namespace) -> int:
    code = FINE
    for file in arguments.files:
        try:
            problems = lint(_read(file))
        except OSError as error:
            code = _complain(f"{file}: {error.strerror}", USAGE)
            continue
        except InvalidSpec as error:
            problems = error.problems
        code = max(code, _print_problems(file, problems))
    return code


def _serve(arguments: argparse.Namespace) -> int:
    if not arguments.token and not _is_loopback(arguments.host):
        return _complain(f"--host {arguments.host} lets others in: it needs --token", USAGE)
    try:
        family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
        listener = socket.create_server((arguments.host, arguments.port), family=family)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as asyncio does for its own
    except OSError as error:
        return _complain(
            f"{arguments.host}:{arguments.port} cannot be listened on: {error.strerror or error}", USAGE
        )
    with listener:
        try:
            asyncio.run(_serve_on(listener, arguments.store, arguments.token or None))
        except ValueError as error:
            return _complain(str(error), USAGE)
        except Unavailable as error:
            return _complain(str(error), UNREACHABLE)
    return FINE


async def _serve_on(listener: socket.socket, store: str, token: str | None) -> None:
    import uvicorn

    from catalog.api import create_app
    from catalog.catalog import Catalog
    from catalog.stores import open_store

    catalog = Catalog(await open_store(store))
    try:
        server = uvicorn.Server(uvicorn.Config(create_app(catalog, token=token), log_level="warning"))
        # The server ends on these signals and then raises them again, for whoever was there before it.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        host, port = listener.getsockname()[:2]
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        await server.serve(sockets=[listener])
    finally:
        await catalog.close()


def _with_catalog(arguments: argparse.Namespace, work: Callable[[Any], Awaitable[int]]) -> int:
    """Run *work* on the catalog that *arguments* name; its errors become messages and exit codes."""
    from catalog.client import HttpCatalog

    async def connect(tls: ssl.SSLContext | None) -> int:
        async with HttpCatalog(arguments.server, arguments.token, timeout=PATIENCE, tls=tls) as catalog:
            return await work(catalog)

    try:
        return asyncio.run(connect(_tls(arguments)))
    except InvalidSpec as error:
        return _print_problems("", error.problems)
    except (NotFound, Conflict) as error:
        return _complain(str(error), INVALID)
    except Denied as error:
        return _complain(f"{error}; give its token with --token", USAGE)
    except Unavailable as error:
        return _complain(str(error), UNREACHABLE)
    except ValueError as error:
        return _complain(str(error), USAGE)


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Which certificates to trust and to show; None where nothing is said. `ValueError` names a file that is none."""
    if not arguments.ca and not arguments.cert:
        if arguments.cert_key:
            raise ValueError("--cert-key goes with --cert")
        return None
    context = ssl.create_default_context()

    def no_password() -> str:
        raise ValueError("the key is encrypted")

    file = arguments.ca
    try:
        if arguments.ca:
            context.load_verify_locations(cafile=arguments.ca)
        file = arguments.cert
        if arguments.cert:
            context.load_cert_chain(arguments.cert, arguments.cert_key or None, no_password)
    except ssl.SSLError as error:
        raise ValueError(f"{file}: no certificate (and key) in PEM: {error.reason or error}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return context


def _read(file: str) -> str:
    """The text of a file, up to what a document may have. Raises `InvalidSpec` if it is not such text."""
    most = Limits().size
    if file == "-":
        content = sys.stdin.buffer.read(most + 1)
    else:
        with Path(file).open("rb") as stream:
            content = stream.read(most + 1)
    if len(content) > most:
        raise InvalidSpec([Problem("too-large", f"the document has more than {most} bytes")])
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidSpec([Problem("not-utf-8", "the document is not UTF-8", "", line, 1)]) from error


def _print_problems(file: str, problems: Sequence[Problem]) -> int:
    for problem in problems:
        print(problem.render(file or "<request>"), file=sys.stderr)
    return INVALID if any(problem.severity == "error" for problem in problems) else FINE


def _complain(message: str, code: int) -> int:
    print(f"catalog: {message}", file=sys.stderr)
    return code


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
