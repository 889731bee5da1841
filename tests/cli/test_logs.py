"""What a server's processes log: one line for what is to be expected, a traceback for our bugs."""

from __future__ import annotations

import logging
import sys

import pytest

from workflow_engine.cli.logs import Formatter, OutageSeldom, ParkedOnce, SameSeldom
from workflow_engine.errors import Rejected, Unavailable, fault

ACTIVITY = {"activity_id": "/do/1/pay", "activity_type": "call.http", "attempt": 3, "workflow_id": "order-1"}


def told(message: str, error: Exception | None = None, **extra: object) -> str:
    raised = None
    if error is not None:
        try:
            raise error
        except Exception:
            raised = sys.exc_info()
    record = logging.LogRecord("part", logging.WARNING, __file__, 1, message, None, raised)
    record.__dict__.update(extra)
    line = Formatter().format(record)
    assert Formatter().format(record) == line  # another handler may have had it before
    return line


def test_a_failed_activity_is_told_with_its_run_its_state_and_its_attempt():
    line = told("Completing activity as failed", Unavailable("the API is away"), temporal_activity=ACTIVITY)
    assert line.endswith(
        "WARNING part: run order-1: call.http at /do/1/pay, attempt 3: Completing activity as failed: the API is away"
    )


def test_a_type_that_stands_in_the_id_is_not_said_twice():
    about = ACTIVITY | {"activity_id": "event.listen:/do/0/hear", "activity_type": "event.listen"}
    assert "run order-1: event.listen:/do/0/hear, attempt 3: " in told("x", temporal_activity=about)


def test_what_a_run_says_begins_with_its_id_and_its_workflow():
    about = {"workflow_id": "order-1", "workflow_type": "order"}
    assert "run order-1 of order: faulted" in told("faulted", temporal_workflow=about)


@pytest.mark.parametrize(
    "error", [Unavailable("gone"), Rejected("code", "gone"), fault("communication", "gone")]
)
def test_what_goes_wrong_in_every_system_is_one_line(error: Exception):
    line = told("it failed", error)
    assert "Traceback" not in line
    assert "\n" not in line
    assert "gone" in line


def test_a_bug_has_its_traceback():
    line = told("it failed", KeyError("here"))
    assert "Traceback" in line
    assert "KeyError: 'here'" in line


def test_data_in_a_message_cannot_pretend_to_be_another_line():
    assert "\n" not in told("event one\n2026-01-01 ERROR wfe: it burns")


def test_a_temporal_that_does_not_answer_is_told_once_a_minute_and_whenever_the_cause_is_another():
    seldom = OutageSeldom()

    def said(cause: str, at: float, name: str = "temporal") -> str | None:
        text = (
            "gRPC call poll_workflow_task_queue retried 6 times {'error': 'Status { code: Unavailable, message: "
            f'"tcp connect error", source: Some(Os {{ code: 111, message: "{cause}" }}) }}\'}}'
        )
        record = logging.LogRecord(name, logging.WARNING, __file__, 1, text, None, None)
        record.created = at
        return record.getMessage() if seldom.filter(record) else None

    first = "Temporal does not answer: refused (poll_workflow_task_queue, asked 6 times); it is asked again"
    assert said("refused", 1000.0) == first
    assert [said("refused", 1000.0 + second) for second in range(1, 60)] == [None] * 59
    assert said("refused", 1061.0) == f"{first}; 59 lines like this were left out"
    assert said("no route", 1062.0) == first.replace("refused", "no route")
    assert said("no route", 1063.0, "elsewhere") is not None

    def beat(at: float) -> str | None:
        text = (
            "Network error while sending worker heartbeat {'error': 'Status { code: Unavailable, message: "
            'Os { code: 111, kind: ConnectionRefused, message: "no route" }}\'}'
        )
        record = logging.LogRecord("temporal", logging.WARNING, __file__, 1, text, None, None)
        record.created = at
        return record.getMessage() if seldom.filter(record) else None

    assert beat(1064.0) is None
    first = "Temporal does not answer: no route (a worker's sign of life); it is asked again"
    assert beat(1130.0) == f"{first}; 1 lines like this were left out"


def of_the_sdk(message: str, error: Exception, name: str) -> logging.LogRecord:
    return logging.LogRecord(
        f"temporalio.worker.{name}", logging.ERROR, __file__, 1, message, None, (type(error), error, None)
    )


@pytest.mark.parametrize(
    ("said", "name", "which"),
    [
        ("Failed activation on workflow order with ID order-1 and run ID 7", "_workflow_instance", ""),
        (
            "Failed encoding completion on workflow with run ID 7",
            "_workflow",
            "the workflow with run ID 7 is ",
        ),
    ],
)
def test_a_run_that_wants_a_key_or_the_store_is_told_once_and_not_as_a_bug(said: str, name: str, which: str):
    once = ParkedOnce()
    away = of_the_sdk(said, Unavailable("the payload store is not there"), name)
    assert once.filter(away)
    line = Formatter().format(away)
    assert line.endswith(
        f"{which}held up: the payload store is not there; it goes on by itself once that is mended. This is told once"
    )
    assert not once.filter(of_the_sdk(said, Unavailable("the payload store is not there"), name))
    bug = of_the_sdk(said, KeyError("total"), name)
    assert once.filter(bug)
    assert "parked by a bug: 'total'; it goes on once a fixed worker runs" in bug.getMessage()
    assert bug.exc_info is not None


def test_a_warning_that_comes_every_second_is_told_once_a_minute():
    seldom = SameSeldom()

    def said(message: str, at: float, level: int = logging.WARNING) -> str | None:
        record = logging.LogRecord("workflow_engine.events.peers", level, __file__, 1, "%s", (message,), None)
        record.created = at
        return record.getMessage() if seldom.filter(record) else None

    assert said("no news", 1000.0) == "no news"
    assert [said("no news", 1000.0 + second) for second in range(1, 60)] == [None] * 59
    assert said("it lives", 1030.0) == "it lives"
    assert said("no news", 1060.0) == "no news; 59 lines like this were left out"
    assert [said("it fails", 1061.0, logging.ERROR) for _ in range(2)] == ["it fails"] * 2
