"""See `programs`. What it does, in order:

exit=N (ends) · print=TEXT · flood=BYTES · serve=PORT (HTTP: 503, then 204) · deaf (to SIGTERM) · silent (never up)
· heir (leaves a process behind that is in a session of its own).
"""

import os
import signal
import socket
import sys
import time

name, journal, *words = sys.argv[1:]
book = os.open(journal, os.O_WRONLY | os.O_APPEND)


def note(what, value=0):
    os.write(book, f"{name} {what} {value}\n".encode())


def on_signal(number, frame):
    note(signal.Signals(number).name)
    if "deaf" not in words:
        note("down")
        os._exit(0)


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, on_signal)

note("pid", os.getpid())
if "heir" in words:
    heir = os.fork()
    if heir == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    note("heir", heir)
for word in words:
    kind, _, value = word.partition("=")
    if kind == "print":
        print(value, flush=True)
    if kind == "flood":
        for _ in range(int(value) // 100):
            os.write(1, b"x" * 99 + b"\n")
    if kind == "serve":
        with socket.create_server(("127.0.0.1", int(value))) as server:
            for status in ("503 Not Yet", "204 Ready"):
                connection, _ = server.accept()
                connection.recv(65536)
                note("answered", status[:3])  # before whoever waits for the answer goes on
                connection.sendall(
                    f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
                )
                connection.close()
    if kind == "exit":
        os._exit(int(value))
if "silent" not in words:
    note("up")
while True:
    time.sleep(600)
