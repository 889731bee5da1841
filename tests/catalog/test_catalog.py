from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from catalog import Catalog, Conflict, InvalidReference, InvalidSpec, NotFound
from catalog.stores import MemoryStore
from tests.catalog.documents import LIGHTS, ORDERS, published


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def catalog():
    return Catalog(MemoryStore(), clock=Clock())


def versioned(version, title="orders"):
    return ORDERS.replace("version: 1.0.0", f"version: {version}").replace("title: orders", f"title: {title}")


async def test_a_document_can_be_read_back_with_its_text(catalog):
    spec = await catalog.add("orders", ORDERS)
    assert (spec.name, spec.version, spec.title, spec.asyncapi) == ("orders", "1.0.0", "orders", "2.6.0")
    assert spec.operation_count == 3
    assert await catalog.get("orders") == spec
    assert (await catalog.get("orders", "1.0.0")).text == ORDERS
    assert [listed.text for listed in await catalog.list()] == [""]


async def test_the_same_text_again_changes_nothing(catalog):
    first = await catalog.register("orders", ORDERS)
    again = await catalog.register("orders", ORDERS)
    assert (first.outcome, again.outcome) == ("created", "unchanged")
    assert again.spec.registered_at == first.spec.registered_at


async def test_another_text_under_the_same_version_is_a_conflict_unless_it_shall_replace(catalog):
    await catalog.add("orders", ORDERS)
    changed = ORDERS.replace("createOrder", "placeOrder")
    with pytest.raises(Conflict, match=r"change info\.version"):
        await catalog.add("orders", changed)
    assert (await catalog.operation("orders", "createOrder")).id == "createOrder"
    assert (await catalog.register("orders", changed, replace=True)).outcome == "replaced"
    assert (await catalog.operation("orders", "placeOrder")).id == "placeOrder"
    with pytest.raises(NotFound):
        await catalog.operation("orders", "createOrder")


@pytest.mark.parametrize(
    ("versions", "latest"),
    [
        (["1.10.0", "1.9.0"], "1.10.0"),
        (["2.0.0-rc.1", "1.0.0"], "1.0.0"),
        (["1.0.0-rc.10", "1.0.0-rc.2", "1.0.0-beta"], "1.0.0-rc.10"),
        (["1.0.0-rc.1", "1.0.0-rc.1.1"], "1.0.0-rc.1.1"),
        (["winter", "0.1.0"], "0.1.0"),
        (["summer", "autumn"], "autumn"),
        (["v2", "1.9"], "v2"),
        (["1.0.0+b", "1.0.0+a"], "1.0.0+a"),
    ],
)
async def test_the_latest_is_the_highest_release(catalog, versions, latest):
    for version in versions:
        await catalog.add("orders", versioned(f"'{version}'"))
    assert (await catalog.get("orders")).version == latest
    assert (await catalog.get("orders", "latest")).version == latest
    assert (await catalog.operation("orders", "createOrder")).version == latest


async def test_a_removed_version_leaves_the_others(catalog):
    await catalog.add("orders", ORDERS)
    await catalog.add("orders", versioned("2.0.0"))
    await catalog.remove("orders", "2.0.0")
    assert (await catalog.get("orders")).version == "1.0.0"
    await catalog.remove("orders")
    assert await catalog.list() == []
    with pytest.raises(NotFound):
        await catalog.remove("orders")


async def test_operations_are_those_of_the_latest_versions(catalog):
    await catalog.add("orders", ORDERS)
    await catalog.add("orders", versioned("2.0.0").replace("createOrder", "placeOrder"))
    await catalog.add("lights", LIGHTS)
    assert [operation.id for operation in await catalog.operations()] == [
        "turnOn",
        "sendMeasurement",
        "placeOrder",
        "orderCreated",
        None,
    ]


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"service": "lights"}, ["turnOn", "sendMeasurement"]),
        ({"service": "nothing"}, []),
        ({"channel": "orders/{region}/created"}, ["createOrder", "orderCreated"]),
        ({"channel": "measured"}, ["sendMeasurement"]),
        ({"workflow_may": "publish"}, ["turnOn", "createOrder"]),
        ({"query": "CREATE an"}, ["createOrder"]),
        ({"query": "refusal"}, ["orderCreated"]),
        ({"query": "sales", "workflow_may": "subscribe"}, []),
    ],
)
async def test_operations_can_be_searched(catalog, filters, ids):
    await catalog.add("orders", ORDERS)
    await catalog.add("lights", LIGHTS)
    assert [operation.id for operation in await catalog.operations(**filters)] == ids


@pytest.mark.parametrize("name", ["order", "express", "payment"])
async def test_the_references_of_the_store_order_workflow_resolve(catalog, name):
    await catalog.add(f"{name}-service", published(f"eventmesh/asyncapi-test{name}.yaml"))
    operation = await catalog.resolve(f"file://{name}app.yaml#send{name.title()}")
    assert (operation.workflow_may, operation.channel.address) == ("publish", f"{name}/create")
    assert operation.service == f"{name}-service"
    received = await catalog.resolve(f"catalog://{name}-service#receive{name.title()}")
    assert (received.workflow_may, received.channel.address) == ("subscribe", f"{name}/create")


@pytest.mark.parametrize(
    "reference",
    [
        "file://orders.yaml#createOrder",
        "file:///orders.yml#createOrder",
        "file://./specs/orders.json#createOrder",
        "orders.yaml#createOrder",
        "catalog://orders#createOrder",
        "catalog://orders@1.0.0#createOrder",
        "catalog://orders@latest#createOrder",
        "orders#createOrder",
        "orders@1.0.0#create%4Frder",
    ],
)
async def test_every_form_of_a_reference_finds_the_operation(catalog, reference):
    await catalog.add("orders", ORDERS)
    assert (await catalog.resolve(reference)).id == "createOrder"


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "orders",
        "orders#",
        "#createOrder",
        "https://x/orders.yaml#op",
        "catalog://a/b#c",
        "file://orders#x",
    ],
)
async def test_what_is_no_reference_is_refused(catalog, reference):
    with pytest.raises(InvalidReference, match="catalog://"):
        await catalog.resolve(reference)


async def test_a_pinned_version_is_resolved_beside_a_newer_one(catalog):
    await catalog.add("orders", ORDERS)
    await catalog.add("orders", versioned("2.0.0"))
    assert (await catalog.resolve("catalog://orders@1.0.0#createOrder")).version == "1.0.0"
    assert (await catalog.resolve("orders#createOrder")).version == "2.0.0"


async def test_what_is_not_there_is_told_with_what_is(catalog):
    await catalog.add("orders", ORDERS)
    with pytest.raises(NotFound, match="did you mean 'orders'"):
        await catalog.resolve("catalog://ordrs#createOrder")
    with pytest.raises(NotFound, match="did you mean 'orders'"):
        await catalog.resolve("file://order.yaml#createOrder")
    with pytest.raises(NotFound, match="did you mean 'createOrder'"):
        await catalog.resolve("orders#creatOrder")
    with pytest.raises(NotFound, match=r"it has 1\.0\.0"):
        await catalog.resolve("orders@3.0.0#createOrder")


async def test_a_title_that_several_documents_have_must_be_told_apart(catalog):
    await catalog.add("orders-eu", ORDERS)
    await catalog.add("orders-us", ORDERS)
    with pytest.raises(Conflict, match=r"catalog://orders-eu#createOrder or catalog://orders-us#createOrder"):
        await catalog.resolve("file://orders.yaml#createOrder")
    await catalog.add("orders", versioned("1.0.0", title="anything"))
    assert (await catalog.resolve("file://orders.yaml#createOrder")).service == "orders"


async def test_a_registered_document_can_be_asked_for_an_operation_by_channel(catalog):
    await catalog.add("orders", ORDERS)
    description = await catalog.describe("orders")
    assert description.find(channel="orders/{region}/created", workflow_may="subscribe").id == "orderCreated"


@pytest.mark.parametrize("name", ["", " ", "a/b", "a#b", "a@b", "a\nb", "..", "a" * 201])
async def test_a_name_that_could_not_be_part_of_a_reference_is_refused(catalog, name):
    with pytest.raises(InvalidSpec) as raised:
        await catalog.add(name, ORDERS)
    assert raised.value.problems[0].code == "invalid-name"


async def test_nothing_of_a_bad_document_is_stored(catalog):
    with pytest.raises(InvalidSpec):
        await catalog.add("orders", ORDERS.replace("type: array", "type: arry"))
    with pytest.raises(InvalidSpec):
        await catalog.add("orders", versioned("latest"))
    assert await catalog.list() == []
    assert await catalog.operations() == []
