"""Extensions and the Telemetry API: external extensions from a layer, through Init, Invoke and Shutdown."""

# ruff: noqa: E501 -- functions' sources are lines of text

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.runtime.conftest import Node

# An external extension that registers for both events, subscribes to telemetry, and prints what it is told.
EXTENSION = r"""#!/usr/bin/python3 -S
import http.client, http.server, json, os, sys, threading
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
def call(method, path, headers, body=None):
    connection = http.client.HTTPConnection(api)
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    response = connection.getresponse()
    return response.getheader("Lambda-Extension-Identifier"), json.loads(response.read())
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for event in events:
            if event["type"] != "extension": print("telemetry", event["type"], json.dumps(event["record"]), flush=True)
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
name = os.path.basename(sys.argv[0])
id, function = call("POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": name}, {"events": ["INVOKE", "SHUTDOWN"]})
print("registered", function["functionName"], "_HANDLER" in os.environ, flush=True)
server = http.server.HTTPServer(("", 8080), Sink)
threading.Thread(target=server.serve_forever, daemon=True).start()
call("PUT", "/2022-07-01/telemetry", {"Lambda-Extension-Identifier": id},
     {"schemaVersion": "2022-07-01", "types": ["platform", "function"], "buffering": {"timeoutMs": 25, "maxItems": 1000, "maxBytes": 262144},
      "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/"}})
while True:
    _, event = call("GET", "/2020-01-01/extension/event/next", {"Lambda-Extension-Identifier": id})
    print("event", json.dumps(event), flush=True)
    if event["eventType"] == "SHUTDOWN": break
"""


def test_an_external_extension(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
    layer = node.code({"extensions/watcher": EXTENSION})
    spec = node.function("def handler(e, c):\n    print('hello')\n    return 1", layers=(layer,), memory_mb=256)
    invocation = node.invocation(spec)
    assert node.run(node.client.invoke(spec, invocation)).payload == b"1"
    lines = node.logged(spec, "telemetry platform.report")
    assert f"registered {spec.name} False" in lines
    assert "EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in lines
    assert "TELEMETRY\tName: watcher\tState: Subscribed\tTypes: [Platform, Function]" in lines
    (event,) = [json.loads(line.removeprefix("event ")) for line in lines if line.startswith("event ")]
    assert (event["eventType"], event["requestId"], event["invokedFunctionArn"]) == (
        "INVOKE",
        invocation.request_id,
        spec.arn,
    )
    kinds = [line.split()[1] for line in lines if line.startswith("telemetry ")]
    assert kinds[0] == "platform.initStart"
    assert {"platform.initRuntimeDone", "platform.start", "function", "platform.runtimeDone", "platform.report"} <= set(
        kinds
    )
    assert 'telemetry function "hello"' in lines

    async def drain() -> None:
        await node.client.drain(spec.arn)

    node.run(drain())
    lines = node.logged(spec, '"eventType": "SHUTDOWN"')
    shutdown = json.loads([line for line in lines if line.startswith("event ")][-1].removeprefix("event "))
    assert (shutdown["eventType"], shutdown["shutdownReason"]) == ("SHUTDOWN", "SPINDOWN")


def test_the_event_lasts_until_the_extension_is_through(node: Node) -> None:
    # The Invoke phase ends when the runtime and all extensions have asked for the next event.
    slow = EXTENSION.replace('print("event"', 'import time; time.sleep(0.4)\n    print("event"', 1)
    spec = node.function("def handler(e, c): return 1", layers=(node.code({"extensions/slow": slow}),), memory_mb=256)
    assert node.invoke(spec).report.duration_ms >= 400


def test_an_extension_that_fails_ends_the_init(node: Node) -> None:
    spec = node.function(
        "def handler(e, c): return 1", layers=(node.code({"extensions/broken": "#!/bin/sh\nexit 3\n"}),)
    )
    document = json.loads(node.invoke(spec).payload)
    assert document["errorType"] == "Extension.Crash"
    assert "exit status 3" in document["errorMessage"]


def test_functions_reach_unkai_and_nothing_else(node: Node) -> None:
    # AWS_ENDPOINT_URL inside leads to unkai's port outside, and to no other port of the host.
    asked: list[bytes] = []

    async def serve() -> int:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nunka")
            writer.close()

        settings = node.process.settings
        server = await asyncio.start_server(answer, settings.unkai_host, settings.unkai_port)
        spec = node.function(
            "import os, urllib.request\ndef handler(e, c): return urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/x').read().decode()"
        )
        async with server:
            result = await node.invoke_async(spec)
        assert result.payload == b'"unka"', result.payload
        return 1

    assert node.run(serve()) == 1
    assert asked[0].startswith(b"GET /x HTTP/1.1\r\n")
