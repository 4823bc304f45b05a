"""What an attacker's function tries. Each test runs the attack for real, and looks at what it reached."""

# ruff: noqa: E501 -- functions' sources are lines of text

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from unkai.runtime.api import CodeRef, InvalidCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.conftest import Node

# Runs one attempt and tells how it ended: the OSError's name, or what it gave.
TRY = """
import ctypes, errno, os, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what):
    try:
        return repr(what())
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))
    except Exception as e:
        return type(e).__name__
def call(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), "")
    return "worked"
"""


def attack(node: Node, body: str, event: Any = None, **more: Any) -> Any:
    return node.value(node.function(TRY + body, **more), event)


def still_well(node: Node) -> None:
    """Other functions of the node run as before."""
    assert node.value(node.function("def handler(e, c): return 'well'")) == "well"


def test_fork_bomb(node: Node) -> None:
    # The pids limit stops it at AWS's 1,024; the timeout ends it; nothing of it is left.
    source = "import os\ndef handler(e, c):\n    while True:\n        try:\n            os.fork()\n        except OSError:\n            pass\n"
    spec = node.function(source, timeout_s=2)
    result = node.invoke(spec)
    assert json.loads(result.payload)["errorType"] in ("Sandbox.Timedout", "Runtime.OutOfMemory", "Runtime.ExitError")
    still_well(node)


def test_fill_tmp(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html
    body = """
def handler(e, c):
    written = 0
    def fill():
        nonlocal written
        with open('/tmp/x', 'wb', buffering=0) as f:
            while True: written += f.write(b'x' * 4_000_000)
    return [attempt(fill), written >> 20]
"""
    outcome, megabytes = attack(node, body)
    assert outcome == "ENOSPC"
    assert 450 <= megabytes <= 512
    still_well(node)


def test_allocate_ten_gigabytes(node: Node) -> None:
    result = node.invoke(
        node.function("def handler(e, c):\n    x = [bytearray(100_000_000) for _ in range(100)]", memory_mb=128)
    )
    assert json.loads(result.payload)["errorType"] == "Runtime.OutOfMemory"
    still_well(node)


def test_never_answering_and_ignoring_signals(node: Node) -> None:
    source = "import signal, time\ndef handler(e, c):\n    for s in range(1, 32):\n        try: signal.signal(s, signal.SIG_IGN)\n        except (OSError, ValueError): pass\n    while True: time.sleep(1)"
    assert json.loads(node.invoke(node.function(source, timeout_s=1)).payload)["errorType"] == "Sandbox.Timedout"
    still_well(node)


def test_huge_output(node: Node) -> None:
    # 40 MB of log in one event: the writer is slowed down, the keeper is not, and the result arrives.
    source = "def handler(e, c):\n    for _ in range(400): print('x' * 99_999)\n    return 'wrote'"
    assert node.value(node.function(source, timeout_s=60, memory_mb=512)) == "wrote"
    endless = node.function("def handler(e, c):\n    while True: print('y' * 1000, flush=True)", timeout_s=1)
    assert json.loads(node.invoke(endless).payload)["errorType"] == "Sandbox.Timedout"
    still_well(node)


def test_output_of_a_child_that_outlives_the_runtime(node: Node) -> None:
    # Its pipe never runs dry; whoever reads it to its end would never serve another function.
    source = "import os, subprocess\ndef handler(e, c):\n    subprocess.Popen(['yes'])\n    os._exit(5)"
    assert "exit status 5" in json.loads(node.invoke(node.function(source)).payload)["errorMessage"]
    still_well(node)


def test_the_file_system_shows_nothing_of_the_host(node: Node, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("data directory")
    body = """
def handler(e, c):
    os.symlink(e['secret'], '/tmp/link')
    paths = [e['secret'], '/tmp/link', '/proc/1/root' + e['secret'], '/proc/self/root/../..' + e['secret'], e['socket'], '/etc/shadow']
    return {
        'read': [attempt(lambda p=p: open(p).read()) for p in paths],
        'keeper': attempt(lambda: socket.socket(socket.AF_UNIX).connect(e['socket'])),
        'init': attempt(lambda: open('/proc/1/mem', 'rb').read(1)),
        'environ': attempt(lambda: open('/proc/1/environ').read()),
        'root': sorted(os.listdir('/')),
        'dev': sorted(os.listdir('/dev')),
    }
"""
    event = {"secret": str(secret), "socket": str(node.process.settings.socket_path)}
    got = attack(node, body, event)
    assert set(got["read"]) <= {"ENOENT", "EACCES"}
    assert got["keeper"] in ("ENOENT", "EACCES")
    assert got["init"] in ("EACCES", "EPERM")
    assert got["environ"] in ("EACCES", "EPERM")
    assert "work" not in got["root"]
    assert "home" not in got["root"]
    assert got["dev"] == ["fd", "full", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero"]


def test_only_tmp_can_be_written(node: Node) -> None:
    body = """
def handler(e, c):
    places = ['/var/task/x', '/opt/x', '/var/runtime/x', '/etc/x', '/usr/x', '/x', '/dev/x', '/proc/sys/kernel/hostname', '/tmp/x']
    chmod = attempt(lambda: os.chmod('/var/task/app.py', 0o777))
    return [attempt(lambda p=p: open(p, 'w').write('x')) for p in places] + [chmod]
"""
    layer = node.code({"f": "x"})
    *refused, tmp, chmod = attack(node, body, layers=(layer,))
    assert tmp == "1"
    assert set([*refused, chmod]) <= {"EROFS", "EACCES", "EPERM"}


def test_system_calls_that_would_open_a_way(node: Node) -> None:
    # By number, as a payload would call them (x86_64).
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are those of x86_64")
    body = """
CALLS = {'ptrace': (101, 16, 1, 0, 0), 'mount': (165, b'none', b'/tmp', b'tmpfs', 0, 0), 'umount': (166, b'/proc', 2), 'unshare_user': (272, 0x10000000),
 'setns': (308, 0, 0), 'bpf': (321, 0, 0, 0), 'perf': (298, 0, 0, -1, -1, 0), 'userfaultfd': (323, 1), 'keyctl': (250, 0, 0, 0, 0, 0),
 'add_key': (248, b'user', b'x', b'y', 1, -2), 'kexec': (246, 0, 0, 0, 0), 'module': (175, 0, 0, b''), 'io_uring': (425, 1, 0),
 'chroot': (161, b'/tmp'), 'pivot': (155, b'/tmp', b'/tmp'), 'reboot': (169, 0, 0, 0, 0), 'settime': (227, 0, 0), 'open_by_handle': (304, 0, 0, 0),
 'vm_read': (310, 1, 0, 0, 0, 0, 0), 'clone_newuser': (56, 0x10000000 | 17, 0, 0, 0, 0), 'x32_getpid': (0x40000000 + 39,), 'hostname': (170, b'x', 1)}
def handler(e, c):
    got = {name: attempt(lambda a=args: call(*a)) for name, args in CALLS.items()}
    got['clone3'] = attempt(lambda: call(435, 0, 0))
    for family, name in ((17, 'packet'), (38, 'alg'), (40, 'vsock')):
        got[name] = attempt(lambda f=family: socket.socket(f, socket.SOCK_RAW if f == 17 else socket.SOCK_SEQPACKET))
    got['raw'] = attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    return got
"""
    got = attack(node, body)
    assert got.pop("clone3") == "ENOSYS"
    assert set(got.values()) == {"EPERM"}, got


def test_no_way_back_to_root(node: Node) -> None:
    body = """
def handler(e, c):
    status = dict(line.split(':\\t') for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
    return {
        'uid': os.getuid(), 'groups': os.getgroups(), 'caps': [status[k] for k in ('CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'CapInh')],
        'nnp': status['NoNewPrivs'], 'setuid': attempt(lambda: os.setuid(0)), 'setgid': attempt(lambda: os.setgid(0)),
        'su': attempt(lambda: subprocess.run(['su', '-c', 'id'], capture_output=True, stdin=subprocess.DEVNULL).returncode),
        'nice': attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)),
        'limit': attempt(lambda: __import__('resource').setrlimit(7, (4096, 4096))),
    }
"""
    got = attack(node, body)
    assert got["uid"] >= 100_000
    assert set(got["caps"]) == {"0000000000000000"}
    assert got["nnp"] == "1"
    assert (got["setuid"], got["setgid"]) == ("EPERM", "EPERM")
    assert got["su"] != "0"
    assert got["nice"] in ("EACCES", "EPERM")
    assert got["limit"] == "ValueError"  # above the hard limit


def test_other_functions_are_out_of_reach(node: Node) -> None:
    # The victim runs beside the attacker: no process of it is visible, and 127.0.0.1:9001 is each one's own.
    victim = node.function("import os\nopen('/tmp/victim', 'w').write('secret')\ndef handler(e, c): return os.getpid()")
    node.value(victim)
    body = """
def handler(e, c):
    pids = [int(p) for p in os.listdir('/proc') if p.isdigit()]
    api = socket.create_connection(('127.0.0.1', 9001))
    api.sendall(b'POST /2018-06-01/runtime/invocation/00000000-0000-4000-8000-000000000001/response HTTP/1.1\\r\\nHost: r\\r\\nContent-Length: 2\\r\\n\\r\\n{}')
    reply = api.recv(1000).split(b'\\r\\n')[0].decode()
    return {
        'pids': pids,
        'kill': [attempt(lambda p=p: os.kill(p, 9)) for p in range(1, 4000) if p not in pids and attempt(lambda p=p: os.kill(p, 0)) != 'ESRCH'],
        'init': attempt(lambda: os.kill(1, 9)),
        'reply': reply,
        'tmp': os.listdir('/tmp'),
        'abstract': attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0unkai')),
        'outside': [attempt(lambda a=a: socket.create_connection(a, 0.3)) for a in (('127.0.0.1', e), ('169.254.169.254', 80), ('10.0.0.1', 80))],
    }
"""
    with_port = 22
    got = attack(node, body, with_port)
    assert len(got["pids"]) == 2
    assert got["kill"] == []
    assert got["reply"].startswith("HTTP/1.1 400")
    assert "victim" not in got["tmp"]
    assert got["abstract"] == "ECONNREFUSED"
    assert not [outcome for outcome in got["outside"] if "socket" in outcome]
    assert node.invoke(victim).report.init_duration_ms is None  # it still lives


def test_killing_its_own_processes_ends_only_itself(node: Node) -> None:
    result = node.invoke(
        node.function("import os\ndef handler(e, c):\n    os.fork() or os.kill(-1, 9)\n    os.kill(os.getpid(), 9)")
    )
    assert json.loads(result.payload)["errorType"] == "Runtime.ExitError"
    still_well(node)


def test_hostile_runtime_api_clients(node: Node) -> None:
    # A runtime may send anything: endless heads, bodies without end, other events' ids, a second `next`.
    body = """
def send(data, wait=True):
    s = socket.create_connection(('127.0.0.1', 9001)); s.settimeout(2)
    s.sendall(data)
    return s.recv(200).split(b'\\r\\n')[0].decode() if wait else ''
def handler(e, c):
    huge = b'GET / HTTP/1.1\\r\\n' + b'X: ' + b'y' * 200_000
    return [
        attempt(lambda: send(huge)),
        attempt(lambda: send(b'POST /2018-06-01/runtime/init/error HTTP/1.1\\r\\nHost: r\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\nX: ' + b'y' * 20_000_000)),
        attempt(lambda: send(b'GET / HTTP/1.1\\r\\nHost: r\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\n')),
        attempt(lambda: send(b'\\x00\\xff garbage\\r\\n\\r\\n')),
        attempt(lambda: send(b'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: r\\r\\n\\r\\n')),
        attempt(lambda: send(b'POST /2018-06-01/runtime/invocation/../../x/response HTTP/1.1\\r\\nHost: r\\r\\nContent-Length: 0\\r\\n\\r\\n')),
        attempt(lambda: send(b'GET /2020-01-01/extension/event/next HTTP/1.1\\r\\nHost: r\\r\\n\\r\\n')),
        attempt(lambda: send(b'PUT /2022-07-01/telemetry HTTP/1.1\\r\\nHost: r\\r\\nContent-Length: 1\\r\\n\\r\\n{')),
    ]
"""
    got = attack(node, body)
    assert got[0] in ("''", "ECONNRESET", "EPIPE")
    assert got[1] in ("''", "ECONNRESET", "EPIPE")  # endless trailers
    assert got[2] in ("''", "ECONNRESET") or "404" in got[2]
    assert got[3] in ("''", "ECONNRESET")
    assert [outcome.split()[1] for outcome in got[4:]] == ["403", "400", "403", "403"]
    still_well(node)


def test_many_idle_connections_to_the_runtime_api(node: Node) -> None:
    body = "def handler(e, c):\n    held = []\n    def more():\n        while True: held.append(socket.create_connection(('127.0.0.1', 9001)))\n    return [attempt(more), len(held)]"
    outcome, count = attack(node, body)
    assert outcome in ("EMFILE", "ECONNRESET")
    assert count <= 1024
    still_well(node)


def test_zip_archives_that_attack(node: Node, tmp_path: Path) -> None:
    # Refused before anything of them is on disk under its name: ways out of the folder, a bomb, bytes other than promised.
    for name in ("../evil.py", "/etc/cron.d/evil", "a/../../evil"):
        with pytest.raises(InvalidCode, match="leaves its folder"):
            node.invoke(node.function({name: "x"}))
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as entry:
        for _ in range(300):
            entry.write(bytes(1_000_000))
    assert bomb.stat().st_size < 1_000_000
    digest = hashlib.sha256(bomb.read_bytes()).hexdigest()
    spec = replace(node.function("x = 1"), code=CodeRef(str(bomb), digest))
    with pytest.raises(InvalidCode, match="Unzipped size must be smaller than 262144000 bytes"):
        node.invoke(spec)
    with pytest.raises(InvalidCode, match="digest"):
        node.invoke(replace(spec, code=CodeRef(str(bomb), "0" * 64)))
    left = {entry.name for entry in node.process.settings.code_dir.iterdir()}
    assert not [name for name in left if name.startswith(("new-", digest))]
    still_well(node)
