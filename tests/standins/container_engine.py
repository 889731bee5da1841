"""A real container engine: Podman, which the tests start with a storage of its own, or the one they are told of.

``WFE_TEST_DOCKER_HOST=unix:///var/run/docker.sock`` tells. Podman needs root, and the program `busybox` without shared
libraries (Debian: ``apt-get install podman busybox-static netavark iptables crun``), of which images are made here.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from urllib.parse import quote, urlsplit

IMAGE = "localhost/wfe-test:latest"
"""Busybox, whose command is a shell."""
HELLO = "docker.io/library/hello-world:latest"
ALPINE = "docker.io/library/alpine:latest"
_IMAGES = {
    IMAGE: ['CMD ["sh"]'],
    HELLO: ['CMD ["sh", "-c", "echo Hello from Docker!; echo quietly >&2"]'],
    ALPINE: ['CMD ["sh"]'],
    "localhost/wfe-entry:latest": ['ENTRYPOINT ["echo", "entered"]', 'CMD ["by default"]'],
}
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""
_SERVICE = """
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
ip link set lo up
exec podman --root "$1/root" --runroot "$1/run" --storage-driver vfs --log-level error \\
    system service --time 3600 "unix://$1/engine.sock"
"""
"""In a mount and a network namespace of its own: nothing of it is left, and nobody else is touched."""


class NoEngine(Exception):
    """There is none; the text says why."""


@contextlib.contextmanager
def container_engine() -> Iterator[str]:
    """The address of an engine with the images of the tests; `NoEngine` when there cannot be one."""
    told = os.environ.get("WFE_TEST_DOCKER_HOST")
    busybox = shutil.which("busybox")
    if busybox is None or b"statically linked" not in _described(busybox):
        raise NoEngine("no container engine: there is no static busybox to make an image of")
    if told:
        _make_images(told, Path(busybox))
        yield told
        return
    if shutil.which("podman") is None or os.geteuid() != 0:
        raise NoEngine("no container engine: Podman is not installed, or we are not root")
    folder = Path(tempfile.mkdtemp(prefix="wfe-engine-"))
    (folder / "containers.conf").write_text(_CONFIGURATION)
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen(
            ["unshare", "--mount", "--net", "sh", "-c", _SERVICE, "sh", str(folder)],
            env={**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")},
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=folder,  # where it leaves a note that a container had no memory left
            start_new_session=True,
        )
    address = f"unix://{folder}/engine.sock"
    try:
        _wait(address, service, folder / "log")
        _make_images(address, Path(busybox))
        yield address
    finally:
        with contextlib.suppress(OSError, ValueError):
            for each in json.loads(ask(address, "GET", "/containers/json?all=1")[1]):
                ask(address, "DELETE", f"/containers/{each['Id']}?force=1")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(service.pid, signal.SIGKILL)
        service.wait()
        shutil.rmtree(folder, ignore_errors=True)


def ask(
    address: str, method: str, path: str, body: bytes = b"", kind: str = "application/json"
) -> tuple[int, bytes]:
    """One request to the engine, without the code that is tested."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname or "engine", parts.port or 80, timeout=60)
    if parts.scheme == "unix":
        connection.sock = socket(AF_UNIX, SOCK_STREAM)
        connection.sock.settimeout(60)
        connection.sock.connect(parts.path)
    with contextlib.closing(connection):
        connection.request(method, path, body or None, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read()


def _described(program: str) -> bytes:
    """What kind of program it is, as far as we need to know: whether it asks for a dynamic loader."""
    return b"" if b"/ld-linux" in Path(program).read_bytes()[:4096] else b"statically linked"


def _wait(address: str, service: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(400):
        with contextlib.suppress(OSError):
            if ask(address, "GET", "/_ping")[0] == 200:
                return
        if service.poll() is not None:
            break
        time.sleep(0.025)
    raise NoEngine(f"no container engine: Podman does not run here: {log.read_text()[-500:]}")


def _make_images(address: str, busybox: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as made:
        for folder in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            about = tarfile.TarInfo(folder)
            about.type, about.mode = tarfile.DIRTYPE, 0o755
            made.addfile(about)
        made.add(str(busybox.resolve()), "bin/busybox")
        for name in ("cat", "echo", "env", "head", "id", "ls", "seq", "sh", "sleep", "true", "wc", "yes"):
            about = tarfile.TarInfo(f"bin/{name}")
            about.type, about.linkname = tarfile.SYMTYPE, "busybox"
            made.addfile(about)
    for name, changes in _IMAGES.items():
        repository, _, tag = name.rpartition(":")
        query = f"fromSrc=-&repo={repository}&tag={tag}"
        for change in ("ENV PATH=/bin", *changes):
            query += f"&changes={quote(change)}"
        status, answer = ask(
            address, "POST", f"/images/create?{query}", archive.getvalue(), "application/x-tar"
        )
        if status != 200:
            raise NoEngine(f"no container engine: it takes no image: {answer.decode(errors='replace')[:500]}")
    body = json.dumps({"Image": IMAGE, "Cmd": ["true"]}).encode()
    _try(address, body)


def _try(address: str, body: bytes) -> None:
    """Whether containers run at all, which the kernel may not let them."""
    made = json.loads(ask(address, "POST", "/containers/create", body)[1])
    status, told = ask(address, "POST", f"/containers/{made.get('Id')}/start")
    if status >= 300:
        raise NoEngine(f"no container engine: it starts no container: {told.decode(errors='replace')[:500]}")
    ask(address, "DELETE", f"/containers/{made['Id']}?force=1")
