"""In which order files are given to the processes that run tests: a pytest plugin (`pytest_plugins = ["tests.order"]`).

Some files wait for most of their time, for processes to start or for a server to find that one has died; the others
compute. With two of the first kind at a time beside two of the other, the cores have something to do from the beginning
to the end; and no file that takes long is left for the end.

A process that dies in a test takes nothing with it but that test: `Files`.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling
from xdist.workermanage import WorkerController

PROCESSES = 4
"""How many run tests, by pyproject.toml."""
WAITING_AT_A_TIME = 2
"""How many of them have a file that waits, as long as there are others."""
WAITING: Mapping[str, float] = {
    "tests/acceptance/test_schedules.py": 80,
    "tests/cli/test_dev.py": 80,
    "tests/acceptance/test_durability.py": 75,
    "tests/chaos/test_chaos.py": 75,
    "tests/acceptance/test_lifecycle.py": 60,
    "tests/acceptance/test_durability_0_8.py": 55,
    "tests/runtimes/test_schedules.py": 45,
    "tests/brokers/test_sources_nats.py": 40,
    "tests/test_benchmark.py": 35,
    "tests/cli/test_demo.py": 30,
    "tests/telemetry/test_traces.py": 28,
    "tests/cli/test_schedules.py": 28,
    "tests/runtimes/test_parked.py": 26,
    "tests/acceptance/test_broker.py": 25,
    "tests/brokers/test_amqp.py": 25,
    "tests/cli/test_worker.py": 25,
    "tests/acceptance/test_store_order.py": 24,
    "tests/acceptance/test_secrets_everywhere.py": 23,
    "tests/cli/test_migrating_runs.py": 20,
    "tests/brokers/test_kafka.py": 20,
    "tests/runtimes/test_continuing.py": 20,
    "tests/runtimes/test_temporal_server.py": 20,
    "tests/acceptance/test_shared.py": 14,
    "tests/runtimes/test_moving_at_work.py": 14,
    "tests/runtimes/test_lifecycle.py": 14,
    "tests/cli/test_serve.py": 12,
    "tests/cli/test_supervisor.py": 12,
    "tests/acceptance/test_secrets.py": 11,
    "tests/runtimes/test_following.py": 11,
}
"""About how many seconds each takes that waits; those that are not here are taken for ones that compute."""
A_TEST = 0.1
"""Seconds for each test of the others."""


class Files(LoadFileScheduling):
    """As `--dist loadfile`, and goes on whatever has died.

    A process begins a test only when it knows the next one, or that there is none. xdist gives the files of one that
    died to the next, one at a time: with a single test left of a file, both wait for ever. And it runs the test that
    the process died in again, which ends the next process.
    """

    def remove_node(self, node: WorkerController) -> str | None:
        files = self.assigned_work.pop(node)
        died_in = next((test for tests in files.values() for test, ran in tests.items() if not ran), None)
        for name, tests in files.items():
            if died_in is not None and died_in in tests:
                tests[died_in] = True
            if not all(tests.values()):
                self.workqueue[name] = tests
        for other in self.nodes:
            self._reschedule(other)
        return died_in

    def _reschedule(self, node: WorkerController) -> None:
        super()._reschedule(node)
        while self._pending_of(self.assigned_work[node]) == 1 and not node.shutting_down:
            super()._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return Files(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    sizes = {name: len(tests) for name, tests in files.items()}
    items[:] = [item for name in ordered(sizes) for item in files[name]]


def ordered(sizes: Mapping[str, int]) -> list[str]:
    """The names of files with so many tests, in the order in which they are to be begun."""
    waiting = sorted((name for name in sizes if name in WAITING), key=lambda name: -WAITING[name])
    others = [name for name in sizes if name not in WAITING]
    free = [(0.0, number, False) for number in range(PROCESSES)]
    found: list[str] = []
    waits = 0
    while waiting or others:
        now, number, waited = heapq.heappop(free)
        waits -= waited
        chosen = waiting if waiting and (waits < WAITING_AT_A_TIME or not others) else others
        name = chosen.pop(0)
        waits += chosen is waiting
        found.append(name)
        takes = WAITING.get(name, A_TEST * sizes[name])
        heapq.heappush(free, (now + takes, number, chosen is waiting))
    return found
