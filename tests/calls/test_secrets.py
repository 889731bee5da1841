"""Where secrets come from, and what a call that uses them gives away: nothing."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from tests.calls.faults import fault_of
from workflow_engine.calls import CALLERS
from workflow_engine.calls.evaluations import call_with_secrets
from workflow_engine.calls.secrets import (
    MAX_SECRET,
    NO_SECRETS,
    EnvironmentSecrets,
    FileSecrets,
    open_secrets,
)
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.settings import Settings

KEY = "s3cr3t-key-of-the-service"


@pytest.mark.parametrize(
    ("variable", "name"),
    [("WFE_SECRET_KEY", "key"), ("WFE_SECRET_MY_KEY", "my-key"), ("WFE_SECRET_myKey", "myKey")],
)
async def test_the_environment_has_a_secret_under_its_name_in_capitals(variable, name):
    assert await EnvironmentSecrets({variable: KEY}).get(name) == KEY


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("{not json", "{not json"),
        ("123", "123"),
        ("[1]", "[1]"),
        ("", ""),
        ("{" * 50_000, "{" * 50_000),
    ],
)
async def test_a_json_object_is_one_and_anything_else_is_text(tmp_path, text, value):
    assert await EnvironmentSecrets({"WFE_SECRET_X": text}).get("x") == value
    (tmp_path / "x").write_text(text + "\n")
    assert await FileSecrets(tmp_path).get("x") == value


async def test_the_environment_of_the_process_is_the_default(monkeypatch):
    monkeypatch.setenv("WFE_SECRET_PLANTED", KEY)
    assert await open_secrets("env:").get("planted") == KEY
    assert await open_secrets("env:WFE_", {"WFE_X": "y"}).get("x") == "y"


async def test_a_folder_has_a_file_for_each_secret_or_a_folder_of_its_keys(tmp_path):
    """As Kubernetes mounts them: links into a folder that is replaced as a whole."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "token").write_text("t0ken\n")
    (tmp_path / "token").symlink_to(tmp_path / "..data" / "token")
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "username").write_text("ada")
    (tmp_path / "db" / "password").write_text("love\nlace\r\n")
    (tmp_path / "db" / ".hidden").write_text("x")
    secrets = open_secrets(f"file://{tmp_path}")
    assert await secrets.get("token") == "t0ken"
    assert await secrets.get("db") == {"username": "ada", "password": "love\nlace"}
    (tmp_path / "db" / "username").write_text("byron")
    assert await secrets.get("db") == {"username": "byron", "password": "love\nlace"}


@pytest.mark.parametrize(
    "name", ["missing", "..", ".", "", "../x", "a/b", "..data", "a\x00b", "\\x", "x" * 300]
)
async def test_a_secret_that_is_not_there_is_not_found(tmp_path, name):
    (tmp_path / "inner").mkdir()
    (tmp_path / "x").write_text("outside")
    (tmp_path / "inner" / "..data").mkdir()
    with pytest.raises(NotFound):
        await FileSecrets(tmp_path / "inner").get(name)
    for secrets in (EnvironmentSecrets({}), NO_SECRETS):
        with pytest.raises(NotFound):
            await secrets.get(name)


async def test_a_secret_that_is_too_large_or_no_text_or_must_not_be_read_is_not_found(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * (MAX_SECRET + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "many").mkdir()
    for number in range(3):
        (tmp_path / "many" / f"{number}").write_bytes(b"x" * (MAX_SECRET // 2))
    os.mkfifo(tmp_path / "many" / "pipe")
    for name, words in (("large", "larger than"), ("binary", "not UTF-8"), ("many", "larger than")):
        with pytest.raises(NotFound, match=words):
            await FileSecrets(tmp_path).get(name)


@pytest.mark.parametrize("url", ["", "vault://x", "file:relative", "file://host/x", "/run/secrets"])
def test_another_place_for_secrets_is_refused(url):
    with pytest.raises(Rejected):
        open_secrets(url)


def deferred(*names: str, data=None, **variables):
    return {"secrets": list(names), "input": data, "variables": {"__now": 0, **variables}}


SECRETS = EnvironmentSecrets(
    {"WFE_SECRET_KEY": KEY, "WFE_SECRET_LOGIN": json.dumps({"username": "ada", "password": "l0velace"})}
)


def request(uri: str, **more):
    return {"method": "post", "endpoint": uri, **more}


async def test_arguments_are_evaluated_with_the_secrets_and_what_the_run_has_captured(bin_server, context):
    template = request(
        f"{bin_server.url}/anything",
        headers={"X-Key": "${ $secrets.key }", "X-Also": "key ${ $secret.key }!"},
        body={"password": "${ $secrets.login.password }", "name": "${ .name + $input.name + $context }"},
    )
    given = deferred("key", "login", data={"name": "a"}, input={"name": "b"}, context="c")
    await call_with_secrets(CALLERS["http"], template, given, context, SECRETS)
    sent = bin_server.last
    assert (sent.headers["X-Key"], sent.headers["X-Also"]) == (KEY, f"key {KEY}!")
    assert json.loads(sent.body) == {"password": "l0velace", "name": "abc"}


@pytest.mark.parametrize("output", ["content", "raw", "response"])
async def test_what_a_server_repeats_is_hidden(bin_server, context, output):
    template = request(
        bin_server.url + "/anything/${ $secrets.key }?q=${ $secrets.key }",
        headers={
            "X-Key": "${ $secrets.key }",
            "X-Hash": "${ $secrets.key | explode | map(. + 1) | implode }",
        },
        body="${ $secrets.login }",
        output=output,
    )
    given = deferred("key", "login")
    answer = json.dumps(await call_with_secrets(CALLERS["http"], template, given, context, SECRETS))
    for value in (KEY, "l0velace", bin_server.last.headers["X-Hash"]):
        assert value not in answer
    assert "[redacted]" in answer


@pytest.mark.parametrize(
    ("template", "kind", "status"),
    [
        (request("{url}/status/418", headers={"X-Key": "${ $secrets.key }"}), "communication", 418),
        (request("http://127.0.0.1:1/${ $secrets.key }"), "communication", 500),
        (request("${ $secrets.key }"), "configuration", 400),
        (request("{url}/get", method="${ $secrets.key }"), "communication", 400),
        (request("{url}/get", headers={"X": "${ $secrets.key | error }"}), "expression", 400),
        (request("{url}/get", headers={"X": "${ $secrets.key | .[0] }"}), "expression", 400),
        (request("{url}/get", headers={"X": "${ $secrets.key + 1 }"}), "expression", 400),
        (request("{url}/get", headers={"X": "${ $secrets.key | tonumber }"}), "expression", 400),
        (request("{url}/get", headers={"${ $secrets.key }": "x"}), "validation", 400),
        (request("{url}/get", headers='${ {($secrets.key + " "): 1} }'), "validation", 400),
        (request("{url}/echo-error", body="${ $secrets.key * 20 }"), "communication", 404),
    ],
)
async def test_a_fault_of_a_call_does_not_tell_a_secret(bin_server, context, template, kind, status):
    written = json.loads(json.dumps(template).replace("{url}", bin_server.url))
    work = call_with_secrets(CALLERS["http"], written, deferred("key"), context, SECRETS)
    detail = await fault_of(work, kind, status)
    for start in range(len(KEY) - 5):
        assert KEY[start : start + 6] not in detail


async def test_an_error_body_that_is_cut_in_the_middle_of_a_secret_does_not_tell_its_beginning(context):
    from tests.standins.server import RawServer

    for padding in (480, 490, 2040):
        body = b"x" * padding + KEY.encode() * 3
        head = b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
        async with RawServer(head + body) as server:
            template = request(server.url, headers={"X-Key": "${ $secrets.key }"})
            work = call_with_secrets(CALLERS["http"], template, deferred("key"), context, SECRETS)
            detail = await fault_of(work, "communication", 500)
        assert "s3cr" not in detail


async def test_a_bug_of_ours_does_not_tell_a_secret_either(context):
    async def broken(arguments, context):
        raise KeyError(arguments["x"])

    with pytest.raises(RuntimeError) as raised:
        await call_with_secrets(broken, {"x": "${ $secrets.key }"}, deferred("key"), context, SECRETS)
    assert str(raised.value) == "KeyError: '[redacted]'"
    assert raised.value.__context__ is None


async def test_a_secret_that_cannot_be_had_is_an_authorization_fault(bin_server, context):
    template = request(f"{bin_server.url}/get", headers={"X-Key": "${ $secrets.missing }"})
    work = call_with_secrets(CALLERS["http"], template, deferred("missing"), context, SECRETS)
    detail = await fault_of(work, "authorization", 403)
    assert "'missing'" in detail
    assert "WFE_SECRET_MISSING" in detail
    assert bin_server.requests == []


async def test_a_caller_sees_the_context_that_it_would_see_without_secrets(context):
    seen = []

    async def caller(arguments, context):
        seen.append(context)
        return

    await call_with_secrets(caller, {"x": "${ $secrets.key }"}, deferred("key"), context, SECRETS)
    assert replace(seen[0], redact=str) == replace(context, redact=str)


def test_the_setting_must_name_a_place_that_can_be_opened():
    for place in ("vault://x", "file:relative"):
        with pytest.raises(Rejected, match="WFE_SECRETS"):
            Settings.from_env({"WFE_SECRETS": place})
    for place in ("env:", "env:OTHER_", "file:///run/secrets"):
        open_secrets(Settings.from_env({"WFE_SECRETS": place}).secrets)
    assert Settings.from_env({"WFE_SECRET_KEY": KEY}).secrets == "env:"


async def test_another_distribution_brings_a_place_for_secrets(tmp_path, monkeypatch):
    (tmp_path / "vault_of_tests.py").write_text(
        "class Vault:\n"
        "    async def get(self, name): return f'{name} of ours'\n"
        "def opener(url): return Vault()\n"
    )
    info = tmp_path / "vault_of_tests-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vault-of-tests\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[workflow_engine.secrets]\nvault = vault_of_tests:opener\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert await open_secrets("vault://here").get("key") == "key of ours"
    Settings(secrets="vault://here").checked()
    with pytest.raises(Rejected, match="vault:"):
        open_secrets("vaults:")
