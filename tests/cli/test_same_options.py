"""The options by which a server is named are the same in all commands that use one, those of the catalog too."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from catalog.api import create_app
from catalog.catalog import Catalog
from catalog.stores import open_store
from tests.api.test_certificates import authority, write
from workflow_engine.api.certificates import Served
from workflow_engine.api.serving import listen, serve
from workflow_engine.cli.main import COMMANDS, GROUPS, main, parser_of

WHERE = {"--api-url", "--api-token", "--api-ca", "--api-cert", "--api-cert-key"}
ALONE = {"catalog lint", "catalog serve"}
"""What needs no server, or is one."""


def leaves(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, set[str]]]:
    """The commands below *parser* that have none below them, each with its options."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield name, {option for action in parser._actions for option in action.option_strings}
    for action in below:
        for word, inner in action.choices.items():
            yield from leaves(f"{name} {word}", inner)


def test_all_commands_of_a_server_name_it_by_the_same_options() -> None:
    names = [command.name for title, commands in GROUPS if title == "Use a server" for command in commands]
    found = [leaf for name in [*names, "worker"] for leaf in leaves(name, parser_of(COMMANDS[name]))]
    assert len(found) > 40
    lacking = {name: sorted(WHERE - options) for name, options in found if WHERE - options}
    assert sorted(lacking) == sorted(ALONE)


def test_all_commands_of_a_server_that_list_or_change_something_print_json_too() -> None:
    words = {"list", "add", "put", "delete", "remove", "pause", "resume"}
    names = [command.name for title, commands in GROUPS if title == "Use a server" for command in commands]
    found = [leaf for name in names for leaf in leaves(name, parser_of(COMMANDS[name]))]
    assert [name for name, options in found if name.split()[-1] in words and "--json" not in options] == []


async def test_the_catalog_of_an_api_that_wants_a_certificate_is_shown_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = trustme.CA()
    ca = authority(tmp_path, "ca.pem", ours)
    mine, key = write(tmp_path, "client", ours.issue_cert("me@example.com"))
    app = create_app(Catalog(await open_store("memory:")))
    app.state.closing = asyncio.Event()
    ready = asyncio.Event()
    listening = listen("127.0.0.1", 0)
    served = Served(*write(tmp_path, "server", ours.issue_cert("127.0.0.1")), ca)
    task = asyncio.create_task(serve(app, listening, ready.set, served))
    await ready.wait()
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    document = tmp_path / "orders.yaml"
    document.write_text("asyncapi: 3.0.0\ninfo: {title: orders, version: 1.0.0}\n")

    async def asked(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, ["catalog", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    try:
        code, _, said = await asked("list", "--api-url", url, "--api-ca", str(ca))
        assert (code, "cannot be reached" in said) == (3, True)
        shown = ["--api-url", url, "--api-ca", str(ca), "--api-cert", str(mine), "--api-cert-key", str(key)]
        code, out, _ = await asked("add", *shown, "--json", str(document))
        assert (code, [added["name"] for added in json.loads(out)]) == (0, ["orders"])
        for name, value in zip(shown[::2], shown[1::2], strict=True):
            monkeypatch.setenv("WFE" + name.removeprefix("-").replace("-", "_").upper(), value)
        code, out, _ = await asked("list", "--json")
        assert (code, [spec["name"] for spec in json.loads(out)]) == (0, ["orders"])
        code, out, _ = await asked("remove", "orders", "--json")
        assert (code, json.loads(out)) == (0, {"name": "orders", "version": None, "removed": True})
        code, _, said = await asked("list", "--api-cert", str(ca))
        assert (code, "ca.pem: no certificate (and key) in PEM" in said) == (2, True)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
