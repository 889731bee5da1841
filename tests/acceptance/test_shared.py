"""Several API processes on one PostgreSQL: what one is told the others know, and one that is killed is not missed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.test_durability import completed, get, post, until
from tests.catalog.documents import ORDERS
from tests.cli.command import environment
from workflow_engine.cli.stack import program
from workflow_engine.processes.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.temporal, pytest.mark.timeout(180)]

TAKE = """
document: {{dsl: '1.0.3', namespace: shop, name: take, version: '{version}'}}
schedule: {{on: {{one: {{with: {{type: order.placed}}}}}}}}
do:
  - paid:
      listen: {{to: {{one: {{with: {{type: order.paid, data: '${{ .order == "{order}" }}'}}}}}}}}
  - told: {{emit: {{event: {{with: {{type: order.done, source: /take/{version}, data: {{order: '{order}'}}}}}}}}}}
"""


@contextmanager
def process(
    folder: Path, name: str, settings: dict[str, str], *words: str
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(
            program(*words), env={**environment(), **settings}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield running
        finally:
            running.kill()
            running.wait()


def answers(url: str) -> bool:
    try:
        return bool(get(url, "/readyz"))
    except OSError:
        return False


def event(type: str, order: str, id: str) -> dict[str, Any]:
    return {"specversion": "1.0", "type": type, "source": "/shop", "id": id, "data": {"order": order}}


def published(url: str, *events: dict[str, Any]) -> None:
    for each in events:
        post(url, "/v1/events", json.dumps(each), "application/cloudevents+json")


def put(url: str, path: str, text: str) -> None:
    request = Request(
        url + path, data=text.encode(), headers={"Content-Type": "application/yaml"}, method="PUT"
    )
    with urlopen(request, timeout=20):
        pass


def runs(url: str, *known: str) -> list[str]:
    """The ids of all runs but those that are *known*."""
    return [run["id"] for run in get(url, "/v1/runs?workflow=take")["runs"] if run["id"] not in known]


def test_api_processes_on_one_database_are_one_engine_and_any_of_them_may_die(
    tmp_path: Path, temporal_address: str, postgresql_url: str
) -> None:
    urls = [f"http://127.0.0.1:{port}" for port in free_ports(2)]
    shared = {
        "WFE_TEMPORAL_ADDRESS": temporal_address,
        "WFE_TASK_QUEUE": f"shared-{uuid.uuid4()}",
        "WFE_EVENTS_STORE": postgresql_url,
        "WFE_DEFINITIONS_STORE": postgresql_url,
        "WFE_CATALOG_STORE": postgresql_url,
    }
    with ExitStack() as stack:
        apis = [
            stack.enter_context(
                process(
                    tmp_path,
                    f"api-{number}",
                    {**shared, "WFE_DATA": str(tmp_path / f"data-{number}"), "WFE_API_URL": url},
                    *("api", "--port", url.rpartition(":")[2]),
                )
            )
            for number, url in enumerate(urls)
        ]
        first, second = urls
        for url in urls:
            until(lambda url=url: answers(url), f"{url} is ready")  # type: ignore[misc]
        settings = {**shared, "WFE_DATA": str(tmp_path / "data-w"), "WFE_API_URL": second}
        stack.enter_context(process(tmp_path, "worker", settings, "worker"))

        # What one is told, the other knows.
        put(first, "/v1/catalog/specs/orders", ORDERS)
        assert get(second, "/v1/catalog/specs/orders")["version"] == "1.0.0"
        post(first, "/v1/workflows", TAKE.format(version="1.0.0", order="a"), "application/yaml")
        assert get(second, "/v1/workflows/shop/take/latest")["version"] == "1.0.0"
        with pytest.raises(HTTPError, match="409"):
            post(second, "/v1/workflows", TAKE.format(version="1.0.0", order="z"), "application/yaml")

        # An event that both are given starts one run; what it waits for may come by either.
        for url in urls:
            published(url, event("order.placed", "a", "a-placed"))
        (run,) = until(lambda: runs(second), "a run is started")
        until(lambda: get(first, f"/v1/runs/{run}")["status"] == "waiting", "it waits")
        published(second, event("order.paid", "other", "other-paid"), event("order.paid", "a", "a-paid"))
        completed(first, run)

        # One dies while a run waits for what comes by the other; the workflow is replaced there, too.
        published(first, event("order.placed", "a", "b-placed"))
        (waiting,) = until(lambda: runs(second, run), "it is started")
        until(lambda: get(first, f"/v1/runs/{waiting}")["status"] == "waiting", "it waits")
        os.kill(apis[0].pid, signal.SIGKILL)
        apis[0].wait()
        post(second, "/v1/workflows", TAKE.format(version="2.0.0", order="c"), "application/yaml")
        published(second, event("order.paid", "a", "b-paid"), event("order.placed", "c", "c-placed"))
        completed(second, waiting)
        (last,) = until(lambda: runs(second, run, waiting), "the next is started")
        assert get(second, f"/v1/runs/{last}")["workflow"]["version"] == "2.0.0"
        until(lambda: get(second, f"/v1/runs/{last}")["status"] == "waiting", "it waits")
        published(second, event("order.paid", "c", "c-paid"))
        completed(second, last)
        done = get(second, "/v1/events?type=order.done&limit=200")["events"]
        assert sorted(each["event"]["source"] for each in done) == [
            "/take/1.0.0",
            "/take/1.0.0",
            "/take/2.0.0",
        ]
        assert len(runs(second)) == 3
