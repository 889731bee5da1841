"""`wfe mcp` with a token that is limited to other namespaces: its tools show and change nothing that is not for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.documents import event
from tests.api.test_rights import HEADER, MARKS, server
from workflow_engine.api.client import HttpApi
from workflow_engine.cli.mcp_tools import Tools

__all__ = ["server"]
OWN = HEADER.format("elsewhere") + "do: [{a: {set: {x: 1}}}]"
REACHING = OWN.replace(
    "{set: {x: 1}}", "{run: {workflow: {namespace: tests, name: greet, version: '1.0.0'}}}"
)
ASKED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "show_workflow": ({"namespace": "tests", "name": "greet"}, {"namespace": "tests", "name": "absent"}),
    "show_run": ({"id": "waits-1"}, {"id": "absent"}),
    "control_run": ({"id": "waits-1", "command": "cancel"}, {"id": "absent", "command": "cancel"}),
    "trace_event": ({"id": "e-1"}, {"id": "absent"}),
    "list_runs": ({"name": "wait"}, {"name": "absent"}),
}
"""Tools that look for what is there, and not for the token, and for what is nowhere."""


def same(told: Any) -> str:
    text = str(told)
    for name in ("greet", "waits-1", "e-1", "absent"):
        text = text.replace(name, "NAME")
    return text


async def test_an_assistant_with_a_limited_token_sees_and_changes_nothing_of_others(server: Any) -> None:
    async with HttpApi(server.url, "whole") as all, HttpApi(server.url, "theirs") as limited:
        whole, theirs = (Tools(each, acts=True, deploys=True) for each in (all, limited))
        everything = {str(tool["name"]) for tool in await whole.listed()}
        listed = {str(tool["name"]) for tool in await theirs.listed()}
        assert {name for name in everything if name.startswith("run_")} == {
            "run_tests_greet", "run_tests_wait", "run_tests_on-order",
        }  # fmt: skip
        assert not any(name.startswith("run_") for name in listed)
        for name, (there, nowhere) in ASKED.items():
            found = await theirs.call(name, there)
            assert same(found) == same(await theirs.call(name, nowhere)), name
            assert not any(mark in str(found["content"]) for mark in MARKS if mark not in there.values()), (
                name
            )
        for name in ("list_workflows", "list_runs"):
            shown = str((await theirs.call(name, {}))["content"])
            assert not any(mark in shown for mark in MARKS), name
        for name, given in (
            ("publish_event", {"event": event("m-1"), "channel": "orders"}),
            ("deploy_workflow", {"workflow": REACHING}),
        ):
            refused = await theirs.call(name, given)
            assert refused["isError"] is True
            assert "the token is for the namespaces elsewhere" in str(refused["content"])
        with pytest.raises(LookupError):  # by a name that somebody has told it
            await theirs.call("run_tests_greet", {})
        assert (await whole.call("show_run", {"id": "waits-1"}))["structuredContent"]["status"] != "cancelled"
        # And it has what is its own.
        assert (await theirs.call("deploy_workflow", {"workflow": OWN}))["isError"] is False
        assert "run_elsewhere_made" in {tool["name"] for tool in await theirs.listed()}
        done = await theirs.call("run_elsewhere_made", {})
        assert done["structuredContent"]["output"] == {"x": 1}


async def test_a_token_that_is_none_is_told_to_the_assistant(server: Any) -> None:
    """And what needs no server works without it."""
    async with HttpApi(server.url, "wrong") as api:
        tools = Tools(api, acts=True, deploys=False)
        assert {tool["name"] for tool in await tools.listed()} >= {"validate_workflow"}
        refused = await tools.call("list_workflows", {})
        assert refused["isError"] is True
        assert "token" in str(refused["content"])
        assert (await tools.call("validate_workflow", {"workflow": OWN}))["isError"] is False
