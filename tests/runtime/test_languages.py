"""Node.js, custom runtimes and response streaming: the seam is the Runtime API, not Python."""

# ruff: noqa: E501 -- functions' sources are lines of text

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from unkai.runtime import languages

if TYPE_CHECKING:
    from tests.runtime.conftest import Node
    from unkai.runtime.api import FunctionSpec, Result

needs_node = pytest.mark.skipif("nodejs20.x" not in languages.available(), reason="no Node.js 20 here")


def nodejs(node: Node, files: dict[str, str | bytes] | str, **more: Any) -> FunctionSpec:
    package = {"index.js": files} if isinstance(files, str) else files
    return node.function(package, runtime="nodejs20.x", handler="index.handler", memory_mb=256, **more)


def streamed(node: Node, spec: FunctionSpec, event: Any = None) -> tuple[list[bytes], Result, str]:
    async def read() -> tuple[list[bytes], Result, str]:
        stream = await node.client.invoke_streaming(spec, node.invocation(spec, event, streaming=True))
        chunks = [chunk async for chunk in stream]
        return chunks, await stream.finish(), stream.content_type

    found: tuple[list[bytes], Result, str] = node.run(read())
    return found


@needs_node
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"index.mjs": "export const handler = async (e, c) => ({got: e, name: c.functionName.length > 0})"},
            {"got": 1, "name": True},
        ),
        ({"index.js": "exports.handler = async (e) => e + 1"}, 2),
        ({"index.js": "exports.handler = (e, c, done) => setTimeout(() => done(null, e + 2), 5)"}, 3),
        ({"index.js": "exports.handler = (e, c) => c.succeed('s')"}, "s"),
        ({"index.js": "export const handler = async () => 'esm'", "package.json": '{"type": "module"}'}, "esm"),
        ({"index.cjs": "exports.handler = async () => undefined"}, None),
    ],
)
def test_nodejs_handlers_of_every_kind(node: Node, files: dict[str, str | bytes], expected: Any) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html
    spec = nodejs(node, files)
    assert node.value(spec, 1) == expected
    assert node.value(spec, 1) == expected


@needs_node
@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("exports.handler = async () => { throw new TypeError('bad') }", "TypeError", "bad"),
        ("exports.handler = (e, c, done) => done(new RangeError('cb'))", "RangeError", "cb"),
        (
            "exports.handler = async () => { setTimeout(() => { throw new Error('late') }, 1); await new Promise(r => setTimeout(r, 500)) }",
            "Error",
            "late",
        ),
        ("exports.handler = async () => process.exit(4)", "Runtime.ExitError", "exit status 4"),
        ("require('nowhere')", "Runtime.ImportModuleError", "Cannot find module 'nowhere'"),
        ("exports.x = 1", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
        ("let x = ;", "Runtime.UserCodeSyntaxError", "SyntaxError"),
    ],
)
def test_nodejs_failures(node: Node, source: str, kind: str, text: str) -> None:
    result = node.invoke(nodejs(node, source))
    document = json.loads(result.payload)
    assert result.function_error == "Unhandled"
    assert (document["errorType"], text in document["errorMessage"]) == (kind, True), document


@needs_node
def test_nodejs_console_lines(node: Node) -> None:
    spec = nodejs(node, "exports.handler = async (e, c) => { console.warn('careful', {a: 1}) }")
    invocation = node.invocation(spec)
    node.run(node.client.invoke(spec, invocation))
    (line,) = [line for line in node.logged(spec, "careful") if "careful" in line]
    assert line.endswith(f"Z\t{invocation.request_id}\tWARN\tcareful {{ a: 1 }}")


@needs_node
def test_nodejs_streams_its_response(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
    source = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType("text/plain");
  for (const part of event) { stream.write(part); await new Promise((r) => setTimeout(r, 20)); }
  stream.end();
})"""
    chunks, result, content_type = streamed(node, nodejs(node, source), ["one ", "two ", "three"])
    assert b"".join(chunks) == b"one two three"
    assert len(chunks) >= 3
    assert content_type == "text/plain"
    assert result.function_error == ""


@needs_node
def test_an_error_in_the_middle_of_a_stream(node: Node) -> None:
    # The trailers carry it: what was sent stays sent, and the end says Unhandled.
    source = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.write("begun"); await new Promise((r) => setTimeout(r, 20)); throw new Error("midway");
})"""
    chunks, result, _ = streamed(node, nodejs(node, source))
    assert b"".join(chunks) == b"begun"
    assert result.function_error == "Unhandled"
    assert json.loads(result.payload)["errorMessage"] == "midway"


@needs_node
def test_a_large_stream_does_not_pile_up(node: Node) -> None:
    source = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const part = Buffer.alloc(1 << 20);
  for (let i = 0; i < 50; i++) if (!stream.write(part)) await new Promise((r) => stream.once("drain", r));
  stream.end();
})"""
    chunks, result, _ = streamed(node, nodejs(node, source))
    assert sum(map(len, chunks)) == 50 << 20
    assert result.function_error == ""


def test_a_buffered_function_can_be_invoked_as_a_stream(node: Node) -> None:
    chunks, result, content_type = streamed(node, node.function("def handler(e, c): return 'whole'"))
    assert (b"".join(chunks), content_type, result.payload) == (b'"whole"', "application/json", b"")


SHELL = r"""#!/bin/bash
# A runtime in plain shell: no HTTP library, one TCP connection for each call.
call() { exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}"; printf '%s' "$1" >&3; cat <&3; exec 3>&-; }
while true; do
  answer=$(call $'GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n')
  id=$(grep -i '^lambda-runtime-aws-request-id:' <<<"$answer" | tr -d '\r' | cut -d' ' -f2)
  event=$(sed '1,/^\r$/d' <<<"$answer")
  echo "event was $event"
  body="{\"shell\":$event,\"handler\":\"$_HANDLER\"}"
  call "POST /2018-06-01/runtime/invocation/$id/response HTTP/1.1"$'\r\nHost: r\r\nConnection: close\r\n'"Content-Length: ${#body}"$'\r\n\r\n'"$body" >/dev/null
done
"""


def test_a_custom_runtime_in_shell(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
    spec = node.function({"bootstrap": SHELL}, runtime="provided.al2023", handler="my.handler")
    assert node.value(spec, {"n": 1}) == {"shell": {"n": 1}, "handler": "my.handler"}
    assert node.value(spec, 2) == {"shell": 2, "handler": "my.handler"}
    assert "event was 2" in node.logged(spec, "event was 2")


def test_a_bootstrap_in_a_layer(node: Node) -> None:
    layer = node.code({"bootstrap": SHELL})
    spec = node.function({"readme": "x"}, runtime="provided.al2023", handler="h", layers=(layer,))
    assert node.value(spec, 1)["shell"] == 1


def test_no_bootstrap_and_one_that_cannot_run(node: Node) -> None:
    result = node.invoke(node.function({"readme": "x"}, runtime="provided.al2023"))
    document = json.loads(result.payload)
    assert document["errorType"] == "Runtime.InvalidEntrypoint"
    assert document["errorMessage"].endswith(
        "Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
    )
    result = node.invoke(node.function({"bootstrap": "not a program"}, runtime="provided.al2023"))
    assert json.loads(result.payload)["errorType"] in ("Runtime.ExitError", "Runtime.InvalidEntrypoint")
