"""The API over TLS, with certificates of its clients: on a real socket, and with some that are renewed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import trustme
from fastapi import FastAPI

from tests.api.server import serve as serving_plain
from tests.events.conftest import eventually
from workflow_engine.api.certificates import Served, shown
from workflow_engine.api.client import HttpApi
from workflow_engine.api.serving import listen, serve
from workflow_engine.assembly import open_app
from workflow_engine.cli.serve import url_of
from workflow_engine.cli.stack import Stack
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.settings import Settings


@asynccontextmanager
async def serving(certificates: Served) -> AsyncIterator[str]:
    app = FastAPI()
    app.state.closing = asyncio.Event()
    app.add_api_route("/v1/workflows", lambda: {"workflows": []})
    ready = asyncio.Event()
    listening = listen("127.0.0.1", 0)
    task = asyncio.create_task(serve(app, listening, ready.set, certificates))
    await asyncio.wait({task, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def write(folder: Path, name: str, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """The files of a certificate and of its key, put in the place of those that are there."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    for file, content in ((cert, issued.cert_chain_pems[0].bytes()), (key, issued.private_key_pem.bytes())):
        fresh = file.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(file)
    return cert, key


def authority(folder: Path, name: str, ca: trustme.CA) -> Path:
    file = folder / name
    file.write_bytes(ca.cert_pem.bytes())
    return file


async def asked(url: str, ca: Path, cert: Path | None = None, key: Path | None = None) -> str:
    """What becomes of a request: ``answered``, or why there is no connection."""
    async with HttpApi(url, certificates=shown(ca, cert, key), timeout=10) as api:
        try:
            return "answered" if await api.workflows() == [] else "?"
        except Unavailable as error:
            return str(error)


async def test_who_has_no_certificate_of_the_authority_is_not_let_in_and_renewed_ones_count(
    tmp_path: Path,
) -> None:
    ca, staff, others, later = (trustme.CA() for _ in range(4))
    cert, key = write(tmp_path, "api", ca.issue_cert("127.0.0.1"))
    known, staff_ca = authority(tmp_path, "ca.pem", ca), authority(tmp_path, "staff.pem", staff)
    certificates = Served(cert, key, staff_ca)
    ann = write(tmp_path, "ann", staff.issue_cert("ann@shop.example"))
    eve = write(tmp_path, "eve", others.issue_cert("eve@elsewhere.example"))
    async with serving(certificates) as url:
        assert await asked(url, known, *ann) == "answered"
        assert "needs one that it takes (WFE_API_CERT)" in await asked(url, known)
        assert "needs one that it takes (WFE_API_CERT)" in await asked(url, known, *eve)
        assert "is it https, not http?" in await asked(url.replace("https", "http"), known)
        assert "cannot be reached" in await asked(url, staff_ca, *ann)  # the server is not of that authority
        # Renewed: by another authority, and other clients are let in.
        write(tmp_path, "api", later.issue_cert("127.0.0.1"))
        authority(tmp_path, "staff.pem", others)
        assert certificates.refresh() is True
        known_later = authority(tmp_path, "later.pem", later)
        assert await asked(url, known_later, *eve) == "answered"
        assert "cannot be reached" in await asked(url, known_later, *ann)
        assert "cannot be reached" in await asked(url, known, *eve)
        # What cannot be read changes nothing, and is looked at again.
        cert.write_text("-----BEGIN CERT")
        assert (certificates.refresh(), certificates.refresh()) == (False, False)
        assert await asked(url, known_later, *eve) == "answered"


async def test_a_client_shows_its_renewed_certificate_to_the_next_connection(tmp_path: Path) -> None:
    ca, old, new = (trustme.CA() for _ in range(3))
    cert, key = write(tmp_path, "api", ca.issue_cert("127.0.0.1"))
    known = authority(tmp_path, "ca.pem", ca)
    mine = write(tmp_path, "mine", old.issue_cert("worker@shop.example"))
    async with (
        serving(Served(cert, key, authority(tmp_path, "staff.pem", new))) as url,
        HttpApi(url, certificates=shown(known, *mine), timeout=10) as api,
    ):
        with pytest.raises(Unavailable):
            await api.workflows()
        write(tmp_path, "mine", new.issue_cert("worker@shop.example"))
        assert await api.workflows() == []


async def test_a_client_whose_files_are_half_renewed_goes_on_with_what_it_had_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """To give a context a certificate without its key takes away the key that it had."""
    ca, staff = trustme.CA(), trustme.CA()
    known, staff_ca = authority(tmp_path, "ca.pem", ca), authority(tmp_path, "staff.pem", staff)
    cert, key = write(tmp_path, "mine", staff.issue_cert("worker@shop.example"))
    other, other_key = write(tmp_path, "other", staff.issue_cert("worker@shop.example"))
    server = Served(*write(tmp_path, "api", ca.issue_cert("127.0.0.1")), staff_ca)
    async with serving(server) as url, HttpApi(url, certificates=shown(known, cert, key), timeout=10) as api:
        assert await api.workflows() == []
        cert.write_bytes(other.read_bytes())
        await api._connection.close()
        for _ in range(3):
            assert await api.workflows() == []
        assert len([line for line in caplog.messages if "stays as it was" in line]) == 1
        key.write_bytes(other_key.read_bytes())
        await api._connection.close()
        assert await api.workflows() == []


async def test_a_client_trusts_the_renewed_authority_of_the_server(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    known = authority(tmp_path, "ca.pem", old)
    certificates = Served(*write(tmp_path, "api", old.issue_cert("127.0.0.1")))
    async with serving(certificates) as url, HttpApi(url, certificates=shown(known, None, None)) as api:
        assert await api.workflows() == []
        write(tmp_path, "api", new.issue_cert("127.0.0.1"))
        assert certificates.refresh() is True
        authority(tmp_path, "ca.pem", new)
        await api._connection.close()
        assert await api.workflows() == []
        authority(tmp_path, "ca.pem", old)
        with pytest.raises(Unavailable):
            await api.workflows()


def test_files_of_the_api_that_cannot_be_read_are_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca = trustme.CA()
    cert, key = write(tmp_path, "api", ca.issue_cert("127.0.0.1"))
    certificates = Served(cert, key)
    cert.write_text("-----BEGIN CERT")
    assert [certificates.refresh() for _ in range(3)] == [False] * 3
    assert len(caplog.messages) == 1
    write(tmp_path, "api", ca.issue_cert("127.0.0.1"))
    assert certificates.refresh() is True


async def test_a_certificate_that_nobody_renews_is_told_of_before_it_ends_once_a_day_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.api.certificates.LOOK_SECONDS", 0.01)
    ca, now = trustme.CA(), datetime.now(UTC)

    def issued(days: float) -> tuple[Path, Path]:
        began = now - timedelta(days=90)
        cert = ca.issue_cert("127.0.0.1", not_before=began, not_after=now + timedelta(days=days))
        return write(tmp_path, "api", cert)

    certificates = Served(*issued(2))
    settings = Settings(data=tmp_path, temporal_address="127.0.0.1:1")
    async with open_app(settings) as app, serving_plain(app) as url, aiohttp.ClientSession() as session:
        app.state.certificates = certificates

        async def warned() -> str | None:
            async with session.get(f"{url}/readyz") as answer:
                found: str | None = (await answer.json())["warnings"].get("certificates")
                return found

        assert f"api.pem ends on {now + timedelta(days=2):%Y-%m-%d}" in str(await warned())
        async with session.get(f"{url}/metrics") as answer:
            assert 'wfe_warning{about="certificates"} 1' in await answer.text()
        issued(-1)
        assert certificates.refresh() is True
        assert "has ended on" in str(await warned())
        keeping = asyncio.create_task(certificates.keep())

        def said() -> list[str]:
            return [line for line in caplog.messages if "was not renewed" in line]

        await eventually(said)
        await asyncio.sleep(0.1)  # time in which it would be said again
        assert len(said()) == 1
        issued(60)
        await eventually(lambda: certificates.warning() is None)
        assert await warned() is None
        (tmp_path / "api.pem").write_text("-----BEGIN CERT")
        await eventually(certificates.warning)
        assert "stay as they were" in str(await warned())
        keeping.cancel()


async def test_files_are_looked_at_again_after_an_error_that_nobody_thought_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.api.certificates.LOOK_SECONDS", 0.01)
    ca = trustme.CA()
    certificates = Served(*write(tmp_path, "api", ca.issue_cert("127.0.0.1")))
    before = certificates._current

    def fails() -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as broken:
        broken.setattr(certificates, "_read", fails)
        write(tmp_path, "api", ca.issue_cert("127.0.0.1"))
        keeping = asyncio.create_task(certificates.keep())
        await eventually(lambda: "a bug" in caplog.text)
    await eventually(lambda: certificates._current is not before)
    keeping.cancel()


def test_files_that_are_none_are_refused_with_the_name_of_the_setting(tmp_path: Path) -> None:
    ca = trustme.CA()
    cert, _ = write(tmp_path, "api", ca.issue_cert("127.0.0.1"))
    _, other = write(tmp_path, "other", ca.issue_cert("127.0.0.1"))
    for given in ((tmp_path / "absent", None, None), (cert, other, None), (cert, None, None)):
        with pytest.raises(Rejected, match="WFE_TLS_CERT"):
            Served(*given)
    with pytest.raises(Rejected, match="WFE_CLIENT_CA"):
        Served(*write(tmp_path, "api", ca.issue_cert("127.0.0.1")), tmp_path / "absent")
    with pytest.raises(Rejected, match="WFE_API_CA"):
        shown(tmp_path / "absent", None, None)


def test_settings_of_tls_go_together() -> None:
    for names in (["tls_key"], ["client_ca"], ["api_cert_key"]):
        with pytest.raises(Rejected, match="which is not set"):
            Settings.from_env({f"WFE_{name.upper()}": "file.pem" for name in names})
    with pytest.raises(Rejected, match="plain HTTP"):
        Stack.of(Settings(tls_cert=Path("a.pem")), temporal_port=1, ui_port=2)
    assert url_of(Settings.from_env({"WFE_TLS_CERT": "a.pem"})) == "https://127.0.0.1:8080"
