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

from tests.standins.guarded import Guarded
from workflow_engine.processes.ports import free_port, free_ports

PROGRAM = Path(sys.executable).parent / "nats-server"


def wait_for(port: int, program: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
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
    arguments: list[str], port: int, *, seconds: float = 60.0, log: Path | None = None, **options
) -> Iterator[None]:
    """Run a program until the block ends; it listens on *port* by then."""
    with (log or Path("/dev/null")).open("wb") as output:
        program = Guarded(arguments, stdout=output, stderr=subprocess.STDOUT, **options)
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
def nats_server(folder: Path, *arguments: str, port: int = 0) -> Iterator[int]:
    """A server with JetStream in *folder*; its port."""
    port = port or free_port()
    given = [str(PROGRAM), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder), *arguments]
    with running(given, port):
        yield port


@contextmanager
def mosquitto(
    folder: Path, *more: str, password: tuple[str, str] | None = None, tls: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """Debian's MQTT broker, for versions 3.1.1 and 5, with *more* lines of configuration; its port."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("mosquitto, a broker for MQTT, is not installed: apt-get install mosquitto")
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", f"allow_anonymous {'false' if password else 'true'}", "user root"]
    lines += [f"log_dest file {folder / 'log'}", "log_type subscribe", *more]
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
    port, secure, distribution, names = free_ports(4)
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
    (folder / "names").write_text(str(names))
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


def alarm(folder: Path, port: int, *, is_on: bool) -> None:
    """Let the RabbitMQ with all that it has in *folder* think that it is short of memory, or no longer."""
    alarm = f"{{resource_limit, memory, 'wfe{port}@localhost'}}"
    do = f"set_alarm [{{{alarm}, []}}]" if is_on else f"clear_alarm [{alarm}]"
    (program,) = Path("/usr/lib/erlang").glob("erts-*/bin/erl_call")
    cookie = (folder / ".erlang.cookie").read_text()
    said = subprocess.run(
        [str(program), "-n", f"wfe{port}@localhost", "-c", cookie, "-a", f"rabbit_alarm {do}"],
        env={**os.environ, "ERL_EPMD_PORT": (folder / "names").read_text(), "ERL_EPMD_ADDRESS": "127.0.0.1"},
        capture_output=True,
        check=True,
    )
    assert said.stdout == b"ok", said


KAFKA = Path(__file__).parent / "kafka" / "lib"


@contextmanager
def kafka(folder: Path) -> Iterator[tuple[int, int]]:
    """A Kafka of one node, without ZooKeeper; its port, and the one where ``leo`` with ``secret`` is let in."""
    java = shutil.which("java")
    if java is None or not KAFKA.is_dir():
        where = "tests/brokers/kafka/pom.xml"
        pytest.skip(
            f"Kafka is not there: mvn -f {where} dependency:copy-dependencies, and a Java of 17 or later"
        )
    port, controller, guarded = free_ports(3)
    data = folder / "data"
    data.mkdir()
    node = "version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\nnode.id=1\ndirectory.id=Zm9vYmFyYmF6cXV4cXV1eA\n"
    (data / "meta.properties").write_text(node)
    at = {"PLAINTEXT": port, "CONTROLLER": controller, "SASL_PLAINTEXT": guarded}
    listeners = {name: f"{name}://127.0.0.1:{number}" for name, number in at.items()}
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_leo="secret";'
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": ",".join(listeners.values()),
        "advertised.listeners": ",".join(url for name, url in listeners.items() if name != "CONTROLLER"),
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "log.dirs": str(data),
    }
    file = folder / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    quick = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    quick.append("-Dorg.slf4j.simpleLogger.defaultLogLevel=error")
    command = [java, *quick, "-cp", f"{KAFKA}/*", "kafka.Kafka", str(file)]
    with running(command, port, seconds=90, log=folder / "output"):
        yield port, guarded
