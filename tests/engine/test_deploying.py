"""Deploying: what is kept, and whose events start it, whoever deploys at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.local_runtime import LocalRuntime
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.dsl.needs import Need
from workflow_engine.engine.deleting import Deleting
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.engine.targets import WorkflowTarget
from workflow_engine.engine.triggers import Triggers
from workflow_engine.errors import Conflict, InvalidDocument, NotFound, Rejected, Unavailable
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.values import Json, JsonObject

SUBSCRIPTION = "workflow:tests/greet"


def text(version: str, *, trigger: str | None = None, namespace: str = "tests", end: str = "") -> str:
    header = f"document: {{dsl: '1.0.3', namespace: {namespace}, name: greet, version: '{version}'}}\n"
    schedule = f"schedule: {{on: {{one: {{with: {{type: {trigger}}}}}}}}}\n" if trigger else ""
    return f"{header}{schedule}do: [{{greet: {{set: {{version: '{version}'}}}}}}]\n{end}"


class Nobody:
    """Starts no runs."""

    async def start_by_events(
        self, namespace: str, name: str, identity: str, events: Sequence[JsonObject], **options: Any
    ) -> str:
        raise NotFound("workflow", f"{namespace}/{name}")


async def nothing(need: Need) -> Json:
    raise NotFound("resource", need.reference)


class Slow(MemoryDefinitions):
    """A store whose answers about the latest version come late, the earlier the later."""

    def __init__(self) -> None:
        super().__init__()
        self.pause = 0.02

    async def get(self, namespace, name, version):  # type: ignore[no-untyped-def]
        found = await super().get(namespace, name, version)
        if version is None:
            self.pause /= 2
            await asyncio.sleep(self.pause)
        return found


@pytest.fixture
async def router() -> AsyncIterator[Router]:
    started = Router(open_store("memory:"), targets={"workflow": WorkflowTarget(Nobody())})
    await started.start()
    yield started
    await started.stop()


async def engine(router: Router, store: MemoryDefinitions | None = None) -> Engine:
    client = await connect("127.0.0.1:1", "default", lazy=True)
    made = Engine(store or MemoryDefinitions(), TemporalRuntime(client, "nobody"), resolve=nothing)
    made.triggers = Triggers(router)
    return made


def trigger(router: Router) -> str | None:
    """The type of the events that start the workflow."""
    found = router.subscription(SUBSCRIPTION)
    if found is None:
        return None
    return str(found.strategy["filters"][0]["attributes"]["type"]["equals"])


async def test_the_same_text_again_changes_nothing_and_another_is_refused(router: Router) -> None:
    engine_ = await engine(router)
    first = await engine_.deploy(text("1.0.0"))
    assert first.created
    for same in (text("1.0.0"), text("1.0.0", end="# a comment\n"), text("1.0.0").replace("\n", "\r\n")):
        again = await engine_.deploy(same)
        assert not again.created
        assert again.definition == first.definition
    with pytest.raises(Conflict, match="give the new text a new version"):
        await engine_.deploy(text("1.0.0", trigger="a.b"))
    assert trigger(router) is None


async def test_the_trigger_is_that_of_the_highest_version(router: Router) -> None:
    engine_ = await engine(router)
    await engine_.deploy(text("2.0.0", trigger="two"))
    await engine_.deploy(text("1.0.0", trigger="one"))
    assert trigger(router) == "two"
    await engine_.deploy(text("10.0.0", trigger="ten"))
    assert trigger(router) == "ten"
    await engine_.deploy(text("11.0.0"))
    assert trigger(router) is None
    await engine_.deploy(text("12.0.0", trigger="twelve", namespace="others"))
    assert trigger(router) is None


async def test_versions_deployed_at_the_same_time_leave_the_trigger_of_the_highest(router: Router) -> None:
    engine_ = await engine(router, Slow())
    versions = [f"{number}.0.0" for number in (3, 1, 5, 2, 4)]
    await asyncio.gather(*(engine_.deploy(text(each, trigger=f"t{each[0]}")) for each in versions))
    assert trigger(router) == "t5"


async def test_versions_deployed_by_several_processes_leave_the_trigger_of_the_highest(
    router: Router,
) -> None:
    store = Slow()
    versions = [f"{number}.0.0" for number in (3, 1, 5, 2, 4)]
    engines = [await engine(router, store) for _ in versions]
    await asyncio.gather(
        *(
            each.deploy(text(version, trigger=f"t{version[0]}"))
            for each, version in zip(engines, versions, strict=True)
        )
    )
    assert trigger(router) == "t5"


async def test_of_two_texts_for_one_version_at_the_same_time_one_wins(router: Router) -> None:
    engine_ = await engine(router)
    texts = [text("1.0.0", trigger=f"t{number}") for number in range(5)]
    answers = await asyncio.gather(*(engine_.deploy(each) for each in texts), return_exceptions=True)
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert all(isinstance(answer, Conflict) for answer in answers if answer is not won[0])
    assert trigger(router) == f"t{texts.index(won[0].definition.text)}"


async def test_of_one_text_deployed_twice_at_the_same_time_one_is_created(router: Router) -> None:
    engine_ = await engine(router)
    answers = await asyncio.gather(
        *(engine_.deploy(text("1.0.0", end=f"# {number}\n")) for number in range(4))
    )
    assert sorted(answer.created for answer in answers) == [False, False, False, True]
    assert len({answer.definition.text for answer in answers}) == 1


async def test_a_deployment_that_cannot_be_read_any_more_leaves_the_others_their_triggers(
    router: Router,
) -> None:
    store = MemoryDefinitions()
    before = await engine(router, store)
    await before.deploy(text("1.0.0", trigger="tests"))
    kept = (await before.deploy(text("1.0.0", trigger="others", namespace="others"))).definition
    await router.delete_subscription(SUBSCRIPTION)
    await router.delete_subscription("workflow:others/greet")
    plain = kept.bundle.data.replace(b'"do"', b'"does"')
    store._kept["others", "greet"] = {"1.0.0": replace(kept, bundle=Bundle("0" * 64, plain))}
    await (await engine(router, store)).restore_triggers()
    assert trigger(router) == "tests"
    assert router.subscription("workflow:others/greet") is None


async def test_nothing_is_kept_of_a_workflow_that_needs_what_is_not_there(router: Router) -> None:
    engine_ = await engine(router)
    needy = text("1.0.0", trigger="x").replace(
        "{set: {version: '1.0.0'}}", "{call: asyncapi, with: {operation: 'file://a.yaml#b'}}"
    )
    with pytest.raises(InvalidDocument):
        await engine_.deploy(needy)
    with pytest.raises(NotFound):
        await engine_.definition("tests", "greet")
    assert trigger(router) is None


async def test_who_deploys_says_whether_runs_are_express_and_a_version_does_not_change_that(
    router: Router,
) -> None:
    engine_ = await engine(router)
    first = await engine_.deploy(text("1.0.0"), express=True)
    assert first.definition.bundle.graph().express
    assert not (await engine_.deploy(text("1.0.0"))).created
    assert not (await engine_.deploy(text("1.0.0"), express=True)).created
    with pytest.raises(Conflict, match="with express runs"):
        await engine_.deploy(text("1.0.0"), express=False)
    assert not (await engine_.deploy(text("2.0.0"))).definition.bundle.graph().express


async def test_the_setting_makes_runs_express_where_nobody_has_said_anything(router: Router) -> None:
    client = await connect("127.0.0.1:1", "default", lazy=True)
    runtime = TemporalRuntime(client, "nobody")
    engine_ = Engine(MemoryDefinitions(), runtime, resolve=nothing, express=True)
    said = text("2.0.0").replace("version: '2.0.0'}\n", "version: '2.0.0', metadata: {express: false}}\n")
    assert (await engine_.deploy(text("1.0.0"))).definition.bundle.graph().express
    assert not (await engine_.deploy(said)).definition.bundle.graph().express
    assert not (await engine_.deploy(text("3.0.0"), express=False)).definition.bundle.graph().express


class Stuck(MemoryDefinitions):
    """A store that cannot be written any more."""

    async def remove(self, namespace, name, versions, at):  # type: ignore[no-untyped-def]
        raise Unavailable("the definition store does not work")


async def test_a_trigger_of_what_was_deleted_is_taken_back_once_that_can_be_done(router: Router) -> None:
    """Whoever deleted the workflow has died before it came to its trigger."""
    for way in ("a process starts", "it is asked for again"):
        store = MemoryDefinitions()
        engine_ = Engine(store, LocalRuntime(), resolve=nothing)
        engine_.triggers = Triggers(router)
        await engine_.deploy(text("1.0.0", trigger="one"))
        await store.remove("tests", "greet", ["1.0.0"], datetime.now(UTC))
        assert trigger(router) == "one"
        if way == "a process starts":
            await engine_.restore_triggers()
        else:
            with pytest.raises(NotFound, match="it was deleted at"):
                await Deleting(engine_).delete("tests", "greet", None)
        assert trigger(router) is None, way


async def test_what_could_not_be_deleted_is_started_by_its_events_as_before(router: Router) -> None:
    engine_ = Engine(Stuck(), LocalRuntime(), resolve=nothing)
    engine_.triggers = Triggers(router)
    await engine_.deploy(text("1.0.0", trigger="one"))
    with pytest.raises(Rejected, match="events start it by workflow:tests/greet"):
        await Deleting(engine_).delete("tests", "greet", None)
    with pytest.raises(Unavailable):
        await Deleting(engine_).delete("tests", "greet", None, despite=["triggers"])
    assert trigger(router) == "one"


async def test_a_version_that_is_deployed_while_others_are_deleted_stays(router: Router) -> None:
    class Meanwhile(MemoryDefinitions):
        async def remove(self, namespace, name, versions, at):  # type: ignore[no-untyped-def]
            await engine_.deploy(text("2.0.0", trigger="two"))
            return await super().remove(namespace, name, versions, at)

    engine_ = Engine(Meanwhile(), LocalRuntime(), resolve=nothing)
    engine_.triggers = Triggers(router)
    await engine_.deploy(text("1.0.0"))
    deleted = await Deleting(engine_).delete("tests", "greet", None)
    assert ([each.workflow.version for each in deleted.versions], deleted.latest) == (["1.0.0"], "2.0.0")
    assert trigger(router) == "two"
