"""Containers, on a real engine: what they get, what becomes of them, and how they are found again."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.calls.conftest import make_context
from tests.standins.container_engine import IMAGE, ask
from workflow_engine.calls import container
from workflow_engine.calls.container import conventional_name
from workflow_engine.calls.container_engine import ContainerEngine, EngineError
from workflow_engine.calls.container_sweeping import KEY, sweep
from workflow_engine.calls.context import ProcessBounds
from workflow_engine.errors import Error, Fault

MIB = 1024 * 1024
BOUNDS = ProcessBounds(seconds=60, memory=64 * MIB, processes=8, output=50_000, volumes=("/usr/share",))
ALWAYS = {"cleanup": "always"}


@pytest.fixture
def context(egress):
    key = f"run-{os.urandom(4).hex()}/do/0/call"
    return make_context(
        egress, processes=frozenset({"container"}), bounds=BOUNDS, idempotency_key=key, now=datetime.now(UTC)
    )


async def run(context: Any, **arguments: Any) -> Any:
    return await container.call({"image": IMAGE, "lifetime": ALWAYS, **arguments}, context)


async def failing(context: Any, **arguments: Any) -> Error:
    with pytest.raises(Fault) as caught:
        await run(context, **arguments)
    return caught.value.error


def of_call(engine: str, context: Any) -> list[dict[str, Any]]:
    """The containers of the call, described."""
    filters = quote(json.dumps({"label": [f"{KEY}={context.idempotency_key}"]}))
    listed = json.loads(ask(engine, "GET", f"/containers/json?all=1&filters={filters}")[1])
    return [json.loads(ask(engine, "GET", f"/containers/{each['Id']}/json")[1]) for each in listed]


def forget(engine: str, context: Any) -> None:
    for each in of_call(engine, context):
        ask(engine, "DELETE", f"/containers/{each['Id']}?force=1")


async def appeared(engine: str, context: Any, status: str = "running") -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            for each in of_call(engine, context):
                if each["State"]["Status"] == status:
                    return each
            await asyncio.sleep(0.02)


# --- what it gets ---------------------------------------------------------------------------------------------


async def test_a66_a_command_is_run_by_a_shell_with_the_arguments_as_parameters(engine, context):
    found = await run(
        context,
        command='echo "$1 $2|$(cat)"; echo no >&2',
        arguments=["a b", 2],
        stdin={"n": 1},
        **{"return": "all"},
    )
    assert found == {"code": 0, "stdout": 'a b 2|{"n": 1}\n', "stderr": "no\n"}


async def test_arguments_follow_the_command_of_the_image_or_replace_those_of_its_entry_point(engine, context):
    assert await run(context, arguments=["-c", "echo mine"]) == "mine\n"
    assert await run(context, image="localhost/wfe-entry") == "entered by default\n"
    other = replace(context, idempotency_key=context.idempotency_key + "#2")
    assert await run(other, image="localhost/wfe-entry", arguments=["a", "b"]) == "entered a b\n"


async def test_the_environment_of_a_container_is_the_authors_and_the_key(engine, context):
    found = await run(context, command="env", environment={"A": "x y", "N": 1, "NOT": None})
    shown = dict(line.split("=", 1) for line in found.splitlines())
    assert (shown["A"], shown["N"], "NOT" in shown) == ("x y", "1", False)
    assert (shown["WFE_RUN_ID"], shown["WFE_IDEMPOTENCY_KEY"]) == ("run-1", context.idempotency_key)


async def test_a_long_input_is_read_to_its_end(engine, context):
    assert await run(context, command="wc -c", stdin="x" * 1_000_000) == "1000000\n"


async def test_an_input_that_is_not_read_is_not_waited_for(engine, context):
    assert await run(context, command="echo done", stdin="x" * 1_000_000) == "done\n"


@pytest.mark.parametrize("breaks", ["off", "not off"])
async def test_what_was_written_is_read_again_when_the_engine_does_not_say_it_to_the_end(
    engine, context, monkeypatch, breaks
):
    """As Podman does at times when a container ends at the moment that its output is asked for."""
    logs = ContainerEngine.logs

    async def broken(self, id, sinks, *, follow):
        if follow:
            sinks["stdout"](b"do")
            if breaks == "off":
                raise EngineError(500, "failed to obtain logs: no such process")
            await asyncio.sleep(60)
        await logs(self, id, sinks, follow=follow)

    monkeypatch.setattr(ContainerEngine, "logs", broken)
    monkeypatch.setattr(container, "LAG", 0.1)
    assert await run(context, command="echo done; exit 3", **{"return": "all"}) == {
        "code": 3,
        "stdout": "done\n",
        "stderr": "",
    }


async def test_what_the_engine_is_told_of_a_container(engine, context):
    options = {
        "ports": {"8080": 80, "127.0.0.1:5353": "53/udp"},
        "volumes": {"/usr/share": "/mnt:ro", "named": "/data"},
    }
    await run(context, command="true", lifetime={"cleanup": "never"}, **options)
    [made] = of_call(engine, context)
    labels = made["Config"]["Labels"]
    assert (labels["wfe.run"], labels["wfe.state"], labels["wfe.cleanup"]) == ("run-1", "/do/0/call", "never")
    assert made["Name"].lstrip("/") == conventional_name(context)
    bound = made["HostConfig"]["PortBindings"]
    assert [each["HostPort"] for each in bound["80/tcp"]] == ["8080"]
    assert bound["53/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "5353"}]
    mounted = {each["Destination"]: each["RW"] for each in made["Mounts"]}
    assert mounted == {"/mnt": False, "/data": True}
    assert made["HostConfig"]["Memory"] == BOUNDS.memory
    assert made["HostConfig"]["PidsLimit"] == 128
    forget(engine, context)


def test_the_name_of_a_container_is_as_the_specification_proposes(egress):
    context = make_context(egress, source="/shop/order/1.0.0", state="/do/0/pack~1it")
    name = conventional_name(context)
    assert name.startswith("order-")
    assert name.endswith(".shop-pack-it")
    assert name == conventional_name(context), "the same for each attempt"
    assert name != conventional_name(replace(context, idempotency_key="other"))


# --- what becomes of it ---------------------------------------------------------------------------------------


async def test_a68_a_container_is_kept_unless_its_lifetime_says_otherwise(engine, context):
    assert await run(context, command="echo kept", lifetime=None) == "kept\n"
    [kept] = of_call(engine, context)
    assert kept["State"]["Status"] == "exited"
    forget(engine, context)
    await run(context, command="echo gone", lifetime={"cleanup": "always"})
    assert of_call(engine, context) == []


async def test_a68_always_is_also_when_it_fails(engine, context):
    error = await failing(context, command="echo bad >&2; exit 3")
    assert error.detail == f"the container of image {IMAGE} ended with exit code 3: bad"
    assert of_call(engine, context) == []


async def test_a68_eventually_is_after_its_time_by_whoever_is_there_then(engine, context):
    await run(context, command="true", lifetime={"cleanup": "eventually", "after": {"minutes": 30}})
    assert len(of_call(engine, context)) == 1
    async with ContainerEngine(engine) as client:
        await sweep(client, datetime.now(UTC) + timedelta(minutes=29))
        assert len(of_call(engine, context)) == 1
        await sweep(client, datetime.now(UTC) + timedelta(minutes=31))
    assert of_call(engine, context) == []


async def test_a_container_that_nobody_ended_is_ended_after_its_time(engine, context):
    calling = asyncio.create_task(run(context, command="sleep 600"))
    made = await appeared(engine, context)
    async with ContainerEngine(engine) as client:
        await sweep(client, datetime.now(UTC) + timedelta(seconds=60))
        assert of_call(engine, context)[0]["State"]["Status"] == "running"
        await sweep(client, datetime.now(UTC) + timedelta(seconds=120))
    assert made["Config"]["Labels"]["wfe.deadline"]
    with pytest.raises(Fault):
        await calling


async def test_a_container_whose_time_is_up_is_ended(engine, context):
    short = replace(context, timeout=3.0)
    error = await failing(short, command="sleep 600", lifetime={"cleanup": "never"})
    assert (error.type.rpartition("/")[2], error.status) == ("timeout", 408)
    assert [each["State"]["Running"] for each in of_call(engine, context)] == [False]
    forget(engine, context)


async def test_a_cancelled_call_ends_and_removes_its_container(engine, context):
    calling = asyncio.create_task(run(context, command="sleep 600"))
    await appeared(engine, context)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    async with asyncio.timeout(30):
        while of_call(engine, context):  # noqa: ASYNC110 - the engine does not tell
            await asyncio.sleep(0.02)


# --- attempts -------------------------------------------------------------------------------------------------


async def test_another_attempt_goes_on_with_the_container_of_the_one_that_was_lost(engine, context):
    command = "sleep 1; echo $HOSTNAME"
    lost = asyncio.create_task(run(context, command=command, lifetime={"cleanup": "never"}))
    first = await appeared(engine, context)
    again = await run(context, command=command, lifetime={"cleanup": "never"})
    assert again == await lost == first["Id"][:12] + "\n"
    assert again == await run(context, command=command, lifetime={"cleanup": "never"}), (
        "and takes what has ended"
    )
    assert len(of_call(engine, context)) == 1
    forget(engine, context)


async def test_a_container_that_read_its_input_is_replaced_by_another_attempt(engine, context):
    lost = asyncio.create_task(run(context, command="cat; sleep 600", stdin="in"))
    first = await appeared(engine, context)
    assert await run(context, command="cat", stdin="in") == "in"
    with pytest.raises(Fault):
        await lost
    assert of_call(engine, context) == []
    assert first["Id"]


async def test_a_container_that_was_ended_is_made_anew(engine, context):
    error = await failing(context, command="kill -KILL $$; sleep 1; kill -TERM 1; exit 143", lifetime=None)
    assert "exit code" in error.detail
    assert await run(context, command="echo again", lifetime=ALWAYS) == "again\n"


async def test_a_name_that_is_taken_is_a_fault(engine, context):
    await run(context, command="true", name="mine", lifetime=None)
    [mine] = of_call(engine, context)
    assert mine["Name"].lstrip("/") == "mine"
    other = replace(context, idempotency_key=context.idempotency_key + "#2")
    error = await failing(other, command="true", name="mine")
    assert (error.type.rpartition("/")[2], error.status) == ("configuration", 409)
    assert of_call(engine, context) == [mine]
    forget(engine, context)


# --- bounds and faults ----------------------------------------------------------------------------------------


async def test_a_container_that_takes_too_much_memory_is_ended(engine, context):
    error = await failing(context, command="x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done")
    assert "memory" in error.detail or "SIGKILL" in error.detail


async def test_a_container_that_writes_without_end_is_ended(engine, context):
    error = await failing(context, command="yes")
    assert "wrote more than 50,000 bytes to stdout" in error.detail
    assert of_call(engine, context) == []


@pytest.mark.parametrize(
    ("pull", "kind", "status"),
    [
        ("never", "configuration", 404),
        ("ifNotPresent", "communication", 500),
        ("always", "communication", 500),
    ],
)
async def test_an_image_that_cannot_be_had_is_a_fault(engine, context, pull, kind, status):
    error = await failing(context, image="127.0.0.1:1/nowhere", pullPolicy=pull)
    assert (error.type.rpartition("/")[2], error.status) == (kind, status)


async def test_without_an_engine_it_is_a_configuration_fault(context, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    error = await failing(context)
    assert (error.type.rpartition("/")[2], error.status) == ("configuration", 400)
    assert "no container engine can be reached" in error.detail
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert "no container engine can be reached" in (await failing(context)).detail
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert "TLS" in (await failing(context)).detail
    monkeypatch.delenv("DOCKER_TLS_VERIFY")
    monkeypatch.setenv("DOCKER_HOST", "npipe:////./pipe/docker_engine")
    assert "DOCKER_HOST" in (await failing(context)).detail


async def test_a_container_that_the_operator_does_not_allow_is_an_authorization_fault(context):
    error = await failing(replace(context, processes=frozenset({"shell"})))
    assert (error.type.rpartition("/")[2], error.status) == ("authorization", 403)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"image": ""}, "needs an image"),
        ({"image": 1}, "image must be text"),
        ({"name": "-x"}, "cannot be the name"),
        ({"name": "a b"}, "cannot be the name"),
        ({"command": ["ls"]}, "command must be text"),
        ({"ports": {"x": 80}}, "ports has"),
        ({"ports": {"80": 70000}}, "ports has"),
        ({"ports": [80]}, "ports must be an object"),
        ({"volumes": {"/etc": "/mnt"}}, "WFE_CONTAINER_VOLUMES"),
        ({"volumes": {"/usr/share/../../etc": "/mnt"}}, "WFE_CONTAINER_VOLUMES"),
        ({"volumes": {"/usr/share": "mnt"}}, "mounted at /PATH"),
        ({"volumes": {"/usr/share": "/mnt:z"}}, "mounted at /PATH"),
        ({"volumes": {"../x": "/mnt"}}, "neither the name of a volume"),
        ({"environment": {"A": "\0"}}, "NUL"),
        ({"lifetime": {"cleanup": "soon"}}, "lifetime.cleanup must be one of"),
        ({"lifetime": {"cleanup": "eventually", "after": "soon"}}, "lifetime.after"),
        ({"pullPolicy": "daily"}, "pullPolicy must be one of"),
        ({"return": "stdin"}, "return must be one of"),
    ],
)
async def test_what_makes_no_container_is_a_fault(context, arguments, told):
    error = await failing(context, **arguments)
    assert error.status in {400, 403}
    assert told in error.detail
