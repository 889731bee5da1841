"""What processes need that not every machine has: the fixture `engine`, a container engine, and Node.js.

The code under test finds the engine by ``DOCKER_HOST``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.standins.container_engine import NoEngine, container_engine

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


@pytest.fixture(scope="session")
def engine_address() -> Iterator[str]:
    try:
        started = container_engine()
        address = started.__enter__()
    except NoEngine as why:
        pytest.skip(str(why))
    try:
        yield address
    finally:
        started.__exit__(None, None, None)


@pytest.fixture
def engine(engine_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its address; skips the test where there is none."""
    monkeypatch.setenv("DOCKER_HOST", engine_address)
    return engine_address
