"""What becomes of each example of the specification: the scenarios of its own tests, on both documents."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.migration.both import Both
from tests.semantics.v0_8 import test_spec_examples as examples
from workflow_engine import dsl
from workflow_engine.dsl import migration
from workflow_engine.dsl.definition_files import read
from workflow_engine.errors import InvalidDocument, Rejected

Scenario = tuple[Callable[..., Any], dict[str, Any]]

VERIFIED: dict[str, list[Scenario]] = {
    "accumulate-room-readings": [(examples.test_room_readings_are_accumulated_until_the_report, {})],
    "applicant-request-decision-example": [
        (examples.test_applicant_request_decision_starts_or_rejects, {"age": age}) for age in (18, 17)
    ],
    "async-function-invocation-example": [(examples.test_an_email_is_sent_without_waiting_for_it, {})],
    "async-subflow-invocation-example": [
        (examples.test_async_subflow_invocation_ends_without_its_sub_workflow, {})
    ],
    "car-vitals-checks": [(examples.test_car_vitals_are_checked_until_the_car_is_turned_off, {})],
    "check-inbox-periodically": [(examples.test_the_inbox_is_checked_and_each_message_is_texted, {})],
    "event-based-greeting-example": [(examples.test_event_based_greeting_greets_whom_the_event_names, {})],
    "event-based-service-invocation": [(examples.test_a_vet_appointment_is_made_by_events, {})],
    "event-based-transitions-example": [
        (examples.test_event_based_transitions_handles_each_decision_and_none, {"decision": decision})
        for decision in ("Approved", "Rejected", None)
    ],
    "filling-a-glass-of-water": [
        (examples.test_a_glass_is_filled_with_water, {"current": current}) for current in (0, 5)
    ],
    "finalize-college-application-example": [
        (examples.test_an_application_is_finalized_once_all_of_its_parts_are_there, {})
    ],
    "greeting-example": [(examples.test_greeting_greets_a_person, {})],
    "handle-car-auction-bids-example": [(examples.test_a_bid_for_a_car_is_stored, {})],
    "hello-world-example": [
        (examples.test_hello_world_injects_its_greeting, {"form": form}) for form in ("json", "yaml")
    ],
    "monitor-patient-vital-signs-example": [
        (examples.test_each_vital_sign_has_its_own_help, {"vital": vital, "asked": asked})
        for vital, asked in (
            ("highBodyTemp", "tylenolOrder"),
            ("highBloodPressure", "callNurse"),
            ("highRespirationRate", "callPulmonologist"),
        )
    ],
    "parallel-execution-example": [(examples.test_parallel_execution_runs_both_workflows, {})],
    "provision-orders-example": [
        (examples.test_provision_orders_handles_what_an_order_lacks, {"problem": problem, "handled": handled})
        for problem, handled in (
            ("Missing order id", "handleMissingIdExceptionWorkflow"),
            ("Missing order item", "handleMissingItemExceptionWorkflow"),
            ("Missing order quantity", "handleMissingQuantityExceptionWorkflow"),
            (None, "applyOrderWorkflowId"),
        )
    ],
    "purchase-order-deadline": [
        (examples.test_an_order_is_finished_or_cancelled_at_its_deadline, {"shipped": shipped})
        for shipped in (True, False)
    ],
    "reusing-function-and-event-definitions": [
        (examples.test_definitions_are_reused_to_confirm_a_payment, {"available": available})
        for available in ("true", "false")
    ],
    "send-cloudevent-on-workflow-completion-example": [
        (examples.test_provisioned_orders_are_told_at_the_end, {})
    ],
    "solving-math-problems-example": [(examples.test_solving_math_problems_solves_each_expression, {})],
}
"""Those that do the same in each scenario of their own tests."""

CANNOT: dict[str, set[str]] = {
    "continuing-as-a-new-execution": {"/states/1/dataConditions/0/end/continueAs"},
}
"""Those that say what 1.0 cannot say, and where."""

DIFFERENT = {
    "online-food-ordering": "its sub-workflows begin with events: 0.8 waits for them inside, 1.0 starts other runs",
}
"""Those that run, and do something else once they are migrated; the report of a sub-workflow says it."""

NOT_RUNNABLE = {
    **dict.fromkeys(examples.REFUSED, "it refers to what it does not define"),
    "monitor-job-example": "it asks for ever for what is called otherwise",
}
REPAIRED: list[Scenario] = [(examples.test_transactions_are_processed_by_their_size, {})]
"""Scenarios of documents that run once what is wrong with them is put right."""

RUNS = [(name, *scenario) for name, found in VERIFIED.items() for scenario in found]
RUNS += [("process-transactions", *scenario) for scenario in REPAIRED]


def test_the_report_of_what_events_start_says_that_it_is_no_sub_workflow(spec: Path) -> None:
    text = examples.read(spec, "online-food-ordering-2.yaml").rstrip()
    text += "\nfunctions: file://orderfunctions.yml\nevents: file://orderevents.yml\n"
    found = {
        f"definitions:{address.removeprefix('file://order').removesuffix('.yml')}:{address}": read(
            content, address, address.removeprefix("file://order").removesuffix(".yml")
        )
        for address, content in examples.ORDERING.items()
    }
    report = migration.migrate(dsl.parse(text), found).report
    assert any("sub-workflow" in note.message for note in report.of("differs"))


async def same(both: Both, spec: Path, scenario: Callable[..., Any], given: dict[str, Any]) -> None:
    await scenario(run=both, spec=spec, **given)
    for compared in both.compared:
        assert compared.differences == [], compared.text
        assert not compared.report.of("cannot")


@pytest.mark.parametrize(("name", "scenario", "given"), RUNS, ids=[f"{run[0]}-{run[2]}" for run in RUNS])
async def test_an_example_does_the_same_once_it_is_migrated(
    both: Both, spec: Path, name: str, scenario: Callable[..., Any], given: dict[str, Any]
) -> None:
    await same(both, spec, scenario, given)
    assert both.compared


def test_every_example_is_listed_and_four_of_five_that_run_are_verified(spec: Path) -> None:
    stems = {file.stem for file in (spec / "0.8" / "examples").iterdir()}
    runnable = VERIFIED.keys() | CANNOT.keys() | DIFFERENT.keys()
    assert stems == runnable | NOT_RUNNABLE.keys()
    assert len(runnable) == len(VERIFIED) + len(CANNOT) + len(DIFFERENT)
    assert not runnable & NOT_RUNNABLE.keys()
    ran = set(re.findall(r'read\(spec, f?"([\w-]+)', inspect.getsource(examples)))
    assert ran - {"process-transactions"} == runnable  # that one is put right first
    assert len(VERIFIED) >= 0.8 * len(runnable)


@pytest.mark.parametrize("name", CANNOT)
def test_the_report_says_where_an_example_says_what_1_0_cannot(spec: Path, name: str) -> None:
    report = migration.migrate(dsl.parse(examples.read(spec, f"{name}.json"))).report
    assert {note.pointer for note in report.of("cannot")} == CANNOT[name]
    assert all(note.message and note.suggestion for note in report.of("cannot"))


@pytest.mark.parametrize("name", sorted({*NOT_RUNNABLE, *DIFFERENT} - {"monitor-job-example"}))
def test_what_does_not_compile_by_itself_is_not_migrated(spec: Path, name: str) -> None:
    [file, *_] = sorted((spec / "0.8" / "examples").glob(f"{name}.*"))
    with pytest.raises((InvalidDocument, Rejected)):
        migration.migrate(dsl.parse(file.read_text(), name=file.name))


@pytest.mark.parametrize("file", examples.FILES, ids=[file.name for file in examples.FILES])
def test_what_is_migrated_is_valid_without_errors(file: Path) -> None:
    from workflow_engine.cli.documents import dumped

    try:
        migrated = migration.migrate(dsl.parse(file.read_text(), name=file.name))
    except (InvalidDocument, Rejected):
        assert (
            file.stem in NOT_RUNNABLE
            or file.name in examples.BROKEN
            or file.stem in {*DIFFERENT, "reusing-function-and-event-definitions"}
        )
        return
    text = dumped(migrated.document)
    problems = dsl.check(dsl.parse(text, name=file.name))
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert dsl.compile(dsl.parse(text)).dialect == "1.0"
