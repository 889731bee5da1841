"""`wfe api` and `wfe worker` as processes of their own, which send their spans to a collector."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from workflow_engine.api.client import HttpApi
from workflow_engine.processes.ports import free_port


@dataclass
class Stack:
    folder: Path
    environ: dict[str, str]
    api: HttpApi
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, command: str, service: str) -> asyncio.subprocess.Process:
        """Start ``wfe COMMAND``, and wait until it is ready."""
        ready, log = self.folder / f"{service}.ready", self.folder / f"{service}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workflow_engine", command, "--ready-file", str(ready)),
                env={**self.environ, "OTEL_SERVICE_NAME": service},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)
        async with asyncio.timeout(60):
            while not ready.exists():
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        return process


@asynccontextmanager
async def stack(folder: Path, temporal: str, collector: str, **settings: str) -> AsyncIterator[Stack]:
    """An API called ``api`` and a worker called ``worker``."""
    port = free_port("127.0.0.1")
    url = f"http://127.0.0.1:{port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WFE_", "OTEL_"))}
    environ = {
        **kept,
        "WFE_DATA": str(folder / "data"),
        "WFE_PORT": str(port),
        "WFE_API_URL": url,
        "WFE_TEMPORAL_ADDRESS": temporal,
        "WFE_TASK_QUEUE": f"traces-{uuid.uuid4()}",
        "WFE_SEARCH_ATTRIBUTES": "false",
        "WFE_TRACES": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **settings,
    }
    async with HttpApi(url) as api:
        made = Stack(folder, environ, api)
        try:
            await asyncio.gather(made.start("api", "api"), made.start("worker", "worker"))
            yield made
        finally:
            for process in made.processes:
                if process.returncode is None:
                    process.terminate()
            await asyncio.gather(*(process.wait() for process in made.processes))
