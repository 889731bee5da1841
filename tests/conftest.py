from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.temporal_server", "tests.running"]

SPEC = Path(os.environ.get("WFE_SPEC", Path(__file__).parents[2] / "shared" / "spec"))


@pytest.fixture(scope="session")
def spec() -> Path:
    if not SPEC.is_dir():
        pytest.skip(f"the specification's files are not at {SPEC}; set WFE_SPEC to where they are")
    return SPEC
