from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from workflow_engine.dsl.collecting import settle

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", patient, derandomize=True)
settings.register_profile("exploring", patient)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
"""The same examples in every run; ``HYPOTHESIS_PROFILE=exploring`` looks for new ones."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell has it for what it starts in the background: the programs that tests interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What tests start, and start again, is compiled once, whatever the machine has otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Thousands of tests are made and stay: garbage is looked for when all are there, and not among them.
gc.disable()


def pytest_collection_finish() -> None:
    settle()
    gc.enable()


pytest_plugins = [
    "tests.once_more",
    "tests.watchdog",
    "tests.order",
    "tests.temporal_server",
    "tests.running",
    "tests.engines",
    "tests.runtimes.far_side",
    "tests.standins.nats",
    "tests.standins.postgresql",
]

SPEC = Path(os.environ.get("WFE_SPEC", Path(__file__).parents[2] / "shared" / "spec"))


@pytest.fixture(scope="session")
def spec() -> Path:
    if not SPEC.is_dir():
        pytest.skip(f"the specification's files are not at {SPEC}; set WFE_SPEC to where they are")
    return SPEC
