"""Proto text is compiled when a workflow is deployed: imports, what is kept, and what is wrong with it."""

from __future__ import annotations

import base64

import pytest
from aiohttp import web
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.standins.greeter import PROTO
from tests.standins.server import serve
from workflow_engine.calls import Egress
from workflow_engine.calls.grpc_messages import method_of
from workflow_engine.calls.proto import describe_method, imports
from workflow_engine.calls.resolution import Resolution
from workflow_engine.dsl.needs import Need
from workflow_engine.errors import NotFound, Rejected

HEAD = 'syntax = "proto3"; package p;\n'
SERVICE = "service S { rpc M (A) returns (B); rpc N (C) returns (C); }\n"
MAIN = HEAD + 'import "types.proto";\n' + SERVICE + "message C { int32 i = 1; }"
TYPES = (
    HEAD
    + "message A { Kind kind = 1; message Inner { B b = 1; } } message B { string s = 1; } enum Kind { X = 0; }"
)


async def describe(files: dict[str, str], address: str, service: str = "p.S", method: str = "M"):
    asked: list[str] = []

    async def read(address: str) -> str | None:
        asked.append(address)
        return files.get(address)

    return await describe_method(address, service, method, read), asked


async def refused(
    files: dict[str, str], address: str = "a.proto", service: str = "p.S", method: str = "M"
) -> str:
    with pytest.raises(Rejected) as caught:
        await describe(files, address, service, method)
    assert caught.value.code == "unresolved"
    return str(caught.value)


def descriptors(pinned) -> FileDescriptorSet:
    return FileDescriptorSet.FromString(base64.b64decode(pinned["descriptors"]))


async def test_what_one_method_does_not_need_is_not_kept():
    pinned, _ = await describe({"a.proto": MAIN, "types.proto": TYPES}, "a.proto")
    kept = descriptors(pinned)
    assert [file.name for file in kept.file] == ["types.proto", "a.proto"]
    assert [message.name for file in kept.file for message in file.message_type] == ["A", "B"]
    assert [method.name for method in kept.file[1].service[0].method] == ["M"]
    assert method_of(pinned).takes.DESCRIPTOR.full_name == "p.A"
    alone, _ = await describe({"a.proto": MAIN, "types.proto": TYPES}, "a.proto", method="N")
    assert [file.name for file in descriptors(alone).file] == ["a.proto"]
    assert len(alone["descriptors"]) < len(pinned["descriptors"])


async def test_everything_is_kept_where_a_message_may_hold_anything():
    text = PROTO + "message Other { Deep deep = 1; } message Deep {}"
    pinned, _ = await describe({"a.proto": text}, "a.proto", "Greeter", "Echo")
    assert method_of(pinned).pool.FindMessageTypeByName("GreeterApi.Deep").name == "Deep"


@pytest.mark.parametrize(
    ("address", "imported", "at"),
    [
        ("file://app/greet.proto", "types.proto", "file://app/types.proto"),
        ("file://greet.proto", "types.proto", "file://types.proto"),
        ("protos/greet.proto", "types.proto", "protos/types.proto"),
        ("protos/greet.proto", "protos/types.proto", "protos/types.proto"),
        ("a/b/c/greet.proto", "b/c/types.proto", "a/b/c/types.proto"),
        ("a/b/c/greet.proto", "other/types.proto", "a/other/types.proto"),
        ("https://x.example/v1/greet.proto", "types.proto", "https://x.example/v1/types.proto"),
        (
            "https://x.example/a/v1/greet.proto?raw=1",
            "a/v1/types.proto",
            "https://x.example/a/v1/types.proto",
        ),
        ("https://x.example/greet.proto", "d/types.proto", "https://x.example/d/types.proto"),
    ],
)
async def test_imports_stand_beside_the_proto_or_above_it(address, imported, at):
    files = {address: MAIN.replace("types.proto", imported), at: TYPES}
    pinned, asked = await describe(files, address)
    assert method_of(pinned).name == "M"
    assert all(
        place.startswith("https://x.example/") for place in asked if "://" in address and "http" in address
    )


async def test_an_import_of_an_import_is_found_where_the_first_one_was():
    files = {
        "a/b/greet.proto": MAIN.replace("types.proto", "b/types.proto"),
        "a/b/types.proto": TYPES.replace(HEAD, HEAD + 'import public "c/more.proto";'),
        "a/c/more.proto": HEAD + "message More {}",
    }
    pinned, _ = await describe(files, "a/b/greet.proto")
    assert method_of(pinned).name == "M"


async def test_the_files_that_google_publishes_are_at_hand():
    text = HEAD + (
        'import "google/api/annotations.proto"; import "google/rpc/status.proto"; import "google/type/money.proto";\n'
        "message A { google.type.Money m = 1; google.rpc.Status s = 2; } message C {} message B {}"
    )
    service = SERVICE.replace("returns (B);", 'returns (B) { option (google.api.http) = { get: "/v1" }; }')
    pinned, asked = await describe({"a.proto": text + service}, "a.proto")
    assert asked == ["a.proto"]
    assert "http" not in str(descriptors(pinned))


async def test_proto2_and_editions_are_understood():
    two = 'syntax = "proto2"; package p; message A { required string s = 1; extensions 100 to 199; } message B {}'
    pinned, _ = await describe({"a.proto": two + SERVICE.replace("rpc N (C) returns (C);", "")}, "a.proto")
    field = method_of(pinned).takes.DESCRIPTOR.fields_by_name["s"]
    assert field.is_required
    edition = 'edition = "2023"; package p; message A { string s = 1; } message B {}'
    pinned, _ = await describe(
        {"a.proto": edition + SERVICE.replace("rpc N (C) returns (C);", "")}, "a.proto"
    )
    assert method_of(pinned).takes.DESCRIPTOR.fields_by_name["s"].has_presence


async def test_a_service_may_be_named_without_its_package():
    pinned, _ = await describe({"a.proto": MAIN, "types.proto": TYPES}, "a.proto", "S")
    assert pinned["service"] == "p.S"


@pytest.mark.parametrize(
    ("service", "method", "said"),
    [
        ("p.T", "M", "no service 'p.T'; did you mean 'p.S'?"),
        ("Nothing", "M", "no service 'Nothing'; there is p.S"),
        ("S", "Mm", "has no method 'Mm'; did you mean 'M'?"),
        ("S", "Nothing", "has no method 'Nothing'; there is M, N"),
    ],
)
async def test_a_service_or_a_method_that_is_not_there_is_named_with_what_may_be_meant(service, method, said):
    assert said in await refused({"a.proto": MAIN, "types.proto": TYPES}, "a.proto", service, method)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "a.proto:1:1: "),
        (HEAD + "message A { Missing m = 1; }", 'a.proto:2:13: "Missing" is not defined.'),
        (
            MAIN.replace("types.proto", "none.proto"),
            "'none.proto', which is found neither beside it nor above",
        ),
        (MAIN.replace("types.proto", "../types.proto"), "'../types.proto', which is no path"),
        (MAIN.replace("types.proto", "/etc/passwd"), "'/etc/passwd', which is no path"),
        (MAIN.replace("types.proto", "google/none.proto"), "'google/none.proto', which is found neither"),
    ],
)
async def test_a_proto_that_cannot_be_compiled_says_where(text, said):
    assert said in await refused({"a.proto": text, "/etc/passwd": "x"})


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "message A {" * 20_000 + "}" * 20_000,
        HEAD + "".join(f"message M{number} {{ M{number + 1} m = 1; }}" for number in range(50_000)),
        HEAD + 'option java_package = "' + "x" * 3_000_000 + '";' + SERVICE + "message A {}",
        "\0" * 1000,
        "/*" * 100_000,
        '"' + '\\"' * 1_000_000,
        "syntax = 'proto3'; import 'a.proto';",
        HEAD + SERVICE + "message A { int32 i = 99999999999999999999; } message B {} message C {}",
    ],
    ids=["deep", "long", "large", "null", "comment", "quotes", "itself", "number"],
)
async def test_a_proto_that_means_harm_is_refused_in_time(text):
    assert await refused({"a.proto": text})


async def test_protos_that_import_each_other_are_refused():
    files = {"a.proto": HEAD + 'import "b.proto";', "b.proto": HEAD + 'import "a.proto";'}
    assert "imports itself" in await refused(files) or "recursively" in await refused(files)


async def test_imports_are_bounded_in_number_and_size():
    files = {f"{number}.proto": HEAD + f'import "{number + 1}.proto";' for number in range(100)}
    assert "more than 64 files" in await refused(files, "0.proto")
    files = {"a.proto": MAIN, "types.proto": "//" + "x" * 5_000_000}
    assert "more than 4,194,304 bytes" in await refused(files)


def test_what_looks_like_an_import_is_none_in_comments_and_strings():
    text = """
    // import "a.proto";
    /* import "b.proto"; */
    syntax = "proto3"; import public 'c.proto'; import weak "d.proto";
    option java_package = "import \\"e.proto\\";"; message M { import import = 1; } import "f.proto";
    """
    assert list(imports(text)) == ["c.proto", "d.proto", "f.proto"]


async def test_a_proto_and_its_imports_are_fetched_when_a_workflow_is_deployed():
    async def proto(request: web.Request) -> web.Response:
        texts = {"greet.proto": MAIN, "types.proto": TYPES}
        found = texts.get(request.match_info["name"])
        return web.Response(text=found) if found is not None else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/protos/{name}", proto)
    async with serve(app) as server, Egress() as egress:
        resolution = Resolution(None, egress)  # type: ignore[arg-type]
        address = f"{server.url}/protos/greet.proto"
        pinned = await resolution(Need("grpc", "k", "/do", "p.S#M", address))
        assert pinned["service"] == "p.S"
        assert [request.target for request in server.requests] == [
            "/protos/greet.proto",
            "/protos/types.proto",
        ]
        with pytest.raises((Rejected, NotFound), match="404"):
            await resolution(Need("grpc", "k", "/do", "p.S#M", f"{server.url}/protos/none.proto"))
        with pytest.raises(Rejected, match="wfe deploy"):
            await resolution(Need("grpc", "k", "/do", "p.S#M", "file://greet.proto"))
