"""Real brokers on loopback: started on free ports, and stopped again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).parent / "nats-server"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def wait_for(port: int, program: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """Return when something listens on *port*."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert program.poll() is None, f"{program.args!r} has ended with {program.returncode}"
            assert time.monotonic() < deadline, f"{program.args!r} does not listen"
            time.sleep(0.05)


@contextmanager
def running(
    arguments: list[str], port: int, *, seconds: float = 20.0, log: Path | None = None, **options
) -> Iterator[None]:
    """Run a program until the block ends; it listens on *port* by then."""
    with (log or Path("/dev/null")).open("wb") as output:
        program = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, **options)
        try:
            wait_for(port, program, seconds)
            yield
        finally:
            program.terminate()
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


@contextmanager
def nats_server(folder: Path, *arguments: str) -> Iterator[int]:
    """A server with JetStream in *folder*; its port."""
    port = free_port()
    given = [str(PROGRAM), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder), *arguments]
    with running(given, port):
        yield port


@contextmanager
def mosquitto(
    folder: Path, *, password: tuple[str, str] | None = None, tls: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """Debian's MQTT broker, for versions 3.1.1 and 5; its port."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("mosquitto, a broker for MQTT, is not installed: apt-get install mosquitto")
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", f"allow_anonymous {'false' if password else 'true'}", "user root"]
    if password is not None:
        users = folder / "users"
        subprocess.run(
            ["mosquitto_passwd", "-b", "-c", str(users), *password], check=True, capture_output=True
        )
        lines.append(f"password_file {users}")
    if tls is not None:
        lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    with running([program, "-c", str(folder / "mosquitto.conf")], port):
        yield port


@contextmanager
def rabbitmq(folder: Path, *, tls: tuple[Path, Path, Path] | None = None) -> Iterator[tuple[int, int | None]]:
    """Debian's RabbitMQ, with everything that it keeps in *folder*; its port, and that for TLS."""
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not program.exists():
        pytest.skip("RabbitMQ, a broker for AMQP 0-9-1, is not installed: apt-get install rabbitmq-server")
    port, secure, distribution, names = (free_port() for _ in range(4))
    lines = [
        f"listeners.tcp.1 = 127.0.0.1:{port}",
        "log.file = false",
        "log.console = true",
        "log.console.level = error",
    ]
    if tls is not None:
        ca, certificate, key = tls
        lines += [f"listeners.ssl.1 = 127.0.0.1:{secure}", f"ssl_options.cacertfile = {ca}"]
        lines += [f"ssl_options.certfile = {certificate}", f"ssl_options.keyfile = {key}"]
    (folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"wfe{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    try:
        with running([str(program)], port, seconds=90, env=environment, log=folder / "output"):
            yield port, secure if tls is not None else None
    finally:
        subprocess.run(["epmd", "-port", str(names), "-kill"], capture_output=True, check=False)
