"""Run the tests that failed just now once more, alone: ``python -m pytest || python -m tests.once_more $?``.

Ten thousand tests beside each other keep a machine so busy that one of them fails now and then for that alone, and each
time another one. What fails beside the others and passes alone is named, so that it is mended, and holds nothing up.
More than a few are no accident, and neither is anything that has not come to the end of the tests.
"""

from __future__ import annotations

import sys

import pytest

MOST = 3
"""How many tests may have failed."""


class _Outcomes:
    """A pytest plugin: what failed before, and what came of it now."""

    def __init__(self) -> None:
        self.before: list[str] = []
        self.passed: set[str] = set()
        self.failed: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        assert session.config.cache is not None
        self.before = sorted(session.config.cache.get("cache/lastfailed", {}))
        if not self.before:
            pytest.exit("no test is known to have failed, so there is none to run once more", 1)
        if len(self.before) > MOST:
            pytest.exit(f"{len(self.before)} tests failed: up to {MOST} are run once more", 1)

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
    again = pytest.main(["-n", "0", "--last-failed", "--last-failed-no-failures", "none"], [outcomes])
    sound = outcomes.passed - outcomes.failed
    for test in outcomes.before if len(outcomes.before) <= MOST else []:
        how = "flaky: {} failed beside others, and passed alone" if test in sound else "failed: {}, alone too"
        print(how.format(test))
    return 0 if again == 0 and sound.issuperset(outcomes.before) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
