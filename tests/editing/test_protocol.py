"""What the server answers to clients that say what they should not, or do not listen."""

from __future__ import annotations

import io

import pytest

from tests.editing.raw import Raw, raw
from tests.editing.test_diagnostics import VALID
from workflow_engine.editing.streams import Incoming

INITIALIZE = {"processId": None, "rootUri": None, "capabilities": {}}
WHERE = {"textDocument": {"uri": "file:///a.yaml"}, "position": {"line": 0, "character": 0}}
OPENED = {"textDocument": {"uri": "file:///a.yaml", "languageId": "yaml", "version": 1, "text": VALID}}


def error(server: Raw) -> tuple[object, int]:
    """The id and the code of the next answer, an error."""
    answer = server.answer()
    return answer["id"], answer["error"]["code"]


def test_each_request_has_an_answer_whatever_is_wrong_with_it_and_whenever_it_comes():
    with raw() as server:
        server.tell("textDocument/didOpen", OPENED)  # nobody has said hello
        for method in ("textDocument/hover", "textDocument/completion", "shutdown", "wfe/graph"):
            server.ask(method, method, WHERE if method != "shutdown" else None)
            assert error(server) == (method, -32002)
        server.ask(1, "initialize", {"capabilities": 7})
        assert error(server) == (1, -32602)
        server.ask(2, "initialize", INITIALIZE)
        assert server.answer()["result"]["serverInfo"]["name"] == "wfe"
        server.tell("initialized", {})
        server.ask(3, "initialize", INITIALIZE)
        assert error(server) == (3, -32600)
        for number, params in enumerate(
            (None, {}, [], 5, {"textDocument": 1}, {**WHERE, "position": {"line": "x", "character": 1}})
        ):
            server.ask(10 + number, "textDocument/hover", params)
            assert error(server) == (10 + number, -32602), params
        server.ask(20, "textDocument/nothing", {})
        assert error(server) == (20, -32601)
        server.ask(21, "textDocument/hover", WHERE)  # it is not open
        assert server.answer() == {"id": 21, "jsonrpc": "2.0", "result": None}
        server.send(b"{no json")
        assert error(server) == (None, -32700)
        server.send(b"\xff\xfe")
        assert error(server) == (None, -32700)
        server.send(b"[" * 100_000)
        assert error(server) == (None, -32700)
        server.send([])
        assert error(server) == (None, -32600)
        server.send(b'{"id": 22, "method": "textDocument/hover"}')
        assert error(server) == (22, -32600)
        server.send(b'{"jsonrpc": "1.0", "id": 23, "method": "textDocument/hover", "params": {}}')
        assert error(server) in ((23, -32600), (23, -32602))
        server.tell("textDocument/didChange", {"textDocument": {}})
        server.tell("$/cancelRequest", {"id": 999})
        server.tell("$/cancelRequest")
        server.send({"id": 77, "result": {}})  # an answer to what nobody asked
        server.ask("last", "shutdown")
        assert server.answer() == {"id": "last", "jsonrpc": "2.0", "result": None}
        server.ask(30, "textDocument/hover", WHERE)
        assert error(server) == (30, -32600)
        server.tell("textDocument/didOpen", OPENED)
        server.tell("exit")
        assert server.next() is None
        assert server.process.wait(30) == 0


def greeted(server: Raw) -> None:
    server.ask("hello", "initialize", INITIALIZE)
    assert "result" in server.answer()
    server.tell("initialized", {})


def test_edits_are_of_the_version_that_was_looked_at_where_the_editor_knows_versions():
    with raw() as server:
        capabilities = {"workspace": {"workspaceEdit": {"documentChanges": True}}}
        server.ask("hello", "initialize", {**INITIALIZE, "capabilities": capabilities})
        assert "result" in server.answer()
        server.tell("textDocument/didOpen", OPENED)
        place = {"line": 2, "character": 6}
        server.ask(1, "textDocument/rename", {**WHERE, "position": place, "newName": "begin"})
        (changed,) = server.answer()["result"]["documentChanges"]
        assert changed["textDocument"] == {"uri": "file:///a.yaml", "version": 1}
        assert [each["newText"] for each in changed["edits"]] == ["begin"]
        server.ask(2, "textDocument/rename", {**WHERE, "newName": "begin"})
        assert error(server) == (2, -32803)


def test_requests_that_are_cancelled_or_at_work_when_it_is_shut_down_have_an_answer():
    with raw() as server:
        greeted(server)
        server.tell("textDocument/didOpen", OPENED)
        for id in range(20):
            server.ask(id, "textDocument/documentSymbol", {"textDocument": {"uri": "file:///a.yaml"}})
            server.tell("$/cancelRequest", {"id": id})
        command = {"command": "wfe.graph", "arguments": ["file:///a.yaml"]}
        server.ask("graph", "workspace/executeCommand", command)
        server.ask("graph too", "wfe/graph", {"uri": "file:///a.yaml"})
        server.ask("last", "shutdown")
        found = [server.answer() for _ in range(23)]
        assert {each["id"] for each in found} == {*range(20), "graph", "graph too", "last"}
        assert {each["error"]["code"] for each in found if "error" in each} <= {-32800}
        assert {"id": "last", "jsonrpc": "2.0", "result": None} in found
        server.tell("exit")
        assert server.process.wait(30) == 0


def test_a_client_that_does_not_read_for_a_while_may_go_on_writing():
    text = VALID + "".join(f"  - task{number}: {{wait: PT1S}}\n" for number in range(200))
    document = {"uri": "file:///a.yaml"}
    with raw() as server:
        greeted(server)
        server.tell("textDocument/didOpen", {"textDocument": {**OPENED["textDocument"], "text": text}})
        for id in range(10):
            server.ask(id, "textDocument/documentSymbol", {"textDocument": document})
            changed = {"textDocument": {**document, "version": 2 + id}, "contentChanges": [{"text": text}]}
            server.tell("textDocument/didChange", changed)
        found = [server.answer() for _ in range(10)]
        assert {each["id"] for each in found} == set(range(10))
        assert all(len(each["result"]) == 201 for each in found)


def test_a_head_may_be_written_as_http_allows():
    head = io.BytesIO(
        b"content-type: application/vscode-jsonrpc; charset=utf-8\r\nCONTENT-LENGTH:  12\r\n\r\n"
    )
    incoming = Incoming(head)
    assert incoming.readline().startswith(b"Content-Type: ")
    assert [incoming.readline(), incoming.readline()] == [b"Content-Length: 12\r\n", b"\r\n"]


def test_what_is_no_message_ends_the_server():
    with raw() as server:
        hello = {"id": 1, "method": "initialize", "params": INITIALIZE}
        server.send(hello, head="POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n")
        assert server.next() is None
        assert server.process.wait(30) == 1


@pytest.mark.parametrize(
    "head", [b"Content-Length: 99999999999\r\n", b"Content-Length: -1\r\n", b"x" * 100_000]
)
def test_a_head_that_is_none_is_the_end_of_what_comes(head: bytes):
    assert Incoming(io.BytesIO(head)).readline() == b""


def test_a_message_that_is_torn_off_is_none():
    assert Incoming(io.BytesIO(b"{")).read(2) == b""
