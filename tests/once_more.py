"""Run the tests that failed just now once more, alone: ``python -m pytest || python -m tests.once_more $?``.

Ten thousand tests beside each other keep a machine so busy that one of them fails now and then for that alone, and each
time another one. What fails beside the others and passes alone is named, so that it is mended, and holds nothing up.
More than a few are no accident, and neither is anything that has not come to the end of the tests, or a process that
died in one of them (but by `tests.watchdog`: that one has failed like others).

As a pytest plugin, it remembers what failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

MOST = 3
"""How many tests may have failed."""
_FAILED, _DIED = "once_more/failed", "once_more/died"


class _Failures:
    """What failed in this run, whatever became of it after that: a test with which its process dies is run again."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.died: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
            # So says xdist of a test with which its process died; a phase of a test has a name.
            if report.when not in ("setup", "call", "teardown"):
                self.died.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        cache = session.config.cache
        assert cache is not None
        ended = {path.read_text() for path in ended_folder(cache).iterdir()}
        cache.set(_FAILED, sorted(self.failed))
        cache.set(_DIED, sorted(self.died - ended))


def ended_folder(cache: pytest.Cache) -> Path:
    """Where `tests.watchdog` names, in a file each, the tests that it ended a process for."""
    return cache.mkdir("once_more-ended")


def pytest_configure(config: pytest.Config) -> None:
    """Remember, in the process that the others report to."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is not None and not hasattr(config, "workerinput"):
        for path in ended_folder(cache).iterdir():
            path.unlink()
        config.pluginmanager.register(_Failures())


class _Outcomes:
    """A pytest plugin: what failed before, and what came of it now."""

    def __init__(self) -> None:
        self.before: list[str] = []
        self.passed: set[str] = set()
        self.failed: set[str] = set()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        cache = session.config.cache
        assert cache is not None
        if died := cache.get(_DIED, []):
            pytest.exit(f"the process died in {', '.join(died)}: that is no accident", 1)
        failed = cache.get(_FAILED, [])
        if not failed:
            pytest.exit("no test is known to have failed, so there is none to run once more", 1)
        if len(failed) > MOST:
            pytest.exit(f"{len(failed)} tests failed: up to {MOST} are run once more", 1)
        self.before = failed

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.before]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)


def main(ended: int) -> int:
    """The exit code for a run of all tests that *ended* so."""
    if ended != pytest.ExitCode.TESTS_FAILED:
        return ended
    print("\nOnce more, alone:", flush=True)
    outcomes = _Outcomes()
    again = pytest.main(["-n", "0"], [outcomes])
    sound = outcomes.passed - outcomes.failed
    for test in outcomes.before:
        how = "flaky: {} failed beside others, and passed alone" if test in sound else "failed: {}, alone too"
        print(how.format(test))
    return 0 if again == 0 and outcomes.before and sound.issuperset(outcomes.before) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
