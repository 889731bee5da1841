"""How much memory a process may use: the least of its machine, its group and the groups around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_engine.processes import memory
from workflow_engine.processes.memory import LARGEST, LEAST, available, for_values

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": 300}, 300),
        ("0::/app/worker\n", {"app/worker/memory.max": "max", "app/memory.max": 200}, 200),
        ("0::/app/worker\n", {"app/worker/memory.max": 100, "app/memory.max": 200}, 100),
        ("9:cpu:/x\n5:memory:/app\n", {"memory/app/memory.limit_in_bytes": 150}, 150),
        ("9:cpu:/x\n", {"x/memory.max": 100}, None),
    ],
    ids=["container", "service", "inner", "older", "another controller"],
)
def test_the_least_limit_counts(
    own: str, limits: dict[str, int | str], expected: int | None, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text(own)
    for name, limit in limits.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit if isinstance(limit, str) else limit * MIB}\n")
    found = available(tmp_path / "groups", tmp_path / "own")
    nothing = available(tmp_path / "none", tmp_path / "none")
    assert found == (nothing if expected is None else expected * MIB)
    assert nothing > 400 * MIB


def test_several_processes_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 2048 * MIB)
    assert [for_values(), for_values(4), for_values(100)] == [512 * MIB, 128 * MIB, LEAST]
    monkeypatch.setattr(memory, "available", lambda: 10**15)
    assert for_values() == LARGEST
