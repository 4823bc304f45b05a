"""Starting the runtime: one process for the supervisor to start and watch. It becomes the spawner; the keeper is its child.

Order matters: the keeper is forked first, while nothing is mounted, and gives up its rights at once. Both end together, so a
restart is always clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from importlib import util as importlib_util
from pathlib import Path

from unkai.kernel import clock
from unkai.runtime import languages
from unkai.runtime.boot import enter
from unkai.runtime.settings import Settings, read_settings

UID_BASE = 400_000
_LOCK_ATTEMPTS = 1000
_LOCK_POLL_S = 0.01
_SWEEP_ATTEMPTS = 500
_START_TIMEOUT_S = 20.0


def default_settings(state_dir: Path, level: str) -> Settings:
    """What fits this machine and user: uids of their own only where root can give them."""
    root = os.geteuid() == 0
    spec = importlib_util.find_spec("boto3")
    return Settings(
        state_dir=state_dir,
        level=level,
        uid_base=UID_BASE if root and level != "none" else 0,
        keeper_uid=UID_BASE - 1 if root and level != "none" else 0,
        client_uids=(os.geteuid(),),
        sdk_path=str(Path(spec.origin).parent.parent) if spec and spec.origin else "",
        name="unkai-" + hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12],
    )


class RuntimeProcess:
    """The runtime's processes as a supervisor sees them: one child. Start, watch (`wait`), stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Returns once invocations are accepted. Raises RuntimeError with the reason otherwise."""
        if sys.platform != "linux":
            raise RuntimeError(f"unkai runs Lambda functions on Linux only; this is {sys.platform}")
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        path = self.settings.state_dir / "settings.json"
        self.settings.write(path)
        for stale in (self.settings.socket_path, self.settings.code_socket_path):
            stale.unlink(missing_ok=True)
        command = [sys.executable, "-m", "unkai.runtime.launch", str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: ASYNC220 -- a fork
        deadline = clock.monotonic_s() + _START_TIMEOUT_S
        while not self.settings.socket_path.exists():
            if self._process.poll() is not None:
                raise RuntimeError(f"the runtime ended at once with status {self._process.returncode}")
            if clock.monotonic_s() > deadline:
                self._process.kill()
                raise RuntimeError("the runtime did not come up in time")
            await asyncio.sleep(0.002)

    async def wait(self) -> int:
        """Until it ends, for whatever reason."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait)

    async def stop(self) -> None:
        """End it with everything that it runs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        await self.wait()


def run(settings_path: Path) -> None:
    """The body of the process."""
    settings = read_settings(settings_path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        enter.prctl(enter.PR_SET_PDEATHSIG, signal.SIGTERM)  # a supervisor that was killed takes its runtime along
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, enter.DESCRIPTORS_MAX), most))
    lock = _take_lock(settings.state_dir)
    _make_folders(settings)
    _fork_guard(settings, lock)
    languages.available()  # found while everything can be read; both processes remember it
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    keeper_pid = os.fork()
    if keeper_pid == 0:
        ours.close()
        _run_keeper(settings, theirs)
    theirs.close()
    # SIGTERM goes to the keeper, which tells extensions to shut down; its end is what ends the spawner.
    signal.signal(signal.SIGTERM, lambda *_: _tell(keeper_pid, signal.SIGTERM))
    try:
        _run_spawner(settings, ours)
    finally:
        _tell(keeper_pid, signal.SIGKILL)
    os.waitpid(keeper_pid, 0)


def _tell(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _take_lock(state_dir: Path) -> int:
    """One incarnation at a time; the last one may still be ending."""
    fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            signal.sigtimedwait([], _LOCK_POLL_S)
    raise SystemExit("another runtime holds this state directory")


def _fork_guard(settings: Settings, lock: int) -> None:
    """A process that waits for the spawner's end, however it comes, and then clears up after it.

    Frozen processes of cgroup v1 do not even die of SIGKILL, so the parent death signal alone would leave them. It holds
    the lock, so that the next incarnation begins only when nothing of this one is left.
    """
    if settings.level != "full":
        return
    from unkai.runtime.sandbox import cgroups

    read, _ = os.pipe2(os.O_CLOEXEC)  # nobody writes to the other end; the spawner's death closes it
    if os.fork():
        os.close(read)
        os.close(lock)
        return
    try:
        os.setsid()
        enter.close_all_but({0, 1, 2, read, lock})
        os.read(read, 1)
        groups = cgroups.open_cgroups(settings.name)
        for _ in range(_SWEEP_ATTEMPTS):
            if not groups.sweep():
                break
            signal.sigtimedwait([], _LOCK_POLL_S)
        groups.close()
        if settings.disks_dir.is_dir():
            for left in settings.disks_dir.iterdir():
                left.unlink()
    finally:
        os._exit(0)


def _make_folders(settings: Settings) -> None:
    os.chmod(settings.state_dir, 0o711)
    for folder, mode in ((settings.socket_path.parent, 0o711), (settings.code_dir, 0o700)):
        folder.mkdir(exist_ok=True)
        os.chmod(folder, mode)
        if settings.keeper_uid:
            os.chown(folder, settings.keeper_uid, settings.keeper_uid)


def _run_keeper(settings: Settings, channel: socket.socket) -> None:
    status = 1
    try:
        from unkai.runtime import keeper
        from unkai.runtime.sandbox import mounts

        if settings.keeper_uid:
            mounts.open_a_way([Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[2], settings.state_dir])
            os.setgroups([])
            os.setresgid(settings.keeper_uid, settings.keeper_uid, settings.keeper_uid)
            os.setresuid(settings.keeper_uid, settings.keeper_uid, settings.keeper_uid)
        if sys.platform == "linux":
            enter.prctl(enter.PR_SET_NO_NEW_PRIVS, 1)
            enter.hide_from_peers()
            enter.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        keeper.run(settings, channel)
        status = 0
    except SystemExit:
        raise
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _run_spawner(settings: Settings, channel: socket.socket) -> None:
    if settings.level == "none":
        from unkai.runtime.sandbox import plain

        plain.PlainSpawner(settings, channel).run()
        return
    from unkai.runtime import boot
    from unkai.runtime.languages import python
    from unkai.runtime.sandbox import cgroups, disks, levels, mounts, spawner

    assert boot.__file__ is not None
    boot_folder = Path(boot.__file__).parent
    modules = [Path(settings.sdk_path) / name for name in python.SDK_MODULES] if settings.sdk_path else []
    prefixes = [prefix for language in languages.LANGUAGES for prefix in language.prefixes()]
    groups, images = None, None
    if settings.level == "full":
        groups = cgroups.open_cgroups(settings.name, settings.cpu_quota)
        groups.sweep()
        settings.disks_dir.mkdir(mode=0o700, exist_ok=True)
        for left in settings.disks_dir.iterdir():
            left.unlink()
        images = disks.Disks(settings.disks_dir)
    nested = os.geteuid() != 0
    if nested:
        # To come back from a cell's namespaces, the spawner must own those that it came from: it moves into new ones itself.
        levels.enter_user_namespace()
        enter.unshare(enter.NEWPID | enter.NEWNET)
        inner = os.fork()
        if inner:
            os.waitpid(inner, 0)
            return
        enter.die_with_parent()
        settings = replace(settings, uid_base=0)
    boot_files = [
        boot_folder / name for name in ("forkserver.py", "python_bootstrap.py", "nodejs_bootstrap.mjs", "enter.py")
    ]
    mounts.build_view(settings.view, prefixes, modules, boot_files)
    if nested:
        mounts.mount("proc", "/proc", "proc")
    spawner.Spawner(settings, channel, groups, images, dict(python.interpreters())).run()
    if nested:
        os._exit(0)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
