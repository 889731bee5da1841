"""Settings: what they come to where nobody has chosen, what is refused, and how they reach other processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_engine.cli.stack import Stack
from workflow_engine.cli.stack import _environment as environment_of
from workflow_engine.errors import Rejected
from workflow_engine.settings import PROCESSES, Settings

EVERYTHING = frozenset(PROCESSES)


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({}, EVERYTHING),
        ({"WFE_HOST": "::1", "WFE_API_URL": "http://[::1]:8080"}, EVERYTHING),
        ({"WFE_HOST": "0.0.0.0", "WFE_API_TOKEN": "t"}, frozenset()),
        ({"WFE_API_URL": "https://wfe.example"}, frozenset()),
        ({"WFE_TEMPORAL_ADDRESS": "cluster.example:7233"}, frozenset()),
        ({"WFE_TEMPORAL_ADDRESS": "[::1]:7233"}, EVERYTHING),
        ({"WFE_PROCESSES": "none"}, frozenset()),
        ({"WFE_PROCESSES": "script, mcp"}, frozenset({"script", "mcp"})),
        ({"WFE_PROCESSES": "all", "WFE_HOST": "0.0.0.0", "WFE_API_TOKEN": "t"}, EVERYTHING),
    ],
)
def test_processes_are_allowed_by_choice_or_where_everything_is_on_this_machine(environ, allowed):
    assert Settings.from_env(environ).allowed_processes == allowed


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({}, None),
        ({"WFE_API_URL": "http://workflows.example"}, frozenset()),
        ({"WFE_ACTIVITY_QUEUES": "all", "WFE_HOST": "0.0.0.0", "WFE_API_TOKEN": "t"}, None),
        ({"WFE_ACTIVITY_QUEUES": "payments, mail"}, frozenset({"payments", "mail"})),
        ({"WFE_ACTIVITY_QUEUES": "none"}, frozenset()),
    ],
)
def test_task_queues_are_allowed_by_choice_or_where_only_this_machine_reaches_the_api(environ, allowed):
    assert Settings.from_env(environ).allowed_queues == allowed


@pytest.mark.parametrize("text", ["scripts", "script,none", "all,shell"])
def test_a_kind_of_process_that_there_is_not_is_refused(text):
    with pytest.raises(Rejected, match="WFE_PROCESSES"):
        Settings.from_env({"WFE_PROCESSES": text})


def test_the_processes_of_wfe_dev_have_the_settings_that_it_was_given():
    given = Settings.from_env(
        {
            "WFE_PROCESSES": "shell",
            "WFE_PROCESS_SECONDS": "60",
            "WFE_PROCESS_MEMORY": "100",
            "WFE_PROCESS_COUNT": "8",
            "WFE_PROCESS_CPUS": "0.5",
            "WFE_CONTAINER_VOLUMES": "/data,/srv",
            "WFE_ACTIVITY_QUEUES": "mail,payments",
        }
    )
    stack = Stack.of(given, temporal_port=7233, ui_port=8233)
    assert Settings.from_env(environment_of(stack.settings)) == stack.settings
    none = Stack.of(Settings.from_env({"WFE_PROCESSES": "none"}), temporal_port=7233, ui_port=8233)
    assert Settings.from_env(environment_of(none.settings)).allowed_processes == frozenset()


@pytest.mark.parametrize("text", ["none", "workflow", "task", "workflow,status", "task, status"])
def test_which_lifecycle_events_are_told_is_chosen_by_words(text):
    assert Settings.from_env({"WFE_LIFECYCLE_EVENTS": text}).lifecycle_events == text


@pytest.mark.parametrize("text", ["tasks", "none,status", "status", "task,workflow", "task,status,status"])
def test_other_words_for_lifecycle_events_are_refused(text):
    with pytest.raises(Rejected, match="WFE_LIFECYCLE_EVENTS"):
        Settings.from_env({"WFE_LIFECYCLE_EVENTS": text})


@pytest.mark.parametrize("channel", ["default", "dead-letters", "a b", "é"])
def test_lifecycle_events_have_a_channel_of_their_own(channel):
    with pytest.raises(Rejected, match="WFE_LIFECYCLE_CHANNEL"):
        Settings.from_env({"WFE_LIFECYCLE_CHANNEL": channel})


def test_a_store_in_nats_has_its_copy_in_the_data_folder_unless_the_url_says_where(tmp_path: Path) -> None:
    data = tmp_path / "a b"
    url = Settings(data=data, events_store="nats://host/x?replicas=3").events_url
    assert url == f"nats://host/x?replicas=3&file={tmp_path}/a%20b/events-nats.db"
    assert Settings(data=data, events_store="tls://host").events_url.startswith("tls://host?file=")
    chosen = "nats://host/x?file=/elsewhere.db"
    assert Settings(data=data, events_store=chosen).events_url == chosen


def test_an_interim_store_that_there_is_not_is_refused_before_anything_is_started() -> None:
    for url in ("nats://me:secret@host/x", "memory:", "interim.db"):
        with pytest.raises(
            Rejected, match=r"WFE_INTERIM_STORE: '(nats|memory|interim\.db)' is the scheme"
        ) as refused:
            Settings.from_env({"WFE_INTERIM_STORE": url})
        assert "secret" not in str(refused.value)
    for url in ("sqlite:///x.db", "postgresql://host/wfe", "none"):
        assert Settings.from_env({"WFE_INTERIM_STORE": url}).interim_store == url
