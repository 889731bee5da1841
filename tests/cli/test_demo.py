from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.command import WFE, environment, wfe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_the_demo_takes_an_order_through_both_dsls_and_leaves_nothing_behind(tmp_path):
    elsewhere = {"TEMPORAL_TLS_CLIENT_CERT_PATH": "/nowhere", "WFE_API_URL": "http://127.0.0.1:1"}
    (tmp_path / "catalog.py").write_text("raise ImportError('this is not the catalog')")
    folder = tmp_path / "temporary"
    folder.mkdir()
    ended = wfe("demo", env={"TMPDIR": str(folder), **elsewhere}, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, ""), ended.out + ended.err
    for said in (
        "store/order/1.0.0",
        "default/store-order/1.0",
        "channel order/create: 2 messages",
        "channel payment/create: 2 messages",
        "channel express/create: 2 messages",
        "Everything is stopped",
    ):
        assert said in ended.out
    assert ended.out.count('completed, output {"order_no": "4711"') == 2
    assert list(folder.iterdir()) == []


def test_the_demo_stays_up_when_it_is_kept_until_ctrl_c(tmp_path):
    process = subprocess.Popen(
        [*WFE, "demo", "--keep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment({"TMPDIR": str(tmp_path)}),
        start_new_session=True,
        text=True,
    )
    try:
        url = ""
        for line in process.stdout:
            if "export WFE_API_URL=" in line:
                url = line.partition("=")[2].split()[0]
                break
        statuses, deadline = set[str](), time.monotonic() + 60
        while statuses != {"completed"}:  # lists are a moment behind
            assert time.monotonic() < deadline, statuses
            statuses = {run["status"] for run in wfe("runs", "list", "--json", "--api-url", url).json}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
    assert list(Path(tmp_path).iterdir()) == []
