"""What our HTTP server costs beside a bare httptools protocol that answers without looking: requests a second and the ratio.

    python tests/bench/bench_http.py

Needs wrk and two cores: the server is pinned to the first, wrk to the second. Rows: an empty handler, one that suspends once
(so that a Task takes over), a 1 MB file, a 1 MB body received. Each server is a process of its own and lives for its rows only.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile

import httptools
import uvloop

from unkai.edge.http import serve
from unkai.kernel.clock import RealClock
from unkai.kernel.http import FileBody, HttpRequest, HttpResponse

SECONDS = 3
MIB = 1024 * 1024
PUT_LUA = 'wrk.method = "PUT"\nwrk.body = string.rep("x", 1048576)\n'


class Echo(asyncio.Protocol):
    """The floor: parse, answer a fixed text, nothing else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        pass

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")  # type: ignore[attr-defined]


async def serve_echo(sock: socket.socket) -> None:
    await asyncio.get_running_loop().create_server(Echo, sock=sock, backlog=1024)
    await asyncio.Event().wait()


async def serve_ours(sock: socket.socket) -> None:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this process
    file.write(os.urandom(MIB))
    file.flush()

    async def handler(request: HttpRequest) -> HttpResponse:
        if request.path == "/file":
            return HttpResponse(200, [], FileBody(os.dup(file.fileno()), 0, MIB))
        if request.path == "/suspend":
            await asyncio.sleep(0)
        if request.path == "/take" and not isinstance(request.body, bytes):
            async for _piece in request.body:
                pass
        return HttpResponse(200, [("Content-Type", "text/plain")], b"ok")

    await serve(sock, handler, date_ms=RealClock().real_ms)
    await asyncio.Event().wait()


def measure(kind: str, path: str, connections: int, script: str = "") -> tuple[float, str]:
    """(requests a second, bytes a second as wrk prints them)."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {0})
        uvloop.run(serve_echo(sock) if kind == "echo" else serve_ours(sock))
        os._exit(0)
    try:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}{path}"
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", url]
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
            lua.write(script)
            lua.flush()
            out = subprocess.run(
                [*command, *(["-s", lua.name] if script else [])], capture_output=True, text=True, check=True
            ).stdout
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sock.close()
    assert "Non-2xx" not in out, out
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    volume = re.search(r"Transfer/sec:\s+(\S+)", out)
    assert rate is not None, out
    assert volume is not None, out
    return float(rate[1]), volume[1]


def main() -> None:
    assert os.cpu_count() != 1, "the server and wrk need a core each"
    print(f"python {sys.version.split()[0]}, uvloop {uvloop.__version__}, {SECONDS} s each")
    for connections in (16, 64):
        floor, _ = measure("echo", "/", connections)
        print(f"{connections:3} connections: bare echo   {floor:9,.0f}/s")
        for name, path in (("empty", "/"), ("suspends", "/suspend")):
            rate, _ = measure("ours", path, connections)
            print(f"{'':17} {name:11} {rate:9,.0f}/s   {floor / rate:.2f} times the echo's cost")
        rate, volume = measure("ours", "/file", connections)
        print(f"{'':17} {'1 MB GET':11} {rate:9,.0f}/s   {volume}")
        rate, _ = measure("ours", "/take", connections, PUT_LUA)
        print(f"{'':17} {'1 MB PUT':11} {rate:9,.0f}/s   {rate * MIB / 1e9:.2f}GB")


if __name__ == "__main__":
    main()
