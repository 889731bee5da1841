"""Python functions that workflows call: where they come from, and what becomes of them."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workflow_engine.calls import CallContext, custom
from workflow_engine.calls.custom import FUNCTIONS, Functions
from workflow_engine.errors import Fault


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package with functions, as its files would be in site-packages."""
    (tmp_path / "acme_functions.py").write_text(
        "def greet(arguments, context):\n    return f\"Hello, {arguments['name']}\"\n"
    )
    (tmp_path / "acme_broken.py").write_text("raise RuntimeError('no such device')\n")
    info = tmp_path / "acme_functions-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-functions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[workflow_engine.functions]\n"
        "greet = acme_functions:greet\n"
        "com.acme.Greeter::greet = acme_functions:greet\n"
        "missing = acme_functions:nothing\n"
        "broken = acme_broken:run\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "acme_functions"
    sys.modules.pop("acme_functions", None)


@pytest.mark.parametrize("names", [["greet"], ["absent", "com.acme.Greeter::greet"]])
async def test_a_package_registers_functions_by_entry_points(
    package: str, context: CallContext, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setattr(custom, "FUNCTIONS", Functions())
    assert package not in sys.modules
    given = {"names": names, "arguments": {"name": "Ada"}}
    assert await custom.call(given, context) == "Hello, Ada"


@pytest.mark.parametrize(
    ("name", "why"), [("missing", "nothing"), ("broken", "RuntimeError: no such device")]
)
async def test_a_function_that_cannot_be_imported_is_a_configuration_fault(
    package: str, context: CallContext, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.setattr(custom, "FUNCTIONS", Functions())
    with pytest.raises(Fault) as raised:
        await custom.call({"names": [name], "arguments": {}}, context)
    assert raised.value.error.type.endswith("configuration")
    assert why in str(raised.value.error.detail)


async def test_a_function_in_a_thread_is_left_behind_when_its_time_is_up(context: CallContext) -> None:
    let_go, left = threading.Event(), threading.Event()

    def hang(arguments: Any, about: Any) -> None:
        let_go.wait(60)
        left.set()

    with FUNCTIONS.registered(hang=hang), pytest.raises(Fault) as raised:
        await custom.call({"names": ["hang"], "arguments": {}}, replace(context, timeout=0.05))
    assert raised.value.error.type.endswith("communication")
    assert "within 0.05 seconds" in str(raised.value.error.detail)
    assert not left.is_set()
    let_go.set()
    assert left.wait(60)


@pytest.mark.parametrize(
    "error", [SystemExit(3), TimeoutError("of its own"), ValueError("s3cr3t text\nof two lines")]
)
async def test_whatever_a_function_raises_is_a_runtime_fault(
    context: CallContext, error: BaseException
) -> None:
    async def fail(arguments: Any, about: Any) -> None:
        raise error

    def fail_in_thread(arguments: Any, about: Any) -> None:
        raise error

    hiding = replace(context, redact=lambda text: text.replace("s3cr3t", "[redacted]"))
    for function in (fail, fail_in_thread):
        with FUNCTIONS.registered(fail=function), pytest.raises(Fault) as raised:
            await custom.call({"names": ["fail"], "arguments": {}}, hiding)
        found = raised.value.error
        assert (found.status, found.title) == (500, type(error).__name__)
        assert "s3cr3t" not in str(found.detail)
        assert "\n" not in str(found.detail)


async def test_what_a_function_leaves_registered_is_gone_after_the_block(context: CallContext) -> None:
    with FUNCTIONS.registered(once=lambda arguments, about: 1):
        assert await custom.call({"names": ["once"], "arguments": {}}, context) == 1
    with pytest.raises(Fault, match="no function 'once'"):
        await custom.call({"names": ["once"], "arguments": {}}, context)
